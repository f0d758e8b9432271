//! Probes: whether a server would serve a client, found out before a client does. One task a backend, on a thread that
//! carries no sessions.

use super::dial::Introduction;
use super::http::{self as backend_http, Answer, Exchange};
use super::stream::Stream;
use super::upstream::Upstream;
use crate::backend::health::{Change, HealthSettings, ProbeKind};
use crate::backend::pool::Endpoint;
use crate::clock;
use crate::frame::{Close, Control, Lane, LaneRules, Opcode, Piece, Side};
use crate::handshake::new_key;
use crate::handshake::reply::{self, Offer};
use crate::refusal::Refused;
use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{self, HeaderValue};
use http::{Method, Request};
use http_body_util::{Either, Empty};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// A server may greet with messages of its own before it answers a ping; with more than this it does not answer.
const MOST_GREETING: usize = 1024 * 1024;

/// Probes every server of a backend for ever; `on_change` hears what the probes change.
pub async fn watch(
    upstream: &Upstream,
    settings: &HealthSettings,
    on_change: impl Fn(&Arc<Endpoint>, Change),
) {
    loop {
        upstream.resolve(clock::now()).await;
        let endpoints = upstream.pool().endpoints();
        join_all(endpoints.iter().map(|endpoint| async {
            let found = match timeout(settings.timeout, probe(upstream, endpoint, settings)).await {
                Ok(found) => found,
                Err(_) => Err(format!("no answer within {:?}", settings.timeout)),
            };
            let change = endpoint.health(|health| health.probed(found.is_ok(), settings, clock::now()));
            upstream.changed(endpoint, change, found.as_ref().err().map_or("", |why| why), clock::now());
            if let Some(change) = change {
                on_change(endpoint, change);
            }
        }))
        .await;
        // Not in step with the gateways beside this one.
        sleep(settings.interval.mul_f64(0.9 + 0.2 * fastrand::f64())).await; // why: the operator asked for this rhythm
    }
}

/// The error is what the operator should know.
async fn probe(upstream: &Upstream, endpoint: &Endpoint, settings: &HealthSettings) -> Result<(), String> {
    let dialer = upstream.dialer(endpoint);
    let nobody: Introduction = dialer.introduce(None, None);
    let dialed = dialer.dial_at(&endpoint.address, settings.timeout, Duration::MAX, &nobody).await;
    let stream = dialed.map_err(|refused| refused.detail)?;
    let authority = HeaderValue::from_str(dialer.authority()).map_err(|error| error.to_string())?;
    let mut request = Request::new(Either::Right(Empty::new()));
    *request.method_mut() = Method::GET;
    *request.uri_mut() = settings.path.parse().map_err(|_| format!("{} is not a path", settings.path))?;
    request.headers_mut().insert(header::HOST, authority);
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("framegate-probe"));
    match settings.kind {
        ProbeKind::Tcp => Ok(()),
        ProbeKind::Http => {
            let mut exchange = Exchange::begin(stream).await.map_err(|refused| refused.detail)?;
            let answer = exchange.plain(request, settings.timeout).await;
            let status = answer.map_err(|not_sent| not_sent.refused.detail)?.status();
            let is_good = status.is_success() || status.is_redirection();
            if is_good { Ok(()) } else { Err(format!("it answers {status}")) }
        }
        ProbeKind::WebSocket => {
            let key =
                HeaderValue::from_str(&new_key(fastrand::u128(..))).map_err(|error| error.to_string())?;
            let headers = request.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            headers.insert(header::SEC_WEBSOCKET_KEY, key.clone());
            match backend_http::upgrade(stream, request, settings.timeout)
                .await
                .map_err(|Refused { detail, .. }| detail)?
            {
                Answer::Other(response) => Err(format!("it answers {} to an upgrade", response.status())),
                Answer::Switching(response, stream, early) => {
                    reply::verify(
                        response.headers(),
                        Offer { key: &key, subprotocols: &[], deflate: false },
                    )?;
                    ping(stream, early).await
                }
            }
        }
    }
}

/// Whether a ping is answered, whatever else the server says before. It is left with a Close.
async fn ping(mut stream: Stream, early: Bytes) -> Result<(), String> {
    const PAYLOAD: &[u8] = b"framegate";
    let broken = |error: std::io::Error| format!("the stream broke: {error}");
    let mut out = Vec::new();
    Control::new(Opcode::Ping, PAYLOAD).encode(Some(fastrand::u32(..).to_ne_bytes()), &mut out);
    stream.write_all(&out).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut lane = Lane::new(Side::Backend, false);
    let mut unread = early.to_vec();
    let mut passed = 0;
    loop {
        let mut used = 0;
        loop {
            match lane
                .next(&unread[used..], &LaneRules::UNLIMITED)
                .map_err(|broken| broken.rule().to_string())?
            {
                Piece::Partial => break,
                Piece::Data { n, .. } => used += n,
                Piece::Control(header) => {
                    let payload = &unread[used + header.size..][..header.len as usize];
                    if header.opcode == Opcode::Pong && payload == PAYLOAD {
                        out.clear();
                        let bye = Close::new(1000, "");
                        bye.to_frame().encode(Some(fastrand::u32(..).to_ne_bytes()), &mut out);
                        let _ = stream.write_all(&out).await;
                        let _ = stream.shutdown().await;
                        return Ok(());
                    }
                    if header.opcode == Opcode::Close {
                        return Err("it closes instead of answering a ping".into());
                    }
                    used += header.size + payload.len();
                }
            }
        }
        unread.drain(..used);
        passed += used;
        if passed > MOST_GREETING {
            return Err("it talks on and does not answer a ping".into());
        }
        if stream.read_buf(&mut unread).await.map_err(broken)? == 0 {
            return Err("the stream ended instead of an answer to a ping".into());
        }
    }
}
