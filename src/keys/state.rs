//! Where a key stands (available, in cooldown, blacklisted for good), and what moves it from one to the next.
//! Pure: takes `now` and a jitter, reads no clock.

use std::time::Duration;

/// After so many requests in a row that asked a key for more than it has, others that are there are asked rather. It is in
/// rotation all the same: whoever is next may ask for less.
const TOO_DEAR: u32 = 8;

/// How long a key is left alone at first that is refused more requests at a time, and none of its own are known of that may end.
/// It doubles up to `KEY_COOLDOWN`, since it may be a limit by the clock after all.
const MOMENT: Duration = Duration::from_secs(1);

/// The longest cooldown that anybody may name (spec §6).
pub const LONGEST_COOLDOWN: Duration = Duration::from_secs(24 * 60 * 60);

/// Milliseconds since the pool began. Fits 42 bits for 139 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Millis(pub(super) u64);

impl Millis {
    pub(super) fn after(self, wait: Duration) -> Self {
        // Round up: a key must not come back before the moment that was named.
        let wait = wait.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)).min(UNTIL_MAX - 1))
    }
}

/// What a settled lease means for its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It worked: the failure count goes to 0.
    Success,
    /// Rate limited, for `wait` if the provider named one.
    Limited {
        /// How long, as told.
        wait: Option<Duration>,
    },
    /// It has as many requests at a time as it may, for `wait` if the provider named one.
    Crowded {
        /// How long, as told.
        wait: Option<Duration>,
    },
    /// Out of credit or quota, for `wait` if the provider named one.
    Exhausted {
        /// How long, as told.
        wait: Option<Duration>,
    },
    /// It has too little for what was asked, and may well serve others.
    TooLittle,
    /// No good, for good.
    Invalid,
    /// Said to be no good while most of the pool was told so: the upstream's outage until proven otherwise.
    Suspected,
    /// It worked, and has nothing left for `wait`.
    Spent {
        /// How long, as told.
        wait: Duration,
    },
    /// Good, but not for the model that was asked for.
    Denied,
}

impl Effect {
    /// The verdict's name (spec §6).
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Limited { .. } | Self::Crowded { .. } | Self::Spent { .. } => "key_limited",
            Self::Exhausted { .. } | Self::TooLittle => "key_exhausted",
            Self::Invalid | Self::Suspected => "key_invalid",
            Self::Denied => "model_denied",
        }
    }

    /// Its name in the journal, which tells apart what people need not: it stays the same from version to version.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Limited { .. } | Self::Crowded { .. } => "limited",
            Self::Exhausted { .. } => "exhausted",
            Self::TooLittle => "too_little",
            Self::Invalid => "invalid",
            Self::Suspected => "suspected",
            Self::Spent { .. } => "spent",
            Self::Denied => "denied",
        }
    }

    /// The effect of that name, if a key can be out for it; without the wait that led to its end.
    pub(super) fn tagged(tag: &str) -> Option<Self> {
        Some(match tag {
            "limited" => Self::Limited { wait: None },
            "exhausted" => Self::Exhausted { wait: None },
            "too_little" => Self::TooLittle,
            "invalid" => Self::Invalid,
            "suspected" => Self::Suspected,
            "spent" => Self::Spent { wait: Duration::ZERO },
            "denied" => Self::Denied,
            _ => return None,
        })
    }
}

/// How failures become cooldowns (spec §2, §6).
#[derive(Clone, Copy, Debug)]
pub struct CooldownPolicy {
    /// `BLACKLIST_THRESHOLD`: the n-th failure in a row without a hint sets the key aside.
    pub threshold: u32,
    /// `KEY_COOLDOWN`: the first cooldown where the provider names none.
    pub first: Duration,
    /// `KEY_COOLDOWN_MAX`: the longest such cooldown.
    pub longest: Duration,
}

/// Whether a key may be leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In rotation.
    Available,
    /// Set aside until then.
    Cooldown(Millis),
    /// Set aside for good.
    Permanent,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) place: Place,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Cooldowns in a row.
    pub(super) cooldowns: u32,
    /// Moments in a row for which it was left alone, having too many requests at a time: no sign of a longer limit.
    pub(super) moments: u32,
}

impl Standing {
    pub(super) const FRESH: Self = Self { place: Place::Available, failures: 0, cooldowns: 0, moments: 0 };

    pub(super) fn is_available(self) -> bool {
        self.place == Place::Available
    }

    /// Whether nothing like what it is out for is known of it: at most a short limit stands between this and its last success.
    pub(super) fn is_news(self) -> bool {
        self.cooldowns <= 2
    }

    /// Whether it has long served nobody, if this was what its last request came to.
    pub(super) fn is_poor(self, effect: Effect) -> bool {
        effect == Effect::TooLittle && self.is_available() && self.failures >= TOO_DEAR
    }

    /// The standing after a lease was settled. `jitter` is in `0.0..1.0` and shortens an unnamed cooldown by up to
    /// a fifth, so that keys which fell together do not come back together; a suspicion's by nearly all of it, since one of
    /// the suspects is to come back soon. A `probe` was sent to find out whether a
    /// key that is out works again: what it learns is news, where other late answers are part of the same episode.
    pub(super) fn after(
        self,
        effect: Effect,
        policy: &CooldownPolicy,
        now: Millis,
        jitter: f64,
        probe: bool,
    ) -> Self {
        let failures = self.failures.saturating_add(1);
        let is_crowded = matches!(effect, Effect::Crowded { .. });
        let (first, longest, before) = if is_crowded {
            (MOMENT.min(policy.first), policy.first, self.moments)
        } else {
            (policy.first, policy.longest, self.cooldowns)
        };
        let doubled = first.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(longest);
        let (wait, unnamed, threshold) = match effect {
            // An earlier request's success says nothing about a limit that was hit since.
            Effect::Success if !self.is_available() && !probe => return self,
            Effect::Success => return Self::FRESH,
            Effect::Invalid => return Self { place: Place::Permanent, failures, ..self },
            Effect::Spent { wait } => {
                let until = now.after(wait.min(LONGEST_COOLDOWN));
                return match self.place {
                    Place::Cooldown(end) if !probe => Self { place: Place::Cooldown(end.max(until)), ..self },
                    Place::Permanent if !probe => self,
                    _ => Self { place: Place::Cooldown(until), ..Self::FRESH },
                };
            }
            Effect::TooLittle if self.is_available() => return Self { failures, ..self },
            Effect::Suspected | Effect::Denied | Effect::TooLittle => (None, doubled, 1),
            Effect::Limited { wait } => (wait, doubled, policy.threshold),
            Effect::Crowded { wait } => (wait, doubled, 1),
            Effect::Exhausted { wait } => (wait, policy.longest, policy.threshold),
        };
        // "Wait 0 seconds" from a provider that refused is no hint.
        let named = wait.filter(|wait| !wait.is_zero());
        let shortened = if effect == Effect::Suspected { 0.9 } else { 0.2 } * jitter;
        let until =
            now.after(named.unwrap_or_else(|| unnamed.mul_f64(1.0 - shortened)).min(LONGEST_COOLDOWN));
        let mut set_aside = Self { place: Place::Cooldown(until), failures, ..self };
        let in_a_row = if is_crowded { &mut set_aside.moments } else { &mut set_aside.cooldowns };
        *in_a_row = in_a_row.saturating_add(1);
        match self.place {
            // A key that is limited is not invalid.
            Place::Permanent if probe && effect != Effect::Suspected => set_aside,
            Place::Permanent => self,
            Place::Cooldown(_) if probe && named.is_some() => Self { cooldowns: self.cooldowns, ..set_aside },
            // A second failure of requests that were under way together is the same episode: it may name a later
            // end, but it is not the next cooldown in a row.
            Place::Cooldown(end) if named.is_some() => {
                Self { place: Place::Cooldown(end.max(until)), failures, ..self }
            }
            Place::Cooldown(_) => Self { failures, ..self },
            Place::Available if named.is_none() && failures < threshold => Self { failures, ..self },
            Place::Available => set_aside,
        }
    }

    /// The standing at `now`: a cooldown that is over has ended. The counts stay until a success.
    pub(super) fn at(self, now: Millis) -> Self {
        match self.place {
            Place::Cooldown(until) if until <= now => Self { place: Place::Available, ..self },
            _ => self,
        }
    }

    /// One word, so that a change is one compare-and-swap: 40 bits of `until` (0 available, all ones permanent; 34 years),
    /// 16 of failures, 5 of cooldowns, 3 of moments; the counts saturate.
    pub(super) fn pack(self) -> u64 {
        let until = match self.place {
            Place::Available => 0,
            Place::Cooldown(until) => until.0.clamp(1, UNTIL_MAX - 1),
            Place::Permanent => UNTIL_MAX,
        };
        until
            | u64::from(self.failures.min(FAILURES_MAX)) << FAILURES
            | u64::from(self.cooldowns.min(COOLDOWNS_MAX)) << COOLDOWNS
            | u64::from(self.moments.min(MOMENTS_MAX)) << MOMENTS
    }

    pub(super) fn unpack(word: u64) -> Self {
        let place = match word & UNTIL_MAX {
            0 => Place::Available,
            UNTIL_MAX => Place::Permanent,
            until => Place::Cooldown(Millis(until)),
        };
        let failures = (word >> FAILURES) as u32 & FAILURES_MAX;
        let cooldowns = (word >> COOLDOWNS) as u32 & COOLDOWNS_MAX;
        let moments = (word >> MOMENTS) as u32 & MOMENTS_MAX;
        Self { place, failures, cooldowns, moments }
    }
}

/// Where the counts begin.
const FAILURES: u32 = 40;
const COOLDOWNS: u32 = 56;
const MOMENTS: u32 = 61;
const UNTIL_MAX: u64 = (1 << FAILURES) - 1;
const FAILURES_MAX: u32 = u16::MAX as u32;
const COOLDOWNS_MAX: u32 = 31;
const MOMENTS_MAX: u32 = 7;

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: CooldownPolicy =
        CooldownPolicy { threshold: 1, first: Duration::from_secs(30), longest: Duration::from_secs(3600) };
    const NOW: Millis = Millis(1_000);
    const LIMITED: Effect = Effect::Limited { wait: None };

    fn told(seconds: u64) -> Effect {
        Effect::Limited { wait: Some(Duration::from_secs(seconds)) }
    }

    fn cooling(seconds: u64) -> Place {
        Place::Cooldown(Millis(NOW.0 + seconds * 1000))
    }

    #[test]
    fn effects_are_known_by_their_tags() {
        let wait = Duration::ZERO;
        for effect in [
            LIMITED,
            Effect::Exhausted { wait: None },
            Effect::TooLittle,
            Effect::Invalid,
            Effect::Suspected,
            Effect::Spent { wait },
            Effect::Denied,
        ] {
            assert_eq!(Effect::tagged(effect.tag()), Some(effect));
        }
        assert_eq!(Effect::tagged(Effect::Success.tag()), None);
    }

    #[test]
    fn unnamed_cooldowns_double_up_to_the_longest() {
        let mut standing = Standing::FRESH;
        for seconds in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600] {
            standing = standing.after(LIMITED, &POLICY, NOW, 0.0, false);
            assert_eq!(standing.place, cooling(seconds));
            standing = standing.at(Millis(u64::MAX >> 30));
            assert!(standing.is_available());
        }
    }

    #[test]
    fn jitter_shortens_by_at_most_a_fifth() {
        assert_eq!(Standing::FRESH.after(LIMITED, &POLICY, NOW, 1.0, false).place, cooling(24));
    }

    #[test]
    fn without_a_hint_the_threshold_decides_with_one_it_does_not() {
        let policy = CooldownPolicy { threshold: 3, ..POLICY };
        let once = Standing::FRESH.after(LIMITED, &policy, NOW, 0.0, false);
        let twice = once.after(Effect::Exhausted { wait: None }, &policy, NOW, 0.0, false);
        assert!(once.is_available() && twice.is_available());
        assert_eq!(twice.after(LIMITED, &policy, NOW, 0.0, false).place, cooling(30));
        assert_eq!(Standing::FRESH.after(told(7), &policy, NOW, 0.9, false).place, cooling(7));
    }

    #[test]
    fn a_success_starts_the_count_anew() {
        let policy = CooldownPolicy { threshold: 2, ..POLICY };
        let once = Standing::FRESH.after(LIMITED, &policy, NOW, 0.0, false);
        let healed = once.after(Effect::Success, &policy, NOW, 0.0, false);
        assert_eq!(healed, Standing::FRESH);
        assert!(healed.after(LIMITED, &policy, NOW, 0.0, false).is_available());
    }

    #[test]
    fn a_late_success_does_not_end_a_cooldown() {
        let limited = Standing::FRESH.after(told(60), &POLICY, NOW, 0.0, false);
        assert_eq!(limited.after(Effect::Success, &POLICY, NOW, 0.0, false), limited);
    }

    #[test]
    fn failures_of_requests_under_way_together_are_one_cooldown() {
        let limited =
            Standing::FRESH.after(LIMITED, &POLICY, NOW, 0.0, false).after(LIMITED, &POLICY, NOW, 0.0, false);
        assert_eq!((limited.place, limited.cooldowns, limited.failures), (cooling(30), 1, 2));
        assert_eq!(limited.after(told(90), &POLICY, NOW, 0.0, false).place, cooling(90));
        assert_eq!(limited.after(told(9), &POLICY, NOW, 0.0, false).place, cooling(30));
    }

    #[test]
    fn exhaustion_lasts_the_longest_cooldown_unless_told() {
        assert_eq!(
            Standing::FRESH.after(Effect::Exhausted { wait: None }, &POLICY, NOW, 0.0, false).place,
            cooling(3600)
        );
        let told = Effect::Exhausted { wait: Some(Duration::from_secs(99)) };
        assert_eq!(Standing::FRESH.after(told, &POLICY, NOW, 0.0, false).place, cooling(99));
    }

    #[test]
    fn a_key_that_is_asked_for_too_much_again_and_again_stays_and_is_known_to_be_poor_until_it_serves() {
        let ask = |standing: Standing| standing.after(Effect::TooLittle, &POLICY, NOW, 0.0, false);
        let is_poor = |standing: Standing| standing.is_poor(Effect::TooLittle);
        let often = (1..TOO_DEAR).fold(Standing::FRESH, |standing, _| ask(standing));
        assert_eq!([often, ask(often)].map(is_poor), [false, true]);
        let always = (0..1000).fold(often, |standing, _| ask(standing));
        assert!(always.is_available() && is_poor(always));
        assert!(!always.is_poor(LIMITED));
        let served = always.after(Effect::Success, &POLICY, NOW, 0.0, false);
        assert_eq!(served, Standing::FRESH);
        let limited = Standing::FRESH.after(told(60), &POLICY, NOW, 0.0, false);
        assert_eq!(ask(limited).place, limited.place);
        let revoked = Standing::FRESH.after(Effect::Invalid, &POLICY, NOW, 0.0, false);
        let pays_for_less = revoked.after(Effect::TooLittle, &POLICY, NOW, 0.0, true);
        assert_eq!(pays_for_less.place, cooling(30), "it is not revoked");
    }

    #[test]
    fn an_invalid_key_is_out_for_good() {
        let invalid = Standing::FRESH.after(Effect::Invalid, &POLICY, NOW, 0.0, false);
        assert_eq!(invalid.place, Place::Permanent);
        assert_eq!(invalid.after(told(5), &POLICY, NOW, 0.0, false).place, Place::Permanent);
        assert_eq!(invalid.at(Millis(UNTIL_MAX)).place, Place::Permanent);
    }

    #[test]
    fn a_probe_brings_news_of_a_key_that_is_out() {
        let limited = Standing::FRESH.after(told(600), &POLICY, NOW, 0.0, false);
        assert_eq!(limited.after(Effect::Success, &POLICY, NOW, 0.0, true), Standing::FRESH);
        assert_eq!(limited.after(told(5), &POLICY, NOW, 0.0, true).place, cooling(5));
        assert_eq!(limited.after(LIMITED, &POLICY, NOW, 0.0, true).place, cooling(600));
        let invalid = Standing::FRESH.after(Effect::Invalid, &POLICY, NOW, 0.0, false);
        assert_eq!(invalid.after(Effect::Success, &POLICY, NOW, 0.0, true), Standing::FRESH);
        assert_eq!(invalid.after(told(5), &POLICY, NOW, 0.0, true).place, cooling(5));
        assert_eq!(invalid.after(Effect::Invalid, &POLICY, NOW, 0.0, true).place, Place::Permanent);
    }

    #[test]
    fn a_suspicion_asks_no_threshold_and_doubles_but_some_come_back_soon() {
        let policy = CooldownPolicy { threshold: 3, longest: Duration::from_secs(100), ..POLICY };
        let mut standing = Standing::FRESH;
        for seconds in [30, 60, 100, 100] {
            let sooner = standing.after(Effect::Suspected, &policy, NOW, 1.0, false);
            standing = standing.after(Effect::Suspected, &policy, NOW, 0.0, false);
            assert_eq!((standing.place, sooner.place), (cooling(seconds), cooling(seconds / 10)));
            standing = standing.at(Millis(u64::MAX >> 30));
        }
    }

    #[test]
    fn no_wait_is_longer_than_a_day_and_a_wait_of_zero_is_none() {
        assert_eq!(Standing::FRESH.after(told(900_000), &POLICY, NOW, 0.0, false).place, cooling(86_400));
        assert_eq!(Standing::FRESH.after(told(0), &POLICY, NOW, 0.0, false).place, cooling(30));
    }

    proptest! {
        #[test]
        fn a_standing_survives_its_word(until in 0..=UNTIL_MAX, failures in 0..=FAILURES_MAX, cooldowns in 0..=COOLDOWNS_MAX, moments in 0..=MOMENTS_MAX) {
            let word = Standing { place: Standing::unpack(until).place, failures, cooldowns, moments }.pack();
            prop_assert_eq!(Standing::unpack(word).pack(), word);
            prop_assert_eq!(Standing::unpack(word).failures, failures);
            prop_assert_eq!(Standing::unpack(word).cooldowns, cooldowns);
            prop_assert_eq!(Standing::unpack(word).moments, moments);
        }
    }
}
