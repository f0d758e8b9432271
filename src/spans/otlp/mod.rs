//! Spans, by the rules of OpenTelemetry: whether an upgrade has one (`sampling`), what it says (`report`), how it waits for
//! its batch and goes (`queue`, `collector`). What the operator sets is in the environment, under the names that every
//! program with OpenTelemetry in it has in common (`settings`).

mod collector;
mod queue;
mod report;
mod sampling;
mod settings;

use super::{Told, Traced};
use crate::clock;
use crate::handshake::trace::{TRACEPARENT, TRACESTATE, Trace};
use crate::moment::Moment;
use collector::{Collector, Exporter};
use http::header::{HeaderMap, HeaderValue};
use queue::{Queue, deliver};
use report::report;
use sampling::Sampling;
use settings::Settings;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long the last spans may take when the program goes.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The part that the program takes in traces: none, where the environment names no endpoint.
#[derive(Clone, Debug, Default)]
pub struct Spans(Option<Arc<Tracing>>);

#[derive(Debug)]
struct Tracing {
    sampling: Sampling,
    queue: Arc<Queue>,
}

/// What is on its way to the collector.
#[derive(Debug)]
pub struct Sending(Option<Deliverer>);

#[derive(Debug)]
struct Deliverer {
    task: JoinHandle<()>,
    last: CancellationToken,
}

/// A span of ours that is not over yet. Its id is the parent that the backend is told.
#[derive(Debug)]
pub(super) struct Span {
    /// The span of whoever sent the request.
    parent: Option<[u8; 8]>,
    since: Moment,
    queue: Arc<Queue>,
}

impl Spans {
    /// Takes its settings from the environment. Spans go out from the runtime that this is called in. The error says what
    /// to mend.
    pub fn start(environment: &dyn Fn(&str) -> Option<String>) -> Result<(Spans, Sending), String> {
        let Some(settings) = Settings::read(environment)? else {
            return Ok((Spans(None), Sending(None)));
        };
        let collector = Arc::new(Collector::new(&settings));
        let exporter = Exporter::new(&collector, &settings)?;
        tracing::info!(collector = collector.address().as_str(), "sessions are told of as spans");
        let (queue, last) = (Arc::new(Queue::new(settings.batch)), CancellationToken::new());
        let task = tokio::spawn(deliver(queue.clone(), exporter, settings.batch.delay, last.clone()));
        let tracing = Tracing { sampling: settings.sampling, queue };
        Ok((Spans(Some(Arc::new(tracing))), Sending(Some(Deliverer { task, last }))))
    }

    /// Takes part in the trace that a request `asked` for, or begins one, and has the headers say so to the backend.
    /// `since`: when the request came.
    pub fn join(&self, asked: Option<Trace>, headers: &mut HeaderMap, since: Moment) -> Option<Traced> {
        let Some(tracing) = &self.0 else {
            return asked.map(Traced::passing);
        };
        let part = tracing.sampling.part(asked, &mut || fastrand::u64(1..));
        if asked.is_none() {
            // What goes with a trace that cannot be read is of none (Trace Context 4).
            headers.remove(TRACESTATE);
        }
        if asked != Some(part.trace)
            && let Ok(line) = HeaderValue::from_str(&part.trace.to_string())
        {
            headers.insert(TRACEPARENT, line);
        }
        let parent = asked.map(|asked| asked.parent);
        let span = part.is_kept.then(|| Span { parent, since, queue: tracing.queue.clone() });
        Some(Traced { trace: part.trace, span })
    }
}

impl Sending {
    /// Sends what there is, as far as it gets in a moment. Nothing is taken any more.
    pub async fn finish(self) {
        let Some(Deliverer { mut task, last }) = self.0 else { return };
        last.cancel();
        if tokio::time::timeout(LAST_MOMENT, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("the collector did not take the last spans in time");
        }
    }
}

impl Span {
    pub(super) fn end(&self, trace: &Trace, told: &Told<'_>) {
        let lasted = clock::now().since(self.since);
        let ended = SystemTime::UNIX_EPOCH + clock::since_1970();
        // What lasted by the clock that nobody sets.
        let began = ended.checked_sub(lasted).unwrap_or(SystemTime::UNIX_EPOCH);
        self.queue.push(report(trace, self.parent, began..ended, told));
    }
}
