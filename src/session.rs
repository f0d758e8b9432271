//! One session in the operator's eyes: a line when it opens, a line when it ends, always, once. A session that nobody
//! finished is logged when it is dropped.

use crate::backend::pool::Place;
use crate::clock;
use crate::frame::{Close, Pair, Side};
use crate::handshake::address_text;
use crate::observe::log::printable;
use crate::observe::metrics::OpenConnection;
use crate::observe::servers::log_change;
use crate::policy::counts::Counted;
use crate::registry::{Facts, Handle, Seat};
use crate::relay::{By, Cause, Meters, Outcome, Tally};
use crate::spans::{CameTo, Ended, Told};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

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

/// The client was gone before it had its 101.
pub fn client_lost_at_the_start() -> Outcome {
    let (by, cause, about) = (By::Client, Cause::ClientLost, Some(Side::Client));
    Outcome { by, cause, about, close: Close::default(), lived: Duration::ZERO }
}

#[derive(Debug)]
pub struct Session {
    seat: Seat,
    place: Place,
    /// The seats it takes, until it ends.
    counted: Box<[Counted]>,
    /// Whether the operator wants the two lines.
    access: bool,
    /// The client's connection is this session's, and ends with it.
    connected: bool,
    finished: bool,
}

impl Session {
    /// `access`: whether the operator wants the two lines.
    pub fn open(facts: Facts, place: Place, opened: Opened<'_>, seat: Seat, access: bool) -> Session {
        let facts = seat.handle().open(facts);
        seat.metrics().opened(&facts.route.name);
        if access {
            tracing::info!(
                target: "framegate::access",
                id = &*facts.id,
                route = facts.route.name.as_str(),
                listener = &*facts.listener,
                backend = &*facts.endpoint.label,
                client = shown_address(facts.client).as_str(),
                host = opened.host,
                path = opened.path,
                subprotocol = facts.subprotocol.as_deref().unwrap_or_default(),
                trace = facts.trace_id().as_deref(),
                compression = if opened.deflate { "permessage-deflate" } else { "none" },
                tls = opened.tls,
                client_cert = opened.client_cert,
                "session opened"
            );
        }
        Session { seat, place, counted: Box::default(), access, connected: false, finished: false }
    }

    /// Keeps these seats taken for as long as it lives.
    pub fn hold(&mut self, counted: Vec<Counted>) {
        if counted.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.counted);
        self.counted = held.into_iter().chain(counted).collect();
    }

    /// The client's connection ends when it does.
    pub fn take_over(&mut self, connection: OpenConnection) {
        connection.hand_on();
        self.connected = true;
    }

    /// The peer of this leg answered a ping of ours.
    pub fn answered(&self, leg: Side, took: Duration) {
        self.seat.metrics().answered(leg, took);
    }

    /// Through which orders reach it.
    pub fn handle(&self) -> &Handle {
        self.seat.handle()
    }

    /// What passes through it is counted here.
    pub fn meters(&self) -> Arc<Meters> {
        self.handle().facts().map_or_else(Arc::default, |facts| facts.meters.clone())
    }

    pub fn finish(mut self, outcome: &Outcome) {
        self.finished = true;
        self.note(outcome);
        self.tell(outcome);
    }

    /// What its end says of the server.
    fn note(&self, outcome: &Outcome) {
        // A client that has said something may be why: else anybody could have servers ejected, one after the other.
        let unprovoked =
            self.handle().facts().is_some_and(|facts| facts.meters.tallies().client == Tally::default());
        let lost = outcome.cause == Cause::BackendLost && unprovoked;
        let endpoint = self.place.endpoint();
        let change = endpoint.health(|health| health.ended(lost, outcome.lived, clock::now()));
        log_change(endpoint, change, "sessions end as soon as they begin");
    }

    /// How it ended if nothing else ended it: cut off at the deadline of a drain, or a defect of ours.
    pub fn cut_off(&self) -> Outcome {
        // What is not due yet has ended nothing.
        let ordered = self.handle().ordered().filter(|ordered| ordered.at <= tokio::time::Instant::now());
        let cause = ordered.map_or(Cause::Broken, |ordered| Cause::Order(ordered.order));
        let lived = self.handle().facts().map_or(Duration::ZERO, Facts::age);
        Outcome { by: By::Gateway, cause, about: None, close: Close::default(), lived }
    }

    /// Counts and logs its end, and ends its span.
    fn tell(&self, outcome: &Outcome) {
        let Some(facts) = self.handle().facts() else { return };
        let age = facts.age();
        self.seat.metrics().ended(&facts.route.name, outcome, age);
        end_span(facts, outcome);
        if self.access {
            log_end(facts, outcome, age);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.finished {
            self.tell(&self.cut_off());
        }
        if let Some(facts) = self.handle().facts().filter(|_| self.connected) {
            self.seat.metrics().disconnected(&facts.listener);
        }
    }
}

fn end_span(facts: &Facts, outcome: &Outcome) {
    let Some(trace) = &facts.trace else { return };
    let Facts { id, route, listener, endpoint, client, .. } = facts;
    let (subprotocol, tallies) = (facts.subprotocol.as_deref(), facts.meters.tallies());
    let came_to = CameTo::Session(Ended { endpoint, subprotocol, outcome, tallies });
    trace.end(&Told { id, route, listener, client: *client, came_to });
}

fn log_end(facts: &Facts, outcome: &Outcome, age: Duration) {
    let Pair { client, backend } = facts.meters.tallies();
    let rule = match outcome.cause {
        Cause::Violation(violation) => violation.rule(),
        _ => "",
    };
    tracing::info!(
        target: "framegate::access",
        id = &*facts.id,
        route = facts.route.name.as_str(),
        listener = &*facts.listener,
        backend = &*facts.endpoint.label,
        client = shown_address(facts.client).as_str(),
        subprotocol = facts.subprotocol.as_deref().unwrap_or_default(),
        trace = facts.trace_id().as_deref(),
        duration_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
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
    use crate::registry::{Ordered, Sessions};
    use crate::relay::Order;
    use crate::route::Route;

    /// A session that has an end to come and is cut off before it was not ended by that.
    #[tokio::test(start_paused = true)]
    async fn an_order_that_is_not_due_has_ended_nothing() {
        let place = Place::somewhere();
        let facts = Facts {
            id: "id".into(),
            route: Arc::new(Route::new("route", 0)),
            listener: "listener".into(),
            endpoint: place.endpoint().clone(),
            client: None,
            subprotocol: None,
            trace: None,
            opened: clock::now(),
            meters: Arc::default(),
        };
        let opened = Opened { host: "", path: "", deflate: false, tls: false, client_cert: None };
        let seat = Arc::new(Sessions::default()).enter().unwrap();
        let session = Session::open(facts, place, opened, seat, false);
        let at = tokio::time::Instant::now() + Duration::from_secs(60);
        session.handle().order(Ordered { order: Order::TokenExpired, code: 3000, at });
        assert_eq!(session.cut_off().cause, Cause::Broken);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(session.cut_off().cause, Cause::Order(Order::TokenExpired));
    }
}
