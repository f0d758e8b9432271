//! Spans: what a collector hears of sessions, what a backend hears of spans, and that nobody hears of a collector that is
//! not there.

use crate::support::*;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A gateway whose spans go to a collector of ours, soon; with more of the environment.
fn traced(mood: Mood, more: &[(&str, &str)]) -> (Front, Collector) {
    let (collector, backend) = (Collector::start(mood), Backend::start());
    let url = collector.url();
    let mut environment =
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    environment.extend(more);
    let config = format!(
        "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"test\"\npath = \"/chat/*\"\nbackend = \"{}\"\n",
        backend.url()
    );
    let gateway = Gateway::start_with_environment(&environment, &config);
    (Front { gateway, backend }, collector)
}

fn ask() -> Ask {
    Ask::new().target("/chat/room?token=hush1").also("Cookie: id=hush2")
}

/// The parts of a header that has to be good.
fn parts(forwarded: &str) -> Vec<String> {
    let lines = values(forwarded, "traceparent");
    assert_eq!(lines.len(), 1, "{forwarded}");
    let parts: Vec<String> = lines[0].split('-').map(String::from).collect();
    assert_eq!(parts.iter().map(String::len).collect::<Vec<_>>(), [2, 32, 16, 2], "{lines:?}");
    parts
}

fn end(gateway: Gateway) {
    let lines = gateway.rest_of_log();
    assert!(lines.iter().any(|line| line["message"] == "stopped"), "{lines:#?}");
}

#[test]
fn one_span_a_session_between_the_clients_and_the_backends() {
    let headers =
        [("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=hush3"), ("OTEL_RESOURCE_ATTRIBUTES", "pod=seven")];
    let (front, collector) = traced(Mood::Takes, &headers);
    let request = ask()
        .also(&format!("traceparent: 00-{ID}-{PARENT}-01"))
        .also("tracestate: a=b,c=d")
        .also("X-Request-Id: mine");
    let (forwarded, mut client, mut server) = front.expect_admitted(&request);
    let [_, trace, ours, flags] = &parts(&forwarded)[..] else { unreachable!() };
    assert_eq!((trace.as_str(), flags.as_str()), (ID, "01"));
    assert_ne!(ours, PARENT, "whoever takes part is the parent");
    assert_eq!(values(&forwarded, "tracestate"), ["a=b,c=d"]);
    assert_eq!(front.opened()["trace"], ID);
    client.send(client_frame(0x81, b"hush4"));
    server.expect(client_frame(0x81, b"hush4"));
    server.send(server_frame(0x82, b"hush"));
    client.expect(server_frame(0x82, b"hush"));
    client.send(client_frame(0x88, &close_payload(4000, "hush5")));
    server.expect(client_frame(0x88, &close_payload(4000, "hush5")));
    server.send(server_frame(0x88, &close_payload(4000, "hush5")));
    client.expect_close(4000);
    drop((client, server));
    let delivery = collector.delivery();
    assert!(delivery.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", delivery.head);
    assert_eq!(values(&delivery.head, "x-scope"), ["hush3"]);
    assert_eq!(values(&delivery.head, "host"), [collector.address.to_string()]);
    assert!(!String::from_utf8_lossy(&delivery.body).contains("hush"));
    let [span] = &delivery.spans[..] else { panic!("{:#?}", delivery.spans) };
    assert_eq!((&*span.trace, &*span.parent, &span.id), (ID, PARENT, ours));
    assert_eq!((&*span.name, span.kind, span.status, &*span.scope), ("websocket test", 2, 0, "framegate"));
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/chat/*"),
        ("http.response.status_code", "101"),
        ("client.address", "127.0.0.1"),
        ("framegate.request_id", "mine"),
        ("framegate.route", "test"),
        ("framegate.listener", "plain"),
        ("framegate.server", &front.backend.url()),
        ("framegate.by", "client"),
        ("framegate.cause", "closed"),
        ("framegate.close_code", "4000"),
        ("framegate.from_client.messages", "1"),
        ("framegate.from_client.bytes", "5"),
        ("framegate.from_backend.messages", "1"),
        ("framegate.from_backend.bytes", "4"),
    ] {
        assert_eq!(span.say(name), value, "{name} in {span:#?}");
    }
    let of_the_program = ["service.name", "pod"].map(|name| span.resource[name].as_str());
    assert_eq!(of_the_program, ["framegate", "seven"]);
    let line = front.gateway.ended();
    assert_eq!(line["trace"], ID);
    let logged = Duration::from_millis(line["duration_ms"].as_u64().unwrap());
    assert!(span.lasted >= logged && span.lasted < logged + SOON, "{span:#?}");
    let log = format!("{:#?}", front.gateway.rest_of_log());
    assert!(!log.contains("hush"), "{log}");
    collector.expect_no_more();
}

#[test]
fn a_trace_begins_where_the_client_has_none() {
    let (front, collector) = traced(Mood::Takes, &[("OTEL_SERVICE_NAME", "edge")]);
    let mut traces = Vec::new();
    for request in [ask(), ask().also("traceparent: 00-nonsense-01")] {
        let (forwarded, client, server) = front.expect_admitted(&request.also("tracestate: a=b"));
        let [_, trace, ours, flags] = &parts(&forwarded)[..] else { unreachable!() };
        assert_eq!(flags, "01");
        assert_eq!(values(&forwarded, "tracestate"), Vec::<&str>::new(), "it belonged to no trace");
        assert_eq!(front.opened()["trace"], trace.as_str());
        drop((client, server));
        let span = collector.span();
        assert_eq!((&span.trace, &*span.parent, &span.id), (trace, "", ours));
        assert_eq!((span.status, span.say("error.type")), (2, span.status_message.as_str()));
        assert_eq!(front.gateway.ended()["cause"], span.status_message.as_str());
        assert_eq!(span.resource["service.name"], "edge");
        traces.push(span.trace);
    }
    assert_ne!(traces[0], traces[1]);
}

#[test]
fn what_is_not_sampled_passes_as_it_came() {
    let unsampled = format!("00-{ID}-{PARENT}-00");
    let sampled = format!("00-{ID}-{PARENT}-01");
    for (sampler, line) in [("", &unsampled), ("always_off", &sampled)] {
        let (front, collector) = traced(Mood::Takes, &[("OTEL_TRACES_SAMPLER", sampler)]);
        let request = ask().also(&format!("traceparent: {line}")).also("tracestate: a=b");
        let (forwarded, client, server) = front.expect_admitted(&request);
        assert_eq!(values(&forwarded, "traceparent"), [line.as_str()]);
        assert_eq!(values(&forwarded, "tracestate"), ["a=b"]);
        drop((client, server));
        assert_eq!(front.gateway.ended()["trace"], ID);
        end(front.gateway);
        collector.expect_no_more();
    }
}

/// Only upgrades have spans.
#[test]
fn a_plain_request_passes_as_it_came() {
    let (front, collector) = traced(Mood::Takes, &[]);
    let line = format!("00-{ID}-{PARENT}-01");
    let mut client = front.send(Ask::plain().target("/chat/").also(&format!("traceparent: {line}")).bytes());
    let mut server = front.backend.accept();
    assert_eq!(values(&server.head(), "traceparent"), [line]);
    server.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 204 "));
    drop((client, server));
    end(front.gateway);
    collector.expect_no_more();
}

/// The backend was told of a span, which must not be missing in the trace.
#[test]
fn an_upgrade_that_comes_to_nothing_has_one_too() {
    let (front, collector) = traced(Mood::Takes, &[]);
    let mut client = front.send(ask().also(&format!("traceparent: 00-{ID}-{PARENT}-01")).bytes());
    let mut server = front.backend.accept();
    let told = parts(&server.head()).remove(2);
    server.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 403 "));
    let span = collector.span();
    assert_eq!((&span.id, &*span.parent, span.status), (&told, PARENT, 0));
    assert_eq!((span.say("http.response.status_code"), span.say("framegate.by")), ("403", ""));
    let mut client = front.send(ask().bytes());
    front.backend.accept().send("nonsense\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 502 "));
    let span = collector.span();
    assert_eq!((span.status, &*span.status_message), (2, "backend_answer"));
    // Whom a policy turns away never gets so far.
    front.send(ask().also("Origin: https://elsewhere.test").bytes()).head();
    end(front.gateway);
    collector.expect_no_more();
}

#[test]
fn how_a_session_ended() {
    let (front, collector) = traced(Mood::Takes, &[]);
    let (_, mut client, server) = front.expect_admitted(&ask());
    // Reserved bits (RFC 6455 5.2).
    client.send(client_frame(0xF1, b"x"));
    client.expect_close(1002);
    drop((client, server));
    let span = collector.span();
    assert_eq!((span.status, &*span.status_message), (2, "protocol"));
    let said = ["framegate.by", "framegate.about", "framegate.close_code"].map(|name| span.say(name));
    assert_eq!(said, ["gateway", "client", "1002"]);
    assert_ne!(span.say("framegate.rule"), "");
    // Drained: that is no error, and the last span goes before the program does.
    let (_, _client, _server) = front.expect_admitted(&ask());
    front.gateway.signal("TERM");
    front.gateway.signal("TERM");
    let span = collector.span();
    assert_eq!((span.status, span.say("framegate.cause")), (0, "drain"));
}

#[test]
fn what_waits_goes_with_the_program() {
    let (front, collector) = traced(Mood::Takes, &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);
    for _ in 0..3 {
        drop(front.expect_admitted(&ask()));
        front.gateway.ended();
    }
    end(front.gateway);
    assert_eq!(collector.delivery().spans.len(), 3);
    collector.expect_no_more();
}

#[test]
fn a_collector_that_is_down_disturbs_nobody_and_is_told_of_once() {
    for mood in [Mood::HangsUp, Mood::Answers(400), Mood::Answers(503)] {
        let (front, collector) = traced(mood, &[]);
        for round in 0..3 {
            let (_, mut client, mut server) = front.expect_admitted(&ask());
            client.send(client_frame(0x81, b"there?"));
            server.expect(client_frame(0x81, b"there?"));
            drop((client, server));
            front.gateway.ended();
            if mood == Mood::Answers(400) {
                // Which is not tried again: this batch is lost for certain.
                assert_eq!(collector.span().say("framegate.cause"), "client_lost");
            }
            if round == 0 {
                let line = front.gateway.wait_for("spans are lost", |line| says(line, "spans are lost"));
                assert_eq!((line["level"].as_str(), line["lost"].as_u64()), (Some("WARN"), Some(1)));
                let why = line["why"].as_str().unwrap();
                assert!(why.contains(&collector.address.to_string()), "{why}");
            }
        }
        collector.becomes(Mood::Takes);
        // Sooner or later, for what was lost may still be tried again.
        drop(front.expect_admitted(&ask()));
        let line = front.gateway.wait_for("no more", |line| says(line, "no more spans are lost"));
        assert!((1..=3).contains(&line["lost"].as_u64().unwrap()), "{line:#}");
        let lines = front.gateway.rest_of_log();
        assert!(!lines.iter().any(|line| says(line, "spans are lost")), "told twice: {lines:#?}");
    }
}

fn says(line: &serde_json::Value, what: &str) -> bool {
    line["message"].as_str().is_some_and(|message| message.starts_with(what))
}

#[test]
fn nobody_waits_for_a_collector_on_the_way_out() {
    let (mut front, _collector) = traced(Mood::Silent, &[]);
    drop(front.expect_admitted(&ask()));
    front.gateway.ended();
    let before = Instant::now();
    front.gateway.signal("TERM");
    assert_eq!(front.gateway.exit_code(), Some(0));
    assert!(before.elapsed() < AT_ONCE, "{:?}", before.elapsed());
    let lines = front.gateway.lines_to_the_end();
    assert!(lines.iter().any(|line| says(line, "the collector did not take the last spans")), "{lines:#?}");
}

#[test]
fn a_collector_that_nobody_could_reach_is_refused_at_the_start() {
    // A program that finds nothing wrong must end too.
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    for (name, value, hint) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:hush@collector:4318", "https:// is not supported"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_framegate"))
            .args(["proxy", "--to", "ws://127.0.0.1:1", "--listen"])
            .arg(taken.local_addr().unwrap().to_string())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
            .env(name, value)
            .output()
            .unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert!(!run.status.success(), "{said}");
        assert!(said.contains(name) && said.contains(hint) && !said.contains("hush"), "{said}");
    }
}
