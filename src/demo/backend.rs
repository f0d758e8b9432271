//! The demo's backend: the page, `/echo` and `/chat`, on a loopback port that only the gateway is told.
//!
//! It speaks WebSocket through a library of its own, so that the demo shows two implementations agreeing.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

const PAGE: &str = include_str!("page.html");

/// The page brings everything along and talks to its own host only.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'";

/// Messages that a chatting tab may lag behind before it misses some.
const CHAT_BACKLOG: usize = 256;

struct Room {
    said: broadcast::Sender<Utf8Bytes>,
    people: AtomicUsize,
}

/// Starts it on a thread of its own and says where it listens.
pub fn start() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo-backend".into()).spawn(move || {
        runtime.block_on(async {
            match TcpListener::from_std(listener) {
                Ok(listener) => serve(listener).await,
                Err(error) => tracing::error!(%error, "the demo's backend cannot listen"),
            }
        });
    })?;
    Ok(address)
}

async fn serve(listener: TcpListener) {
    let room = Arc::new(Room { said: broadcast::channel(CHAT_BACKLOG).0, people: AtomicUsize::new(0) });
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, room.clone()))),
            Err(error) => {
                tracing::warn!(%error, "the demo's backend cannot accept");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn connection(stream: TcpStream, room: Arc<Room>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let room = room.clone();
        async move { Ok::<_, Infallible>(answer(request, room)) }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    if let Err(error) = served.await {
        tracing::debug!(%error, "demo backend: connection ended");
    }
}

fn answer(mut request: Request<Incoming>, room: Arc<Room>) -> Response<Full<Bytes>> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
    match (request.uri().path(), key) {
        (path @ ("/echo" | "/chat"), Some(key)) => {
            let is_chat = path == "/chat";
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let Ok(upgraded) = upgrade.await else { return };
                let limits =
                    WebSocketConfig::default().max_message_size(Some(2 << 20)).max_frame_size(Some(2 << 20));
                let socket =
                    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits))
                        .await;
                if is_chat { chat(socket, &room).await } else { echo(socket).await }
            });
            let accept = crate::handshake::accept_for(key.as_bytes());
            response(StatusCode::SWITCHING_PROTOCOLS, "")
                .header(header::CONNECTION, "Upgrade")
                .header(header::UPGRADE, "websocket")
                .header(header::SEC_WEBSOCKET_ACCEPT, accept)
                .finish()
        }
        ("/", _) => response(StatusCode::OK, PAGE)
            .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
            .header(header::CACHE_CONTROL, "no-store")
            .finish(),
        _ => response(StatusCode::NOT_FOUND, "Nothing here. The page is at /.\n")
            .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .finish(),
    }
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        let is_data = message.is_text() || message.is_binary();
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Everybody hears everything, the speaker too.
async fn chat(mut socket: Socket, room: &Room) {
    let mut heard = room.said.subscribe();
    room.people_changed(1);
    loop {
        let sent = tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let _ = room.said.send(text);
                    Ok(())
                }
                Some(Ok(_)) => Ok(()),
                _ => break,
            },
            message = heard.recv() => match message {
                Ok(text) => socket.send(Message::Text(text)).await,
                // A slow tab misses what it could not take; the chat goes on.
                Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
                Err(broadcast::error::RecvError::Closed) => break,
            },
        };
        if sent.is_err() {
            break;
        }
    }
    drop(heard);
    room.people_changed(-1);
}

impl Room {
    fn people_changed(&self, by: isize) {
        let count = self.people.fetch_add(by as usize, Ordering::Relaxed).wrapping_add(by as usize);
        let _ = self.said.send(format!(r#"{{"type":"people","count":{count}}}"#).into());
    }
}

struct Answer(Response<Full<Bytes>>);

fn response(status: StatusCode, body: &'static str) -> Answer {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Answer(response)
}

impl Answer {
    fn header(mut self, name: header::HeaderName, value: impl AsRef<str>) -> Answer {
        if let Ok(value) = header::HeaderValue::from_str(value.as_ref()) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    fn finish(self) -> Response<Full<Bytes>> {
        self.0
    }
}
