//! Handshakes that come to nothing: each refusal by a client that earns it, or by a backend that fails it.

use super::stage::{Door, Stage, expect_agreement, told};
use super::table;
use super::watch::{Counts, Watch};
use crate::support::*;
use framegate::refusal::Refusal;
use jsonwebtoken::Algorithm;
use serde_json::json;

/// How it is earned: on the stage, or with a gateway of its own, whose first refusal it has to be.
pub enum How {
    /// How many were refused on the way, the last one for this.
    OnStage(fn(&Stage, Refusal) -> usize),
    Alone(fn(Refusal) -> Watch),
}

use How::{Alone, OnStage};

table!(pub refusals: Refusal => How {
    BadRequest => OnStage(|on, it| told(on.upgrade("plain", &["Sec-WebSocket-Key: short"]), it)),
    Method => OnStage(|on, it| told(on.asks(Ask::new().line("POST /plain/ HTTP/1.1")), it)),
    Version => OnStage(|on, it| told(on.upgrade("plain", &["Sec-WebSocket-Version: 8"]), it)),
    NotUpgrade => OnStage(|on, it| told(on.asks(Ask::plain().target("/pages/")), it)),
    Path => OnStage(|on, it| told(on.asks(Ask::new().target("/%2F")), it)),
    Host => OnStage(|on, it| told(on.upgrade("plain", &["-Host"]), it)),
    Misdirected => OnStage(|on, it| {
        let address = on.watch.gateway.listeners[Door::Tls as usize];
        let mut client = on.authority.client().connect(address, "a.test").unwrap();
        client.send(Ask::new().target("/b/").with(&["Host: b.test"]).bytes());
        told(client, it)
    }),
    NoRoute => OnStage(|on, it| told(on.upgrade("nowhere", &[]), it)),
    Origin => OnStage(|on, it| told(on.upgrade("plain", &["Origin: http://evil.test"]), it)),
    Address => OnStage(|on, it| told(on.upgrade("address", &[]), it)),
    TokenMissing => OnStage(|on, it| told(on.upgrade("token", &[]), it)),
    TokenExpired => OnStage(|on, it| told(on.claims(json!({ "exp": now() - 60 })), it)),
    TokenNotYet => OnStage(|on, it| told(on.claims(json!({ "nbf": now() + 600 })), it)),
    TokenAudience => OnStage(|on, it| told(on.claims(json!({ "aud": "mail" })), it)),
    TokenIssuer => OnStage(|on, it| told(on.claims(json!({ "iss": "somebody" })), it)),
    TokenAlgorithm => OnStage(|on, it| told(on.signed_by(&Signer::new(Algorithm::HS256, "key")), it)),
    TokenKey => OnStage(|on, it| told(on.signed_by(&Signer::new(Algorithm::ES256, "unknown")), it)),
    TokenSignature => OnStage(|on, it| told(on.signed_by(&Signer::new(Algorithm::ES256, "key")), it)),
    TokenMalformed => OnStage(|on, it| told(on.bearer("no-token"), it)),
    AuthTimeout => OnStage(|on, it| told(on.upgrade("auth-silent", &[]), it)),
    AuthUnreachable => OnStage(|on, it| told(on.upgrade("auth-gone", &[]), it)),
    AuthAnswer => OnStage(|on, it| told(on.upgrade("auth-garbage", &[]), it)),
    ProcessFull => Alone(|it| {
        let watch = Watch::start(&format!("max_connections = 1\n{ONE_ROUTE}"));
        let seated = watch.open_silent("seated", "a", "");
        told(watch.gateway.connect(), it);
        drop(seated);
        watch
    }),
    ListenerFull => OnStage(|on, it| on.second_at(Door::Small, it)),
    RouteFull => OnStage(|on, it| {
        let seated = on.watch.open_silent("seated-full", "full", "");
        let count = told(on.upgrade("full", &[]), it);
        drop(seated);
        count
    }),
    AddressFull => OnStage(|on, it| on.second_at(Door::Single, it)),
    HandshakeRate => OnStage(|on, it| {
        // The burst is one. A machine that takes a second for each attempt lets another one in.
        let attempts = std::iter::repeat_with(|| {
            let mut client = on.connect(Door::Slow);
            client.send(Ask::new().target("/nowhere/").bytes());
            client.head()
        });
        let status = format!("HTTP/1.1 {} ", it.status().as_u16());
        1 + attempts.take(60).position(|head| head.starts_with(&status)).expect("somebody is too fast")
    }),
    BackendConnect => OnStage(|on, it| told(on.upgrade("gone", &[]), it)),
    BackendDns => OnStage(|on, it| told(on.upgrade("dns", &[]), it)),
    BackendTls => OnStage(|on, it| {
        let client = on.upgrade("tls", &[]);
        on.watch.backend.accept().send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        told(client, it)
    }),
    BackendConnectTimeout => OnStage(|on, it| told(on.upgrade("hole", &[]), it)),
    BackendSilent => OnStage(|on, it| told(on.upgrade("silent", &[]), it)),
    BackendAnswer => OnStage(|on, it| told(on.upgrade("wrong", &[]), it)),
    BackendFull => OnStage(|on, it| {
        let mut seated = on.upgrade("crowded", &["X-Request-Id: seated-crowded"]);
        assert!(seated.head().starts_with("HTTP/1.1 101 "));
        let count = told(on.upgrade("crowded", &[]), it);
        drop(seated);
        count
    }),
    Overload => Alone(|it| {
        let config = format!("workers = 2\nmax_connections = \"none\"\n{ONE_ROUTE}");
        let watch = Watch::start_with_descriptors(DESCRIPTORS, &config);
        let waiting = use_up_descriptors(&watch.gateway);
        let mut client = watch.gateway.connect();
        client.send(Ask::new().target("/a/").bytes());
        told(client, it);
        drop(waiting);
        watch
    }),
    Draining => Alone(|it| {
        // A client whose turn comes too late: an auth server thought about it meanwhile.
        let auth = Backend::start();
        let asks = format!("access.forward_auth = {{ url = \"http://{}/\" }}", auth.address);
        let keys = "[shutdown]\nclose_spread = \"0s\"\n";
        let watch = Watch::start(&format!(
            "{keys}{ONE_ROUTE}[[route]]\npath = \"/asked/*\"\nbackend = \"BACKEND\"\n{asks}\n"
        ));
        let seated = watch.open_silent("seated", "a", "");
        let mut client = watch.gateway.connect();
        client.send(Ask::new().target("/asked/").bytes());
        let mut question = auth.accept();
        question.head();
        watch.gateway.signal("TERM");
        watch.gateway.wait_for("draining", |line| message(line).starts_with("no longer accepting"));
        question.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        told(client, it);
        // As long as somebody has not answered its Close, the process can be asked.
        std::mem::forget(seated);
        watch
    }),
} besides {});

const ONE_ROUTE: &str = "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n\
                         [[route]]\nname = \"a\"\npath = \"/a/*\"\nbackend = \"BACKEND\"\n";

const DESCRIPTORS: usize = 64;

/// Connections that leave one descriptor, for the next client.
fn use_up_descriptors(gateway: &Gateway) -> Vec<Raw> {
    // Inherited ones with higher numbers are beyond the limit and do not count.
    let used = || {
        let names = std::fs::read_dir(format!("/proc/{}/fd", gateway.child.id())).unwrap();
        let numbers = names.map(|name| name.unwrap().file_name().to_str().unwrap().parse::<usize>().unwrap());
        numbers.filter(|number| *number < DESCRIPTORS).count()
    };
    let mut waiting = Vec::new();
    while used() < DESCRIPTORS - 1 {
        let before = used();
        waiting.push(gateway.connect());
        within_a_moment("it is accepted", || used() > before);
    }
    waiting
}

#[test]
fn on_one_stage() {
    let stage = Stage::set();
    let mut refused = 0;
    for (refusal, how) in refusals() {
        let OnStage(earn) = how else { continue };
        let before = stage.watch.counts();
        let count = earn(&stage, refusal);
        expect_agreement(&stage.watch, &before, refusal, count);
        refused += count as u64;
    }
    // Those who had the seats that others wanted.
    for seated in ["seated-small", "seated-full", "seated-single", "seated-crowded"] {
        stage.watch.ended(seated);
    }
    stage.watch.expect_nothing_more(4, refused);
}

#[test]
fn each_alone() {
    for (refusal, how) in refusals() {
        let Alone(earn) = how else { continue };
        let watch = earn(refusal);
        expect_agreement(&watch, &Counts::new(), refusal, 1);
    }
}
