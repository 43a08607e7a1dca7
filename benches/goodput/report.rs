//! The figures, and the page that tells them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use mock_provider::Asked;

use super::Kind;
use super::clients::{Done, WORK};
use super::keys::Key;

/// What was measured at one demand.
pub(super) struct Row {
    percent: u32,
    requests: usize,
    served: usize,
    possible: usize,
    possible_knowing_costs: usize,
    attempts: u64,
    faults: u64,
    wasted: u64,
    discovery: u64,
    limited: usize,
    failed: usize,
    fairness: f64,
    waited: [Duration; 2],
}

impl Row {
    pub(super) fn new(
        percent: u32,
        keys: &[Key],
        (at_from, at_end): (&[Asked], &[Asked]),
        done: &[Done],
        [possible, knowing_costs]: [&[bool]; 2],
        from: Duration,
    ) -> Self {
        let measured = || done.iter().filter(|done| done.at >= from);
        let of_kind = |kind| measured().filter(|done| done.kind == kind).count();
        let served = |could: &[bool]| {
            done.iter().zip(could).filter(|(done, could)| done.at >= from && **could).count()
        };
        let count = |asked: &Asked, which: fn(u16) -> bool| -> u64 {
            asked.statuses.iter().filter(|(status, _)| which(**status)).map(|(_, count)| count).sum()
        };
        let since = |which: fn(u16) -> bool| -> u64 {
            at_end.iter().zip(at_from).map(|(end, from)| count(end, which) - count(from, which)).sum()
        };
        let dead = keys.iter().zip(at_end).filter(|(key, _)| key.limits.is_none());
        let mut waits: Vec<Duration> = measured()
            .filter(|done| done.kind == Kind::Served)
            .map(|done| done.took.saturating_sub(WORK))
            .collect();
        waits.sort_unstable();
        let waited =
            |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or_default();
        let ok = |asked: &Asked| count(asked, |status| status == 200);
        let good = at_end.iter().zip(at_from).map(|(end, from)| ok(end) - ok(from));
        let good: Vec<(&Key, u64)> = keys.iter().zip(good).filter(|(key, _)| key.limits.is_some()).collect();
        Self {
            percent,
            requests: measured().count(),
            served: of_kind(Kind::Served),
            possible: served(possible),
            possible_knowing_costs: served(knowing_costs),
            attempts: since(|_| true),
            faults: since(|status| status == 500),
            wasted: since(|status| !matches!(status, 200 | 500)),
            discovery: dead.map(|(_, asked)| asked.asked).sum(),
            limited: of_kind(Kind::Limited),
            failed: of_kind(Kind::Failed),
            fairness: fairness(&good),
            waited: [waited(0.5), waited(0.99)],
        }
    }

    /// Errors that a healthy key could have cured: all but the refusals that the all-knowing scheduler had to give too.
    fn curable(&self) -> usize {
        let had_to = self.requests - self.possible;
        self.failed + self.limited.saturating_sub(had_to)
    }
}

/// What became of each tier's keys, for whoever looks for the reasons.
pub(super) fn print_tiers(keys: &[Key], at_from: &[Asked], at_end: &[Asked]) {
    let mut tiers: BTreeMap<&str, BTreeMap<u16, u64>> = BTreeMap::new();
    for ((key, from), end) in keys.iter().zip(at_from).zip(at_end) {
        for (status, count) in &end.statuses {
            let before = from.statuses.get(status).copied().unwrap_or(0);
            *tiers.entry(key.tier).or_default().entry(*status).or_default() += count - before;
        }
    }
    println!("{tiers:?}");
}

/// Jain's index of the requests that each key served, the lowest of all tiers.
fn fairness(good: &[(&Key, u64)]) -> f64 {
    let of_tier = |tier: &str| {
        let served: Vec<f64> =
            good.iter().filter(|(key, _)| key.tier == tier).map(|(_, served)| *served as f64).collect();
        let (sum, squares) =
            served.iter().fold((0.0, 0.0), |(sum, squares), n| (sum + n, n.mul_add(*n, squares)));
        sum * sum / (squares * served.len() as f64).max(1.0)
    };
    good.iter().map(|(key, _)| of_tier(key.tier)).fold(1.0, f64::min)
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// The table, in Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| demand | requests | served of the possible | if costs were known | wasted attempts | 5xx of the provider's own | client-visible \
         errors | of these 5xx of the provider's | curable ones | fairness | waited p50 / p99 | dead keys asked |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            table,
            "| {} % | {} | {:.2} % | {:.2} % | {:.2} % | {:.2} % | {} | {} | {} | {:.3} | {} / {} ms | {} times |",
            row.percent,
            row.requests,
            percent(row.served as u64, row.possible as u64),
            percent(row.served as u64, row.possible_knowing_costs as u64),
            percent(row.wasted, row.attempts),
            percent(row.faults, row.attempts),
            row.limited + row.failed,
            row.failed,
            row.curable(),
            row.fairness,
            row.waited[0].as_millis(),
            row.waited[1].as_millis(),
            row.discovery,
        );
    }
    table
}

/// The page.
pub(super) fn page(table: &str) -> String {
    format!("{}\n{table}\n{}", BEFORE.trim_start(), AFTER.trim_start())
}

const BEFORE: &str = "
# Goodput: what a pool of limited keys gives

`make bench-goodput` (or `cargo bench --bench goodput`) makes this page; it takes five minutes.
";

const AFTER: &str = "
**The setting.** 200 keys of mixed tiers: 60 that allow 3 requests a minute, 50 with 700 tokens, 30 with 30 requests,
10 with 4,000 tokens; 10 that answer every eighth request with a 500; 20 revoked and 20 out of quota. The provider
enforces a bucket of requests and one of tokens for each key, and tells what remains as OpenAI does. Requests cost
20 to 80 tokens, come at random times, each once, and take 100 ms. Time is scaled: the provider's minute takes six
seconds. gpt-load runs as it is released, with its default settings but for `MAX_CONCURRENT_REQUESTS`.

**The columns.** *Demand*: in percent of what the healthy keys allow. *Served of the possible*: compared with a
scheduler that knows every bucket at every moment, though not what a request will cost, and lets nobody wait longer
than `MAX_KEY_WAIT` for its turn either. *If costs were known*: compared with one that knows that too, and so serves
more requests by giving small ones to keys that are short of tokens and large ones to keys that are short of requests;
gpt-load does not look at what a request will cost. *Wasted attempts*: answers other than 2xx and the provider's own
5xx, of all attempts. *Client-visible errors*: refusals while all keys are at their limits, and the provider's own 5xx
that no other key cured. *Curable ones*: those 5xx, and refusals beyond those that the scheduler of the first
comparison had to give as well. *Fairness*: Jain's index of the requests that keys of
one tier served (1: all the same), the lowest of all tiers. *Waited*: how much longer than the provider's own 100 ms an
answer took. *Dead keys asked*: requests that the 40 revoked and exhausted keys got in all; they are found out before
the measured time.

Demands above 100 % begin with a burst that empties the buckets, so that what is measured is the lasting state.

**What is left of the curable ones.** The provider's own 5xx all are cured: those that once got through came together at
the beginning of a window of the retry budget, before it held anything; what a window leaves is now the next one's too.
Refusals beyond the scheduler's come of waiting for the moment that the provider names. OpenAI tells when a bucket is
*full* again, not when it holds one request; a full bucket wastes what would flow into it, so that a key that is taken up
some milliseconds late has lost as much. When it holds one request could be reckoned from its limit, but others mean just
that moment by the same header: a wrong guess costs a refusal, and a key returns when its provider says (spec §6). On a
machine that has other things to do keys are taken up later: beside compilers 110 % gave 97.7 % and 459 such refusals,
alone 100.0 % and none.
";
