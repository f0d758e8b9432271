//! Requests to the admin address, over TCP or a unix socket.

use super::{Gateway, Raw, SOON, body, values};
use serde_json::Value;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// For the end of a configuration: an admin address of its own for each test.
pub const ADMIN: &str = "[admin]\nbind = \"127.0.0.1:0\"\n";

pub struct Admin {
    pub at: At,
    /// Sent along with every request.
    token: Option<String>,
}

#[derive(Clone, Debug)]
pub enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Admin {
    /// Where the gateway says that it is.
    pub fn of(gateway: &Gateway) -> Admin {
        let line = gateway.wait_for("admin listening", |line| line["message"] == "admin listening");
        let at = line["bind"].as_str().unwrap();
        let at = match at.strip_prefix("unix:") {
            Some(path) => At::Unix(path.into()),
            None => At::Tcp(at.parse().unwrap()),
        };
        Admin { at, token: None }
    }

    pub fn with_token(self, token: &str) -> Admin {
        Admin { token: Some(token.into()), ..self }
    }

    /// As a `Host` has it.
    pub fn host(&self) -> String {
        match &self.at {
            At::Tcp(address) => address.to_string(),
            At::Unix(_) => "localhost".into(),
        }
    }

    pub fn tcp(&self) -> Raw {
        match self.at {
            At::Tcp(address) => Raw::connect(address),
            At::Unix(_) => panic!("a unix socket"),
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], "")
    }

    /// What a good GET says.
    pub fn told(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    pub fn post(&self, path: &str, json: &str) -> Answer {
        self.ask(&format!("POST {path}"), &["Content-Type: application/json"], json)
    }

    /// What a good POST says.
    pub fn done(&self, path: &str, json: &str) -> Value {
        let answer = self.post(path, json);
        assert_eq!(answer.status, 200, "{path} {json}: {answer:?}");
        answer.json()
    }

    /// A request with these lines beside Host, which they may bring themselves.
    pub fn ask(&self, what: &str, lines: &[&str], body: &str) -> Answer {
        let mut request = format!("{what} HTTP/1.1\r\n");
        let brings = |name: &str| lines.iter().any(|line| line.to_ascii_lowercase().starts_with(name));
        if !brings("host:") {
            request += &format!("Host: {}\r\n", self.host());
        }
        if let Some(token) = self.token.as_ref().filter(|_| !brings("authorization:")) {
            request += &format!("Authorization: Bearer {token}\r\n");
        }
        for line in lines {
            request += &format!("{line}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(&format!("{request}\r\n{body}"))
    }

    /// These bytes, and what comes back.
    pub fn send(&self, bytes: &str) -> Answer {
        match &self.at {
            At::Tcp(address) => Answer::to(&mut Raw::connect(*address), bytes),
            At::Unix(path) => {
                let stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(SOON)).unwrap();
                Answer::to(&mut Raw::over(stream), bytes)
            }
        }
    }
}

impl Answer {
    pub fn to<S: std::io::Read + std::io::Write>(raw: &mut Raw<S>, bytes: &str) -> Answer {
        raw.send(bytes);
        let head = raw.head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_bare = bytes.starts_with("HEAD") || status == 101;
        let body = if is_bare { Vec::new() } else { body(raw, &head) };
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Vec<&str> {
        values(&self.head, name)
    }
}
