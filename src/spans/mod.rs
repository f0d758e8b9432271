//! One span a session, for a collector (OpenTelemetry). A program built with the feature `otlp`, in an environment that
//! names an endpoint, takes part in the traces of its upgrades; any other passes them on as they came, and nothing of
//! this is in it. Whoever asks for spans need not know which of the two it is.

#[cfg(not(feature = "otlp"))]
mod none;
#[cfg(feature = "otlp")]
mod otlp;

#[cfg(not(feature = "otlp"))]
pub use none::{Sending, Spans};
#[cfg(feature = "otlp")]
pub use otlp::{Sending, Spans};

#[cfg(not(feature = "otlp"))]
use none::Span;
#[cfg(feature = "otlp")]
use otlp::Span;

use crate::backend::pool::Endpoint;
use crate::frame::Pair;
use crate::handshake::trace::Trace;
use crate::relay::{Outcome, Tally};
use crate::route::Route;
use std::net::IpAddr;

/// The trace that an upgrade belongs to.
#[derive(Debug)]
pub struct Traced {
    /// As its backend is told of it: where there is a span of ours, that is the parent.
    trace: Trace,
    /// Where one is kept.
    span: Option<Span>,
}

/// What a span says of an upgrade: nothing that is secret, no value of a query, no payload.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Of the request.
    pub id: &'a str,
    pub route: &'a Route,
    pub listener: &'a str,
    pub client: Option<IpAddr>,
    pub came_to: CameTo<'a>,
}

/// What came of an upgrade.
#[derive(Clone, Copy, Debug)]
pub enum CameTo<'a> {
    Session(Ended<'a>),
    /// The backend's answer had this status instead.
    Answer(u16),
    /// No backend answered, for this cause.
    Refusal(&'static str),
}

/// A session that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    pub endpoint: &'a Endpoint,
    /// Fit for a log.
    pub subprotocol: Option<&'a str>,
    pub outcome: &'a Outcome,
    pub tallies: Pair<Tally>,
}

impl Traced {
    fn passing(trace: Trace) -> Traced {
        Traced { trace, span: None }
    }

    /// For a log.
    pub fn id_text(&self) -> String {
        self.trace.id_text()
    }

    /// All of it is over.
    pub fn end(&self, told: &Told<'_>) {
        if let Some(span) = &self.span {
            span.end(&self.trace, told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_pays_little_for_its_trace() {
        // Of the sessions that have one.
        let most = if cfg!(feature = "otlp") { 64 } else { size_of::<Trace>() };
        assert!(size_of::<Traced>() <= most, "{}", size_of::<Traced>());
    }
}
