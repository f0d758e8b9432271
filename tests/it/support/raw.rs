//! A TCP connection in the hands of a test, and a backend that does nothing by itself.

use super::{Gateway, SOON};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A good upgrade for a path, with more header lines (each ending in CRLF).
pub fn upgrade_request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// The 101 that answers it.
pub fn upgrade_response(more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{more}\r\n"
    )
}

/// A stream with both its halves: TCP, or TLS over it.
#[derive(Debug)]
pub struct Raw<S = TcpStream> {
    pub stream: S,
    /// Read behind a head, and not yet asked for.
    ahead: Vec<u8>,
}

impl Raw {
    pub fn new(stream: TcpStream) -> Raw {
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw::over(stream)
    }

    pub fn connect(address: SocketAddr) -> Raw {
        Raw::new(TcpStream::connect(address).unwrap())
    }

    /// A connection whose kernel takes little at a time.
    pub fn connect_narrow(address: SocketAddr) -> Raw {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        socket.connect(&address.into()).unwrap();
        Raw::new(TcpStream::from(socket))
    }

    /// Nothing has come that was not asked for.
    pub fn expect_nothing_yet(&mut self) {
        assert_eq!(show(&self.ahead), "");
        self.stream.set_nonblocking(true).unwrap();
        let read = self.stream.read(&mut [0; 64]);
        self.stream.set_nonblocking(false).unwrap();
        let error = read.expect_err("nothing to read");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }

    /// Ends our half in order (FIN).
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a RST.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl<S: Read + Write> Raw<S> {
    /// Over a stream whose reads and writes have a deadline already.
    pub fn over(stream: S) -> Raw<S> {
        Raw { stream, ahead: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// An HTTP head, up to and with its empty line. What comes behind it is kept for the next read.
    pub fn head(&mut self) -> String {
        let mut head = std::mem::take(&mut self.ahead);
        loop {
            if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                self.ahead = head.split_off(end + 4);
                return String::from_utf8(head).unwrap();
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).unwrap() {
                0 => panic!("the stream ended inside a head: {:?}", String::from_utf8_lossy(&head)),
                n => head.extend(&chunk[..n]),
            }
        }
    }

    /// Exactly these bytes come next.
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        assert_eq!(show(&self.take(expected.len())), show(expected));
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.ahead);
        if bytes.len() > n {
            self.ahead = bytes.split_off(n);
        }
        let got = bytes.len();
        bytes.resize(n, 0);
        if let Err(error) = self.stream.read_exact(&mut bytes[got..]) {
            panic!("wanted {n} bytes: {error}");
        }
        bytes
    }

    /// Everything up to the end of the stream, which a reset counts as.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.ahead);
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return bytes,
                Ok(n) => bytes.extend(&chunk[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return bytes,
                Err(error) => panic!("the stream did not end: {error}; so far {}", show(&bytes)),
            }
        }
    }

    /// Reads on to the error that ends the stream.
    pub fn broken_off(&mut self) -> ErrorKind {
        let mut chunk = [0; 65_536];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the stream ended in order"),
                Ok(_) => {}
                Err(error) => return error.kind(),
            }
        }
    }

    /// What is there within the read timeout, which may be nothing.
    pub fn some(&mut self) -> Vec<u8> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(n) => chunk[..n].to_vec(),
            Err(_) => Vec::new(),
        }
    }

    /// The stream ends here, with nothing before.
    pub fn expect_end(&mut self) {
        assert_eq!(show(&self.rest()), "");
    }

    /// A Close with this code comes next; returns its reason. Works on frames from the gateway to either side.
    pub fn expect_close(&mut self, code: u16) -> String {
        let payload = self.expect_frame(0x88);
        let (got, reason) = payload.split_at(2.min(payload.len()));
        assert_eq!(
            got,
            code.to_be_bytes(),
            "close code {got:?}, reason {:?}",
            String::from_utf8_lossy(reason)
        );
        String::from_utf8(reason.to_vec()).unwrap()
    }

    /// A frame with this first byte comes next; returns its payload, unmasked.
    pub fn expect_frame(&mut self, first: u8) -> Vec<u8> {
        let (got, payload) = self.frame();
        assert_eq!(got, first, "a frame that starts with {got:#04x}: {}", show(&payload));
        payload
    }

    /// The next frame: its first byte and its payload, unmasked.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.take(2);
        let len = match head[1] & 0x7F {
            126 => usize::from(u16::from_be_bytes(self.take(2).try_into().unwrap())),
            127 => u64::from_be_bytes(self.take(8).try_into().unwrap()) as usize,
            short => usize::from(short),
        };
        let key = if head[1] & 0x80 == 0 { vec![0; 4] } else { self.take(4) };
        let payload = self.take(len);
        (head[0], payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
    }
}

/// A listening backend whose connections a test takes one by one.
pub struct Backend {
    pub address: SocketAddr,
    accepted: Receiver<TcpStream>,
}

impl Backend {
    pub fn start() -> Backend {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, accepted) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        Backend { address, accepted }
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The next connection from the gateway.
    pub fn accept(&self) -> Raw {
        Raw::new(self.accepted.recv_timeout(SOON).expect("the gateway connects"))
    }

    /// The next connection, if it comes within this time.
    pub fn accept_within(&self, time: Duration) -> Option<Raw> {
        self.accepted.recv_timeout(time).ok().map(Raw::new)
    }

    /// The next connection, with its request read and answered by a 101 and these bytes behind it.
    pub fn accept_upgrade(&self, glued: &[u8]) -> (String, Raw) {
        let mut raw = self.accept();
        let request = raw.head();
        raw.send([upgrade_response("").as_bytes(), glued].concat());
        (request, raw)
    }

    /// No connection came so far. Meaningful once the client has its answer.
    pub fn expect_no_contact(&self) {
        match self.accepted.recv_timeout(Duration::ZERO) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("the backend was contacted: {other:?}"),
        }
    }
}

impl Gateway {
    /// A session through the gateway: its client and its backend.
    pub fn open_session(&self, backend: &Backend) -> (Raw, Raw) {
        let mut client = self.connect();
        client.send(upgrade_request("/", ""));
        let (_, server) = backend.accept_upgrade(b"");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        (client, server)
    }
}

fn show(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(2000)];
    cut.escape_ascii().to_string()
}
