//! One session in the operator's eyes: a line when it opens, a line when it ends, always, once. A session that nobody
//! finished is logged when it is dropped.

use crate::backend::pool::Place;
use crate::clock;
use crate::drain::{Handle, Seat};
use crate::frame::{Close, Pair, Side};
use crate::handshake::address_text;
use crate::observe::log::printable;
use crate::observe::servers::log_change;
use crate::policy::counts::Counted;
use crate::relay::{By, Cause, Outcome, Tally};
use crate::route::Route;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What names a session in its lines. Everything here may stand in a log: no secret, no query value. Names that sessions
/// have in common are shared, for an idle session has to be small.
#[derive(Debug)]
pub struct Facts {
    pub id: Box<str>,
    pub route: Arc<Route>,
    pub listener: Arc<str>,
    pub place: Place,
    /// The seats it takes, until it ends.
    pub counted: Box<[Counted]>,
    pub client: Option<IpAddr>,
    /// What the two ends agreed to, fit for a log.
    pub subprotocol: Option<Box<str>>,
}

/// What only the opening line says.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub deflate: bool,
    pub tls: bool,
    /// The fingerprint of the certificate that the client showed.
    pub client_cert: Option<&'a str>,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Report {
    pub outcome: Outcome,
    pub tallies: Pair<Tally>,
}

impl Report {
    /// The client was gone before it had its 101.
    pub fn client_lost_at_the_start() -> Report {
        let (by, cause, about) = (By::Client, Cause::ClientLost, Some(Side::Client));
        let outcome = Outcome { by, cause, about, close: Close::default(), lived: Duration::ZERO };
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
    pub fn open(facts: Facts, opened: Opened<'_>, seat: Seat, access: bool) -> Session {
        if access {
            tracing::info!(
                target: "framegate::access",
                id = &*facts.id,
                route = facts.route.name.as_str(),
                listener = &*facts.listener,
                backend = &*facts.place.endpoint().label,
                client = shown_address(facts.client).as_str(),
                host = opened.host,
                path = opened.path,
                subprotocol = facts.subprotocol.as_deref().unwrap_or_default(),
                compression = if opened.deflate { "permessage-deflate" } else { "none" },
                tls = opened.tls,
                client_cert = opened.client_cert,
                "session opened"
            );
        }
        Session { facts: Box::new(facts), opened: Instant::now(), access, finished: false, seat }
    }

    /// Keeps these seats taken for as long as it lives.
    pub fn hold(&mut self, counted: Vec<Counted>) {
        let held = std::mem::take(&mut self.facts.counted);
        self.facts.counted = held.into_iter().chain(counted).collect();
    }

    /// Through which orders reach it.
    pub fn handle(&self) -> &Handle {
        self.seat.handle()
    }

    pub fn finish(mut self, report: &Report) {
        self.finished = true;
        self.note(report);
        self.log(report);
    }

    /// What its end says of the server.
    fn note(&self, report: &Report) {
        // A client that has said something may be why: else anybody could have servers ejected, one after the other.
        let unprovoked = report.tallies.client == Tally::default();
        let lost = report.outcome.cause == Cause::BackendLost && unprovoked;
        let endpoint = self.facts.place.endpoint();
        let change = endpoint.health(|health| health.ended(lost, report.outcome.lived, clock::now()));
        log_change(endpoint, change, "sessions end as soon as they begin");
    }

    /// How it ended if nothing else ended it: cut off at the deadline of a drain, or a defect of ours.
    pub fn cut_off(&self) -> Outcome {
        // What is not due yet has ended nothing.
        let ordered =
            self.seat.handle().ordered().filter(|ordered| ordered.at <= tokio::time::Instant::now());
        let cause = ordered.map_or(Cause::Broken, |ordered| Cause::Order(ordered.order));
        Outcome { by: By::Gateway, cause, about: None, close: Close::default(), lived: self.opened.elapsed() }
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
            id = &*facts.id,
            route = facts.route.name.as_str(),
            listener = &*facts.listener,
            backend = &*facts.place.endpoint().label,
            client = shown_address(facts.client).as_str(),
            subprotocol = facts.subprotocol.as_deref().unwrap_or_default(),
            duration_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX),
            by = outcome.by.word(),
            cause = outcome.cause.word(),
            about = outcome.about.map_or("", |side| side.word()),
            rule,
            code = outcome.close.code.unwrap_or(0),
            reason = &*printable(&outcome.close.reason),
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
            self.log(&Report { outcome: self.cut_off(), tallies: Pair::default() });
        }
    }
}

/// A client's address as it stands in lines; a unix socket has none.
pub fn shown_address(address: Option<IpAddr>) -> String {
    address.map_or("unix".into(), address_text)
}

/// Some applications pass a bearer token as a subprotocol, and some servers agree to it: it is not for the log.
pub fn shown_subprotocol(name: &str) -> &str {
    if name.len() > 48 || name.to_ascii_lowercase().contains("bearer") { "(redacted)" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::{Ordered, Sessions};
    use crate::relay::Order;

    /// A session that has an end to come and is cut off before it was not ended by that.
    #[tokio::test(start_paused = true)]
    async fn an_order_that_is_not_due_has_ended_nothing() {
        let facts = Facts {
            id: "id".into(),
            route: Arc::new(Route::new("route", 0)),
            listener: "listener".into(),
            place: Place::somewhere(),
            counted: Box::default(),
            client: None,
            subprotocol: None,
        };
        let opened = Opened { host: "", path: "", deflate: false, tls: false, client_cert: None };
        let seat = Arc::new(Sessions::default()).enter().unwrap();
        let session = Session::open(facts, opened, seat, false);
        let at = tokio::time::Instant::now() + Duration::from_secs(60);
        session.handle().order(Ordered { order: Order::TokenExpired, code: 3000, at });
        assert_eq!(session.cut_off().cause, Cause::Broken);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(session.cut_off().cause, Cause::Order(Order::TokenExpired));
    }
}
