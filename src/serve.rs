//! A listener at work: accept, TLS, hyper, each under its deadline, until the gateway goes away.

use crate::gateway::{Connection, Gateway};
use crate::net::listen::{Listener, ListenerSettings};
use crate::net::stream::{Socket, Stream};
use crate::net::tls_server::TlsServer;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A listener with what serving it takes.
pub struct Door {
    pub listener: Listener,
    pub settings: Arc<ListenerSettings>,
    pub tls: Option<Arc<ServerConfig>>,
}

/// Accepts until `stop`; every connection is a task of `connections`, and is told of `stop` too.
pub async fn serve(door: Door, gateway: Arc<Gateway>, stop: CancellationToken, connections: TaskTracker) {
    let Door { listener, settings, tls } = door;
    // Shared by every session of the listener.
    let name: Arc<str> = settings.name.as_str().into();
    loop {
        let socket = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            socket = listener.accept() => socket,
        };
        let visit = admit(socket, name.clone(), tls.clone(), settings.clone(), gateway.clone(), stop.clone());
        connections.spawn(visit);
    }
}

/// One connection, from its first byte to its last HTTP exchange. An upgraded one goes on in the session's own task.
async fn admit(
    socket: Socket,
    listener: Arc<str>,
    tls: Option<Arc<ServerConfig>>,
    settings: Arc<ListenerSettings>,
    gateway: Arc<Gateway>,
    stop: CancellationToken,
) {
    socket.tune();
    let deadline = Instant::now() + settings.handshake_timeout;
    let mut connection = Connection {
        listener,
        redirect_to_https: settings.redirect_to_https,
        tls: tls.is_some(),
        sni: None,
        peer: socket.peer_ip(),
        local_port: socket.local_address().map(|address| address.port()),
        idle: Default::default(),
    };
    let stream = match tls {
        None => Stream::Plain(socket),
        Some(config) => match tokio::time::timeout_at(deadline, TlsServer::accept(socket, config)).await {
            Ok(Ok((stream, sni))) => {
                connection.sni = sni;
                Stream::TlsServer(stream)
            }
            Ok(Err(error)) => return log_failure(&connection, "tls", &error.to_string()),
            Err(_) => return log_failure(&connection, "tls_timeout", "the TLS handshake took too long"),
        },
    };
    let left = deadline.saturating_duration_since(Instant::now());
    speak_http(stream, connection, &settings, left, gateway, stop).await;
}

async fn speak_http(
    stream: Stream,
    connection: Connection,
    settings: &ListenerSettings,
    head_timeout: Duration,
    gateway: Arc<Gateway>,
    stop: CancellationToken,
) {
    let connection = Arc::new(connection);
    let asked = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let (connection, asked) = (connection.clone(), asked.clone());
        move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (gateway, connection) = (gateway.clone(), connection.clone());
            async move {
                let upgrade = request.extensions().get::<OnUpgrade>().cloned();
                let response = gateway.handle(&connection, request).await;
                if let Some(upgrade) =
                    upgrade.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS)
                {
                    gateway.tasks.spawn(end_in_order(upgrade));
                }
                Ok::<_, Infallible>(response)
            }
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
    let served = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        use std::error::Error;
        let why = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        let cause = match &error {
            // A kept connection whose client asked no more: that is how those end.
            error if error.is_timeout() && asked.load(Ordering::Relaxed) => {
                return tracing::debug!(client = ?connection.peer, "connection was idle");
            }
            error if error.is_timeout() => "head_timeout",
            error if error.is_parse_too_large() => "head_too_large",
            error if error.is_parse() => "request",
            // The client hung up, or its stream broke: there is nobody to tell and nothing to mend.
            _ => return tracing::debug!(client = ?connection.peer, error = why.as_str(), "connection ended"),
        };
        log_failure(&connection, cause, &why);
    }
}

/// Once an upgrade was asked for, hyper gives the stream away at the end, even when the answer was another one, and
/// leaves it to whoever waits for it: without this, TLS would end as if somebody had cut it.
async fn end_in_order(upgrade: OnUpgrade) {
    if let Ok(upgraded) = upgrade.await
        && let Ok(parts) = upgraded.downcast::<TokioIo<Stream>>()
    {
        let _ = tokio::time::timeout(LAST_WORD, parts.io.into_inner().shutdown()).await;
    }
}

/// For TLS to say that it ends, to a client that may read no more.
const LAST_WORD: Duration = Duration::from_secs(1);

/// hyper takes no smaller buffer.
const MIN_BUFFER: usize = 8 * 1024;

/// A connection that never got as far as a request.
fn log_failure(connection: &Connection, cause: &str, detail: &str) {
    let client = connection.peer.map_or("unix".into(), |peer| peer.to_string());
    tracing::info!(
        listener = &*connection.listener,
        client = client.as_str(),
        cause,
        detail,
        "handshake refused"
    );
}
