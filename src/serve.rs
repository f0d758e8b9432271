//! A listener at work: accept, TLS, hyper, each under its deadline, until the gateway goes away.

use crate::gateway::{Answered, Behind, Connection, Gateway};
use crate::handshake::client_cert::ClientCertificate;
use crate::latest::Latest;
use crate::net::listen::{Listener, ListenerSettings};
use crate::net::proxy_protocol::header::Told;
use crate::net::proxy_protocol::{self, ProxyProtocol};
use crate::net::served_tls::ServedTls;
use crate::net::socket::Socket;
use crate::net::splice::{Splice, Taken};
use crate::net::stream::Stream;
use crate::net::tls_server::TlsServer;
use crate::policy::counts::Scope;
use crate::policy::crowd::Crowd;
use futures_util::FutureExt;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::{self, Parts};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A listener with what serving it takes.
pub struct Door {
    pub listener: Listener,
    pub terms: Arc<Latest<Terms>>,
    /// No more connections once it is cancelled.
    pub stop: CancellationToken,
}

/// How a listener takes connections, until a reload says otherwise.
pub struct Terms {
    pub settings: ListenerSettings,
    pub tls: Option<Arc<ServedTls>>,
    /// Shared by every session of the listener.
    name: Arc<str>,
    crowd: Arc<Crowd>,
}

impl Terms {
    pub fn new(settings: ListenerSettings, tls: Option<Arc<ServedTls>>) -> Terms {
        let name: Arc<str> = settings.name.as_str().into();
        let crowd = Arc::new(Crowd { scope: Scope::Listener(name.clone()), limits: settings.limits });
        Terms { settings, tls, name, crowd }
    }
}

/// Accepts until the door's `stop`; every connection is a task of `connections`, and is told of `stop` too.
pub async fn serve(door: Door, gateways: Arc<Latest<Gateway>>, connections: TaskTracker) {
    let Door { listener, terms, stop } = door;
    loop {
        let (socket, peer) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        welcome(&listener, socket, peer, terms.get(), &gateways, &stop, &connections);
    }
    // Another process listens on the socket too.
    if gateways.get().lasting.sessions.are_for_latecomers() {
        return;
    }
    // Who is in the socket's queue got through to us, and would be reset with it.
    while let Some((socket, peer)) = listener.accept().now_or_never() {
        welcome(&listener, socket, peer, terms.get(), &gateways, &stop, &connections);
    }
}

/// A connection that was accepted: in it comes, or away it goes.
fn welcome(
    listener: &Listener,
    socket: Socket,
    peer: Option<SocketAddr>,
    terms: Arc<Terms>,
    gateways: &Arc<Latest<Gateway>>,
    stop: &CancellationToken,
    connections: &TaskTracker,
) {
    let gateway = gateways.get();
    let mut connection = Connection {
        listener: terms.name.clone(),
        redirect_to_https: terms.settings.redirect_to_https,
        tls: terms.tls.is_some(),
        sni: None,
        client_cert: None,
        peer: peer.map(|peer| peer.ip()),
        speaks_for_nobody: false,
        peer_port: peer.map_or(0, |peer| peer.port()),
        local: listener.own_end(&socket),
        crowd: terms.crowd.clone(),
        counted: Vec::new(),
        open: gateway.metrics().connected(&terms.name),
        idle: Default::default(),
    };
    // Before anything is read from it, TLS least of all.
    let entered = gateway.enter(&mut connection).and_then(|()| match terms.settings.proxy_protocol {
        ProxyProtocol::Off => gateway.admit(&mut connection),
        // Its peer is known later.
        ProxyProtocol::Require => Ok(()),
    });
    if let Err(refused) = entered {
        if let Some(rest) = gateway.turn_away(&connection, socket, &refused) {
            connections.spawn(rest);
        }
        return;
    }
    let http = converse(socket, connection, terms, gateways.clone(), stop.clone());
    connections.spawn(Visit::Http(Box::pin(http)));
}

/// One connection, from its first byte to its last. A task keeps the size of the largest thing it ever did, and sessions
/// are many and long: what comes before one is in a room of its own, and the session takes the task as it is. As an
/// `async fn` it would be twice the size, with one place for the session to arrive at and another to be awaited in.
#[expect(
    clippy::large_enum_variant,
    reason = "the small variant passes, the large one is what the task is for"
)]
enum Visit<H> {
    Http(Pin<Box<H>>),
    Session(Splice),
}

impl<H: Future<Output = Option<Splice>>> Future for Visit<H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Visit::Http(http) = &mut *self {
            match ready!(http.as_mut().poll(cx)) {
                None => return Poll::Ready(()),
                Some(session) => *self = Visit::Session(session),
            }
        }
        match &mut *self {
            Visit::Session(session) => Pin::new(session).poll(cx),
            Visit::Http(_) => Poll::Ready(()),
        }
    }
}

/// From the first byte to the last HTTP exchange, and the session that goes on from there.
async fn converse(
    mut socket: Socket,
    mut connection: Connection,
    terms: Arc<Terms>,
    gateways: Arc<Latest<Gateway>>,
    stop: CancellationToken,
) -> Option<Splice> {
    let deadline = Instant::now() + terms.settings.handshake_timeout;
    if terms.settings.proxy_protocol == ProxyProtocol::Require {
        let gateway = gateways.get();
        let introduced = introduce(&mut socket, &mut connection, &gateway, deadline).await;
        if let Err(why) = introduced {
            log_failure(&connection, "proxy_protocol", &why);
            return None;
        }
        if let Err(refused) = gateway.admit(&mut connection) {
            let rest = gateway.turn_away(&connection, socket, &refused)?;
            // What is left is no connection any more.
            drop(connection);
            rest.await;
            return None;
        }
    }
    let stream = match terms.tls.as_ref().map(|tls| tls.config()) {
        None => Stream::Plain(socket),
        Some(config) => match tokio::time::timeout_at(deadline, TlsServer::accept(socket, config)).await {
            Ok(Ok((stream, sni))) => {
                connection.sni = sni;
                let shown = stream.client_certificate().and_then(ClientCertificate::from_der);
                connection.client_cert = shown.map(Box::new);
                Stream::TlsServer(stream)
            }
            Ok(Err(error)) => {
                log_failure(&connection, "tls", &error.to_string());
                return None;
            }
            Err(_) => {
                log_failure(&connection, "tls_timeout", "the TLS handshake took too long");
                return None;
            }
        },
    };
    let left = deadline.saturating_duration_since(Instant::now());
    speak_http(stream, connection, &terms.settings, left, &gateways, stop).await
}

/// Takes the word of a proxy in front of us on whose connection this is. From then on that client is the peer: what it
/// says itself, in `X-Forwarded-For`, is believed only if its own address is trusted.
async fn introduce(
    socket: &mut Socket,
    connection: &mut Connection,
    gateway: &Gateway,
    deadline: Instant,
) -> Result<(), String> {
    if !gateway.trusted.trusts(connection.peer) {
        return Err(
            "it is not among trusted_proxies, and this listener takes connections from no others".into()
        );
    }
    let received = tokio::time::timeout_at(deadline, proxy_protocol::receive(socket)).await;
    match received.map_err(|_| "its PROXY header took too long")?.map_err(|why| why.to_string())? {
        Told::Client(client) => {
            connection.peer = Some(client.ip());
            connection.peer_port = client.port();
        }
        Told::Nobody => connection.speaks_for_nobody = true,
    }
    Ok(())
}

/// What the requests of a connection leave behind.
#[derive(Default)]
struct Visited {
    /// There was one.
    asked: bool,
    /// One that asks for an upgrade is being answered. hyper would put `connection: close` beside the `upgrade` of a 101
    /// if it were told to end by then, and several clients take no such answer.
    upgrading: bool,
    behind: Option<Behind>,
    /// An upgrade was asked for and the answer was another one.
    turned_down: bool,
}

async fn speak_http(
    stream: Stream,
    connection: Connection,
    settings: &ListenerSettings,
    head_timeout: Duration,
    gateways: &Latest<Gateway>,
    stop: CancellationToken,
) -> Option<Splice> {
    let visited = Mutex::new(Visited::default());
    let note = || visited.lock().unwrap_or_else(PoisonError::into_inner);
    let service = service_fn(|request: Request<Incoming>| {
        let is_upgrade = request.extensions().get::<OnUpgrade>().is_some();
        {
            let mut visited = note();
            (visited.asked, visited.upgrading) = (true, is_upgrade);
        }
        let (visited, connection) = (&visited, &connection);
        async move {
            let gateway = gateways.get();
            let Answered { response, behind } = gateway.handle(connection, request).await;
            let mut visited = visited.lock().unwrap_or_else(PoisonError::into_inner);
            visited.turned_down = is_upgrade && behind.is_none();
            visited.upgrading = behind.is_some();
            visited.behind = behind;
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .preserve_header_case(true)
        // A backend's answer crosses as it is; a date of ours would be one header more.
        .auto_date_header(false)
        .max_header_size(settings.max_header_size)
        .max_buf_size(settings.max_header_size.max(MIN_BUFFER));
    let state = || {
        let visited = note();
        (visited.asked, visited.upgrading)
    };
    // Not `with_upgrades`: the stream comes back here.
    let mut served = http.serve_connection(TokioIo::new(stream), service);
    let result = tokio::select! {
        biased;
        result = &mut served => result,
        () = has_no_more_to_ask(&stop, state, gateways) => {
            Pin::new(&mut served).graceful_shutdown();
            (&mut served).await
        }
    };
    let Parts { io, read_buf, .. } = served.into_parts();
    let (stream, visited) = (io.into_inner(), visited.into_inner().unwrap_or_else(PoisonError::into_inner));
    match (&result, visited.behind) {
        (Ok(()), Some(Behind::Session(begun))) => {
            let client = Taken { stream, early: read_buf };
            return Some(begun.go_on(client, connection.counted, connection.open, gateways));
        }
        (Ok(()), Some(Behind::Refusal(farewell))) => farewell.say(Taken { stream, early: read_buf }).await,
        (Ok(()), None) if visited.turned_down => end_in_order(stream).await,
        (Err(_), Some(Behind::Session(begun))) => begun.call_off(),
        _ => drop(stream),
    }
    if let Err(error) = result {
        use std::error::Error;
        let why = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        let cause = match &error {
            // A kept connection whose client asked no more: that is how those end.
            error if error.is_timeout() && visited.asked => {
                tracing::debug!(client = ?connection.peer, "connection was idle");
                return None;
            }
            error if error.is_timeout() => "head_timeout",
            error if error.is_parse_too_large() => "head_too_large",
            error if error.is_parse() => "request",
            // The client hung up, or its stream broke: there is nobody to tell and nothing to mend.
            _ => {
                tracing::debug!(client = ?connection.peer, error = why.as_str(), "connection ended");
                return None;
            }
        };
        log_failure(&connection, cause, &why);
    }
    None
}

/// The listener is gone, and what the connection asks from now on it can ask elsewhere. One that never came to ask
/// anything has its first request answered, within the time for it, unless the whole gateway goes away: it was accepted,
/// and to its client an end without a word is no answer.
async fn has_no_more_to_ask(
    stop: &CancellationToken,
    state: impl Fn() -> (bool, bool),
    gateways: &Latest<Gateway>,
) {
    stop.cancelled().await;
    // The request comes by way of the task that this is in, which looks here again when it did.
    poll_fn(|_| {
        let (has_asked, is_upgrading) = state();
        let may_end = !is_upgrading && (has_asked || gateways.get().lasting.sessions.is_shut());
        if may_end { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Once an upgrade was asked for, hyper hands the stream back as it is, even when the answer was another one: without
/// this, TLS would end as if somebody had cut it.
async fn end_in_order(mut stream: Stream) {
    let _ = tokio::time::timeout(LAST_WORD, stream.shutdown()).await;
}

/// For TLS to say that it ends, to a client that may read no more.
const LAST_WORD: Duration = Duration::from_secs(1);

/// hyper takes no smaller buffer.
const MIN_BUFFER: usize = 8 * 1024;

/// A connection that never got as far as a request.
fn log_failure(connection: &Connection, cause: &'static str, detail: &str) {
    connection.open.refused(cause);
    let client = connection.peer.map_or("unix".into(), |peer| peer.to_string());
    tracing::info!(
        listener = &*connection.listener,
        client = client.as_str(),
        cause,
        detail,
        "handshake refused"
    );
}
