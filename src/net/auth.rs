//! The question to an auth server, and its whole answer (`forward_auth`).
//!
//! It is asked in the task of the request it is about, on a connection of its own: a client that goes away takes the
//! question with it, and no answer can be taken for another one's.

use super::dial::Dialer;
use super::http::{RequestBody, begin, broken_answer};
use crate::backend::Backend;
use crate::policy::forward_auth::{About, Admitted, ForwardAuth, Unintelligible, Verdict};
use crate::refusal::{Refusal, Refused};
use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, Response, Uri, Version};
use http_body_util::{BodyExt, Either, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::pin::pin;

/// The most of a denial's body that is held: a page to log in at is smaller.
const MAX_BODY: usize = 64 * 1024;

/// A server that is asked, with what dialling it takes.
pub struct AuthServer {
    dialer: Dialer,
    settings: ForwardAuth,
    /// The server as it stands in log lines.
    label: String,
}

/// What it said.
pub enum Reply {
    Admitted(Admitted),
    /// The client's to read.
    Denied(Response<Bytes>),
}

impl AuthServer {
    pub fn new(settings: ForwardAuth) -> Result<AuthServer, String> {
        let label = settings.to_string();
        let server = Backend {
            connect_timeout: settings.timeout,
            upgrade_timeout: settings.timeout,
            tls: settings.tls.clone(),
            ..Backend::new(&label, [settings.server.clone()])
        };
        Ok(AuthServer { dialer: Dialer::one(&server, &label)?, settings, label })
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    /// Asks, and reads the answer: the head of one that admits, all of one that denies. All under one deadline, and
    /// whatever goes wrong is a refusal.
    pub async fn ask(&self, request: &HeaderMap, about: About<'_>) -> Result<Reply, Refused> {
        let mut question = Request::new(Either::Right(Empty::new()));
        *question.uri_mut() = Uri::from(self.settings.target.clone());
        *question.headers_mut() = self.settings.question(request, about);
        let limit = self.settings.timeout;
        match tokio::time::timeout(limit, self.exchange(question)).await {
            Ok(reply) => reply,
            Err(_) => Err(self.because(Refusal::AuthTimeout, &format!("no answer within {limit:?}"))),
        }
    }

    async fn exchange(&self, question: Request<RequestBody>) -> Result<Reply, Refused> {
        // Who the client is stands in the question.
        let introduction = self.dialer.introduce(None, None);
        let begun = async { begin(self.dialer.dial(self.settings.timeout, &introduction).await?).await };
        let (mut sender, connection) = begun.await.map_err(|refused| self.in_our_words(refused))?;
        let mut answering = pin!(async move {
            let answer = sender.send_request(question).await.map_err(|error| broken_answer(&error));
            self.read(answer.map_err(|refused| self.in_our_words(refused))?).await
        });
        // The connection is driven here and not by a task of its own, which would have to be told of the end.
        tokio::select! {
            biased;
            reply = &mut answering => reply,
            // It may end before its answer has been read.
            _ = connection => answering.await,
        }
    }

    async fn read(&self, answer: Response<Incoming>) -> Result<Reply, Refused> {
        let (mut head, body) = answer.into_parts();
        let verdict = self.settings.verdict(head.status, &head.headers);
        match verdict.map_err(|Unintelligible(why)| self.because(Refusal::AuthAnswer, &why))? {
            Verdict::Admitted(admitted) => return Ok(Reply::Admitted(admitted)),
            Verdict::Denied => {}
        }
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
            let why = if error.is::<LengthLimitError>() {
                format!("the body of its {} is longer than {MAX_BODY} bytes", head.status.as_u16())
            } else {
                format!("the body of its {} breaks off: {error}", head.status.as_u16())
            };
            self.because(Refusal::AuthAnswer, &why)
        })?;
        self.settings.denial_headers(&mut head.headers);
        head.version = Version::HTTP_11;
        Ok(Reply::Denied(Response::from_parts(head, body.to_bytes())))
    }

    /// What went wrong on the way to a server, where the server is not a backend.
    fn in_our_words(&self, refused: Refused) -> Refused {
        let refusal = match refused.refusal {
            Refusal::BackendConnectTimeout => Refusal::AuthTimeout,
            Refusal::BackendAnswer => Refusal::AuthAnswer,
            // No descriptor or no port is left: that is us.
            Refusal::Overload => Refusal::Overload,
            _ => Refusal::AuthUnreachable,
        };
        self.because(refusal, &refused.detail)
    }

    fn because(&self, refusal: Refusal, why: &str) -> Refused {
        refusal.because(format!("asking {}: {why}", self.label))
    }
}
