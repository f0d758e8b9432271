//! One HTTP exchange with a backend: an upgrade whose raw stream is taken back from hyper, or a plain request whose
//! answer streams through.

use super::stream::Stream;
use crate::refusal::{Refusal, Refused};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, Parts, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::{JoinHandle, unconstrained};

/// What goes to a backend: a client's body as it streams in, or none.
pub type RequestBody = Either<Incoming, Empty<Bytes>>;

/// Bytes of a backend's head that we are willing to hold.
const MAX_HEAD: usize = 64 * 1024;

/// How long a kept connection may take to be ready for its next request; a new one takes no longer.
const A_MOMENT: Duration = Duration::from_millis(20);

/// A connection to a backend for one plain request after the other.
pub struct Exchange {
    sender: SendRequest<RequestBody>,
    _driver: Driver,
}

/// The task that moves a connection's bytes. Dropping it closes the connection: a client that is gone leaves nothing
/// behind.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A backend's answer to an upgrade.
pub enum Answer {
    /// A 101, not yet checked; the raw stream, and the bytes that came glued to the head.
    Switching(Response<Incoming>, Stream, Bytes),
    /// Anything else: the client's to read.
    Other(Response<Incoming>),
}

/// Sends an upgrade and waits for the head of the answer, whatever interim answers come before it.
pub async fn upgrade(
    stream: Stream,
    request: Request<RequestBody>,
    limit: Duration,
) -> Result<Answer, Refused> {
    let (mut sender, mut connection) = begin(stream).await?;
    // The connection is driven here and not by a task of its own: it has nothing to do but this. Nobody else answers
    // `sending`, which therefore needs no waker, and must not put the answer off for the task's budget.
    let mut sending = pin!(unconstrained(sender.send_request(request)));
    let mut ended = None;
    let answer = poll_fn(|cx| {
        if ended.is_none()
            && let Poll::Ready(result) = connection.poll_without_shutdown(cx)
        {
            ended = Some(result);
        }
        sending.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    });
    let answer = tokio::time::timeout(limit, answer).await;
    let response = answer.map_err(|_| silent(limit))?.map_err(|error| broken_answer(&error))?;
    drop(sender);
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if ended.is_none() {
            // It ends by itself once the answer's body has been read or dropped.
            tokio::spawn(connection.without_shutdown());
        }
        return Ok(Answer::Other(response));
    }
    let ended = match ended {
        Some(ended) => ended,
        None => poll_fn(|cx| connection.poll_without_shutdown(cx)).await,
    };
    ended.map_err(|error| broken_answer(&error))?;
    // Not `with_upgrades`: the parts, with what was read ahead, come back here.
    let Parts { io, read_buf, .. } = connection.into_parts();
    Ok(Answer::Switching(response, io.into_inner(), read_buf))
}

pub(super) async fn begin(
    stream: Stream,
) -> Result<(SendRequest<RequestBody>, Connection<TokioIo<Stream>, RequestBody>), Refused> {
    http1::Builder::new()
        .preserve_header_case(true)
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken_answer(&error))
}

impl Exchange {
    pub async fn begin(stream: Stream) -> Result<Exchange, Refused> {
        let (sender, connection) = begin(stream).await?;
        // Its end is told by the request or by the answer's body. Nothing is handed back: a socket in the result of a
        // task that is over would stay open until somebody fetched it.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Exchange { sender, _driver: Driver(driver) })
    }

    /// Sends a plain request; the answer's body streams as the client reads it. The connection is kept for the next
    /// request where the backend lets us.
    pub async fn plain(
        &mut self,
        request: Request<RequestBody>,
        limit: Duration,
    ) -> Result<Response<Incoming>, NotSent> {
        match tokio::time::timeout(limit, self.sender.try_send_request(request)).await {
            Err(_) => Err(NotSent { refused: silent(limit), request: None, hung_up: false }),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(mut error)) => {
                let request = error.take_message();
                let hung_up = is_hang_up(error.error());
                Err(NotSent { refused: broken_answer(error.error()), request, hung_up })
            }
        }
    }

    /// Whether another request can be sent on it. Its task may be a moment behind the last byte of the answer before.
    pub async fn is_ready(&mut self) -> bool {
        tokio::time::timeout(A_MOMENT, self.sender.ready()).await.is_ok_and(|ready| ready.is_ok())
    }
}

/// A plain request that got no answer; with the request itself where not a byte of it had been sent.
pub struct NotSent {
    pub refused: Refused,
    pub request: Option<Request<RequestBody>>,
    /// The connection ended where the answer should have come.
    pub hung_up: bool,
}

fn silent(limit: Duration) -> Refused {
    Refusal::BackendSilent.because(format!("no answer to the request within {limit:?}"))
}

fn is_hang_up(error: &hyper::Error) -> bool {
    use std::error::Error;
    error.is_incomplete_message() || error.source().is_some_and(|cause| cause.is::<std::io::Error>())
}

pub(super) fn broken_answer(error: &hyper::Error) -> Refused {
    use std::error::Error;
    let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
    Refusal::BackendAnswer.because(format!("{error}{cause}"))
}
