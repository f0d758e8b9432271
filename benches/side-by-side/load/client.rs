//! The load client: WebSocket connections to one proxy, driven from one loop. It opens, sends, counts, answers pings
//! and closes in order; when to do which is the scenarios' business.

use super::socket::{Left, Socket};
use super::wire::{CLOSE, From, Heard, Outgoing, PONG, Page, Walker};
use framegate::backend::{BackendTls, Roots};
use framegate::net::tls::client_config;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const WAKER: Token = Token(usize::MAX);
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Connections that are opened or closed at the same time, where many are.
pub const AT_ONCE: usize = 64;

/// How long a proxy may be silent while something is awaited of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to connect to, and how.
pub struct Target {
    address: SocketAddr,
    request: Rc<Page>,
    tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// wss if there is a certificate to trust; with `resume` every connection after the first brings a ticket.
    pub fn new(
        address: SocketAddr,
        path: &str,
        certificate: Option<&Path>,
        resume: bool,
    ) -> Result<Target, String> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let tls = certificate.map(|file| tls_config(file, resume)).transpose()?;
        Ok(Target { address, request: Page::raw(request.into_bytes()), tls })
    }
}

/// TLS 1.3 with the group and the cipher that every one of the proxies has. Pinned, so that they all do the same work
/// whatever each would prefer.
fn tls_config(certificate: &Path, resume: bool) -> Result<Arc<ClientConfig>, String> {
    let accept_any = BackendTls { roots: Roots::AcceptAny, ..BackendTls::default() };
    // The gateway's own provider: what links into it is what links into us.
    let mut provider = client_config(&accept_any)?.crypto_provider().as_ref().clone();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::from_pem_file(certificate).map_err(|error| error.to_string())?;
    roots.add(trusted).map_err(|error| error.to_string())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption =
        if resume { Resumption::store(Arc::new(Tickets::default())) } else { Resumption::disabled() };
    Ok(Arc::new(config))
}

/// Every ticket that was given out. rustls' own store keeps eight a server, too few for connections opened in bursts.
#[derive(Debug, Default)]
struct Tickets(Mutex<VecDeque<Tls13ClientSessionValue>>);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        const MOST: usize = 1024;
        let mut tickets = self.0.lock().unwrap();
        tickets.push_back(ticket);
        if tickets.len() > MOST {
            tickets.pop_front();
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap().pop_back()
    }
}

/// What a turn of the loop brought.
pub enum Happened {
    /// The 101 is here; whether TLS was resumed.
    Opened { resumed: bool },
    /// So many messages came back.
    Replies(u64),
    /// Closed in order, both ways.
    Ended,
}

struct Connection {
    socket: Socket,
    out: Outgoing,
    walker: Walker,
    /// The answer as far as it came; `None` once it is complete.
    head: Option<Vec<u8>>,
    closing: bool,
}

pub struct Client {
    target: Target,
    poll: Poll,
    events: Events,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    /// To be read again without an event.
    again: Vec<usize>,
    scratch: Vec<u8>,
    close: Rc<Page>,
    /// Bytes on the wire, before TLS.
    pub sent: u64,
    pub received: u64,
    pub pings: u64,
}

impl Client {
    pub fn new(target: Target) -> Client {
        Client {
            target,
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            vacant: Vec::new(),
            again: Vec::new(),
            scratch: vec![0; 256 * 1024],
            close: Page::control(CLOSE, &1000u16.to_be_bytes(), From::Client),
            sent: 0,
            received: 0,
            pings: 0,
        }
    }

    /// Ends a turn's wait from another thread. One a client.
    pub fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKER)
    }

    /// Connections that are not yet gone.
    pub fn live(&self) -> usize {
        self.connections.len() - self.vacant.len()
    }

    /// Starts to connect.
    pub fn open(&mut self) -> Result<(), String> {
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let mut connection = self.connect().map_err(|error| format!("cannot connect: {error}"))?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(connection.socket.tcp(), Token(id), both);
        registered.map_err(|error| format!("epoll: {error}"))?;
        self.connections[id] = Some(connection);
        Ok(())
    }

    fn connect(&self) -> io::Result<Connection> {
        let tcp = TcpStream::connect(self.target.address)?;
        tcp.set_nodelay(true)?;
        let tls = self.target.tls.as_ref().map(|config| {
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            ClientConnection::new(config.clone(), name).map(Box::new).map_err(io::Error::other)
        });
        let mut out = Outgoing::default();
        out.push(&self.target.request, 1);
        Ok(Connection {
            socket: Socket::new(tcp, tls.transpose()?),
            out,
            walker: Walker::default(),
            head: Some(Vec::new()),
            closing: false,
        })
    }

    /// Opens connections until `count` are there. The first to be opened have the numbers from 0 on.
    pub fn open_all(&mut self, count: usize) -> Result<(), String> {
        let (mut started, mut opened) = (0, 0);
        let mut happened = Vec::new();
        while opened < count {
            while started < count && started - opened < AT_ONCE {
                self.open()?;
                started += 1;
            }
            self.await_turn(&mut happened)?;
            opened += happened.drain(..).filter(|(_, what)| matches!(what, Happened::Opened { .. })).count();
        }
        Ok(())
    }

    /// Closes what is there, in order.
    pub fn close_all(&mut self) -> Result<(), String> {
        let mut open: Vec<usize> =
            (0..self.connections.len()).filter(|id| self.connections[*id].is_some()).collect();
        let mut happened = Vec::new();
        while self.live() > 0 {
            while self.live() - open.len() < AT_ONCE
                && let Some(id) = open.pop()
            {
                self.close(id)?;
            }
            self.await_turn(&mut happened)?;
            happened.clear();
        }
        Ok(())
    }

    pub fn send(&mut self, id: usize, page: &Rc<Page>, count: u64) -> Result<(), String> {
        let Some(connection) = &mut self.connections[id] else {
            return Err(format!("connection {id} is gone"));
        };
        connection.out.push(page, count);
        let wrote = connection.socket.write(&mut connection.out);
        self.sent += wrote.map_err(|error| format!("cannot write: {error}"))?;
        Ok(())
    }

    /// Begins the closing handshake.
    pub fn close(&mut self, id: usize) -> Result<(), String> {
        if let Some(connection) = &mut self.connections[id] {
            connection.closing = true;
        }
        let page = self.close.clone();
        self.send(id, &page, 1)
    }

    /// A turn in which something has to happen.
    pub fn await_turn(&mut self, happened: &mut Vec<(usize, Happened)>) -> Result<(), String> {
        if self.turn(PATIENCE, happened)? {
            return Ok(());
        }
        Err(format!("nothing came for {} s", PATIENCE.as_secs()))
    }

    /// Waits for events and works them off. Whether there were any.
    pub fn turn(&mut self, timeout: Duration, happened: &mut Vec<(usize, Happened)>) -> Result<bool, String> {
        let timeout = if self.again.is_empty() { timeout } else { Duration::ZERO };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            polled => polled.map_err(|error| format!("epoll: {error}"))?,
        }
        let mut ready = std::mem::take(&mut self.again);
        let any = !ready.is_empty() || !self.events.is_empty();
        for event in self.events.iter().filter(|event| event.token() != WAKER) {
            let Token(id) = event.token();
            if let Some(connection) = &mut self.connections[id] {
                connection.socket.hung_up |= event.is_read_closed();
            }
            ready.push(id);
        }
        for id in ready {
            self.look_after(id, happened)?;
        }
        Ok(any)
    }

    fn look_after(&mut self, id: usize, happened: &mut Vec<(usize, Happened)>) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else {
            return Ok(());
        };
        let mut heard = Tally::default();
        let left = match connection.listen(&mut self.scratch, &mut heard) {
            Ok(left) => left,
            // Once both have said Close, a socket may end any way it likes.
            Err(_) if connection.closing && heard.refusal.is_none() => Left::Ended,
            Err(error) => return Err(heard.refusal.unwrap_or(format!("a connection broke: {error}"))),
        };
        if let Some(refusal) = heard.refusal {
            return Err(refusal);
        }
        self.received += heard.bytes;
        self.pings += heard.pings;
        if heard.opened {
            let kind = connection.socket.tls().and_then(|tls| tls.handshake_kind());
            happened.push((id, Happened::Opened { resumed: kind == Some(HandshakeKind::Resumed) }));
        }
        if heard.replies > 0 {
            happened.push((id, Happened::Replies(heard.replies)));
        }
        match left {
            Left::Nothing => {}
            Left::Perhaps => self.again.push(id),
            Left::Ended if connection.closing => {
                self.connections[id] = None;
                self.vacant.push(id);
                happened.push((id, Happened::Ended));
            }
            Left::Ended => return Err("a connection was ended from the other side".into()),
        }
        self.sent += heard.wrote;
        Ok(())
    }
}

/// What one connection had to say.
#[derive(Default)]
struct Tally {
    opened: bool,
    replies: u64,
    pings: u64,
    bytes: u64,
    wrote: u64,
    /// An answer other than 101.
    refusal: Option<String>,
}

impl Connection {
    fn listen(&mut self, scratch: &mut [u8], heard: &mut Tally) -> io::Result<Left> {
        let Connection { socket, out, walker, head, .. } = self;
        let left = socket.read(scratch, |bytes| {
            heard.bytes += bytes.len() as u64;
            let Some(answer) = head else {
                return count(walker, bytes, out, heard);
            };
            answer.extend_from_slice(bytes);
            let end = answer.windows(END_OF_HEAD.len()).position(|four| four == END_OF_HEAD);
            if let Some(end) = end {
                let frames = answer.split_off(end + END_OF_HEAD.len());
                if !answer.starts_with(b"HTTP/1.1 101 ") {
                    heard.refusal = Some(format!("refused: {}", String::from_utf8_lossy(answer)));
                }
                heard.opened = true;
                *head = None;
                count(walker, &frames, out, heard);
            }
        })?;
        heard.wrote = socket.write(out)?;
        Ok(left)
    }
}

fn count(walker: &mut Walker, bytes: &[u8], out: &mut Outgoing, heard: &mut Tally) {
    walker.walk(bytes, |frame| match frame {
        Heard::Data(..) => heard.replies += 1,
        Heard::Ping(payload) => {
            heard.pings += 1;
            out.push(&Page::control(PONG, payload, From::Client), 1);
        }
        Heard::Pong | Heard::Close => {}
    });
}
