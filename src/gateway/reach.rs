//! From a permit to a backend's answer: a server is picked, and where it fails another one, as long as nothing of the
//! client's has been consumed.

use super::{Gateway, Kept, Permit, Visit};
use crate::backend::Backend;
use crate::backend::key::KeyFacts;
use crate::backend::pool::{Asked as Pick, Endpoint, Place};
use crate::backend::sticky::token_of;
use crate::clock;
use crate::handshake::forward::HostHeader;
use crate::handshake::reply::{self, Agreed, Offer};
use crate::net::dial::Introduction;
use crate::net::http::{self as backend_http, Answer, Exchange, NotSent, RequestBody};
use crate::net::splice::Taken;
use crate::net::stream::Stream;
use crate::net::upstream::Upstream;
use crate::refusal::{Refusal, Refused};
use crate::route::Route;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, request};
use http_body_util::{Either, Empty};
use hyper::body::{Body, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What an upgrade came to, and where.
pub(super) struct Reached {
    pub(super) tried: Tried,
    pub(super) place: Place,
}

/// What a server made of it.
pub(super) enum Tried {
    /// A 101 that is one.
    Switched { response: Response<Incoming>, backend: Taken, agreed: Agreed },
    /// Something else, the client's to read.
    Answered(Response<Incoming>),
}

/// The servers that a client was sent to, and what may still be tried.
struct Attempts<'a> {
    upstream: &'a Upstream,
    key: u64,
    token: Option<String>,
    /// Where the client's last plain request went.
    last: Option<u64>,
    /// For a session, which counts.
    counts: bool,
    tried: Vec<u64>,
    failures: Failures,
}

/// The servers that failed a client, as retries count them. The other addresses of a name that cannot be connected to are
/// no other servers, as long as its connect_timeout lasts. One that took the connection and failed then is a server of its
/// own, whatever else its name leads to: all of them would be asked else, by each client, just when they are overloaded.
#[derive(Default)]
struct Failures {
    counted: usize,
    /// Servers none of whose addresses took the connection so far, and how long was waited for that.
    unreachable: Vec<(usize, Duration)>,
}

impl Failures {
    /// `waited`: for a connection that did not come about.
    fn add(&mut self, server: usize, waited: Option<Duration>, connect_timeout: Duration) {
        let known = self.unreachable.iter().position(|(known, _)| *known == server);
        let before = known.map(|at| self.unreachable.swap_remove(at).1).unwrap_or_default();
        match waited.map(|waited| before.saturating_add(waited)) {
            Some(waited) if waited < connect_timeout => self.unreachable.push((server, waited)),
            _ => self.counted += 1,
        }
    }

    /// Only these servers are left to try, once there were as many others as may be.
    fn within(&self, retries: u32) -> Option<Vec<usize>> {
        let is_over = self.counted + self.unreachable.len() > retries as usize;
        is_over.then(|| self.unreachable.iter().map(|(server, _)| *server).collect())
    }
}

impl<'a> Attempts<'a> {
    fn new(upstream: &'a Upstream, visit: &Visit<'_>, head: &request::Parts) -> Attempts<'a> {
        let backend = upstream.backend();
        let (path, query) = (visit.asked.path.as_str(), head.uri.query());
        let facts = KeyFacts { client: visit.seen.client, headers: &head.headers, path, query };
        Attempts {
            upstream,
            key: backend.hash_on.key(facts),
            token: brought_cookie(backend, &head.headers).map(|value| token_of(&value).to_owned()),
            last: None,
            counts: true,
            tried: Vec::new(),
            failures: Failures::default(),
        }
    }

    async fn next(&self) -> Result<Place, Refused> {
        let within = self.failures.within(self.upstream.backend().retries);
        let mut asked = Pick {
            key: self.key,
            token: self.token.as_deref(),
            last: self.last,
            counts: self.counts,
            tried: &self.tried,
            within: within.as_deref(),
            now: clock::now(),
            random: &mut fastrand::f64,
        };
        let picked = self.upstream.pick(&mut asked).await;
        picked.map_err(|none| none.refused(self.upstream.backend()))
    }

    /// Whether the request may be needed once more, after this one.
    fn others_than(&self, place: &Place) -> bool {
        self.upstream.pool().has_another(&self.tried, place.endpoint().id)
    }

    /// `refused` is what became of it after `took`, where there is no answer at all.
    fn failed_at(&mut self, endpoint: &Endpoint, refused: Option<&Refused>, took: Duration) {
        self.tried.push(endpoint.id);
        let is_unreached = |refused: &&Refused| {
            matches!(refused.refusal, Refusal::BackendConnect | Refusal::BackendConnectTimeout)
        };
        let waited = refused.filter(is_unreached).map(|_| took);
        self.failures.add(endpoint.server, waited, self.upstream.backend().connect_timeout);
    }
}

/// The value of the cookie that says where the client was.
pub(super) fn brought_cookie(backend: &Backend, headers: &HeaderMap) -> Option<String> {
    let sticky = backend.sticky.as_ref()?;
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    sticky.find(lines).map(String::from)
}

impl Gateway {
    pub(super) fn upstream(&self, route: &Route) -> Result<&Arc<Upstream>, Refused> {
        self.backends
            .get(route.backend)
            .ok_or_else(|| Refusal::BackendConnect.because(format!("route {} has no backend", route.name)))
    }

    /// Sends an upgrade to one server after the other, until one gives an answer that is worth passing on. When nobody is
    /// left, what the last one said stands.
    pub(super) async fn reach(
        &self,
        visit: &Visit<'_>,
        permit: &Permit<'_>,
        offer: Offer<'_>,
        head: request::Parts,
    ) -> Result<Reached, Refused> {
        let upstream = self.upstream(permit.route)?;
        let mut attempts = Attempts::new(upstream, visit, &head);
        let mut place = attempts.next().await?;
        let mut head = head;
        loop {
            let spare = attempts.others_than(&place).then(|| head.clone());
            let before = Instant::now();
            let answer = self.try_one(visit, permit, offer, upstream, &place, head).await;
            let is_final = match &answer {
                Ok(Tried::Switched { .. }) => true,
                Ok(Tried::Answered(response)) => !is_for_another(response.status()),
                Err(refused) => !refused.refusal.is_the_servers_fault(),
            };
            if is_final {
                return answer.map(|tried| Reached { tried, place });
            }
            attempts.failed_at(place.endpoint(), answer.as_ref().err(), before.elapsed());
            let next = match spare {
                Some(spare) => attempts.next().await.ok().map(|next| (next, spare)),
                None => None,
            };
            match next {
                Some(next) => (place, head) = next,
                None => return answer.map(|tried| Reached { tried, place }),
            }
        }
    }

    async fn try_one(
        &self,
        visit: &Visit<'_>,
        permit: &Permit<'_>,
        offer: Offer<'_>,
        upstream: &Upstream,
        place: &Place,
        mut head: request::Parts,
    ) -> Result<Tried, Refused> {
        let tried = async {
            let quiet = permit.route.rules.heartbeat.ping_interval.backend.unwrap_or(Duration::MAX);
            let stream = self.dial(upstream, place, quiet, &introduction(visit, upstream, place)).await?;
            name_the_server(&mut head.headers, permit.route, upstream, place);
            let request = Request::from_parts(head, Either::Right(Empty::new()));
            let limit = upstream.backend().upgrade_timeout;
            match backend_http::upgrade(stream, request, limit).await? {
                Answer::Other(response) => Ok(Tried::Answered(response)),
                Answer::Switching(response, stream, early) => {
                    let agreed = reply::verify(response.headers(), offer).map_err(|why| {
                        Refusal::BackendAnswer.because(format!("{}: {why}", place.endpoint().label))
                    })?;
                    Ok(Tried::Switched { response, backend: Taken { stream, early }, agreed })
                }
            }
        };
        let tried = tried.await;
        match &tried {
            Ok(Tried::Switched { .. }) => upstream.opened(place, clock::now()),
            Ok(Tried::Answered(_)) => upstream.answered(place),
            Err(refused) => upstream.failed(place, refused, clock::now()),
        }
        tried
    }

    /// A connection to the server of `place`.
    async fn dial(
        &self,
        upstream: &Upstream,
        place: &Place,
        quiet: Duration,
        introduction: &Introduction,
    ) -> Result<Stream, Refused> {
        let before = Instant::now();
        let stream = upstream.dial(place, quiet, introduction).await?;
        self.metrics().dialed(&upstream.backend().name, before.elapsed());
        Ok(stream)
    }

    /// Sends a plain request. A server that cannot be connected to has seen nothing of it, and another one is tried; once
    /// it is on its way, its answer is the answer.
    pub(super) async fn reach_plain(
        &self,
        visit: &Visit<'_>,
        permit: &Permit<'_>,
        head: request::Parts,
        body: Incoming,
    ) -> Result<(Response<Incoming>, Place), Refused> {
        let upstream = self.upstream(permit.route)?;
        // A poll may hang for as long as a quiet session may.
        let limit = permit.route.rules.timeouts.idle.unwrap_or(Duration::MAX);
        let mut idle = visit.connection.idle.lock().await;
        let mut attempts = Attempts::new(upstream, visit, &head);
        attempts.counts = false;
        let is_of_this_backend = |kept: &Kept| kept.upstream.backend().name == upstream.backend().name;
        let kept = idle.take().filter(is_of_this_backend);
        attempts.last = kept.as_ref().map(|kept| kept.endpoint);
        let kept = kept.filter(|kept| Arc::ptr_eq(&kept.upstream, upstream));
        let mut place = attempts.next().await?;
        let mut introduction = introduction(visit, upstream, &place);
        let harmless = head.method.is_safe() && body.is_end_stream();
        let mut request: Request<RequestBody> = Request::from_parts(head, Either::Left(body));
        if let Some(mut kept) = still_good(kept, &place, &introduction).await {
            name_the_server(request.headers_mut(), permit.route, upstream, &place);
            let spare = harmless.then(|| request.headers().clone()).map(|headers| {
                let mut spare = Request::new(Either::Right(Empty::new()));
                (*spare.method_mut(), *spare.uri_mut()) = (request.method().clone(), request.uri().clone());
                *spare.headers_mut() = headers;
                spare
            });
            match kept.exchange.plain(request, limit).await {
                Ok(response) => {
                    upstream.answered(&place);
                    *idle = Some(kept);
                    return Ok((response, place));
                }
                // The backend closed it just then; of this request it has seen nothing.
                Err(NotSent { request: Some(unsent), .. }) => request = unsent,
                // Or it may have. What only asks may ask twice (RFC 9110 9.2.2).
                Err(NotSent { refused, hung_up: true, .. }) => request = spare.ok_or(refused)?,
                Err(NotSent { refused, .. }) => return Err(refused),
            }
        }
        let stream = loop {
            let before = Instant::now();
            match self.dial(upstream, &place, Duration::MAX, &introduction).await {
                Ok(stream) => break stream,
                Err(refused) => {
                    upstream.failed(&place, &refused, clock::now());
                    attempts.failed_at(place.endpoint(), Some(&refused), before.elapsed());
                    place = attempts.next().await.map_err(|_| refused)?;
                    introduction = self::introduction(visit, upstream, &place);
                }
            }
        };
        name_the_server(request.headers_mut(), permit.route, upstream, &place);
        let mut exchange = Exchange::begin(stream).await?;
        let response = exchange.plain(request, limit).await.map_err(|not_sent| not_sent.refused)?;
        upstream.answered(&place);
        let (upstream, endpoint) = (upstream.clone(), place.endpoint().id);
        *idle = Some(Kept { upstream, endpoint, introduction, exchange });
        Ok((response, place))
    }
}

/// The connection of the request before, if it can carry this one.
async fn still_good(kept: Option<Kept>, place: &Place, introduction: &Introduction) -> Option<Kept> {
    let mut kept =
        kept.filter(|kept| kept.endpoint == place.endpoint().id && kept.introduction == *introduction)?;
    kept.exchange.is_ready().await.then_some(kept)
}

/// The application behind it is not there, or not yet: another server may do better.
fn is_for_another(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// The client to the backend. What `X-Forwarded-For` says of it has no port.
fn introduction(visit: &Visit<'_>, upstream: &Upstream, place: &Place) -> Introduction {
    let connection = visit.connection;
    let port = if visit.seen.client == connection.peer { connection.peer_port } else { 0 };
    let client = visit.seen.client.map(|address| SocketAddr::new(address, port));
    upstream.dialer(place.endpoint()).introduce(client, connection.local)
}

/// Where the route wants the server's own name in Host: each server has another.
fn name_the_server(headers: &mut HeaderMap, route: &Route, upstream: &Upstream, place: &Place) {
    if route.headers.host == HostHeader::Backend
        && let Ok(name) = HeaderValue::from_str(upstream.dialer(place.endpoint()).authority())
    {
        headers.insert(header::HOST, name);
    }
}

/// The Set-Cookie line that leads the client back, where it has no cookie that does, or one that will not for long.
pub(super) fn sticky_line(
    upstream: &Upstream,
    endpoint: &Endpoint,
    brought: Option<&str>,
    tls: bool,
) -> Option<HeaderValue> {
    let sticky = upstream.backend().sticky.as_ref()?;
    let (token, now) = (endpoint.token.as_deref()?, clock::since_1970());
    if brought.is_some_and(|value| sticky.is_good(value, token, now)) {
        return None;
    }
    HeaderValue::from_str(&sticky.line(token, now, tls)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);
    const SECOND: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn the_addresses_of_a_name_that_cannot_be_reached_are_one_server_for_a_while() {
        let mut failures = Failures::default();
        assert_eq!(failures.within(0), None, "the first one is no retry");
        for _ in 0..4 {
            failures.add(7, SECOND, LIMIT);
            assert_eq!((failures.within(0), failures.within(1)), (Some(vec![7]), None));
        }
        failures.add(7, SECOND, LIMIT);
        assert_eq!((failures.within(0), failures.within(1)), (Some(vec![]), None), "its time is over");
        failures.add(7, SECOND, LIMIT);
        failures.add(8, SECOND, LIMIT);
        assert_eq!(failures.within(2), Some(vec![7, 8]));
    }

    #[test]
    fn a_server_that_was_reached_is_one_whatever_its_name_leads_to() {
        let mut failures = Failures::default();
        failures.add(7, None, LIMIT);
        assert_eq!((failures.within(0), failures.within(1)), (Some(vec![]), None));
        failures.add(7, None, LIMIT);
        assert_eq!((failures.within(1), failures.within(2)), (Some(vec![]), None));
        // localhost is two addresses, and one of them is often nobody.
        let mut failures = Failures::default();
        failures.add(7, Some(Duration::ZERO), LIMIT);
        failures.add(7, None, LIMIT);
        assert_eq!((failures.within(0), failures.within(1)), (Some(vec![]), None));
    }
}
