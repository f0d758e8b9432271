//! One gateway for many sessions, and how each of them ends.

use super::{Backend, Gateway, Raw, client_frame, close_payload, server_frame, upgrade_request};
use serde_json::Value;

/// A gateway in front of a scripted backend.
pub struct Bench {
    pub gateway: Gateway,
    pub backend: Backend,
}

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Client,
    Server,
}

impl Peer {
    pub const BOTH: [Peer; 2] = [Peer::Client, Peer::Server];

    /// A frame as this peer has to send it.
    pub fn frame(self, first: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Peer::Client => client_frame(first, payload),
            Peer::Server => server_frame(first, payload),
        }
    }

    /// The word for it in the log.
    pub fn word(self) -> &'static str {
        match self {
            Peer::Client => "client",
            Peer::Server => "backend",
        }
    }

    pub fn other(self) -> Peer {
        match self {
            Peer::Client => Peer::Server,
            Peer::Server => Peer::Client,
        }
    }
}

/// A session's two ends, by name.
pub struct Ends {
    pub client: Raw,
    pub server: Raw,
}

impl Ends {
    /// This peer's end and the other one.
    pub fn of(&mut self, peer: Peer) -> (&mut Raw, &mut Raw) {
        match peer {
            Peer::Client => (&mut self.client, &mut self.server),
            Peer::Server => (&mut self.server, &mut self.client),
        }
    }

    /// A message in each direction arrives: the session is alive.
    pub fn exchange(&mut self, word: &str) {
        for peer in Peer::BOTH {
            let message = peer.frame(0x81, word.as_bytes());
            let (from, to) = self.of(peer);
            from.send(&message);
            to.expect(&message);
        }
    }

    /// The same where pongs may still be on their way to the backend.
    pub fn exchange_past_pongs(&mut self, word: &str) {
        self.client.send(client_frame(0x81, word.as_bytes()));
        while self.server.frame() != (0x81, word.as_bytes().to_vec()) {}
        self.server.send(server_frame(0x81, word.as_bytes()));
        self.client.expect(server_frame(0x81, word.as_bytes()));
    }

    /// `peer` hears this Close; returns its reason.
    pub fn hears(&mut self, peer: Peer, code: u16) -> String {
        self.of(peer).0.expect_close(code)
    }

    /// `peer` sends a Close.
    pub fn closes(&mut self, peer: Peer, code: u16, reason: &str) {
        let frame = peer.frame(0x88, &close_payload(code, reason));
        self.of(peer).0.send(frame);
    }

    /// Both streams end with nothing more on them.
    pub fn both_end(mut self) {
        self.client.expect_end();
        self.server.expect_end();
    }
}

impl Bench {
    pub fn new(route: &str) -> Bench {
        let backend = Backend::start();
        let gateway = Gateway::in_front_of(&backend, route);
        Bench { gateway, backend }
    }

    /// With one event loop: what a loop needs to move anything at all is there once.
    pub fn on_one_loop(route: &str) -> Bench {
        let backend = Backend::start();
        let gateway = Gateway::start(&format!(
            "workers = 1\nmax_connections = \"none\"\n[[listener]]\nname = \"plain\"\nbind = \"127.0.0.1:0\"\n\
             [[route]]\nname = \"test\"\nbackend = \"{}\"\n{route}\n",
            backend.url()
        ));
        Bench { gateway, backend }
    }

    pub fn open(&self) -> Ends {
        let (client, server) = self.gateway.open_session(&self.backend);
        Ends { client, server }
    }

    /// A session with more header lines in its request and in the answer to it.
    pub fn open_with(&self, request: &str, response: &str) -> Ends {
        let mut client = self.gateway.connect();
        client.send(upgrade_request("/", request));
        let mut server = self.backend.accept();
        server.head();
        server.send(super::upgrade_response(response));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Ends { client, server }
    }

    /// A session whose client's kernel takes little at a time: what is sent to it soon waits in the gateway.
    pub fn open_narrow(&self) -> Ends {
        let mut client = Raw::connect_narrow(self.gateway.address());
        client.send(upgrade_request("/", ""));
        let (_, server) = self.backend.accept_upgrade(b"");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Ends { client, server }
    }

    /// The next session that ends was ended by the gateway for `cause`, because of `about`.
    pub fn expect_gateway_ended(&self, about: &str, cause: &str) -> Value {
        let line = self.gateway.expect_ended("gateway", cause);
        assert_eq!(line["about"].as_str(), Some(about), "{line:#}");
        line
    }
}

/// What a session's last line says of code, reason and rule.
pub fn told(line: &Value) -> (u64, &str, &str) {
    let text = |key: &str| line[key].as_str().unwrap();
    (line["code"].as_u64().unwrap(), text("reason"), text("rule"))
}

/// Messages and payload bytes of a kind ("client_text") in a session's last line.
pub fn counted(line: &Value, kind: &str) -> (u64, u64) {
    (line[kind].as_u64().unwrap(), line[format!("{kind}_bytes")].as_u64().unwrap())
}
