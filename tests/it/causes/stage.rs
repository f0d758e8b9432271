//! A gateway where there is something of everything that turns clients away.

use super::watch::{Counts, Watch, text};
use crate::support::*;
use framegate::refusal::Refusal;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::SocketAddr;

/// What most of them take, in one configuration: routes by path and listeners by name.
pub struct Stage {
    pub watch: Watch,
    pub signer: Signer,
    pub authority: Authority,
    /// Those that the configuration names.
    _servants: Vec<Servant>,
    _hole: BlackHole,
    _nobody: Nobody,
}

/// The order of the listeners in the file.
#[derive(Clone, Copy)]
pub enum Door {
    Plain,
    Small,
    Single,
    Slow,
    Hasty,
    Introduced,
    Tls,
    HastyTls,
}

const LISTENERS: &str = "[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n\
    [[listener]]\nname = \"small\"\nbind = \"127.0.0.1:0\"\nmax_connections = 1\n\
    [[listener]]\nname = \"single\"\nbind = \"127.0.0.1:0\"\nmax_connections_per_ip = 1\n\
    [[listener]]\nname = \"slow\"\nbind = \"127.0.0.1:0\"\nhandshakes_per_ip = { per_second = 1, burst = 1 }\n\
    [[listener]]\nname = \"hasty\"\nbind = \"127.0.0.1:0\"\nhandshake_timeout = \"200ms\"\n\
    [[listener]]\nname = \"introduced\"\nbind = \"127.0.0.1:0\"\nproxy_protocol = \"require\"\n";

impl Stage {
    pub fn set() -> Stage {
        let signer = Signer::new(Algorithm::ES256, "key");
        let authority = Authority::new();
        authority.sign(&["a.test", "b.test"]);
        let servants = [
            Manner::Silence,
            Manner::Garbage,
            Manner::WrongAccept,
            Manner::Serve,
            Manner::Answer(403),
            Manner::Answer(500),
        ];
        let servants: Vec<Servant> = servants.map(|manner| Servant::start("servant", manner)).into();
        let [silent, garbage, wrong, serving, strict, broken] =
            [0, 1, 2, 3, 4, 5].map(|at| servants[at].address);
        let (hole, nobody) = (BlackHole::dig(), Nobody::at_home());
        let gone = nobody.address;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("jwks.json"), jwks(&signer)).unwrap();
        let route = |name: &str, backend: &str, keys: &str| {
            format!("[[route]]\nname = \"{name}\"\npath = \"/{name}/*\"\nbackend = \"{backend}\"\n{keys}\n")
        };
        let pool = |name: &str, server: String, keys: &str| {
            format!("[[backend]]\nname = \"{name}\"\nservers = [\"{server}\"]\nretries = \"none\"\n{keys}\n")
        };
        let ask = |address: SocketAddr, timeout: &str| {
            format!("access.forward_auth = {{ url = \"http://{address}/\", timeout = \"{timeout}\" }}")
        };
        let tls = |name: &str, keys: &str| {
            let listener = authority.listener(&["a.test"], "");
            listener.replace("[[listener]]", &format!("[[listener]]\nname = \"{name}\"\n{keys}"))
        };
        let token = "access.jwt = { jwks_file = \"jwks.json\", audience = \"chat\", issuer = \"id\" }";
        let config = [
            // Nobody who comes here.
            "trusted_proxies = [\"192.0.2.1\"]\n".to_string(),
            LISTENERS.to_string(),
            tls("tls", ""),
            tls("hasty-tls", "handshake_timeout = \"200ms\""),
            route("plain", "BACKEND", ""),
            route("pages", "BACKEND", "http = \"reject\""),
            route("address", "BACKEND", "access.deny = [\"127.0.0.0/8\"]"),
            route("token", "BACKEND", token),
            route("auth-silent", "BACKEND", &ask(silent, "200ms")),
            route("auth-gone", "BACKEND", &ask(gone, "15s")),
            route("auth-garbage", "BACKEND", &ask(garbage, "15s")),
            route("auth-strict", "BACKEND", &ask(strict, "15s")),
            route("auth-broken", "BACKEND", &ask(broken, "15s")),
            route("full", "BACKEND", "limits.max_connections = 1"),
            route("gone", &format!("ws://{gone}"), ""),
            route("dns", "ws://backend.invalid:80", ""),
            route("tls", "tls", ""),
            route("hole", "hole", ""),
            route("silent", "silent", ""),
            route("broken", &format!("ws://{broken}"), ""),
            route("wrong", &format!("ws://{wrong}"), ""),
            route("crowded", "crowded", ""),
            // Two that TLS can tell apart.
            route("a", "BACKEND", "host = \"a.test\""),
            route("b", "BACKEND", "host = \"b.test\""),
            pool("tls", "wss://HOST".into(), "tls.verify = \"accept-any-certificate\""),
            pool("hole", format!("ws://{}", hole.address), "connect_timeout = \"200ms\""),
            pool("silent", format!("ws://{silent}"), "upgrade_timeout = \"200ms\""),
            pool("crowded", format!("ws://{serving}"), "max_connections = 1"),
        ];
        let watch = Watch::start_in(dir, &config.concat());
        Stage { watch, signer, authority, _servants: servants, _hole: hole, _nobody: nobody }
    }

    pub fn connect(&self, at: Door) -> Raw {
        Raw::connect(self.watch.gateway.listeners[at as usize])
    }

    /// The plain listener gets this request.
    pub fn asks(&self, request: Ask) -> Raw {
        let mut client = self.connect(Door::Plain);
        client.send(request.bytes());
        client
    }

    /// An upgrade on the route of this name, with these changes.
    pub fn upgrade(&self, route: &str, changes: &[&str]) -> Raw {
        self.asks(Ask::new().target(&format!("/{route}/")).with(changes))
    }

    pub fn bearer(&self, token: &str) -> Raw {
        self.upgrade("token", &[&format!("Authorization: Bearer {token}")])
    }

    /// With a token that is good but for these changes.
    pub fn claims(&self, changes: Value) -> Raw {
        let mut claims = json!({ "aud": "chat", "iss": "id" });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.bearer(&self.signer.token(claims))
    }

    /// With a token that is good but for who signed it.
    pub fn signed_by(&self, signer: &Signer) -> Raw {
        self.bearer(&signer.token(json!({ "aud": "chat", "iss": "id" })))
    }

    /// Where one session is all that there may be.
    pub fn second_at(&self, at: Door, refusal: Refusal) -> usize {
        let name = if matches!(at, Door::Small) { "seated-small" } else { "seated-single" };
        let mut seated = self.connect(at);
        seated.send(Ask::new().target("/plain/").with(&[&format!("X-Request-Id: {name}")]).bytes());
        let server = self.watch.backend.accept_upgrade(b"");
        assert!(seated.head().starts_with("HTTP/1.1 101 "));
        let count = told(self.connect(at), refusal);
        drop((seated, server));
        count
    }
}

/// The client reads the status and the public word.
pub fn told<S: Read + Write>(mut client: Raw<S>, refusal: Refusal) -> usize {
    expect_refusal(&mut client, refusal.status().as_u16(), refusal.public_word());
    1
}

/// The lines and the metrics agree on what was refused since `before`: as many as that, one of them for this.
pub fn expect_agreement(watch: &Watch, before: &Counts, refusal: Refusal, count: usize) {
    let lines: Vec<Value> = (0..count).map(|_| watch.gateway.refused()).collect();
    let it = lines.iter().find(|line| text(line, "cause") == refusal.cause_word());
    let it = it.unwrap_or_else(|| panic!("{refusal:?} is not among {lines:#?}"));
    assert_eq!(it["status"].as_u64(), Some(refusal.status().as_u16().into()), "{it:#}");
    let mut expected = Counts::new();
    for line in &lines {
        let (listener, cause) = (text(line, "listener"), text(line, "cause"));
        let series = format!("framegate_handshakes_refused_total{{listener={listener:?},cause={cause:?}}}");
        *expected.entry(series).or_default() += 1;
    }
    watch.expect_refusals_counted(before, &expected);
}
