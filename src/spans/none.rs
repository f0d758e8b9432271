//! No spans: the program was built without the feature `otlp`.

use super::{Told, Traced};
use crate::handshake::trace::Trace;
use crate::moment::Moment;
use http::header::HeaderMap;

#[derive(Clone, Debug, Default)]
pub struct Spans;

/// What is on its way to the collector: nothing.
#[derive(Debug)]
pub struct Sending;

/// There is none.
#[derive(Debug)]
pub(super) enum Span {}

impl Spans {
    /// Never fails.
    pub fn start(environment: &dyn Fn(&str) -> Option<String>) -> Result<(Spans, Sending), String> {
        let wanting = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
            .into_iter()
            .find(|name| environment(name).is_some_and(|value| !value.is_empty()));
        if let Some(name) = wanting {
            tracing::info!(
                name,
                "no spans for the collector: this program was built without the feature otlp"
            );
        }
        Ok((Spans, Sending))
    }

    /// The trace of an upgrade passes as it came.
    pub fn join(&self, asked: Option<Trace>, _headers: &mut HeaderMap, _since: Moment) -> Option<Traced> {
        asked.map(Traced::passing)
    }
}

impl Sending {
    pub async fn finish(self) {}
}

impl Span {
    pub(super) fn end(&self, _trace: &Trace, _told: &Told<'_>) {
        match *self {}
    }
}
