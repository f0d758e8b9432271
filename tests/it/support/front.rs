//! A gateway with one backend behind it, and what tests of handshakes ask of the two.

use super::ask::MIRROR;
use super::{Ask, Backend, Gateway, Raw, values};
use serde_json::Value;
use std::io::{Read, Write};

pub struct Front {
    pub gateway: Gateway,
    pub backend: Backend,
}

impl Front {
    /// One plain listener and one route, with more TOML for the route.
    pub fn new(route: &str) -> Front {
        let backend = Backend::start();
        let gateway = Gateway::in_front_of(&backend, route);
        Front { gateway, backend }
    }

    /// This configuration, in which `BACKEND` stands for the backend's URL.
    pub fn configured(config: &str) -> Front {
        let backend = Backend::start();
        let gateway = Gateway::start(&config.replace("BACKEND", &backend.url()));
        Front { gateway, backend }
    }

    /// One plain listener and these routes, all to the one backend.
    pub fn routes(routes: &str) -> Front {
        Front::configured(&format!("[[listener]]\nbind = \"127.0.0.1:0\"\n{routes}"))
    }

    pub fn send(&self, request: impl AsRef<[u8]>) -> Raw {
        let mut client = self.gateway.connect();
        client.send(request);
        client
    }

    /// The request gets no further than the gateway. Returns the answer's head and the log line.
    pub fn expect_refused(&self, request: &Ask, status: u16, cause: &str) -> (String, Value) {
        let head = expect_refusal(&mut self.send(request.bytes()), status, cause);
        (head, self.expect_refused_in_log(status, cause))
    }

    pub fn expect_refused_in_log(&self, status: u16, cause: &str) -> Value {
        let line = self.gateway.refused();
        assert_eq!((line["status"].as_u64(), line["cause"].as_str()), (Some(status.into()), Some(cause)));
        assert!(!line["detail"].as_str().unwrap().is_empty());
        self.backend.expect_no_contact();
        line
    }

    /// The request becomes a session. Returns the request as the backend got it, and both ends.
    pub fn expect_admitted(&self, request: &Ask) -> (String, Raw, Raw) {
        let mut client = self.send(request.bytes());
        let (forwarded, server) = self.backend.accept_upgrade(b"");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        (forwarded, client, server)
    }

    /// The request as the backend gets it, whatever becomes of it.
    pub fn forwarded(&self, request: &Ask) -> String {
        let (forwarded, _, _) = self.expect_admitted(request);
        forwarded
    }

    /// The route that takes the request.
    pub fn route_of(&self, request: &Ask) -> String {
        self.expect_admitted(request);
        self.opened()["route"].as_str().unwrap().to_string()
    }

    /// The line of the next session that opened.
    pub fn opened(&self) -> Value {
        self.gateway.wait_for("session opened", |line| line["message"] == "session opened")
    }
}

/// A refusal comes next, and then the end of the stream. Returns its head.
pub fn expect_refusal<S: Read + Write>(client: &mut Raw<S>, status: u16, cause: &str) -> String {
    let head = client.head();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "wanted {status} {cause}: {head}");
    assert_eq!(values(&head, "x-framegate-cause"), [cause]);
    // RFC 9110 7.8: who sends Upgrade names it in Connection too.
    let connection = if status == 426 { "close, upgrade" } else { "close" };
    assert_eq!(values(&head, "connection"), [connection]);
    assert_eq!(values(&head, "content-type"), ["text/plain; charset=utf-8"]);
    let body = String::from_utf8(client.rest()).unwrap();
    assert_eq!(values(&head, "content-length"), [body.len().to_string()]);
    assert!((1..=100).contains(&body.len()), "{body}");
    assert!(!head.contains(MIRROR) && !body.contains(MIRROR), "{head}{body}");
    head
}
