//! A backend that serves everybody by itself, well or badly: for tests about several of them.

use super::{Raw, upgrade_response};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How it meets the next connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A 101, and every ping and Close answered; to plain requests, its name.
    Serve,
    /// The same, and every text comes back.
    Echo,
    /// This status.
    Answer(u16),
    /// Takes the connection and never says a word.
    Silence,
    /// Something that is not HTTP.
    Garbage,
    /// A 101 to another key.
    WrongAccept,
    /// A 101, and then the end.
    HangUp,
}

pub struct Servant {
    pub address: SocketAddr,
    pub name: String,
    manner: Arc<Mutex<Manner>>,
    met: Arc<AtomicUsize>,
    /// Keeps a port where nobody listens from becoming somebody's.
    _kept: Option<Nobody>,
}

/// A port at which nobody listens, and which nobody else is given meanwhile: it is bound, and that is all.
pub struct Nobody {
    pub address: SocketAddr,
    _socket: socket2::Socket,
}

impl Nobody {
    pub fn at_home() -> Nobody {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&("127.0.0.1", 0).into_addr().into()).unwrap();
        Nobody { address: socket.local_addr().unwrap().as_socket().unwrap(), _socket: socket }
    }
}

impl Servant {
    pub fn start(name: &str, manner: Manner) -> Servant {
        Servant::at(("127.0.0.1", 0).into_addr(), name, manner)
    }

    pub fn at(address: SocketAddr, name: &str, manner: Manner) -> Servant {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (manner, met) = (Arc::new(Mutex::new(manner)), Arc::<AtomicUsize>::default());
        let servant =
            Servant { address, name: name.into(), manner: manner.clone(), met: met.clone(), _kept: None };
        let name = name.to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                met.fetch_add(1, Ordering::SeqCst);
                let (manner, name) = (*manner.lock().unwrap(), name.clone());
                std::thread::spawn(move || serve(stream, manner, &name));
            }
        });
        servant
    }

    /// One whose port nobody listens at.
    pub fn gone() -> Servant {
        let nobody = Nobody::at_home();
        Servant {
            address: nobody.address,
            _kept: Some(nobody),
            ..Servant::elsewhere(([0, 0, 0, 0], 0).into())
        }
    }

    /// One that is served by somebody else, if at all.
    pub fn elsewhere(address: SocketAddr) -> Servant {
        let manner = Arc::new(Mutex::new(Manner::Serve));
        Servant { address, name: "gone".into(), manner, met: Arc::default(), _kept: None }
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Connections so far.
    pub fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }
}

/// A listener whose queue is full: the kernel drops further attempts, as a black hole would.
pub struct BlackHole {
    pub address: SocketAddr,
    _queue: (socket2::Socket, Vec<TcpStream>),
}

impl BlackHole {
    pub fn dig() -> BlackHole {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&("127.0.0.1", 0).into_addr().into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            queue.push(stream);
            assert!(queue.len() < 16, "the queue does not fill up");
        }
        BlackHole { address, _queue: (socket, queue) }
    }
}

trait IntoAddr {
    fn into_addr(self) -> SocketAddr;
}

impl IntoAddr for (&str, u16) {
    fn into_addr(self) -> SocketAddr {
        SocketAddr::new(self.0.parse().unwrap(), self.1)
    }
}

fn serve(stream: TcpStream, manner: Manner, name: &str) {
    if manner == Manner::Silence {
        let mut stream = stream;
        while stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
        return;
    }
    let mut raw = Raw::new(stream);
    while let Some(head) = head_or_end(&mut raw) {
        let upgrade = head.to_ascii_lowercase().contains("\r\nupgrade: websocket");
        match manner {
            Manner::Silence => {}
            Manner::Garbage => return raw.send("\0\0\0 no HTTP \r\n\r\n"),
            Manner::Answer(status) => {
                raw.send(format!("HTTP/1.1 {status} So\r\nContent-Length: {}\r\n\r\n{name}", name.len()));
            }
            Manner::Serve | Manner::Echo | Manner::WrongAccept | Manner::HangUp if upgrade => {
                let accept = accept(&head, manner == Manner::WrongAccept);
                raw.send(accept);
                if matches!(manner, Manner::Serve | Manner::Echo) {
                    answer_frames(&mut raw, manner);
                }
                return;
            }
            _ => raw.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())),
        }
    }
}

fn head_or_end(raw: &mut Raw) -> Option<String> {
    raw.stream.set_read_timeout(None).unwrap();
    let mut first = [0];
    match raw.stream.peek(&mut first) {
        Ok(1) => Some(raw.head()),
        _ => None,
    }
}

/// A 101 to the key in this head, whoever chose it.
fn accept(head: &str, wrong: bool) -> String {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_string())
    });
    let accept =
        framegate::handshake::accept_for(if wrong { b"x" } else { key.as_ref().unwrap().as_bytes() });
    upgrade_response("").replace(super::ACCEPT, &accept)
}

/// Pings get pongs, a Close gets its echo, and the rest nothing unless that is the manner.
fn answer_frames(raw: &mut Raw, manner: Manner) {
    loop {
        let mut header = [0; 6];
        if raw.stream.read_exact(&mut header).is_err() {
            return;
        }
        let mut payload = vec![0; usize::from(header[1] & 0x7F)];
        if raw.stream.read_exact(&mut payload).is_err() {
            return;
        }
        payload.iter_mut().zip(header[2..].iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        let first = match header[0] & 0x0F {
            0x9 => 0x8A,
            0x8 => 0x88,
            0x1 if manner == Manner::Echo => 0x81,
            _ => continue,
        };
        let sent = raw.stream.write_all(&super::server_frame(first, &payload));
        if sent.is_err() || first == 0x88 {
            return;
        }
    }
}
