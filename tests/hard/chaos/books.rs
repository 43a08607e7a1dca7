//! The books of the chaos: what clients, the log, the counters and the provider say, held against each other.

use std::collections::HashMap;
use std::time::Instant;

use mock_provider::Exchange;
use serde_json::Value;

use super::client::{Ending, Entry, What, World};
use super::told;
use crate::support::{GptLoad, TOKEN, eventually};

/// Attempts of one request: `MAX_RETRIES` and one, and each may go out again on a fresh connection if a kept one broke.
const MOST_EXCHANGES: usize = 2 * 4;

#[derive(Default)]
pub(super) struct Books {
    /// When gpt-load was down.
    down: Vec<(Instant, Instant)>,
    /// Keys that are gone, and since when that was known to be so.
    removed: HashMap<String, Instant>,
    /// Outcomes by the requests' ids, of lives that have ended.
    logged: Vec<HashMap<String, Vec<String>>>,
    /// Blacklisted keys that were so still after kill -9.
    pub(super) survived: usize,
    told: String,
}

/// What the log says became of each request. What went well is called `request` there.
fn outcomes(gpt_load: &GptLoad) -> HashMap<String, Vec<String>> {
    let mut by_id: HashMap<String, Vec<String>> = HashMap::new();
    for line in gpt_load.log() {
        if let (Some(id), Some(outcome), true) =
            (line["request_id"].as_str(), line["message"].as_str(), line["duration_ms"].is_number())
        {
            let outcome = if outcome == "request" { "success" } else { outcome };
            by_id.entry(id.to_owned()).or_default().push(outcome.to_owned());
        }
    }
    by_id
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no count: {value}"))
}

impl Books {
    pub(super) fn removed(&mut self, keys: Vec<String>) {
        let now = Instant::now();
        self.removed.extend(keys.into_iter().map(|key| (key, now)));
    }

    pub(super) fn goes_down(&mut self) {
        let now = Instant::now();
        self.down.push((now, now));
    }

    pub(super) fn is_up(&mut self) {
        self.down.last_mut().unwrap().1 = Instant::now();
    }

    pub(super) fn keep_log(&mut self, gpt_load: &GptLoad) {
        self.logged.push(outcomes(gpt_load));
    }

    pub(super) fn summary(&self) -> String {
        format!("{}, {} blacklistings survived", self.told, self.survived)
    }

    /// Whatever runs meanwhile.
    #[expect(clippy::unused_self, reason = "it is asked where the others are")]
    pub(super) fn add_up_meanwhile(&self, stats: &Value) {
        let requests = &stats["requests"];
        let [total, success, failure] =
            ["total_count", "success_count", "failure_count"].map(|name| count(&requests[name]));
        let kinds: u64 = requests["failures"].as_object().unwrap().values().map(count).sum();
        assert_eq!((total, kinds), (success + failure, failure), "{requests}");
    }

    /// `/stats`, `/metrics` and the log agree about each outcome, once nothing runs.
    pub(super) fn counters_of_the_last_life(&self, gpt_load: &GptLoad) {
        let logged_in_all = || -> u64 { outcomes(gpt_load).values().map(|of_id| of_id.len() as u64).sum() };
        let stats = told(gpt_load, "/stats");
        self.add_up_meanwhile(&stats);
        assert_eq!(stats["system"]["lost_log_lines"], 0);
        let total = count(&stats["requests"]["total_count"]);
        eventually("every request has a line in the log", || logged_in_all() == total);
        let mut logged: HashMap<String, u64> = HashMap::new();
        for outcome in outcomes(gpt_load).into_values().flatten() {
            *logged.entry(outcome).or_default() += 1;
        }
        let metrics = gpt_load.get("/metrics").bearer(TOKEN).send().text();
        let mut counted = 0;
        for line in metrics.lines() {
            let Some(sample) = line.strip_prefix("gpt_load_requests_total{outcome=\"") else { continue };
            let (outcome, value) = sample.split_once("\"} ").unwrap();
            let value: f64 = value.parse().unwrap();
            let in_log = logged.get(outcome).copied().unwrap_or_default();
            let in_stats = if outcome == "success" {
                count(&stats["requests"]["success_count"])
            } else {
                stats["requests"]["failures"][outcome].as_u64().unwrap_or_default()
            };
            assert_eq!(format!("{in_log}.0"), format!("{value:.1}"), "{outcome}: log and metrics");
            assert_eq!(in_log, in_stats, "{outcome}: log and stats");
            counted += in_log;
        }
        assert_eq!(counted, total);
        let attempts = |line: &Value| line["attempts"].as_u64().unwrap_or_default();
        let log = gpt_load.log();
        let ended = || log.iter().filter(|line| line["duration_ms"].is_number());
        assert_eq!(count(&stats["requests"]["attempts"]), ended().map(attempts).sum::<u64>(), "attempts");
        let retries: u64 = ended().map(|line| attempts(line).saturating_sub(1)).sum();
        let counted = metrics.lines().find_map(|line| line.strip_prefix("gpt_load_retries_total "));
        assert_eq!(counted, Some(retries.to_string().as_str()), "retries");
    }

    /// Every request of the run: at its client, in the log, at the provider.
    pub(super) fn close(&mut self, world: &World, seen: &[Exchange], gpt_load: &GptLoad) {
        self.logged.push(outcomes(gpt_load));
        let ledger = world.ledger.lock().unwrap();
        let mut exchanges: HashMap<&str, Vec<&Exchange>> = HashMap::new();
        for exchange in seen {
            if let Some(id) = exchange.header("x-request-id") {
                exchanges.entry(id).or_default().push(exchange);
            }
        }
        let mut endings: HashMap<&str, u32> = HashMap::new();
        for entry in ledger.iter() {
            *endings.entry(self.at_the_client(entry)).or_default() += 1;
            self.in_the_log(entry);
            self.at_the_provider(entry, exchanges.get(entry.id.as_str()).map_or(&[], Vec::as_slice));
        }
        for refused in world.refused.lock().unwrap().iter() {
            assert!(self.was_down(*refused, *refused), "a connection was refused while it served");
        }
        let mut endings: Vec<_> = endings.into_iter().collect();
        endings.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let endings: Vec<String> =
            endings.iter().map(|(ending, count)| format!("{count} {ending}")).collect();
        self.told = format!("{} requests ({})", ledger.len(), endings.join(", "));
        assert!(ledger.len() > 1000 && self.survived > 0, "too little happened: {}", self.summary());
    }

    fn was_down(&self, from: Instant, to: Instant) -> bool {
        self.down.iter().any(|(down, up)| from <= *up && *down <= to)
    }

    fn at_the_client(&self, entry: &Entry) -> &'static str {
        let excused = self.was_down(entry.begun, entry.ended);
        match &entry.ending {
            Ending::Whole => {
                assert_ne!(entry.what, What::WrongToken, "{entry:?}");
                "whole"
            }
            Ending::Told(status) => {
                assert_eq!(*status == 401, entry.what == What::WrongToken, "{entry:?}");
                "told an error"
            }
            Ending::Broken { told } => {
                let streams = matches!(entry.what, What::Stream | What::SlowReader | What::LeavesMidway);
                assert!(*told || !streams || excused, "a stream broke off without a word: {entry:?}");
                "visibly broken"
            }
            Ending::Left => "left",
            Ending::Lost(_) if excused => "lost by kill -9",
            // The provider broke off right behind its head, and the cut overtook that.
            Ending::Lost(_) if !entry.what.infers() && self.outcomes(entry) == ["broken_answer"] => "cut off",
            Ending::Lost(_) => panic!("no answer at all: {entry:?}, {:?}", self.outcomes(entry)),
            Ending::Wrong(why) => panic!("{why}\n{entry:?}"),
        }
    }

    fn outcomes(&self, entry: &Entry) -> Vec<&String> {
        self.logged.iter().filter_map(|life| life.get(&entry.id)).flatten().collect()
    }

    fn in_the_log(&self, entry: &Entry) {
        let lines = self.outcomes(entry);
        assert!(lines.len() <= 1, "{entry:?}: {lines:?}");
        let Some(outcome) = lines.first() else {
            let in_the_last_life = self.down.last().is_none_or(|(_, up)| entry.begun > *up);
            assert!(!in_the_last_life || entry.ending == Ending::Left, "it is in no log: {entry:?}");
            return;
        };
        let agrees = match &entry.ending {
            Ending::Whole => *outcome == "success",
            Ending::Told(401) => *outcome == "unauthorized",
            Ending::Told(_) => !matches!(outcome.as_str(), "success" | "broken_answer" | "client_gone"),
            Ending::Broken { .. } => *outcome == "broken_answer" || self.was_down(entry.begun, entry.ended),
            Ending::Left | Ending::Lost(_) | Ending::Wrong(_) => true,
        };
        assert!(agrees, "the log says {outcome}: {entry:?}");
    }

    fn at_the_provider(&self, entry: &Entry, exchanges: &[&Exchange]) {
        assert!(exchanges.len() <= MOST_EXCHANGES, "{} exchanges for {entry:?}", exchanges.len());
        let answered = exchanges.iter().filter(|exchange| exchange.status == Some(200)).count();
        match entry.what {
            What::WrongToken => assert!(exchanges.is_empty(), "{entry:?}"),
            What::File | What::Echo => assert!(answered <= 1, "it ran twice: {entry:?}"),
            _ => {}
        }
        if entry.ending == Ending::Whole {
            assert!(answered >= 1, "who answered? {entry:?}");
        }
        for exchange in exchanges {
            let gone = exchange.key.as_ref().and_then(|key| self.removed.get(key));
            assert!(
                gone.is_none_or(|gone| entry.begun < *gone),
                "a key that was removed before: {entry:?} {exchange:?}"
            );
        }
    }
}
