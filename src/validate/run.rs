//! Asks about every key: so many at a time, so many a second, an upstream's fault again and elsewhere.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::Response;
use http::header::CONTENT_ENCODING;
use http_body_util::{BodyExt as _, Full};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout_at};

use super::finding::{Finding, State};
use super::progress::Progress;
use super::question::Question;
use super::resume::Resume;
use super::{Options, ValidateError};
use crate::config::Config;
use crate::keys::Marks;
use crate::keys::file::KeyTable;
use crate::upstream::client::{Answer, Client};
use crate::upstream::connect::{Connector, chain};
use crate::upstream::{Upstream, Upstreams};
use crate::verdict::{self, Verdict};

/// How often an upstream's fault is asked about again.
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How much of an answer is read to judge it.
const JUDGED: usize = 64 * 1024;
/// Once so many keys in a row got no answer, the upstream is down, and nobody waits for it any more.
const HOPELESS: u32 = 100;

type Ask = Full<Bytes>;

/// What all tasks share.
struct Shared {
    keys: Rc<KeyTable>,
    marks: Marks,
    findings: RefCell<Vec<Option<Finding>>>,
    next: Cell<u32>,
    faults_in_a_row: Cell<u32>,
    upstreams: Upstreams,
    client: Rc<Client<Ask>>,
    question: RefCell<Question>,
    pace: Option<Mutex<Interval>>,
    connect_limit: Duration,
    answer_limit: Duration,
    resume: RefCell<Resume>,
    progress: RefCell<Progress>,
}

/// A run that is about to begin.
pub(super) struct Run {
    keys: Rc<KeyTable>,
    findings: Vec<Option<Finding>>,
    resume: Resume,
    options: Options,
    upstreams: Upstreams,
    connector: Connector,
    connect_limit: Duration,
    answer_limit: Duration,
    idle: Duration,
}

/// What a run has found out.
pub(super) struct Done {
    pub(super) keys: Rc<KeyTable>,
    findings: Vec<Option<Finding>>,
    pub(super) resume: Resume,
    pub(super) took: Duration,
}

impl Done {
    /// Every key that was looked at: index, key, finding.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &str, &Finding)> {
        let found = (0_u32..).zip(&self.findings);
        found.filter_map(|(index, finding)| Some((index, self.keys.get(index), finding.as_ref()?)))
    }

    pub(super) fn state_of(&self, key: &str) -> Option<State> {
        let index = self.keys.find(key)?;
        self.findings.get(index as usize)?.as_ref().map(|finding| finding.state)
    }
}

impl Run {
    pub(super) fn new(
        keys: KeyTable,
        known: &HashMap<String, Finding>,
        resume: Resume,
        options: &Options,
        config: &Config,
        connector: Connector,
    ) -> Self {
        Self {
            findings: keys.iter().map(|key| known.get(key).cloned()).collect(),
            keys: Rc::new(keys),
            resume,
            options: options.clone(),
            upstreams: Upstreams::new(config.upstreams.clone()),
            connector,
            connect_limit: config.timeouts.response,
            answer_limit: config.timeouts.request,
            idle: config.timeouts.idle_conn,
        }
    }

    /// Runs until every key was looked at or a signal comes. Tells whether it was the former.
    pub(super) async fn finish(self) -> Result<(Done, bool), ValidateError> {
        let began = Instant::now();
        let already = self.findings.iter().flatten();
        let progress = Progress::new(self.findings.len(), already.map(|finding| finding.state));
        let client = Rc::new(Client::new(self.connector, self.upstreams.all().len(), self.idle));
        let shared = Rc::new(Shared {
            marks: Marks::of(&self.keys),
            keys: Rc::clone(&self.keys),
            findings: RefCell::new(self.findings),
            next: Cell::new(0),
            faults_in_a_row: Cell::new(0),
            upstreams: self.upstreams,
            client,
            question: RefCell::new(Question::new(self.options.model)),
            pace: self.options.rate.map(|rate| Mutex::new(pace(rate))),
            connect_limit: self.connect_limit,
            answer_limit: self.answer_limit,
            resume: RefCell::new(self.resume),
            progress: RefCell::new(progress),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..self.options.concurrency {
            let shared = Rc::clone(&shared);
            tasks.spawn_local(async move {
                while let Some(index) = shared.next() {
                    shared.look_at(index).await;
                }
            });
        }
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut redraw = interval(super::progress::REDRAW);
        let finished = loop {
            tokio::select! {
                ended = tasks.join_next() => if ended.is_none() { break true },
                _ = redraw.tick() => shared.progress.borrow_mut().redraw(),
                _ = interrupt.recv() => break false,
                _ = terminate.recv() => break false,
            }
        };
        // What is under way is dropped, and with it its connections.
        tasks.shutdown().await;
        shared.progress.borrow_mut().end();
        let Some(shared) = Rc::into_inner(shared) else {
            return Err(ValidateError::System(std::io::Error::other("a task outlived the run")));
        };
        let done = Done {
            keys: self.keys,
            findings: shared.findings.into_inner(),
            resume: shared.resume.into_inner(),
            took: began.elapsed(),
        };
        Ok((done, finished))
    }
}

fn pace(rate: u32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

impl Shared {
    /// The next key of which nothing is known.
    fn next(&self) -> Option<u32> {
        loop {
            let index = self.next.get();
            let known = self.findings.borrow().get(index as usize)?.is_some();
            self.next.set(index + 1);
            if !known {
                return Some(index);
            }
        }
    }

    async fn look_at(&self, index: u32) {
        let key = self.keys.get(index);
        let mut finding = self.ask(key, 0).await;
        for tries in 1..TRIES {
            if finding.state != State::Unknown || self.faults_in_a_row.get() >= HOPELESS {
                break;
            }
            tokio::time::sleep(FIRST_PAUSE * (1 << (tries - 1))).await;
            finding = self.ask(key, tries as usize).await;
        }
        let faults = if finding.state == State::Unknown { self.faults_in_a_row.get() + 1 } else { 0 };
        self.faults_in_a_row.set(faults);
        self.resume.borrow_mut().note(key, &finding);
        self.progress.borrow_mut().found(index, key, &finding);
        if let Some(place) = self.findings.borrow_mut().get_mut(index as usize) {
            *place = Some(finding);
        }
    }

    /// Asks one upstream, the next one in order on each try.
    async fn ask(&self, key: &str, tries: usize) -> Finding {
        if let Some(pace) = &self.pace {
            pace.lock().await.tick().await;
        }
        let all = self.upstreams.all();
        let Some(upstream) = all.get(tries % all.len().max(1)) else {
            return Finding::unknown("no_upstream", None, "there is no upstream");
        };
        let mut finding = self.ask_at(key, upstream).await.unwrap_or_else(|failed| failed);
        // OpenAI's newer models call it `max_completion_tokens`, and name it in their refusal.
        let by_limit = finding.status == Some(400) && finding.message.contains("max_completion_tokens");
        if by_limit && self.question.borrow().asks_for_a_model() {
            self.question.borrow_mut().newer_limit = true;
            finding = self.ask_at(key, upstream).await.unwrap_or_else(|failed| failed);
        }
        finding
    }

    async fn ask_at(&self, key: &str, upstream: &Upstream) -> Result<Finding, Finding> {
        let by = Instant::now() + self.answer_limit;
        let failed = |error: &dyn std::error::Error| Finding::unknown("no_answer", None, chain(error));
        let late = || Finding::unknown("no_answer", None, "no answer in time (REQUEST_TIMEOUT)");
        let mut again = true;
        let response = loop {
            let connection = self.client.connection(upstream, self.connect_limit).await;
            let connection = connection.map_err(|error| failed(&error))?;
            let request = self.question.borrow().about(key, &upstream.url);
            let request = request.map_err(|error| Finding::unknown("no_question", None, error))?;
            let (head, body) = request.into_parts();
            let reused = connection.reused;
            match connection.send(&self.client, &upstream.url, &head, body, by, &mut drop).await {
                Ok(response) => break response,
                Err(error) if error.is_timeout() => return Err(late()),
                // Closed in the moment of its reuse.
                Err(_) if reused && again => again = false,
                Err(error) => return Err(failed(&error.fault)),
            }
        };
        timeout_at(by, self.judge(key, response)).await.map_err(|_elapsed| late())
    }

    async fn judge(&self, key: &str, response: Response<Answer<Ask>>) -> Finding {
        let (mut parts, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        while body.len() < JUDGED {
            match incoming.frame().await {
                Some(Ok(frame)) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Some(Err(error)) if parts.status.is_success() => {
                    return Finding::unknown("no_answer", None, chain(&error));
                }
                Some(Err(_)) | None => break,
            }
        }
        // Without keys before it is cut short: half of one would not be found any more.
        let plain = verdict::decoded(&parts.headers, &body);
        if let Some(redacted) = self.marks.redact(&self.keys, key, &plain) {
            body = redacted.as_slice().into();
            parts.headers.remove(CONTENT_ENCODING);
        }
        let answer =
            verdict::Answer { status: parts.status, headers: &parts.headers, body: &body, model: None };
        let judgement = verdict::judge_whole(&answer, SystemTime::now());
        let finding = Finding::of(&judgement, parts.status.as_u16());
        if judgement.verdict == Verdict::Success && !parts.status.is_success() {
            return Finding::unknown("redirected", finding.status, "the upstream sends elsewhere");
        }
        finding
    }
}
