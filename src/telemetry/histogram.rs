//! Distributions: fixed bounds, a count for each bucket. Every worker counts in histograms of its own; readers sum.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The buckets of a distribution: `N` of them, the last without an upper bound.
#[derive(Debug)]
pub struct Scale<const N: usize> {
    /// Upper bounds, which belong to their bucket, in whole units; the last one, `u64::MAX`, stands for none.
    bounds: [u64; N],
    /// How much a unit is: times are counted in microseconds and told in seconds.
    unit: f64,
}

/// Requests' durations, first bytes among them.
pub static LATENCY: Scale<24> = Scale::micros([
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    75_000,
    100_000,
    150_000,
    250_000,
    500_000,
    750_000,
    1_000_000,
    1_500_000,
    2_500_000,
    5_000_000,
    7_500_000,
    10_000_000,
    15_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    u64::MAX,
]);
/// What we ourselves add to a request's time.
pub static OVERHEAD: Scale<16> = Scale::micros([
    10,
    25,
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    u64::MAX,
]);
/// `gen_ai.client.operation.duration`, as the semantic conventions have it: 0.01 s doubled up to 81.92 s.
pub static OPERATION: Scale<15> = Scale::micros([
    10_000,
    20_000,
    40_000,
    80_000,
    160_000,
    320_000,
    640_000,
    1_280_000,
    2_560_000,
    5_120_000,
    10_240_000,
    20_480_000,
    40_960_000,
    81_920_000,
    u64::MAX,
]);
/// `gen_ai.server.time_to_first_token`.
pub static FIRST_TOKEN: Scale<17> = Scale::micros([
    1_000,
    5_000,
    10_000,
    20_000,
    40_000,
    60_000,
    80_000,
    100_000,
    250_000,
    500_000,
    750_000,
    1_000_000,
    2_500_000,
    5_000_000,
    7_500_000,
    10_000_000,
    u64::MAX,
]);
/// `gen_ai.server.time_per_output_token`.
pub static PER_TOKEN: Scale<14> = Scale::micros([
    10_000,
    25_000,
    50_000,
    75_000,
    100_000,
    150_000,
    200_000,
    300_000,
    400_000,
    500_000,
    750_000,
    1_000_000,
    2_500_000,
    u64::MAX,
]);
/// `gen_ai.client.token.usage`: 1, 4, … 4¹³.
pub static TOKENS: Scale<15> = Scale {
    bounds: [
        1,
        4,
        16,
        64,
        256,
        1_024,
        4_096,
        16_384,
        65_536,
        262_144,
        1_048_576,
        4_194_304,
        16_777_216,
        67_108_864,
        u64::MAX,
    ],
    unit: 1.0,
};

impl<const N: usize> Scale<N> {
    const fn micros(bounds: [u64; N]) -> Self {
        Self { bounds, unit: 1e-6 }
    }
}

/// One worker's part of a distribution.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    scale: &'static Scale<N>,
    counts: [AtomicU64; N],
    sum: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    /// An empty one.
    pub fn new(scale: &'static Scale<N>) -> Self {
        Self { scale, counts: [const { AtomicU64::new(0) }; N], sum: AtomicU64::new(0) }
    }

    /// Counts a value in the scale's units.
    pub fn count(&self, value: u64) {
        let bucket = self.scale.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts a time.
    pub fn time(&self, time: Duration) {
        self.count(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }
}

/// A distribution as it stands: all workers' parts together, or the difference of two such.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// The buckets' upper bounds and counts, in seconds where it is about time.
    pub buckets: Vec<(f64, u64)>,
    /// What all values come to.
    pub sum: f64,
}

impl Distribution {
    /// All parts together.
    pub fn of<'a, const N: usize>(
        scale: &'static Scale<N>,
        parts: impl IntoIterator<Item = &'a Histogram<N>>,
    ) -> Self {
        let (mut counts, mut sum) = ([0_u64; N], 0_u64);
        for part in parts {
            for (count, more) in counts.iter_mut().zip(&part.counts) {
                *count += more.load(Ordering::Relaxed);
            }
            sum = sum.wrapping_add(part.sum.load(Ordering::Relaxed));
        }
        let upper = scale.bounds.iter().map(|bound| match *bound {
            u64::MAX => f64::INFINITY,
            bound => in_units(bound, scale.unit),
        });
        Self { buckets: upper.zip(counts).collect(), sum: in_units(sum, scale.unit) }
    }

    /// Two of the same scale together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for ((_, count), (_, more)) in self.buckets.iter_mut().zip(other.buckets) {
            *count += more;
        }
        self.sum += other.sum;
        self
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// What has come since an earlier state.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let buckets = self.buckets.iter().zip(&earlier.buckets);
        let buckets = buckets.map(|((bound, now), (_, then))| (*bound, now.saturating_sub(*then))).collect();
        Self { buckets, sum: (self.sum - earlier.sum).max(0.0) }
    }

    /// The value below which that share of all values lies, as well as the buckets tell; `None` if there are none.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count() as f64;
        let (mut below, mut lower) = (0_u64, 0.0);
        for (upper, count) in &self.buckets {
            if *count > 0 && (below + count) as f64 >= rank {
                // Beyond the last bound nothing is known but that bound.
                let upper = if upper.is_infinite() { lower } else { *upper };
                return Some(lower + (upper - lower) * (rank - below as f64) / *count as f64);
            }
            below += count;
            if upper.is_finite() {
                lower = *upper;
            }
        }
        None
    }
}

#[expect(clippy::cast_precision_loss, reason = "2⁵³ microseconds are 285 years")]
fn in_units(value: u64, unit: f64) -> f64 {
    // A division keeps 0.01 what it is; 10_000 × 1e-6 would not.
    if unit < 1.0 { value as f64 / (1.0 / unit).round() } else { value as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_parts_add_up() {
        let (one, two) = (Histogram::new(&OPERATION), Histogram::new(&OPERATION));
        one.time(Duration::from_millis(10));
        one.time(Duration::from_micros(10_001));
        two.time(Duration::from_secs(1000));
        let all = Distribution::of(&OPERATION, [&one, &two]);
        assert_eq!(all.buckets[0], (0.01, 1));
        assert_eq!(all.buckets[1], (0.02, 1));
        assert_eq!(all.buckets[14], (f64::INFINITY, 1));
        assert_eq!(all.count(), 3);
        assert!((all.sum - 1_000.020_001).abs() < 1e-9);
        let later = Distribution::of(&OPERATION, [&one, &two, &one]).since(&all);
        assert_eq!((later.count(), later.buckets[0].1), (2, 1));
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let histogram = Histogram::new(&LATENCY);
        assert_eq!(Distribution::of(&LATENCY, [&histogram]).quantile(0.5), None);
        for _ in 0..100 {
            histogram.time(Duration::from_millis(30));
        }
        let all = Distribution::of(&LATENCY, [&histogram]);
        for share in [0.01, 0.5, 0.99] {
            let value = all.quantile(share).unwrap();
            assert!(value > 0.025 && value <= 0.05, "{share}: {value}");
        }
        let beyond = Histogram::new(&LATENCY);
        beyond.time(Duration::from_secs(1000));
        assert_eq!(Distribution::of(&LATENCY, [&beyond]).quantile(0.5), Some(300.0));
    }

    #[test]
    fn bounds_rise() {
        fn rises<const N: usize>(scale: &Scale<N>) -> bool {
            scale.bounds.is_sorted_by(|a, b| a < b) && scale.bounds.last() == Some(&u64::MAX)
        }
        assert!(rises(&LATENCY) && rises(&OVERHEAD) && rises(&OPERATION));
        assert!(rises(&FIRST_TOKEN) && rises(&PER_TOKEN) && rises(&TOKENS));
    }
}
