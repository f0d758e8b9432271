//! `GET /live`: the state of the gateway over a WebSocket, once a second, for the page. Whoever watches sees the same: it
//! is gathered once, however many watch, and not at all while nobody does.

use super::answer::Body;
use super::desk::Desk;
use super::problem::Problem;
use super::server::Caller;
use super::status;
use crate::clock;
use crate::handshake::accept_for;
use crate::handshake::request::{Asked, Upgrade, Wants};
use futures_util::{SinkExt, StreamExt};
use http::header::{self, HeaderValue};
use http::{Response, StatusCode, request};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

/// The subprotocol: what is sent is as `/status` has it, with `at` besides.
const SUBPROTOCOL: &str = "framegate.live";

/// Who watches at a time.
const MAX_VIEWERS: usize = 16;

const EVERY: Duration = Duration::from_secs(1);

/// A viewer that does not take a message in this time is dropped.
const SLOW: Duration = Duration::from_secs(5);

/// Viewers have nothing to say.
const MAX_HEARD: usize = 4096;

pub struct Live {
    places: Arc<Semaphore>,
    latest: Mutex<Option<(Instant, Utf8Bytes)>>,
}

impl Default for Live {
    fn default() -> Live {
        Live { places: Arc::new(Semaphore::new(MAX_VIEWERS)), latest: Mutex::default() }
    }
}

impl Desk {
    pub(super) fn watch(
        self: Arc<Desk>,
        caller: &Caller,
        mut head: request::Parts,
    ) -> Result<Response<Body>, Problem> {
        let hint = "it is a WebSocket; /status says the same once";
        let asked = Asked::read(&head)
            .map_err(|refused| Problem::new(refused.refusal.status(), refused.detail.clone(), hint))?;
        let (Wants::Upgrade(Upgrade { key, subprotocols, .. }), Some(upgrade)) =
            (asked.wants, head.extensions.remove::<OnUpgrade>())
        else {
            return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "a WebSocket was not asked for", hint));
        };
        let place = self.live.places.clone().try_acquire_owned().map_err(|_| {
            let error = format!("{MAX_VIEWERS} watch already");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error, "close one of the pages that are open")
        })?;
        let viewer = caller.clone();
        caller.tasks.spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                show(self, viewer, upgraded, place).await;
            }
        });
        let mut response = Response::new(Empty::new().boxed_unsync());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&accept_for(key.as_bytes())) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        // The other one that the page offers is its token, which is in no answer.
        if subprotocols.iter().any(|offered| offered == SUBPROTOCOL) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        Ok(response)
    }
}

impl Live {
    /// What all viewers see in this second.
    async fn latest(&self, desk: &Desk) -> Utf8Bytes {
        let mut latest = self.latest.lock().await;
        if let Some((at, text)) = &*latest
            && at.elapsed() < EVERY * 9 / 10
        {
            return text.clone();
        }
        let mut state = status::tell(desk);
        state["at"] = super::sessions::millis(clock::since_1970()).into();
        let text = Utf8Bytes::from(state.to_string());
        *latest = Some((Instant::now(), text.clone()));
        text
    }
}

/// What became of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    ByItself,
    /// It did not take what it was sent.
    TooSlow,
    /// We go away.
    Dismissed,
}

async fn show(desk: Arc<Desk>, viewer: Caller, upgraded: Upgraded, _place: OwnedSemaphorePermit) {
    let left = feed(TokioIo::new(upgraded), &viewer.stop, || desk.live.latest(&desk)).await;
    if left == Left::TooSlow {
        tracing::info!(peer = &*viewer.peer, "admin: a viewer is too slow and is dropped");
    }
}

async fn feed<S, F>(stream: S, stop: &CancellationToken, latest: impl Fn() -> F) -> Left
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Utf8Bytes>,
{
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_HEARD))
        .max_frame_size(Some(MAX_HEARD))
        .read_buffer_size(MAX_HEARD)
        .write_buffer_size(0);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits)).await;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                let close = CloseFrame { code: CloseCode::Away, reason: "drain".into() };
                let _ = timeout(SLOW, socket.close(Some(close))).await;
                return Left::Dismissed;
            }
            _ = ticks.tick() => {
                let text = latest().await;
                match timeout(SLOW, socket.send(Message::Text(text))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Left::ByItself,
                    Err(_) => return Left::TooSlow,
                }
            }
            // Its Close is answered on the way to the end of the stream.
            heard = socket.next() => if !matches!(heard, Some(Ok(_))) {
                return Left::ByItself;
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    /// A viewer's end of a stream that holds so many bytes, and what becomes of it.
    fn viewer(room: usize, stop: &CancellationToken) -> (DuplexStream, JoinHandle<Left>) {
        let (ours, theirs) = duplex(room);
        let stop = stop.clone();
        let feeding = async move { feed(ours, &stop, async || Utf8Bytes::from_static("0123456789")).await };
        (theirs, tokio::spawn(feeding))
    }

    const MESSAGE: &[u8] = b"\x81\x0a0123456789";

    #[tokio::test(start_paused = true)]
    async fn a_message_a_second() {
        let (mut viewer, _feeding) = viewer(1024, &CancellationToken::new());
        let since = Instant::now();
        for second in 0..5 {
            let mut message = [0; 12];
            viewer.read_exact(&mut message).await.unwrap();
            assert_eq!((&message[..], since.elapsed().as_secs()), (MESSAGE, second));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_dropped() {
        // There is room for three messages and a half.
        let (_viewer, feeding) = viewer(42, &CancellationToken::new());
        let since = Instant::now();
        assert_eq!(feeding.await.unwrap(), Left::TooSlow);
        assert_eq!(since.elapsed(), EVERY * 3 + SLOW);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_goodbye_or_too_much_is_gone() {
        let close = b"\x88\x80abcd";
        let long = [&b"\x82\xfe\x20\x00abcd"[..], &[0; 0x2000]].concat();
        for said in [&close[..], &long, b"no frame at all"] {
            let (mut viewer, feeding) = viewer(64 * 1024, &CancellationToken::new());
            viewer.write_all(said).await.unwrap();
            assert_eq!(feeding.await.unwrap(), Left::ByItself);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_watches_at_the_end_is_told() {
        let stop = CancellationToken::new();
        let (mut viewer, feeding) = viewer(1024, &stop);
        let mut message = [0; 12];
        viewer.read_exact(&mut message).await.unwrap();
        stop.cancel();
        assert_eq!(feeding.await.unwrap(), Left::Dismissed);
        let mut rest = Vec::new();
        viewer.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"\x88\x07\x03\xe9drain");
    }
}
