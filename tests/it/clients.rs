//! Clients and servers that others wrote, on either side of the gateway: tokio-tungstenite and tokio-websockets.

use crate::support::*;
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_websockets as websockets;

const LONG: usize = 3 << 20;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(SOON * 2, test).await.expect("in time") });
}

/// Echoes messages and Closes, as tungstenite does.
async fn tungstenite_backend() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

/// The same, as tokio-websockets does.
async fn websockets_backend() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (_, mut socket) = websockets::ServerBuilder::new().accept(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

async fn tungstenite_client(gateway: SocketAddr) -> tokio_tungstenite::WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let config = WebSocketConfig::default();
    tokio_tungstenite::client_async_with_config(format!("ws://{gateway}/"), stream, Some(config))
        .await
        .unwrap()
        .0
}

async fn websockets_client(gateway: SocketAddr) -> websockets::WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let uri = format!("ws://{gateway}/");
    websockets::ClientBuilder::new().uri(&uri).unwrap().connect_on(stream).await.unwrap().0
}

fn content(session: usize, number: usize) -> String {
    let size = match number % 10 {
        9 => 20_000,
        n => n * 37,
    };
    let word = format!("{session}/{number} é ");
    word.repeat(size / word.len() + 1)
}

/// Messages in order, a long one, and a Close with the code and the reason that went in.
async fn tungstenite_session(gateway: SocketAddr, session: usize, messages: usize) {
    let mut socket = tungstenite_client(gateway).await;
    for number in 0..messages {
        // Several under way at a time.
        if number % 3 == 0 {
            for ahead in number..(number + 3).min(messages) {
                socket.send(content(session, ahead).into()).await.unwrap();
            }
        }
        assert_eq!(socket.next().await.unwrap().unwrap().to_text().unwrap(), content(session, number));
    }
    let close = CloseFrame { code: 4001.into(), reason: "enough".into() };
    socket.close(Some(close.clone())).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    let tungstenite::Message::Close(Some(answer)) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.code, close.code);
    assert!(socket.next().await.is_none());
}

async fn websockets_session(gateway: SocketAddr, session: usize, messages: usize) {
    let mut socket = websockets_client(gateway).await;
    for number in 0..messages {
        socket.send(websockets::Message::text(content(session, number))).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().as_text().unwrap(), content(session, number));
    }
    let code = websockets::CloseCode::try_from(4002).unwrap();
    socket.send(websockets::Message::close(Some(code), "enough")).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert_eq!(answer.as_close().unwrap().0, code);
}

#[test]
fn many_sessions_at_once() {
    run(async {
        for backend in [tungstenite_backend().await, websockets_backend().await] {
            let gateway =
                tokio::task::spawn_blocking(move || Gateway::in_front_of_address(backend, "")).await.unwrap();
            let address = gateway.address();
            let sessions = (0..200).map(|session| {
                tokio::spawn(async move {
                    if session % 2 == 0 {
                        tungstenite_session(address, session, 20).await;
                    } else {
                        websockets_session(address, session, 20).await;
                    }
                })
            });
            for session in sessions.collect::<Vec<_>>() {
                session.await.unwrap();
            }
            for _ in 0..200 {
                let line = gateway.expect_ended("client", "closed");
                assert_eq!(
                    (line["client_text"].as_u64(), line["backend_text"].as_u64()),
                    (Some(20), Some(20))
                );
                assert!(matches!(told(&line), (4001 | 4002, "enough", "")), "{line:#}");
            }
        }
    });
}

#[test]
fn long_messages() {
    run(async {
        for backend in [tungstenite_backend().await, websockets_backend().await] {
            let gateway = Gateway::in_front_of_address(backend, "");
            let binary: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(LONG).collect();
            let mut socket = tungstenite_client(gateway.address()).await;
            socket.send(tungstenite::Message::Binary(binary.clone().into())).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap().into_data() == binary);
            let mut socket = websockets_client(gateway.address()).await;
            let text = "ä€😀.".repeat(LONG / 10);
            socket.send(websockets::Message::text(text.clone())).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap().as_text().unwrap() == text);
        }
    });
}

/// Their own heartbeats are answered by the gateway, and they answer the gateway's.
#[test]
fn pings_of_both_sides() {
    run(async {
        let backend = tungstenite_backend().await;
        let gateway = Gateway::in_front_of_address(
            backend,
            "heartbeat = { ping_interval = \"200ms\", backend_ping_interval = \"200ms\", pong_timeout = \"10s\" }",
        );
        let mut socket = tungstenite_client(gateway.address()).await;
        socket.send(tungstenite::Message::Ping("mine".into())).await.unwrap();
        let (mut asked, mut answered) = (0, 0);
        while asked < 4 {
            match socket.next().await.unwrap().unwrap() {
                tungstenite::Message::Ping(_) => asked += 1,
                tungstenite::Message::Pong(payload) => {
                    assert_eq!(payload, "mine");
                    answered += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(answered, 1);
        socket.close(None).await.unwrap();
        let closed = tokio::time::timeout(SOON, async { while let Some(Ok(_)) = socket.next().await {} });
        closed.await.unwrap();
        let line = gateway.expect_ended("client", "closed");
        assert!(line["backend_pongs"].as_u64().unwrap() >= 3, "{line:#}");
        assert!(line["client_pongs"].as_u64().unwrap() >= 3, "{line:#}");
    });
}
