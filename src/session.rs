//! One session in the operator's eyes: a line when it opens, a line when it ends, always, once. A session that nobody
//! finished is logged when it is dropped.

use crate::drain::{Handle, Seat};
use crate::frame::{Close, Pair, Side};
use crate::relay::{By, Cause, Outcome, Tally};
use std::sync::Arc;
use std::time::Instant;

/// What is known when it opens. Everything here may stand in a log: no secret, no query value.
#[derive(Clone, Debug)]
pub struct Facts {
    pub id: String,
    pub route: String,
    pub listener: String,
    pub backend: String,
    pub client: String,
    pub host: String,
    pub path: String,
    pub subprotocol: Option<String>,
    pub deflate: bool,
    pub tls: bool,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Report {
    pub outcome: Outcome,
    pub tallies: Pair<Tally>,
}

impl Report {
    /// The 101 was given, and one side was gone before its first frame.
    pub fn lost_at_the_start(side: Side) -> Report {
        let cause = match side {
            Side::Client => Cause::ClientLost,
            Side::Backend => Cause::BackendLost,
        };
        let outcome = Outcome { by: By::from(side), cause, about: Some(side), close: Close::default() };
        Report { outcome, tallies: Pair::default() }
    }
}

#[derive(Debug)]
pub struct Session {
    facts: Box<Facts>,
    opened: Instant,
    /// Whether the operator wants the two lines.
    access: bool,
    finished: bool,
    seat: Seat,
}

impl Session {
    pub fn open(facts: Facts, seat: Seat, access: bool) -> Session {
        if access {
            tracing::info!(
                target: "framegate::access",
                id = facts.id.as_str(),
                route = facts.route.as_str(),
                listener = facts.listener.as_str(),
                backend = facts.backend.as_str(),
                client = facts.client.as_str(),
                host = facts.host.as_str(),
                path = facts.path.as_str(),
                subprotocol = subprotocol(&facts),
                compression = if facts.deflate { "permessage-deflate" } else { "none" },
                tls = facts.tls,
                "session opened"
            );
        }
        Session { facts: Box::new(facts), opened: Instant::now(), access, finished: false, seat }
    }

    /// Through which orders reach it.
    pub fn handle(&self) -> Arc<Handle> {
        self.seat.handle()
    }

    pub fn finish(mut self, report: &Report) {
        self.finished = true;
        self.log(report);
    }

    fn log(&self, report: &Report) {
        if !self.access {
            return;
        }
        let Report { outcome, tallies } = report;
        let (facts, client, backend) = (&self.facts, &tallies.client, &tallies.backend);
        let rule = match outcome.cause {
            Cause::Violation(violation) => violation.rule(),
            _ => "",
        };
        tracing::info!(
            target: "framegate::access",
            id = facts.id.as_str(),
            route = facts.route.as_str(),
            listener = facts.listener.as_str(),
            backend = facts.backend.as_str(),
            client = facts.client.as_str(),
            subprotocol = subprotocol(facts),
            duration_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX),
            by = outcome.by.word(),
            cause = outcome.cause.word(),
            about = outcome.about.map_or("", |side| side.word()),
            rule,
            code = outcome.close.code.unwrap_or(0),
            reason = &*outcome.close.reason,
            client_text = client.text_messages,
            client_text_bytes = client.text_bytes,
            client_binary = client.binary_messages,
            client_binary_bytes = client.binary_bytes,
            client_pings = client.pings,
            client_pongs = client.pongs,
            backend_text = backend.text_messages,
            backend_text_bytes = backend.text_bytes,
            backend_binary = backend.binary_messages,
            backend_binary_bytes = backend.binary_bytes,
            backend_pings = backend.pings,
            backend_pongs = backend.pongs,
            "session ended"
        );
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.finished {
            // Cut off at the deadline of a drain, or a defect of ours.
            let ordered = self.seat.handle().ordered();
            let cause = ordered.map_or(Cause::Broken, |ordered| Cause::Order(ordered.order));
            let outcome = Outcome { by: By::Gateway, cause, about: None, close: Close::default() };
            self.log(&Report { outcome, tallies: Pair::default() });
        }
    }
}

/// Some applications pass a bearer token as a subprotocol, and some servers agree to it: it is not for the log.
fn subprotocol(facts: &Facts) -> &str {
    match facts.subprotocol.as_deref() {
        None => "",
        Some(name) if name.len() > 48 || name.to_ascii_lowercase().contains("bearer") => "(redacted)",
        Some(name) => name,
    }
}
