//! Requests and answers line by line.

use super::{ACCEPT, KEY, Raw};
use std::io::{Read, Write};

/// What no answer of the gateway's own may repeat: every request carries it.
pub const MIRROR: &str = "zzmirror";

/// A request in the making: a good upgrade, until it is changed.
#[derive(Clone)]
pub struct Ask {
    request_line: String,
    lines: Vec<String>,
    behind: Vec<u8>,
}

impl Ask {
    pub fn new() -> Ask {
        let lines = [
            "Host: gateway.test",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            &format!("Sec-WebSocket-Key: {KEY}"),
            &format!("X-Mirror: {MIRROR}"),
        ];
        Ask {
            request_line: format!("GET /?{MIRROR} HTTP/1.1"),
            lines: lines.map(String::from).to_vec(),
            behind: Vec::new(),
        }
    }

    /// A plain GET.
    pub fn plain() -> Ask {
        Ask::new().without("Connection").without("Upgrade").without_prefix("Sec-WebSocket-")
    }

    pub fn line(mut self, request_line: &str) -> Ask {
        self.request_line = request_line.into();
        self
    }

    /// A GET for this target.
    pub fn target(self, target: &str) -> Ask {
        self.line(&format!("GET {target} HTTP/1.1"))
    }

    /// Changes lines: `Name: value` stands in for what was there, `+Name: value` comes behind it, `-Name` removes it.
    pub fn with(mut self, changes: &[&str]) -> Ask {
        for change in changes {
            self = match (change.strip_prefix('+'), change.strip_prefix('-')) {
                (Some(more), _) => self.also(more),
                (_, Some(name)) => self.without(name),
                _ => {
                    let name = change.split(':').next().unwrap();
                    self.without(name).also(change)
                }
            };
        }
        self
    }

    pub fn also(mut self, line: &str) -> Ask {
        self.lines.push(line.into());
        self
    }

    pub fn without(mut self, name: &str) -> Ask {
        self.lines.retain(|line| !line.split(':').next().unwrap().eq_ignore_ascii_case(name));
        self
    }

    fn without_prefix(mut self, prefix: &str) -> Ask {
        self.lines.retain(|line| !line.starts_with(prefix));
        self
    }

    /// Bytes glued to the head.
    pub fn behind(mut self, bytes: impl AsRef<[u8]>) -> Ask {
        self.behind.extend(bytes.as_ref());
        self
    }

    /// A 101 to a good upgrade.
    pub fn switching() -> Ask {
        let lines = ["Upgrade: websocket", "Connection: Upgrade", &format!("Sec-WebSocket-Accept: {ACCEPT}")];
        Ask {
            request_line: "HTTP/1.1 101 Switching Protocols".into(),
            lines: lines.map(String::from).to_vec(),
            behind: Vec::new(),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in std::iter::once(&self.request_line).chain(&self.lines) {
            bytes.extend(line.as_bytes());
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.behind);
        bytes
    }
}

/// The lines of a head without the first, as they are spelled.
pub fn fields(head: &str) -> Vec<(&str, &str)> {
    let lines = head.trim_end().split("\r\n").skip(1);
    lines.map(|line| line.split_once(':').map(|(name, value)| (name, value.trim())).unwrap()).collect()
}

/// The values of a header, one a line.
pub fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = fields(head).into_iter();
    fields.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// The body behind a head, unwrapped from its framing. Without any it ends with the stream.
pub fn body<S: Read + Write>(raw: &mut Raw<S>, head: &str) -> Vec<u8> {
    if let Some(length) = values(head, "content-length").first() {
        return raw.take(length.parse().unwrap());
    }
    if values(head, "transfer-encoding") != ["chunked"] {
        return raw.rest();
    }
    let mut body = Vec::new();
    while let Some(chunk) = chunk(raw) {
        body.extend(chunk);
    }
    body
}

/// The next chunk of a chunked body; `None` is its end.
pub fn chunk<S: Read + Write>(raw: &mut Raw<S>) -> Option<Vec<u8>> {
    let mut size = Vec::new();
    while !size.ends_with(b"\r\n") {
        size.extend(raw.take(1));
    }
    let size = usize::from_str_radix(std::str::from_utf8(&size).unwrap().trim_end(), 16).unwrap();
    let chunk = raw.take(size);
    raw.expect("\r\n");
    (size > 0).then_some(chunk)
}
