//! `GET /metrics`: everything that is counted, in OpenMetrics. Summed when it is asked for; no label has a key or a
//! client's free text in it.

use std::fmt;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Monitor;
use super::process::{Process, unix_seconds};
use crate::telemetry::counters::End;
use crate::telemetry::histogram::Distribution;
use crate::telemetry::models::Operation;

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

type Written = Result<(), fmt::Error>;
type Labels<'a> = [(&'static str, &'a str)];

impl Monitor {
    /// The answer to `GET /metrics`.
    pub(super) fn metrics(&self) -> Response<Bytes> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Everything(self.clone())));
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a string can't fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        let mut response = Response::new(Bytes::from(text));
        response.headers_mut().insert(CONTENT_TYPE, OPENMETRICS);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

struct Everything(Monitor);

impl fmt::Debug for Everything {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Everything")
    }
}

/// Writes families.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn family<T>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut MetricEncoder<'_>, T) -> Written,
    ) -> Written {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut metric = self.0.encode_descriptor(name, help, None, kind)?;
        values.try_for_each(|value| write(&mut metric, value))
    }

    fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, &'a str); N], u64)>,
    ) -> Written {
        self.family(name, help, MetricType::Counter, values, |metric, (labels, value)| {
            let labels: &Labels<'_> = &labels;
            if labels.is_empty() {
                return metric.encode_counter::<NoLabelSet, _, f64>(&value, None);
            }
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
        })
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Written {
        self.counters::<0>(name, help, [([], value)])
    }

    fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, &'a str); N], f64)>,
    ) -> Written {
        self.family(name, help, MetricType::Gauge, values, |metric, (labels, value)| {
            let labels: &Labels<'_> = &labels;
            if labels.is_empty() {
                metric.encode_gauge(&value)
            } else {
                metric.encode_family(&labels)?.encode_gauge(&value)
            }
        })
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> Written {
        self.gauges::<0>(name, help, [([], value)])
    }

    fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Vec<(&'static str, &'a str)>, Distribution)>,
    ) -> Written {
        self.family(name, help, MetricType::Histogram, values, |metric, (labels, value)| {
            let (count, labels) = (value.count(), labels.as_slice());
            if labels.is_empty() {
                return metric.encode_histogram::<NoLabelSet>(value.sum, count, &value.buckets, None);
            }
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                value.sum,
                count,
                &value.buckets,
                None,
            )
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
fn float(value: impl TryInto<u64>) -> f64 {
    value.try_into().unwrap_or(u64::MAX) as f64
}

impl Collector for Everything {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Written {
        let mut out = Out(encoder);
        self.requests(&mut out)?;
        self.attempts(&mut out)?;
        self.keys(&mut out)?;
        self.upstreams(&mut out)?;
        self.gen_ai(&mut out)?;
        self.process(&mut out)
    }
}

impl Everything {
    fn requests(&self, out: &mut Out<'_>) -> Written {
        let counters = &self.0.counters;
        let outcomes = End::ALL.map(|end| ([("outcome", end.name())], counters.ended(end)));
        out.counters("gpt_load_requests", "Requests that ended, by how they ended.", outcomes)?;
        out.counter(
            "gpt_load_healed_requests",
            "Requests that succeeded after a failed attempt.",
            counters.healed(),
        )?;
        out.counter("gpt_load_retries", "Attempts after the first of their request.", counters.retries())?;
        out.counter(
            "gpt_load_request_bytes",
            "Bytes of requests' bodies that were held.",
            counters.received(),
        )?;
        out.counter("gpt_load_response_bytes", "Bytes of answers' bodies.", counters.sent())?;
        let running = float(self.0.admission.running());
        out.gauge("gpt_load_requests_in_flight", "Requests under way.", running)?;
        for (name, help, times) in [
            (
                "gpt_load_request_duration_seconds",
                "From a request to its answer's end.",
                counters.durations(),
            ),
            (
                "gpt_load_time_to_first_byte_seconds",
                "From a request to its answer's head.",
                counters.first_bytes(),
            ),
            (
                "gpt_load_added_overhead_seconds",
                "What gpt-load adds until the answer's head: not the client's body, not the upstream's answer.",
                counters.overheads(),
            ),
        ] {
            out.histograms(name, help, [(vec![], times)])?;
        }
        Ok(())
    }

    fn attempts(&self, out: &mut Out<'_>) -> Written {
        let (counters, causes) = (&self.0.counters, self.0.failures.causes());
        let urls = self.urls();
        let url = |upstream: usize| urls.get(upstream).map_or("", String::as_str);
        let succeeded = urls.iter().enumerate().map(|(upstream, url)| {
            (
                [("upstream", url.as_str()), ("verdict", "success"), ("rule", "status.success")],
                counters.succeeded(upstream),
            )
        });
        let failed = causes.iter().map(|(cause, count)| {
            ([("upstream", url(cause.upstream)), ("verdict", cause.verdict), ("rule", cause.rule)], *count)
        });
        let help = "Attempts, by upstream, verdict and the rule that gave it.";
        out.counters("gpt_load_attempts", help, succeeded.chain(failed))
    }

    fn keys(&self, out: &mut Out<'_>) -> Written {
        let keys = &self.0.group.keys;
        let now = self.0.snapshot();
        let states = [
            ("available", now.keys.available),
            ("cooldown", now.keys.cooldown),
            ("blacklisted", now.keys.blacklisted),
        ];
        let states = states.map(|(state, count)| ([("state", state)], float(count)));
        out.gauges("gpt_load_keys", "Keys, by where they stand.", states)?;
        let losses = keys.losses();
        let losses = losses.iter().map(|(cause, of_model, count)| {
            ([("cause", *cause), ("scope", if *of_model { "model" } else { "key" })], *count)
        });
        out.counters("gpt_load_keys_lost", "Keys that left the rotation, by cause.", losses)?;
        out.counter("gpt_load_leases", "Leases of keys.", self.0.counters.leases())?;
        out.gauge("gpt_load_requests_waiting_for_key", "Requests that wait for a key.", float(now.waiting))?;
        let forecast = self.0.series.forecast(now);
        let help = "The share of the keys that is in rotation.";
        out.gauge("gpt_load_pool_headroom_ratio", help, forecast.headroom)?;
        let left = forecast.exhausted_in.map_or(f64::INFINITY, |left| left.as_secs_f64());
        let help = "When no key is left if it goes on as in the last hour; +Inf: never.";
        out.gauge("gpt_load_pool_exhaustion_seconds", help, left)
    }

    fn upstreams(&self, out: &mut Out<'_>) -> Written {
        let (all, urls) = (&self.0.group.upstreams, self.urls());
        let reports: Vec<_> = all.all().iter().map(|upstream| all.report(upstream)).collect();
        let each = || urls.iter().zip(&reports).map(|(url, report)| ([("upstream", url.as_str())], report));
        let ejected =
            each().map(|(labels, report)| (labels, f64::from(u8::from(report.ejected_for.is_some()))));
        out.gauges("gpt_load_upstream_ejected", "Whether an upstream is set aside.", ejected)?;
        let ejections = each().map(|(labels, report)| (labels, report.ejections));
        out.counters("gpt_load_upstream_ejections", "How often an upstream was set aside.", ejections)?;
        let faults = each().map(|(labels, report)| (labels, report.faults));
        out.counters("gpt_load_upstream_faults", "An upstream's faults.", faults)?;
        let sent_again = each().map(|(labels, report)| (labels, report.sent_again));
        let help =
            "Requests that went out twice in one attempt, since a kept connection ended in that moment.";
        out.counters("gpt_load_upstream_sent_again", help, sent_again)
    }

    /// OpenTelemetry's GenAI metrics by their exact names and buckets, in Prometheus' form.
    fn gen_ai(&self, out: &mut Out<'_>) -> Written {
        let models = self.0.models.all();
        let labels = |model: &crate::telemetry::models::Model| (model.operation.name(), model.provider);
        let each = || {
            models.iter().map(move |model| {
                let (operation, provider) = labels(model);
                let labels = vec![
                    ("gen_ai_operation_name", operation),
                    ("gen_ai_provider_name", provider),
                    ("gen_ai_request_model", &*model.name),
                ];
                (labels, model)
            })
        };
        let failed = Operation::ALL.into_iter().filter_map(|operation| {
            let times = self.0.counters.failed_operations(operation);
            let labels = vec![
                ("gen_ai_operation_name", operation.name()),
                ("gen_ai_provider_name", "_OTHER"),
                ("error_type", "_OTHER"),
            ];
            (times.count() > 0).then_some((labels, times))
        });
        let times = each().map(|(labels, model)| (labels, model.durations())).chain(failed);
        out.histograms("gen_ai_client_operation_duration_seconds", "GenAI operation duration.", times)?;
        let tokens = each().flat_map(|(labels, model)| {
            let of = |kind, tokens| ([labels.clone(), vec![("gen_ai_token_type", kind)]].concat(), tokens);
            [of("input", model.input()), of("output", model.output())]
        });
        let tokens = tokens.filter(|(_, tokens)| tokens.count() > 0);
        out.histograms("gen_ai_client_token_usage", "Number of input and output tokens used.", tokens)?;
        let cached = models.iter().map(|model| ([("gen_ai_request_model", &*model.name)], model.cached()));
        let help = "Input tokens that providers read from their caches, by model.";
        let mut by_model = std::collections::BTreeMap::new();
        for ([(name, model)], count) in cached {
            *by_model.entry((name, model)).or_insert(0) += count;
        }
        out.counters(
            "gpt_load_cached_input_tokens",
            help,
            by_model.into_iter().map(|(label, n)| ([label], n)),
        )?;
        let first = each().map(|(labels, model)| (labels, model.first_tokens()));
        let first = first.filter(|(_, times)| times.count() > 0);
        let help = "Time to generate first token for successful responses.";
        out.histograms("gen_ai_server_time_to_first_token_seconds", help, first)?;
        let each_token = each().map(|(labels, model)| (labels, model.per_token()));
        let each_token = each_token.filter(|(_, times)| times.count() > 0);
        let help = "Time per output token generated after the first token for successful responses.";
        out.histograms("gen_ai_server_time_per_output_token_seconds", help, each_token)
    }

    fn process(&self, out: &mut Out<'_>) -> Written {
        let process = Process::look();
        let version =
            [([("version", env!("CARGO_PKG_VERSION")), ("revision", env!("GPT_LOAD_COMMIT"))], 1.0)];
        out.gauges("gpt_load_build_info", "Which build this is.", version)?;
        let lost = self.0.lost_log_lines.lines() as u64;
        out.counter("gpt_load_lost_log_lines", "Log lines that found the queue full.", lost)?;
        out.family(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds.",
            MetricType::Counter,
            [process.cpu_seconds],
            |metric, seconds| metric.encode_counter::<NoLabelSet, _, f64>(&seconds, None),
        )?;
        let started = unix_seconds(self.0.began.elapsed());
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory size in bytes.", float(process.rss)),
            ("process_virtual_memory_bytes", "Virtual memory size in bytes.", float(process.virtual_memory)),
            ("process_open_fds", "Number of open file descriptors.", float(process.open_files)),
            ("process_max_fds", "Maximum number of open file descriptors.", float(process.most_files)),
            ("process_threads", "Number of OS threads.", float(process.threads)),
            ("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", started),
        ] {
            out.gauge(name, help, value)?;
        }
        Ok(())
    }

    fn urls(&self) -> Vec<String> {
        self.0.group.upstreams.all().iter().map(|upstream| upstream.url.to_string()).collect()
    }
}
