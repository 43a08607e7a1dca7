//! What each model did: OpenTelemetry's GenAI metrics. Counted by worker, for a bounded number of models: a name comes
//! from the client, and only one that an upstream served is taken down.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::histogram::{Distribution, FIRST_TOKEN, Histogram, OPERATION, PER_TOKEN, TOKENS};
use super::usage::Usage;

/// Models that are told apart; what comes on top of them counts as [`OTHER`].
const MODELS_MAX: usize = 64;
/// The name of all others, as the semantic conventions spell it.
pub const OTHER: &str = "_OTHER";

/// `gen_ai.operation.name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Chat completions, messages, responses.
    Chat,
    /// The older completions.
    TextCompletion,
    /// Embeddings.
    Embeddings,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Chat, Self::TextCompletion, Self::Embeddings];

    /// Its name in the semantic conventions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
            Self::Embeddings => "embeddings",
        }
    }

    /// The operation that a path asks for.
    pub fn at(path: &str) -> Option<Self> {
        // What nearly every request asks for.
        if path == "/v1/chat/completions" {
            return Some(Self::Chat);
        }
        let path = path.trim_end_matches('/');
        let (before, last) = path.rsplit_once('/')?;
        Some(match last {
            "completions" if before.ends_with("/chat") => Self::Chat,
            "completions" => Self::TextCompletion,
            "messages" if !before.contains("/threads/") => Self::Chat,
            "responses" => Self::Chat,
            "embeddings" => Self::Embeddings,
            _ => match last.rsplit_once(':')?.1 {
                "generateContent" | "streamGenerateContent" => Self::Chat,
                "embedContent" | "batchEmbedContents" => Self::Embeddings,
                _ => return None,
            },
        })
    }
}

/// One model's operation at one provider.
#[derive(Debug)]
pub struct Model {
    /// What was done.
    pub operation: Operation,
    /// `gen_ai.provider.name`.
    pub provider: &'static str,
    /// The model as clients ask for it.
    pub name: Box<str>,
    stripes: Box<[Stripe]>,
}

/// One worker's counts, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe {
    durations: Histogram<15>,
    first_tokens: Histogram<17>,
    per_token: Histogram<14>,
    input: Histogram<15>,
    output: Histogram<15>,
    cached: AtomicU64,
}

impl Default for Stripe {
    fn default() -> Self {
        Self {
            durations: Histogram::new(&OPERATION),
            first_tokens: Histogram::new(&FIRST_TOKEN),
            per_token: Histogram::new(&PER_TOKEN),
            input: Histogram::new(&TOKENS),
            output: Histogram::new(&TOKENS),
            cached: AtomicU64::new(0),
        }
    }
}

impl Stripe {
    fn spend(&self, Usage { input, output, cached }: Usage) {
        if input > 0 {
            self.input.count(input);
        }
        if output > 0 {
            self.output.count(output);
        }
        self.cached.fetch_add(cached, Ordering::Relaxed);
    }
}

/// An operation that succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// From the request to the answer's end.
    pub duration: Duration,
    /// From the request to the answer's first piece, for a stream.
    pub first_token: Option<Duration>,
    /// What the answer says of tokens.
    pub usage: Usage,
}

impl Model {
    fn new(operation: Operation, provider: &'static str, name: &str, workers: usize) -> Self {
        let stripes = (0..workers.max(1)).map(|_| Stripe::default()).collect();
        Self { operation, provider, name: name.into(), stripes }
    }

    fn count(&self, worker: usize, done: &Done) {
        let Some(stripe) = self.stripes.get(worker % self.stripes.len().max(1)) else { return };
        stripe.durations.time(done.duration);
        if let Some(first) = done.first_token {
            stripe.first_tokens.time(first);
            let tokens = u32::try_from(done.usage.output).unwrap_or(u32::MAX);
            if tokens > 1 {
                stripe.per_token.time(done.duration.saturating_sub(first) / (tokens - 1));
            }
        }
        stripe.spend(done.usage);
    }

    fn spend(&self, worker: usize, usage: Usage) {
        if let Some(stripe) = self.stripes.get(worker % self.stripes.len().max(1)) {
            stripe.spend(usage);
        }
    }

    /// `gen_ai.client.operation.duration`.
    pub fn durations(&self) -> Distribution {
        Distribution::of(&OPERATION, self.stripes.iter().map(|stripe| &stripe.durations))
    }

    /// `gen_ai.server.time_to_first_token`.
    pub fn first_tokens(&self) -> Distribution {
        Distribution::of(&FIRST_TOKEN, self.stripes.iter().map(|stripe| &stripe.first_tokens))
    }

    /// `gen_ai.server.time_per_output_token`.
    pub fn per_token(&self) -> Distribution {
        Distribution::of(&PER_TOKEN, self.stripes.iter().map(|stripe| &stripe.per_token))
    }

    /// `gen_ai.client.token.usage` of requests.
    pub fn input(&self) -> Distribution {
        Distribution::of(&TOKENS, self.stripes.iter().map(|stripe| &stripe.input))
    }

    /// `gen_ai.client.token.usage` of answers.
    pub fn output(&self) -> Distribution {
        Distribution::of(&TOKENS, self.stripes.iter().map(|stripe| &stripe.output))
    }

    /// Tokens that the provider read from its cache.
    pub fn cached(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.cached.load(Ordering::Relaxed)).sum()
    }
}

/// All models that were served.
#[derive(Debug)]
pub struct Models {
    /// Only ever grows: a place in it stays what it is.
    list: ArcSwap<Vec<Arc<Model>>>,
    growing: Mutex<()>,
    workers: usize,
}

impl Models {
    /// None yet.
    pub fn new(workers: usize) -> Self {
        Self { list: ArcSwap::default(), growing: Mutex::new(()), workers }
    }

    /// The place of a model that was just served.
    pub fn place(&self, operation: Operation, provider: &'static str, name: &str) -> usize {
        let is_it = |model: &Arc<Model>| {
            model.operation == operation && model.provider == provider && *model.name == *name
        };
        if let Some(place) = self.list.load().iter().position(is_it) {
            return place;
        }
        let growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = Vec::clone(&self.list.load());
        if let Some(place) = list.iter().position(is_it) {
            return place;
        }
        if list.len() >= MODELS_MAX && name != OTHER {
            drop(growing);
            return self.place(operation, provider, OTHER);
        }
        list.push(Arc::new(Model::new(operation, provider, name, self.workers)));
        let place = list.len() - 1;
        self.list.store(Arc::new(list));
        place
    }

    /// Counts an operation in a place that [`place`](Self::place) gave.
    pub fn count(&self, place: usize, worker: usize, done: &Done) {
        if let Some(model) = self.list.load().get(place) {
            model.count(worker, done);
        }
    }

    /// Counts the tokens of an operation that did not come to its end: the provider bills what it told of.
    pub fn spend(&self, place: usize, worker: usize, usage: Usage) {
        if let Some(model) = self.list.load().get(place) {
            model.spend(worker, usage);
        }
    }

    /// All of them, in the order in which they were first served.
    pub fn all(&self) -> Arc<Vec<Arc<Model>>> {
        self.list.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_client_fills_no_memory() {
        let models = Models::new(1);
        for number in 0..10_000 {
            let place = models.place(Operation::Chat, "openai", &format!("model-{number}"));
            let usage = Usage { input: 1, output: 2, cached: 0 };
            models.count(place, 0, &Done { duration: Duration::from_secs(1), first_token: None, usage });
        }
        let all = models.all();
        assert_eq!((all.len(), &*all[MODELS_MAX].name), (MODELS_MAX + 1, OTHER));
        assert_eq!(all.iter().map(|model| model.durations().count()).sum::<u64>(), 10_000);
    }

    #[test]
    fn the_path_tells_the_operation() {
        for (path, want) in [
            ("/v1/chat/completions", Some(Operation::Chat)),
            ("/v1/messages", Some(Operation::Chat)),
            ("/v1/responses/", Some(Operation::Chat)),
            ("/v1beta/models/m:streamGenerateContent", Some(Operation::Chat)),
            ("/v1/completions", Some(Operation::TextCompletion)),
            ("/v1/embeddings", Some(Operation::Embeddings)),
            ("/v1/threads/t/messages", None),
            ("/v1/models", None),
            ("/", None),
        ] {
            assert_eq!(Operation::at(path), want, "{path}");
        }
    }
}
