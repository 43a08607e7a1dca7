//! The figures, and the page that tells them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use mock_provider::Asked;

use super::Kind;
use super::clients::{DEAREST, Done, WORK};
use super::curable::{Reading, Word, is_curable};
use super::keys::Key;
use super::stalls::{self, Stall};

/// A key that became healthy less than this of the machine's time before a refusal came too late for it: a key is taken up
/// 10 ms after the moment that its provider named, as far as that can be told (`NETWORK` in `src/proxy/mod.rs`), and timers,
/// wake-ups and two sockets take a few more.
const GRAIN: Duration = Duration::from_millis(25);

/// How the provider's words are read: as gpt-load may, to the letter, and by who knows what requests will cost.
const READINGS: [Reading; 3] = [
    Reading { cost: |_| DEAREST, is_whole: false },
    Reading { cost: |_| DEAREST, is_whole: true },
    Reading { cost: |tokens| tokens, is_whole: false },
];

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
    curable: [usize; 3],
    /// By the clock on the wall, though the machine stood still.
    curable_by_the_clock: usize,
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
            curable: [0; 3],
            curable_by_the_clock: 0,
            fairness: fairness(&good),
            waited: [waited(0.5), waited(0.99)],
        }
    }

    /// Counts the errors that a healthy key could have cured: the provider's own 5xx, and refusals while there was one.
    /// Tells when the first of them were.
    pub(super) fn judged(
        mut self,
        words: &[Vec<Word>],
        done: &[Done],
        from: Duration,
        stalls: &[Stall],
    ) -> Self {
        let curable = |stalls: &[Stall], reading: Reading| -> Vec<Duration> {
            let refused = done.iter().filter(|done| done.at >= from && done.kind == Kind::Limited);
            let is_curable = |done: &&Done| {
                let begin = stalls::since(stalls, done.end, GRAIN);
                is_curable(words.iter().map(Vec::as_slice), (begin, done.end), done.tokens, reading)
            };
            refused.filter(is_curable).map(|done| done.end).collect()
        };
        let by_the_clock = curable(&[], READINGS[0]);
        let counted = READINGS.map(|reading| curable(stalls, reading));
        for end in by_the_clock.iter().take(100) {
            let ran = end.saturating_sub(stalls::since(stalls, *end, GRAIN));
            println!("curable by the clock at {end:.3?}: the machine took {ran:.1?} to run for {GRAIN:?}");
        }
        let [all, longest] = stalls::stood(stalls, from);
        println!("the machine stood still for {all:.1?} in all, {longest:.1?} at most");
        self.curable = counted.map(|ends| self.failed + ends.len());
        self.curable_by_the_clock = self.failed + by_the_clock.len();
        self
    }

    /// Refusals beyond those that the all-knowing scheduler had to give too.
    fn short(&self) -> usize {
        let had_to = self.requests - self.possible;
        self.limited.saturating_sub(had_to)
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

/// How late keys were taken up and what was lost by it, for the same.
pub(super) fn print_lateness(late: &[f64], flowed_over: f64) {
    let at = |share: f64| late.get((late.len() as f64 * share) as usize).copied().unwrap_or_default();
    let shares = [0.1, 0.25, 0.5, 0.75, 0.9, 0.99].map(|share| format!("{:.1}", at(share)));
    println!("taken up late by {} ms (p10, 25, 50, 75, 90, 99), {} times", shares.join(" / "), late.len());
    println!("{flowed_over:.2} % of what the keys allow flowed over full buckets");
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
         errors | of these 5xx of the provider's | curable ones | by the clock | to the letter / if costs were known | short of the scheduler | fairness | waited p50 / p99 | dead keys asked |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            table,
            "| {} % | {} | {:.2} % | {:.2} % | {:.2} % | {:.2} % | {} | {} | {} | {} | {} / {} | {} | {:.3} | {} / {} ms | {} times |",
            row.percent,
            row.requests,
            percent(row.served as u64, row.possible as u64),
            percent(row.served as u64, row.possible_knowing_costs as u64),
            percent(row.wasted, row.attempts),
            percent(row.faults, row.attempts),
            row.limited + row.failed,
            row.failed,
            row.curable[0],
            row.curable_by_the_clock,
            row.curable[1],
            row.curable[2],
            row.short(),
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

`make bench-goodput` (or `cargo bench --bench goodput`) makes this page; it takes nine minutes.
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
that no other key cured. *Curable ones*: those 5xx, and refusals while a key was healthy, as told below. *By the clock*:
the same if the time in which the machine itself stood still counts too. *To the letter / if costs were known*: the
curable ones by two stricter readings. *Short of the scheduler*: refusals beyond those that the scheduler of the first
comparison had to give as well. *Fairness*: Jain's index of the requests that keys of one tier served (1: all the same),
the lowest of all tiers. *Waited*: how much longer than the provider's own 100 ms an answer took. *Dead keys asked*:
requests that the 40 revoked and exhausted keys got in all; they are found out before the measured time. Twenty of them are free calls that check the revoked ones once more, twenty seconds later.

Demands above 100 % begin with a burst that empties the buckets, so that what is measured is the lasting state.

**What a healthy key could have cured.** Each 5xx of the provider's that a client saw counts as curable, whether there
was a key and an attempt left for it or not. A refusal counts if there was a healthy key for all of its last 25 ms in which the
machine ran: one and the same key, judged by what the provider had said of it, from the headers of its answers, not by
what gpt-load thought. A key is healthy if it is none of the 40 dead ones and would take one more request, by the
provider's last word:

- The last word is the answer to the request that came last among those that have been answered. What came since is still
  under way, and is taken from what that answer said remains.
- At least one request and the tokens of the dearest one, 80, must be left then: nobody has told gpt-load what a request
  will cost, so those under way are taken for as dear. *If costs were known* counts by what each did cost: nearly always
  some key has enough left for a small request. That is the same lack that the column *if costs were known* on the left
  tells in requests served.
- Or the moment is past that the provider named, the last one if it named several (spec §6), counted from when the request
  came in. The key is then good for one request until that has been answered. OpenAI means a whole limit by that moment,
  others mean one request; *to the letter* takes OpenAI at its word, and so counts the 100 ms in which a key that has come
  back is tried by one request only.
- Of a key that was never asked nothing bad is known: it is healthy.

25 ms are what a healthy key needs to reach whoever waits: gpt-load takes the moment that is named for up to 10 ms later
than it could be, since a network may delay the next request less than it did the last (`NETWORK` in `src/proxy/mod.rs`),
and the milliseconds of timers, two sockets and a machine whose two cores also run the clients and the provider come on
top. While the whole machine stands still nobody can take up a key: a thread of the bench that does nothing but sleep for
a millisecond at a time sees it, and such time is no part of the 25 ms. *By the clock* leaves that out of account; it
counts each request that is refused in the moment in which the machine goes on, though one key could have served one of
them. The bench prints when that was, how long the machine stood still, and how late keys were taken up.
`tests/goodput.rs` has histories made by hand in which the judgement finds curable refusals, and some in which it must not.

**What is left short of the scheduler.** OpenAI tells when a bucket is *full* again, not when it holds one request; a full
bucket wastes what would flow into it, so that a key that is taken up some milliseconds late has lost as much. When it holds
one request could be reckoned from its limit, but others mean just that moment by the same header: a wrong guess costs a
refusal, and a key returns when its provider says (spec §6). What flowed over so is printed as well: some 0.24 %, of which
a provider whose minute takes a minute would lose a tenth. The rest is no loss: how much lies in the buckets when the
measured time begins and when it ends is chance, with a standard deviation of some 135 requests for both together. That is
0.7 % of what 42 seconds serve, and less than 0.2 % of what the 168 do that are measured above 100 %.
";
