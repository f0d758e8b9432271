//! The server behind the proxies. It answers each message with a frame that was made before, unread: at `/echo` one of
//! the same kind and length, at `/reply/N` a binary one of N bytes.

use super::socket::{Left, Socket};
use super::wire::{BINARY, CLOSE, From, Heard, Outgoing, PONG, Page, Walker};
use framegate::handshake::accept_for;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;

const LISTENER: Token = Token(usize::MAX);
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

struct Connection {
    socket: Socket,
    out: Outgoing,
    walker: Walker,
    /// The request as far as it came; `None` once it is answered.
    head: Option<Vec<u8>>,
    reply_size: Option<usize>,
    closing: bool,
}

struct Backend {
    listener: TcpListener,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    pages: Pages,
}

/// Serves until it is killed.
pub fn serve(port: u16) -> ExitCode {
    match Backend::bind(port).and_then(|mut backend| backend.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the backend cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Backend {
    fn bind(port: u16) -> io::Result<Backend> {
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        println!("{}", listener.local_addr()?.port());
        io::stdout().flush()?;
        Ok(Backend { listener, poll, connections: Vec::new(), vacant: Vec::new(), pages: Pages::default() })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; 256 * 1024];
        let mut again = Vec::new();
        loop {
            let timeout = (!again.is_empty()).then_some(std::time::Duration::ZERO);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let mut ready = std::mem::take(&mut again);
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    Token(id) => {
                        self.note_end(id, event.is_read_closed());
                        ready.push(id);
                    }
                }
            }
            for id in ready {
                if self.turn(id, &mut scratch) == Left::Perhaps {
                    again.push(id);
                }
            }
        }
    }

    fn accept(&mut self) {
        // Any error ends the batch: there is nobody waiting, or no descriptor left.
        while let Ok((tcp, _)) = self.listener.accept() {
            let _ = tcp.set_nodelay(true);
            let mut connection = Connection {
                socket: Socket::new(tcp, None),
                out: Outgoing::default(),
                walker: Walker::default(),
                head: Some(Vec::new()),
                reply_size: None,
                closing: false,
            };
            let id = self.vacant.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(connection.socket.tcp(), Token(id), both).is_ok() {
                self.connections[id] = Some(connection);
            } else {
                self.vacant.push(id);
            }
        }
    }

    fn note_end(&mut self, id: usize, hung_up: bool) {
        if let Some(connection) = &mut self.connections[id] {
            connection.socket.hung_up |= hung_up;
        }
    }

    /// Reads, answers, and lets go of a connection that is over.
    fn turn(&mut self, id: usize, scratch: &mut [u8]) -> Left {
        let Some(connection) = &mut self.connections[id] else {
            return Left::Ended;
        };
        let left = connection.turn(scratch, &mut self.pages).unwrap_or(Left::Ended);
        if left == Left::Ended || (connection.closing && connection.out.is_empty()) {
            self.connections[id] = None;
            self.vacant.push(id);
            return Left::Ended;
        }
        left
    }
}

impl Connection {
    fn turn(&mut self, scratch: &mut [u8], pages: &mut Pages) -> io::Result<Left> {
        let Connection { socket, out, walker, head, reply_size, closing } = self;
        let left = socket.read(scratch, |bytes| {
            let Some(request) = head else {
                return answer(walker, bytes, *reply_size, closing, out, pages);
            };
            request.extend_from_slice(bytes);
            let end = request.windows(END_OF_HEAD.len()).position(|four| four == END_OF_HEAD);
            if let Some(end) = end {
                let frames = request.split_off(end + END_OF_HEAD.len());
                *reply_size = upgrade(request, out);
                *head = None;
                answer(walker, &frames, *reply_size, closing, out, pages);
            }
        })?;
        socket.write(out)?;
        Ok(left)
    }
}

/// Says 101; returns the N of `/reply/N`.
fn upgrade(head: &[u8], out: &mut Outgoing) -> Option<usize> {
    let head = String::from_utf8_lossy(head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(value.trim())
    });
    let accept = accept_for(key.unwrap_or_default().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    out.push(&Page::raw(answer.into_bytes()), 1);
    path.strip_prefix("/reply/").and_then(|size| size.parse().ok())
}

fn answer(
    walker: &mut Walker,
    bytes: &[u8],
    reply_size: Option<usize>,
    closing: &mut bool,
    out: &mut Outgoing,
    pages: &mut Pages,
) {
    walker.walk(bytes, |heard| match heard {
        Heard::Data(opcode, len) => {
            let (opcode, size) = reply_size.map_or((opcode, len as usize), |size| (BINARY, size));
            out.push(pages.of(opcode, size), 1);
        }
        Heard::Ping(payload) => out.push(&Page::control(PONG, payload, From::Server), 1),
        Heard::Pong => {}
        Heard::Close => {
            // RFC 6455 5.5.1 and 7.1.1: the echo, and then the server ends the connection.
            out.push(&Page::control(CLOSE, &1000u16.to_be_bytes(), From::Server), 1);
            *closing = true;
        }
    });
}

/// Answers, made once a kind and length; the last one is nearly always the next one.
#[derive(Default)]
struct Pages {
    made: HashMap<(u8, usize), Rc<Page>>,
    last: Option<((u8, usize), Rc<Page>)>,
}

impl Pages {
    fn of(&mut self, opcode: u8, size: usize) -> &Rc<Page> {
        let wanted = (opcode, size);
        if self.last.as_ref().is_none_or(|(last, _)| *last != wanted) {
            let make = || Page::data(opcode, size, From::Server);
            let page = self.made.entry(wanted).or_insert_with(make).clone();
            self.last = Some((wanted, page));
        }
        &self.last.as_ref().unwrap().1
    }
}
