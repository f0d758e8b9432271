//! `GET /tap/ID`: the frames of one session as they pass, a line of JSON each. Payload only where it is asked for; who asked,
//! for which session and how much, is a line in the log, and so is the end of it.

use super::answer::{self, Body};
use super::desk::Desk;
use super::problem::Problem;
use super::server::Caller;
use super::sessions::{self, millis};
use super::wanted::Id;
use super::words::{bad, digits, unknown};
use crate::frame::Opcode;
use crate::registry::tap::{Event, Looked, MOST_PAYLOAD, Passed, Tap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who taps at a time: each may hold a few hundred frames that it has not read.
const MAX_TAPS: usize = 8;

/// Lines that go out in one write.
const TOGETHER: usize = 64;

pub struct Taps(Arc<Semaphore>);

impl Default for Taps {
    fn default() -> Taps {
        Taps(Arc::new(Semaphore::new(MAX_TAPS)))
    }
}

/// One who looks on, until the session or the caller is gone.
struct Looker {
    frames: Receiver<Looked>,
    /// Whether it asked for payload.
    payload: bool,
    /// It ends with the address that it came by, too.
    caller: Caller,
    session: u64,
    _place: OwnedSemaphorePermit,
}

impl Drop for Looker {
    fn drop(&mut self) {
        tracing::info!(
            peer = &*self.caller.peer,
            session = self.session,
            "admin: a session is not tapped any more"
        );
    }
}

impl Desk {
    pub(super) async fn tap(
        &self,
        caller: &Caller,
        id: &str,
        query: &str,
    ) -> Result<Response<Body>, Problem> {
        let payload = read_payload(query)?;
        let handle = sessions::find(&self.gateways.get().lasting.sessions, &Id::read(id)).await?;
        let place = self.taps.0.clone().try_acquire_owned().map_err(|_| {
            let hint = "end one of the taps that are open";
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{MAX_TAPS} sessions are tapped already"),
                hint,
            )
        })?;
        let (tap, frames) = Tap::new(payload);
        let (peer, session) = (&*caller.peer, handle.number());
        let request = handle.facts().map_or("", |facts| &facts.id);
        tracing::warn!(peer, session, id = request, payload, "admin: a session is tapped");
        handle.tap(tap);
        let looker = Looker { frames, payload: payload > 0, caller: caller.clone(), session, _place: place };
        let lines = stream::unfold(looker, |mut looker| async move {
            let text = looker.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(text)), looker))
        });
        let mut response = answer::whole(StatusCode::OK, "application/x-ndjson", Bytes::new());
        *response.body_mut() = StreamBody::new(lines).boxed_unsync();
        Ok(response)
    }
}

impl Looker {
    /// What has passed since, as lines.
    async fn next(&mut self) -> Option<Bytes> {
        let mut seen = Vec::new();
        let count = tokio::select! {
            biased;
            () = self.caller.stop.cancelled() => return None,
            count = self.frames.recv_many(&mut seen, TOGETHER) => count,
        };
        if count == 0 {
            return None;
        }
        let lines = seen.iter().flat_map(|looked| show(looked, self.payload));
        Some(lines.map(|line| format!("{line}\n")).collect::<String>().into())
    }
}

fn show(looked: &Looked, payload: bool) -> Vec<Value> {
    let missed = (looked.missed > 0).then(|| json!({ "missed": looked.missed }));
    let event = match &looked.event {
        Event::Frame(frame) => show_frame(frame, payload),
        Event::Ended { by, cause, code } => {
            json!({ "ended": { "by": by.word(), "cause": cause, "code": code } })
        }
    };
    missed.into_iter().chain([event]).collect()
}

fn show_frame(frame: &Passed, payload: bool) -> Value {
    let mut line = json!({
        "t_ms": millis(frame.at),
        "from": frame.from.word(),
        "to": frame.to.word(),
        "opcode": word(frame.opcode),
        "fin": frame.fin,
        "rsv1": frame.compressed,
        "size": frame.size,
    });
    if payload {
        line["payload"] = STANDARD.encode(&frame.payload).into();
    }
    line
}

const fn word(opcode: Opcode) -> &'static str {
    match opcode {
        Opcode::Continuation => "continuation",
        Opcode::Text => "text",
        Opcode::Binary => "binary",
        Opcode::Close => "close",
        Opcode::Ping => "ping",
        Opcode::Pong => "pong",
    }
}

/// How much of each payload is asked for.
fn read_payload(query: &str) -> Result<usize, Problem> {
    let mut payload = 0;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some(text) = pair.strip_prefix("payload=") else {
            return Err(unknown(pair.split('=').next().unwrap_or_default(), "payload"));
        };
        let bytes = digits(text).and_then(|bytes| usize::try_from(bytes).ok());
        payload = bytes.filter(|bytes| *bytes <= MOST_PAYLOAD).ok_or_else(|| {
            bad(
                "payload is not a number of bytes",
                format!("the first so many of each frame, {MOST_PAYLOAD} at the most"),
            )
        })?;
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Side;
    use crate::relay::By;
    use std::time::Duration;

    #[test]
    fn how_much_payload() {
        for (query, expected) in [
            ("", Some(0)),
            ("payload=0", Some(0)),
            ("payload=16384", Some(16384)),
            ("payload=16385", None),
            ("payload=", None),
            ("payload=-1", None),
            ("payload=1e3", None),
            ("frames=1", None),
        ] {
            assert_eq!(read_payload(query).ok(), expected, "{query}");
        }
    }

    #[test]
    fn a_line_a_frame_and_what_was_missed_before_it() {
        let frame = Passed {
            at: Duration::from_millis(1_700_000_000_123),
            from: By::Gateway,
            to: Side::Client,
            opcode: Opcode::Ping,
            fin: true,
            compressed: false,
            size: 3,
            payload: b"abc".as_slice().into(),
        };
        let lines = show(&Looked { missed: 2, event: Event::Frame(frame.clone()) }, true);
        let shown = json!({
            "t_ms": 1_700_000_000_123_u64, "from": "gateway", "to": "client", "opcode": "ping", "fin": true,
            "rsv1": false, "size": 3, "payload": "YWJj"
        });
        assert_eq!(lines, [json!({ "missed": 2 }), shown]);
        let lines = show(&Looked { missed: 0, event: Event::Frame(frame) }, false);
        assert!(lines.len() == 1 && lines[0].get("payload").is_none());
    }
}
