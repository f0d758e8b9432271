//! The strict Rust peer: tokio-websockets, as an echo server or as a testee of the fuzzing server.
//!
//! ```text
//! strict_peer server PORT
//! strict_peer client URL
//! ```

#![allow(clippy::unwrap_used)] // a peer that cannot go on has nothing better to do than to say where

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_websockets::{ClientBuilder, Limits, ServerBuilder, WebSocketStream};

/// The largest case sends 16 MiB.
fn limits() -> Limits {
    Limits::default().max_payload_len(Some(32 << 20))
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) {
    while let Some(Ok(message)) = socket.next().await {
        let is_data = message.is_text() || message.is_binary();
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn serve(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            if let Ok((_, socket)) = ServerBuilder::new().limits(limits()).accept(stream).await {
                echo(socket).await;
            }
        });
    }
}

async fn visit(
    url: &str,
    path: &str,
) -> Option<WebSocketStream<tokio_websockets::MaybeTlsStream<tokio::net::TcpStream>>> {
    let builder = ClientBuilder::new().limits(limits()).uri(&format!("{url}{path}")).unwrap();
    match builder.connect().await {
        Ok((socket, _)) => Some(socket),
        Err(error) => {
            eprintln!("{path}: {error}");
            None
        }
    }
}

async fn be_tested(url: &str) {
    let mut asked = visit(url, "/getCaseCount").await.unwrap();
    let cases: usize = asked.next().await.unwrap().unwrap().as_text().unwrap().parse().unwrap();
    for case in 1..=cases {
        if let Some(socket) = visit(url, &format!("/runCase?case={case}&agent=tokio-websockets")).await {
            echo(socket).await;
        }
    }
    if let Some(mut socket) = visit(url, "/updateReports?agent=tokio-websockets").await {
        while let Some(Ok(_)) = socket.next().await {}
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", port] => serve(port.parse().unwrap()).await,
        ["client", url] => be_tested(url.trim_end_matches('/')).await,
        _ => {
            eprintln!("usage: strict_peer server PORT | client URL");
            std::process::exit(2);
        }
    }
}
