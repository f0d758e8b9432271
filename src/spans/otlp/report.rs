//! What a span says. Names are those of OpenTelemetry's semantic conventions where they have one, else begin with
//! `framegate.`; they are fixed, and so are the words in the values, but for the few that the log has too: the request's
//! id, the address and the subprotocol.

use super::super::{CameTo, Ended, Told};
use crate::frame::Pair;
use crate::handshake::address_text;
use crate::handshake::trace::Trace;
use crate::relay::{Cause, Order};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::borrow::Cow;
use std::ops::Range;
use std::time::SystemTime;

/// The span that `trace` names, under its parent.
pub(super) fn report(
    trace: &Trace,
    parent: Option<[u8; 8]>,
    span: Range<SystemTime>,
    told: &Told<'_>,
) -> SpanData {
    let (id, own) = (TraceId::from_bytes(trace.id), SpanId::from_bytes(trace.parent));
    let error = error(&told.came_to);
    SpanData {
        span_context: SpanContext::new(id, own, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: parent.is_some(),
        span_kind: SpanKind::Server,
        name: Cow::Owned(format!("websocket {}", told.route.name)),
        start_time: span.start,
        end_time: span.end,
        attributes: attributes(told, error.as_deref()),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: error.map_or(Status::Unset, |error| Status::Error { description: error }),
        instrumentation_scope: InstrumentationScope::builder("framegate")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

/// The list of what is said. A name is part of the program: nothing that comes over the wire can become one.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn say(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(name, value));
    }

    fn say_if_any(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.say(name, value);
        }
    }
}

fn attributes(told: &Told<'_>, error: Option<&str>) -> Vec<KeyValue> {
    let mut all = Attributes(Vec::with_capacity(24));
    // RFC 6455 4.1: an upgrade is a GET.
    all.say("http.request.method", "GET");
    all.say("http.route", told.route.matcher.path.to_string());
    all.say("network.protocol.name", "websocket");
    all.say_if_any("client.address", told.client.map(address_text));
    all.say_if_any("error.type", error.map(String::from));
    all.say("framegate.request_id", told.id.to_owned());
    all.say("framegate.route", told.route.name.clone());
    all.say("framegate.listener", told.listener.to_owned());
    match &told.came_to {
        CameTo::Session(ended) => describe(&mut all, ended),
        CameTo::Answer(status) => all.say("http.response.status_code", i64::from(*status)),
        CameTo::Refusal(cause) => all.say("framegate.cause", *cause),
    }
    all.0
}

fn describe(all: &mut Attributes, ended: &Ended<'_>) {
    let Ended { endpoint, subprotocol, outcome, tallies } = ended;
    all.say("http.response.status_code", 101);
    all.say("framegate.backend", endpoint.backend.to_string());
    all.say("framegate.server", endpoint.label.to_string());
    all.say_if_any("framegate.subprotocol", subprotocol.map(String::from));
    all.say("framegate.by", outcome.by.word());
    all.say("framegate.cause", outcome.cause.word());
    all.say_if_any("framegate.about", outcome.about.map(|side| side.word()));
    if let Cause::Violation(violation) = outcome.cause {
        all.say("framegate.rule", violation.rule());
    }
    all.say_if_any("framegate.close_code", outcome.close.code.map(i64::from));
    let Pair { client, backend } = tallies;
    all.say("framegate.from_client.messages", number(client.messages()));
    all.say("framegate.from_client.bytes", number(client.bytes()));
    all.say("framegate.from_backend.messages", number(backend.messages()));
    all.say("framegate.from_backend.bytes", number(backend.bytes()));
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What went wrong, in one word. A session that was told to go, or had its time, went well.
fn error(came_to: &CameTo<'_>) -> Option<Cow<'static, str>> {
    match came_to {
        CameTo::Session(ended) => is_abnormal(ended.outcome.cause).then(|| ended.outcome.cause.word().into()),
        // By the conventions: what is the client's fault is no error of a server's.
        CameTo::Answer(status) => (*status >= 500).then(|| status.to_string().into()),
        CameTo::Refusal(cause) => Some((*cause).into()),
    }
}

fn is_abnormal(cause: Cause) -> bool {
    match cause {
        Cause::Violation(_)
        | Cause::ClientLost
        | Cause::BackendLost
        | Cause::PongTimeout
        | Cause::Idle
        | Cause::DataIdle
        | Cause::FirstMessage
        | Cause::WriteTimeout
        | Cause::Order(Order::BackendDown)
        | Cause::Broken => true,
        Cause::Closed
        | Cause::Age
        | Cause::Order(Order::Drain | Order::Reload | Order::Kick | Order::TokenExpired) => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::backend::pool::Place;
    use crate::frame::{Close, Side, Violation};
    use crate::relay::{By, Outcome, Tally};
    use crate::route::Route;
    use std::time::Duration;

    const TRACE: Trace = Trace { id: [7; 16], parent: [9; 8], flags: 1 };

    fn told<'a>(route: &'a Route, came_to: CameTo<'a>) -> Told<'a> {
        let client = Some("192.0.2.1".parse().unwrap());
        Told { id: "an-id", route, listener: "door", client, came_to }
    }

    fn span(told: &Told<'_>, parent: Option<[u8; 8]>) -> SpanData {
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        report(&TRACE, parent, began..began + Duration::from_secs(2), told)
    }

    pub(in super::super) fn any_span() -> SpanData {
        span(&told(&Route::new("route", 0), CameTo::Answer(403)), None)
    }

    fn value(span: &SpanData, name: &str) -> Option<String> {
        let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name)?;
        Some(found.value.to_string())
    }

    /// The span of a session that ended so.
    fn session(by: By, cause: Cause, about: Option<Side>, code: Option<u16>) -> SpanData {
        let (place, route) = (Place::somewhere(), Route::new("chat", 0));
        let close = Close { code, reason: "hush".into() };
        let outcome = Outcome { by, cause, about, close, lived: Duration::ZERO };
        let one = |text, binary| Tally {
            text_messages: text,
            text_bytes: 10 * text,
            binary_messages: binary,
            binary_bytes: 100 * binary,
            ..Tally::default()
        };
        let tallies = Pair { client: one(1, 2), backend: one(3, 0) };
        let endpoint = place.endpoint();
        let ended = Ended { endpoint, subprotocol: Some("graphql-ws"), outcome: &outcome, tallies };
        span(&told(&route, CameTo::Session(ended)), None)
    }

    #[test]
    fn ids_and_times() {
        let route = Route::new("chat", 0);
        let span = span(&told(&route, CameTo::Answer(403)), Some([5; 8]));
        assert_eq!(span.span_context.trace_id().to_bytes(), TRACE.id);
        assert_eq!(span.span_context.span_id().to_bytes(), TRACE.parent);
        assert_eq!((span.parent_span_id.to_bytes(), span.parent_span_is_remote), ([5; 8], true));
        assert_eq!(span.end_time.duration_since(span.start_time).unwrap(), Duration::from_secs(2));
        assert_eq!((&*span.name, span.span_kind), ("websocket chat", SpanKind::Server));
        let first = session(By::Client, Cause::Closed, None, None);
        assert_eq!((first.parent_span_id, first.parent_span_is_remote), (SpanId::INVALID, false));
    }

    #[test]
    fn what_a_session_says() {
        let about = Some(Side::Client);
        let span = session(By::Gateway, Cause::Violation(Violation::MessageSize), about, Some(1009));
        let said: Vec<String> =
            span.attributes.iter().map(|one| format!("{}={}", one.key.as_str(), one.value)).collect();
        assert_eq!(
            said,
            [
                "http.request.method=GET",
                "http.route=/*",
                "network.protocol.name=websocket",
                "client.address=192.0.2.1",
                "error.type=limit.message",
                "framegate.request_id=an-id",
                "framegate.route=chat",
                "framegate.listener=door",
                "http.response.status_code=101",
                "framegate.backend=backend",
                "framegate.server=unix:backend",
                "framegate.subprotocol=graphql-ws",
                "framegate.by=gateway",
                "framegate.cause=limit.message",
                "framegate.about=client",
                "framegate.rule=max_message_size",
                "framegate.close_code=1009",
                "framegate.from_client.messages=3",
                "framegate.from_client.bytes=210",
                "framegate.from_backend.messages=3",
                "framegate.from_backend.bytes=30",
            ]
        );
        assert_eq!(span.status, Status::error("limit.message"));
        assert!(!format!("{span:?}").contains("hush"), "a peer's words are not for here");
    }

    #[test]
    fn what_is_an_error() {
        let orders = [Order::Drain, Order::Reload, Order::Kick, Order::TokenExpired].map(Cause::Order);
        for cause in [Cause::Closed, Cause::Age].into_iter().chain(orders) {
            let span = session(By::Gateway, cause, None, None);
            assert_eq!((span.status.clone(), value(&span, "error.type")), (Status::Unset, None), "{cause:?}");
            assert_eq!(value(&span, "framegate.cause").as_deref(), Some(cause.word()));
        }
        for cause in [
            Cause::ClientLost,
            Cause::BackendLost,
            Cause::PongTimeout,
            Cause::Idle,
            Cause::DataIdle,
            Cause::FirstMessage,
            Cause::WriteTimeout,
            Cause::Order(Order::BackendDown),
            Cause::Broken,
        ] {
            let span = session(By::Gateway, cause, None, None);
            assert_eq!(span.status, Status::error(cause.word()));
            assert_eq!(value(&span, "error.type").as_deref(), Some(cause.word()));
        }
    }

    #[test]
    fn upgrades_that_came_to_nothing() {
        let route = Route::new("chat", 0);
        for (came_to, status) in [
            (CameTo::Answer(403), Status::Unset),
            (CameTo::Answer(503), Status::error("503")),
            (CameTo::Refusal("backend_connect"), Status::error("backend_connect")),
        ] {
            assert_eq!(span(&told(&route, came_to), None).status, status, "{came_to:?}");
        }
    }
}
