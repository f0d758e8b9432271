//! Requests and who answers them.

use super::answer::{self, Body};
use super::endpoint::Endpoint;
use super::guard::{self, Denied, Door};
use super::live::Live;
use super::problem::Problem;
use super::refusals::Refusals;
use super::server::Caller;
use super::tap::Taps;
use super::wanted::{Id, Page};
use super::{page, sessions, status};
use crate::clock;
use crate::config::Plan;
use crate::console::{self, Standing};
use crate::explain;
use crate::gateway::Gateway;
use crate::latest::Latest;
use crate::observe::metrics::Dialect;
use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Request, Response, StatusCode, request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// What the admin address tells of, and through what it acts.
pub struct Desk {
    pub gateways: Arc<Latest<Gateway>>,
    /// The configuration as it runs.
    pub plan: Arc<Latest<Plan>>,
    pub standing: Arc<Standing>,
    /// To the main loop.
    pub asking: UnboundedSender<console::Request>,
    pub(super) live: Live,
    pub(super) taps: Taps,
    pub(super) refusals: Refusals,
}

/// What a request's body may have.
const MAX_BODY: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

type Answered = Result<Response<Body>, Problem>;

impl Desk {
    pub fn new(
        gateways: Arc<Latest<Gateway>>,
        plan: Arc<Latest<Plan>>,
        standing: Arc<Standing>,
        asking: UnboundedSender<console::Request>,
    ) -> Desk {
        let (live, taps, refusals) = (Live::default(), Taps::default(), Refusals::default());
        Desk { gateways, plan, standing, asking, live, taps, refusals }
    }

    /// Answers one request, whatever it is. Who is refused gets a line in the log.
    pub(super) async fn answer(
        self: Arc<Desk>,
        door: &Door,
        caller: Caller,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let asked = format!("{} {}", request.method(), request.uri().path());
        let (head, body) = request.into_parts();
        let answered = match guard::judge(&head, door) {
            Ok(endpoint) => self.serve(&caller, endpoint, head, body).await,
            Err(denied) => Err(denied.into()),
        };
        let mut response = answered.unwrap_or_else(|problem| {
            self.refusals.tell(&caller.peer, word(problem.status), &asked, &problem.error);
            answer::problem(&problem)
        });
        answer::make_safe(response.headers_mut());
        response
    }

    async fn serve(
        self: &Arc<Desk>,
        caller: &Caller,
        endpoint: Endpoint,
        head: request::Parts,
        body: Incoming,
    ) -> Answered {
        let told = |value: &Value| Ok(answer::json(StatusCode::OK, value));
        match endpoint {
            Endpoint::Page => Ok(page::page()),
            Endpoint::Part(part) => Ok(part.show()),
            Endpoint::Live => self.clone().watch(caller, head),
            Endpoint::Health => Ok(answer::text(StatusCode::OK, "ok\n")),
            Endpoint::Ready if self.standing.is_ready() => Ok(answer::text(StatusCode::OK, "ready\n")),
            Endpoint::Ready => Ok(answer::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")),
            Endpoint::Metrics => Ok(self.metrics(&head.headers)),
            Endpoint::Status => told(&status::tell(self)),
            Endpoint::Sessions => {
                let page = Page::read(head.uri.query().unwrap_or_default())?;
                told(&sessions::page(&self.gateways.get().lasting.sessions, &page).await)
            }
            Endpoint::Session(id) => {
                let handle = sessions::find(&self.gateways.get().lasting.sessions, &Id::read(&id)).await?;
                let facts = handle.facts().ok_or_else(sessions::unknown)?;
                told(&sessions::show(&handle, facts, clock::now()))
            }
            Endpoint::Config => told(&explain::effective(&self.plan.get())),
            Endpoint::Tap(id) => self.tap(caller, &id, head.uri.query().unwrap_or_default()).await,
            Endpoint::Kick => told(&self.kick(caller, &whole(head, body).await?).await?),
            Endpoint::Drain => told(&self.drain(caller, &whole(head, body).await?).await?),
            Endpoint::Reload => told(&self.reload(caller, &whole(head, body).await?).await?),
        }
    }
}

impl Desk {
    fn metrics(&self, headers: &HeaderMap) -> Response<Body> {
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let dialect = Dialect::asked_for(&accept.collect::<Vec<_>>().join(","));
        let text = self.gateways.get().exposition(self.standing.figures(), dialect);
        answer::whole(StatusCode::OK, dialect.content_type(), text)
    }
}

/// A request's body.
async fn whole(head: request::Parts, body: Incoming) -> Result<Bytes, Problem> {
    let too_large = || {
        let error = "the body is too large";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error, format!("at most {MAX_BODY} bytes are taken"))
    };
    let length =
        head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "the body does not end as it should", "")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long", "")),
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Problem {
        let header = match denied {
            // RFC 9110 11.6.1 and 15.5.6.
            Denied::TokenMissing | Denied::TokenWrong => Some(("www-authenticate", "Bearer")),
            Denied::Method(methods) => Some(("allow", methods)),
            _ => None,
        };
        Problem { header, ..Problem::new(denied.status(), denied.problem(), denied.hint()) }
    }
}

/// For the log.
fn word(status: StatusCode) -> &'static str {
    match status {
        StatusCode::MISDIRECTED_REQUEST => "host",
        StatusCode::FORBIDDEN => "page",
        StatusCode::UNAUTHORIZED => "token",
        StatusCode::METHOD_NOT_ALLOWED => "method",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "content_type",
        StatusCode::NOT_FOUND => "not_found",
        _ if status.is_server_error() => "unable",
        _ => "request",
    }
}
