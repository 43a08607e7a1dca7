//! How many requests a key may have at a time while little is known of what it can take: after its return from a
//! cooldown, while its provider says that few requests remain, and as a probe of a key that is out. Most keys have no
//! ration, and cost a lease one load.

#![expect(clippy::cast_possible_truncation, reason = "parts are cut out of a word")]

#[cfg(all(test, feature = "loom"))]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(all(test, feature = "loom")))]
use std::sync::atomic::{AtomicU64, Ordering};

const COUNT_BITS: u32 = 12;
const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;
const PROBE: u64 = 1 << 31;
/// It is what the provider said remains, not our own caution.
const TOLD: u64 = 1 << 30;
/// It was set since time last eased it.
const NEW: u64 = 1 << 29;
/// All that is said of how many there may be.
const BOUND: u64 = (COUNT_MAX as u64) << COUNT_BITS | TOLD | NEW;
/// While its share is a part: in how many turns it has one, as a power of two, and how many it has had or let pass.
const PART: u32 = 24;
const PART_BITS: u64 = 0b11 << PART;
const PASSED: u32 = 26;
const PASSED_BITS: u64 = 0b111 << PASSED;
/// From here on the number of the counted request that began last, and of the one whose answer is the last word.
const BEGAN: u32 = 32;
const HEARD: u32 = 48;

/// More than this at a time is as good as no ration, unless requests wait for it.
pub(super) const LARGEST: u32 = 32;
/// More than this is in any case.
pub(super) const LARGEST_OF_ALL: u32 = COUNT_MAX / 2;

/// Where a ration ends to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top {
    /// Beyond this it is as good as none.
    Open(u32),
    /// It stays at this.
    Kept(u32),
}

/// One key's ration, in a word: requests under way, how many there may be (0: any number), whether a probe is
/// offered, and in which of its turns it takes a request; and in which order requests began, since their answers may overtake each other. All zeros is no ration.
#[derive(Default)]
pub(super) struct Ration(AtomicU64);

/// How a lease came to its key, and so what it has to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// There was no ration.
    Free,
    /// It is counted, under this number.
    Counted(u16),
    /// It is the probe of a key that is out, which was on offer.
    Probe,
    /// It is one that was not, or has been made.
    Asked,
}

impl Entry {
    /// Whether the key was out.
    #[inline]
    pub(super) fn is_probe(self) -> bool {
        matches!(self, Self::Probe | Self::Asked)
    }
}

fn allowance(word: u64) -> u32 {
    (word >> COUNT_BITS) as u32 & COUNT_MAX
}

fn allow(requests: u32) -> u64 {
    u64::from(requests.min(COUNT_MAX)) << COUNT_BITS
}

fn under_way(word: u64) -> u32 {
    word as u32 & COUNT_MAX
}

fn number(word: u64, which: u32) -> u16 {
    (word >> which) as u16
}

fn with_number(word: u64, which: u32, number: u16) -> u64 {
    word & !(u64::from(u16::MAX) << which) | u64::from(number) << which
}

/// Of those under way, the ones that count: whoever began before the request that was answered last is in what the
/// provider said remains.
fn counting(word: u64) -> u32 {
    let since = number(word, BEGAN).wrapping_sub(number(word, HEARD));
    if word & TOLD == 0 { under_way(word) } else { under_way(word).min(since.into()) }
}

fn part(word: u64) -> u32 {
    ((word & PART_BITS) >> PART) as u32
}

/// A turn more, and whether a key that has a part of its share takes it.
fn passed(word: u64) -> (u64, bool) {
    let passed = ((word & PASSED_BITS) + (1 << PASSED)) & PASSED_BITS;
    let takes = passed >> PASSED & ((1 << part(word)) - 1) == 0;
    (word & !PASSED_BITS | passed, takes)
}

fn has_room(word: u64) -> bool {
    allowance(word) == 0 || counting(word) < allowance(word)
}

/// A request more, and its number.
fn counted(word: u64) -> (u64, Entry) {
    let number = number(word, BEGAN).wrapping_add(1);
    let more = u64::from(under_way(word) < COUNT_MAX);
    (with_number(word, BEGAN, number) + more, Entry::Counted(number))
}

impl Ration {
    /// Whether a further request would keep to it.
    pub(super) fn has_room(&self) -> bool {
        has_room(self.0.load(Ordering::SeqCst))
    }

    /// How many counted requests have begun, and are under way: it changes with each that begins or ends.
    pub(super) fn turns(&self) -> (u16, u32) {
        let word = self.0.load(Ordering::Acquire);
        (number(word, BEGAN), under_way(word))
    }

    /// Whether a probe is offered.
    pub(super) fn offers_probe(&self) -> bool {
        self.0.load(Ordering::SeqCst) & PROBE != 0
    }

    /// A request begins, if there is room for it.
    pub(super) fn enter(&self) -> Option<Entry> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let (after, entry) = if word & PROBE != 0 {
                (word & !PROBE, Some(Entry::Probe))
            } else if allowance(word) == 0 && part(word) == 0 {
                return Some(Entry::Free);
            } else if has_room(word) {
                let (after, takes_it) = passed(word);
                let (with_it, entry) = counted(after);
                if takes_it { (with_it, Some(entry)) } else { (after, None) }
            } else {
                return None;
            };
            match self.0.compare_exchange_weak(word, after, Ordering::SeqCst, Ordering::Acquire) {
                Ok(_) => return entry,
                Err(moved) => word = moved,
            }
        }
    }

    /// A request begins although there is no room for it.
    pub(super) fn exceed(&self) -> Entry {
        counted(self.update(|word| counted(word).0)).1
    }

    /// A counted request ends.
    pub(super) fn leave(&self) {
        self.update(|word| word - u64::from(under_way(word) > 0));
    }

    /// So many at a time from now on; 0 for any number. Returns whether there was no ration before.
    pub(super) fn set(&self, requests: u32) -> bool {
        let before = self.update(|word| word & !BOUND | NEW | allow(requests));
        allowance(before) == 0
    }

    /// So many at a time from now on, and in one of eight turns: a key that was away for long takes its full share again step
    /// by step, however fast it answers. Keys that come back together take different turns, by `number`. Returns whether
    /// there was no ration before.
    pub(super) fn begin_small(&self, requests: u32, number: u32) -> bool {
        let passed = u64::from(number % 8) << PASSED;
        let before =
            self.update(|word| word & !(BOUND | PASSED_BITS) | passed | PART_BITS | NEW | allow(requests));
        allowance(before) == 0 && part(before) == 0
    }

    /// One of eight turns is all that the key takes, however many at a time; where others do as well it has all that there are.
    /// A key that is passed over already goes on to count its turns. Returns whether there was no ration before.
    pub(super) fn pass_over(&self, number: u32) -> bool {
        let passed = u64::from(number % 8) << PASSED;
        let before = self.update(|word| {
            let begun = if part(word) == 0 { word & !PASSED_BITS | passed } else { word };
            begun | PART_BITS | NEW
        });
        allowance(before) == 0 && part(before) == 0
    }

    /// Whether the answer to a request that came to its key so is the provider's last word: it is not if one that began
    /// later was answered already. What began without a ration may be late, for all that is known.
    pub(super) fn is_last_word(&self, entry: Entry) -> bool {
        let Entry::Counted(began) = entry else { return true };
        // By how many began since: where nothing was told for long, the last word is of numbers that have come round.
        let later = |word| {
            let since = |number: u16| self::number(word, BEGAN).wrapping_sub(number);
            since(began) <= since(number(word, HEARD))
        };
        let before = self.update(|word| if later(word) { with_number(word, HEARD, began) } else { word });
        later(before)
    }

    /// So many as the provider says remain; `surely`: after all that it said before. Returns whether there was no ration
    /// before.
    pub(super) fn tell(&self, requests: u32, surely: bool) -> bool {
        let told = allow(requests) | TOLD | NEW;
        let before = self.update(|word| {
            // A little more than was told last is what was true before that.
            let late = allowance(word)..=allowance(word) + under_way(word);
            let is_late = !surely && word & TOLD != 0 && late.contains(&requests);
            if is_late { word | NEW } else { word & !BOUND | told }
        });
        allowance(before) == 0
    }

    /// A request came back well, and nothing was said of what remains: twice as many at a time, up to there.
    pub(super) fn double(&self, top: Top) {
        self.grow(top, |requests, _| requests * 2);
    }

    /// The same, but never more than this.
    pub(super) fn double_up_to(&self, most: u32) {
        self.update(|word| match (allowance(word) * 2).min(most) {
            0 => word,
            requests if requests > LARGEST_OF_ALL => word & !BOUND,
            requests => word & !BOUND | NEW | allow(requests),
        });
    }

    /// Some time has passed: if there is no news, it is raised. Returns whether there is still a ration.
    pub(super) fn ease(&self, top: Top, is_whole: bool) -> bool {
        let before = self.update(|word| {
            let smaller = u64::from(part(word).saturating_sub(1)) << PART;
            word & !(NEW | PART_BITS) | smaller
        });
        let is_small = part(before) > 1;
        if before & NEW != 0 {
            return allowance(before) > 0 || is_small;
        }
        self.raise(top, is_whole) || is_small
    }

    /// Twice as many at a time, or one more if the provider said how many, and that limit is not whole again. Returns whether
    /// there is still a ration.
    pub(super) fn raise(&self, top: Top, is_whole: bool) -> bool {
        self.grow(top, |requests, is_told| if is_told && !is_whole { requests + 1 } else { requests * 2 })
    }

    fn grow(&self, top: Top, more: impl Fn(u32, bool) -> u32) -> bool {
        let grown = |word: u64| match (allowance(word), word & TOLD) {
            (0, _) => 0,
            (requests, told) => match (more(requests, told != 0), top) {
                (grown, Top::Open(largest)) if grown > largest => 0,
                (grown, Top::Open(_)) => grown,
                (grown, Top::Kept(most)) => grown.min(most),
            },
        };
        let before = self.update(|word| {
            let told = if grown(word) > 0 { word & TOLD } else { 0 };
            word & !BOUND | allow(grown(word)) | told
        });
        grown(before) > 0
    }

    /// Offers a probe.
    pub(super) fn offer_probe(&self) {
        self.update(|word| word | PROBE);
    }

    /// Takes a probe back that nobody took.
    pub(super) fn withdraw_probe(&self) {
        self.update(|word| word & !PROBE);
    }

    fn update(&self, change: impl Fn(u64) -> u64) -> u64 {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            match self.0.compare_exchange_weak(word, change(word), Ordering::SeqCst, Ordering::Acquire) {
                Ok(before) => return before,
                Err(moved) => word = moved,
            }
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    const OPEN: Top = Top::Open(LARGEST);

    #[test]
    fn a_ration_lets_so_many_in_and_grows_with_each_that_comes_back() {
        let ration = Ration::default();
        assert_eq!(ration.enter(), Some(Entry::Free));
        assert!(ration.set(1));
        assert_eq!((ration.enter(), ration.enter()), (Some(Entry::Counted(1)), None));
        assert!(!ration.has_room());
        ration.double(OPEN);
        ration.leave();
        assert_eq!([(); 3].map(|()| ration.enter().is_some()), [true, true, false]);
        for _ in 0..5 {
            ration.double(OPEN);
        }
        assert_eq!(ration.enter(), Some(Entry::Free));
    }

    #[test]
    fn what_a_provider_told_grows_slowly_and_is_not_raised_by_a_late_answer() {
        let ration = Ration::default();
        assert!(ration.tell(3, false));
        let entered = |ration: &Ration| std::iter::from_fn(|| ration.enter()).take(100).count();
        assert_eq!(entered(&ration), 3);
        assert!(!ration.tell(2, false), "the answer to the first");
        ration.leave();
        ration.tell(3, false);
        ration.leave();
        assert_eq!(entered(&ration), 1, "an older answer");
        assert!(ration.ease(OPEN, false));
        assert_eq!(entered(&ration), 0, "what it was told is news");
        assert!(ration.ease(OPEN, false));
        assert_eq!(entered(&ration), 1);
        ration.tell(9, false);
        assert_eq!(entered(&ration), 6, "the limit was filled up");
        let grown = |is_whole| {
            let ration = Ration::default();
            ration.tell(5, false);
            ration.raise(OPEN, is_whole);
            entered(&ration)
        };
        assert_eq!([false, true].map(grown), [6, 10], "what was told is past once the limit is whole again");
        ration.set(1);
        assert!(
            (0..6).all(|_| ration.ease(OPEN, false)) && !ration.ease(OPEN, false),
            "our own caution ends soon"
        );
        assert_eq!(ration.enter(), Some(Entry::Free));
    }

    #[test]
    fn the_last_word_is_that_of_the_request_that_began_last() {
        let ration = Ration::default();
        ration.tell(2, false);
        let entries = [(); 2].map(|()| ration.enter().unwrap());
        assert!(ration.is_last_word(entries[1]));
        ration.tell(1, true);
        ration.leave();
        assert!(!ration.is_last_word(entries[0]), "it began before");
        ration.leave();
        let next = ration.enter().unwrap();
        assert!(ration.is_last_word(next));
        ration.tell(2, true);
        assert!(ration.has_room(), "more is left than before, and it is no older word");
        assert!(ration.is_last_word(Entry::Free), "nothing is known of when it began");
    }

    #[test]
    fn a_word_is_the_last_however_many_answers_before_it_said_nothing() {
        let ration = Ration::default();
        ration.set(1);
        for answered in 0..200_000 {
            let entry = ration.enter().unwrap();
            ration.leave();
            if answered % 40_000 == 0 {
                assert!(ration.is_last_word(entry), "{answered}");
            }
        }
    }

    #[test]
    fn what_is_kept_to_a_number_has_no_ration_once_that_is_as_good_as_none() {
        let rationed = |most| {
            let ration = Ration::default();
            ration.set(1);
            (0..20).for_each(|_| ration.double_up_to(most));
            ration.enter() != Some(Entry::Free)
        };
        assert_eq!([5, LARGEST_OF_ALL, LARGEST_OF_ALL + 1].map(rationed), [true, true, false]);
    }

    #[test]
    fn requests_that_began_before_the_last_word_are_in_what_it_says_remains() {
        let ration = Ration::default();
        ration.set(9);
        let entries = [(); 9].map(|()| ration.enter().unwrap());
        assert!(ration.is_last_word(entries[6]));
        ration.tell(4, true);
        ration.leave();
        let more = std::iter::from_fn(|| ration.enter()).take(100).count();
        assert_eq!(more, 2, "two of the eight began after it");
        ration.leave();
        assert!(!ration.has_room(), "one that began before it makes no room");
    }

    #[test]
    fn turns_tell_of_each_request_that_begins_or_ends() {
        let ration = Ration::default();
        ration.set(1);
        let mut seen = vec![ration.turns()];
        let steps: [fn(&Ration); 3] =
            [|ration| assert!(ration.enter().is_some()), |ration| _ = ration.exceed(), Ration::leave];
        for step in steps {
            step(&ration);
            assert!(!seen.contains(&ration.turns()));
            seen.push(ration.turns());
        }
    }

    #[test]
    fn numbers_go_round() {
        let ration = Ration::default();
        ration.set(1);
        for _ in 0..200_000 {
            let entry = ration.enter().unwrap();
            assert!(ration.is_last_word(entry));
            ration.leave();
        }
        assert_eq!(
            ration.enter().map(|_| ration.has_room()),
            Some(false),
            "nothing ran over into the counts"
        );
    }

    #[test]
    fn who_was_away_for_long_takes_more_and_more_of_its_turns() {
        let ration = Ration::default();
        assert!(ration.begin_small(1, 5));
        let taken = || {
            let taken = (0..8).filter(|_| ration.enter().is_some()).count();
            (0..taken).for_each(|_| ration.leave());
            taken
        };
        let mut shares = Vec::new();
        loop {
            // However many come back well.
            (0..8).for_each(|_| ration.double(OPEN));
            shares.push(taken());
            if !ration.ease(OPEN, false) {
                break;
            }
        }
        assert_eq!((shares, ration.enter()), (vec![1, 2, 4], Some(Entry::Free)));
        assert!(ration.set(1), "as if nothing had been");
    }

    #[test]
    fn who_is_passed_over_takes_every_eighth_turn_however_often_that_is_said() {
        let ration = Ration::default();
        assert!(ration.pass_over(7));
        let taken = |turns: u32| (0..turns).filter(|_| ration.enter().is_some()).count();
        assert_eq!(taken(1), 1);
        for _ in 0..5 {
            assert!(!ration.pass_over(7));
            assert_eq!((taken(7), taken(1)), (0, 1));
        }
        assert_eq!([(); 3].map(|()| ration.ease(OPEN, false)), [true, true, false]);
        assert_eq!(ration.enter(), Some(Entry::Free));
        for _ in 0..6 {
            ration.leave();
        }
        ration.set(3);
        assert!(!ration.pass_over(0), "the clock has to do with it already");
        assert_eq!(taken(80), 3, "it has room for no more");
    }

    #[test]
    fn a_probe_is_taken_once() {
        let ration = Ration::default();
        ration.offer_probe();
        assert_eq!((ration.enter(), ration.offers_probe()), (Some(Entry::Probe), false));
    }
}
