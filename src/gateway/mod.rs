//! The story of a request, from its head to the session: read it, find its route, judge it, reach the backend, and only
//! then say 101. A refusal on the way is plain HTTP, or a Close where the route asks for one.

mod answer;
mod ask;
mod farewell;
mod figures;
mod generation;
mod head;
mod judge;
mod reach;
mod traced;
mod usher;

use crate::backend::pool::Place;
use crate::clock;
use crate::drain::ShutdownSettings;
use crate::handshake::client_cert::ClientCertificate;
use crate::handshake::forward::{self, Hop};
use crate::handshake::reply::{Agreed, Offer};
use crate::handshake::request::{Asked, Upgrade, Wants};
use crate::handshake::trace::Trace;
use crate::keyring::Keyrings;
use crate::latest::Latest;
use crate::moment::Moment;
use crate::net::auth::AuthServer;
use crate::net::dial::Introduction;
use crate::net::farewell::{Farewell, Farewells};
use crate::net::http::Exchange;
use crate::net::served_tls::ServedTls;
use crate::net::splice::{Splice, Taken};
use crate::net::upstream::Upstream;
use crate::observe::log::QueryValues;
use crate::observe::metrics::OpenConnection;
use crate::policy::address::TrustedProxies;
use crate::policy::counts::Counted;
use crate::policy::crowd::Crowd;
use crate::policy::seen::Seen;
use crate::refusal::{Refusal, Refused};
use crate::registry::{Facts, Ordered, Seat, Sessions};
use crate::relay::Order;
use crate::route::{Compression, PlainHttp, Route, RouteFacts, RouteTable};
use crate::session::{Opened, Session, client_lost_at_the_start, shown_subprotocol};
use crate::spans::{Spans, Traced};
use answer::{Named, PASSED_ON, log_passed_on, log_refusal, redirect_to_https, refusal_response};
use ask::Heard;
use bytes::Bytes;
use head::request_id;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, request};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use judge::{forwarded_offer, judge_origin};
use reach::{Reached, Tried, brought_cookie, sticky_line};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use generation::TakenOver;
pub(crate) use head::{forwarded_target, shown_path};
pub use usher::Usher;

/// What goes back to a client: a backend's body as it streams in, or a short text of our own.
pub type ResponseBody = Either<Incoming, Full<Bytes>>;

/// What `Gateway::handle` has to give.
pub struct Answered {
    pub response: Response<ResponseBody>,
    /// With a 101: what is behind it.
    pub behind: Option<Behind>,
}

/// What a 101 of ours leads to.
pub enum Behind {
    Session(Begun),
    /// Nothing: a refusal that the client is yet to read.
    Refusal(Farewell),
}

/// A session whose client is yet to hear of it.
pub struct Begun {
    session: Session,
    backend: Taken,
    route: Arc<Route>,
    deflate: bool,
    /// Of the configuration that let it in.
    generation: u64,
}

/// Everything that the requests of a running gateway share: what a configuration says, and what outlives it. A reload
/// makes another one; a request goes on with the one that it came to.
pub struct Gateway {
    /// Counts configurations, from 1.
    pub generation: u64,
    pub routes: RouteTable,
    /// By the index that a route carries.
    pub backends: Vec<Arc<Upstream>>,
    /// By the name of the route that asks.
    pub auth_servers: HashMap<String, AuthServer>,
    pub trusted: TrustedProxies,
    pub keyrings: Arc<Keyrings>,
    pub shutdown: ShutdownSettings,
    /// Of the whole process.
    pub crowd: Crowd,
    pub access_log: bool,
    pub query: QueryValues,
    pub lasting: Lasting,
}

/// What no reload changes.
#[derive(Clone, Default)]
pub struct Lasting {
    pub sessions: Arc<Sessions>,
    pub usher: Arc<Usher>,
    pub farewells: Arc<Farewells>,
    /// By the listeners that there are now.
    pub served: Arc<Latest<Vec<Served>>>,
    pub spans: Spans,
}

/// A listener's name, and what it serves TLS with.
pub type Served = (Arc<str>, Arc<ServedTls>);

/// What is known of a client's connection before its first request.
pub struct Connection {
    pub listener: Arc<str>,
    pub redirect_to_https: bool,
    pub tls: bool,
    /// The name that TLS asked for.
    pub sni: Option<String>,
    /// What it showed of itself in TLS.
    pub client_cert: Option<Box<ClientCertificate>>,
    /// Who opened it; or, where a PROXY header comes first, for whom it was opened.
    pub peer: Option<IpAddr>,
    /// 0: nobody knows.
    pub peer_port: u16,
    /// Its PROXY header names no client: then the proxy has not said whose the requests are, and who else is in them is
    /// the word of whoever wrote them.
    pub speaks_for_nobody: bool,
    /// Our end of it.
    pub local: Option<SocketAddr>,
    /// Its listener's limits.
    pub crowd: Arc<Crowd>,
    /// The seats that it holds.
    pub counted: Vec<Counted>,
    /// What is counted of it.
    pub open: OpenConnection,
    /// A backend connection that the last plain request left open. It belongs to this client alone: no answer can reach
    /// the wrong one.
    pub idle: Mutex<Option<Kept>>,
}

/// A backend connection that is to be used again.
pub struct Kept {
    /// Another backend may name the same server, and reach it with other certificates or trust; so may this one after a
    /// reload.
    upstream: Arc<Upstream>,
    endpoint: u64,
    /// A proxy in front of us may send requests of several clients over one connection: what the backend was told of the
    /// first of them is not true of the others.
    introduction: Introduction,
    exchange: Exchange,
}

/// A request with what the steps found out about it.
struct Visit<'a> {
    connection: &'a Connection,
    id: &'a str,
    asked: Asked,
    seen: Seen,
    shown_path: &'a str,
    trace: Option<Trace>,
    /// Since when the client waits.
    since: std::time::Instant,
    /// When the request came.
    came: Moment,
}

/// That a route's policies let the request in. What needs approval takes this, not a bool.
struct Permit<'a> {
    route: &'a Arc<Route>,
    /// When what admitted the client runs out: a session ends then.
    expires: Option<Instant>,
    /// What the backend is to believe of the client: each header with its lines, which may be none.
    headers: Vec<(HeaderName, Vec<HeaderValue>)>,
    /// The seats that its session will hold.
    counted: Vec<Counted>,
}

impl<'a> Permit<'a> {
    fn for_good(route: &'a Arc<Route>) -> Permit<'a> {
        Permit { route, expires: None, headers: Vec::new(), counted: Vec::new() }
    }
}

impl Visit<'_> {
    fn named(&self) -> Named<'_> {
        Named { id: self.id, client: self.seen.client, path: self.shown_path, trace: self.trace }
    }

    fn hop(&self) -> Hop<'_> {
        let connection = self.connection;
        Hop {
            peer: connection.peer,
            peer_is_trusted: self.seen.peer_is_trusted,
            scheme: if connection.tls { "https" } else { "http" },
            authority: &self.asked.authority,
            port: connection.local.map(|local| local.port()),
            request_id: self.id,
            client_cert: connection.client_cert.as_ref().map(|shown| &shown.header),
        }
    }
}

impl Gateway {
    /// Answers one request. Never fails: whatever goes wrong is an answer.
    pub async fn handle(&self, connection: &Connection, request: Request<Incoming>) -> Answered {
        let (since, came) = (connection.open.asked(), clock::now());
        let (head, body) = request.into_parts();
        let id = request_id(&head.headers);
        let shown_path = shown_path(&head.uri, self.query);
        let trace = Trace::read(&head.headers);
        let seen = if connection.speaks_for_nobody {
            Seen::at_first_sight(connection.peer, connection.tls)
        } else {
            Seen::new(&self.trusted, connection.peer, connection.tls, &head.headers)
        };
        let refused = match Asked::read(&head) {
            Err(refused) => refused,
            Ok(asked) => {
                let (id, shown_path) = (&*id, &*shown_path);
                let visit = Visit { connection, id, asked, seen, shown_path, trace, since, came };
                match self.serve(&visit, head, body).await {
                    Ok(answered) => return answered,
                    Err(refused) => refused,
                }
            }
        };
        connection.open.refused(refused.refusal.cause_word());
        if self.lasting.usher.may_log(&refused) {
            let named = Named { id: &id, client: seen.client, path: &shown_path, trace };
            log_refusal(connection, named, &refused, None);
        }
        refusal_response(&refused).into()
    }

    async fn serve(
        &self,
        visit: &Visit<'_>,
        head: request::Parts,
        body: Incoming,
    ) -> Result<Answered, Refused> {
        if visit.connection.redirect_to_https {
            return Ok(redirect_to_https(visit, &head).into());
        }
        let route = self.find(visit, &head.headers)?;
        let answered = self.pass(visit, route, head, body).await;
        answered.or_else(|refused| self.refuse_by_close(visit, route, &refused).ok_or(refused))
    }

    /// What the route makes of the request.
    async fn pass(
        &self,
        visit: &Visit<'_>,
        route: &Arc<Route>,
        head: request::Parts,
        body: Incoming,
    ) -> Result<Answered, Refused> {
        let permit = self.judge(visit, route, &head)?;
        let permit = match self.ask(visit, &head, permit).await? {
            Heard::LetIn(permit) => permit,
            Heard::TurnedAway(answered) => return Ok(*answered),
        };
        match &visit.asked.wants {
            Wants::Upgrade(upgrade) => self.upgrade(visit, permit, upgrade, head).await,
            Wants::Plain => self.plain(visit, &permit, head, body).await.map(Answered::from),
        }
    }

    fn find(&self, visit: &Visit<'_>, headers: &HeaderMap) -> Result<&Arc<Route>, Refused> {
        let asked = &visit.asked;
        let facts =
            RouteFacts { host: &asked.host, path: &asked.path, headers, subprotocols: asked.subprotocols() };
        self.routes.choose(facts, visit.connection.sni.as_deref())
    }

    /// Every policy of the route, before any backend is contacted.
    fn judge<'a>(
        &self,
        visit: &Visit<'_>,
        route: &'a Arc<Route>,
        head: &request::Parts,
    ) -> Result<Permit<'a>, Refused> {
        match (&visit.asked.wants, route.http) {
            (Wants::Plain, PlainHttp::Reject) => {
                return Err(Refusal::NotUpgrade.because(format!("a plain request on route {}", route.name)));
            }
            // A page may fetch what CORS lets it; only a socket has no such guard of its own (RFC 6455 10.2).
            (Wants::Plain, PlainHttp::Proxy) => {}
            (Wants::Upgrade(_), _) => judge_origin(visit, route, &head.headers)?,
        }
        // Who may come holds for plain requests too: else long polling would be the way around it.
        route.access.networks.judge(visit.seen.client)?;
        // Before tokens, whose signatures cost something to check.
        let counted = match visit.asked.wants {
            Wants::Upgrade(_) => self.seat(visit, route)?,
            Wants::Plain => Vec::new(),
        };
        let expires = self.judge_token(route, head)?;
        Ok(Permit { expires, counted, ..Permit::for_good(route) })
    }

    async fn upgrade(
        &self,
        visit: &Visit<'_>,
        permit: Permit<'_>,
        upgrade: &Upgrade,
        mut head: request::Parts,
    ) -> Result<Answered, Refused> {
        let route = permit.route;
        let seat = self
            .lasting
            .sessions
            .enter()
            .ok_or_else(|| Refusal::Draining.because("the gateway is draining"))?;
        // hyper's own way to the client's stream: the backend's request must not carry it.
        let can_switch = head.extensions.remove::<OnUpgrade>();
        can_switch.ok_or_else(|| Refusal::BadRequest.because("this connection cannot be upgraded"))?;

        let upstream = self.upstream(route)?;
        let brought = brought_cookie(upstream.backend(), &head.headers);
        // Before the route's own edits, which have the last word.
        let traced = self.lasting.spans.join(visit.trace, &mut head.headers, visit.came);
        self.prepare(visit, &permit, &mut head, true)?;
        let deflate =
            forward::narrow_extensions(&mut head.headers, route.compression == Compression::Passthrough);
        let subprotocols = forwarded_offer(route, &upgrade.subprotocols, &mut head.headers);
        let offer = Offer { key: &upgrade.key, subprotocols: &subprotocols, deflate };
        let reached = self.reach(visit, &permit, offer, head).await;
        if let Some(traced) = &traced {
            visit.end_without_session(traced, route, &reached);
        }
        let Reached { tried, place } = reached?;
        let cookie =
            sticky_line(upstream, place.endpoint(), brought.as_deref(), visit.seen.scheme == "https");
        let (mut response, backend, agreed) = match tried {
            Tried::Switched { response, backend, agreed } => (response, backend, agreed),
            Tried::Answered(response) => {
                visit.connection.open.refused(PASSED_ON);
                log_passed_on(visit, route, response.status());
                let mut response = self.pass_on(route, response, cookie);
                // What came glued to the request was meant for the stream: it must not be read as another request.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                return Ok(response.into());
            }
        };
        let mut session = self.open_session(visit, &permit, place, &agreed, traced, seat);
        session.hold(permit.counted);
        let (route, deflate, generation) = (route.clone(), agreed.deflate, self.generation);
        let begun = Begun { session, backend, route, deflate, generation };
        response.extensions_mut().remove::<OnUpgrade>();
        forward::response_headers(response.headers_mut(), &begun.route.headers, true);
        response.headers_mut().extend(cookie.map(|line| (header::SET_COOKIE, line)));
        let response = response.map(|_| Either::Right(Full::default()));
        visit.connection.open.admitted(visit.since);
        Ok(Answered { response, behind: Some(Behind::Session(begun)) })
    }

    async fn plain(
        &self,
        visit: &Visit<'_>,
        permit: &Permit<'_>,
        mut head: request::Parts,
        body: Incoming,
    ) -> Result<Response<ResponseBody>, Refused> {
        let route = permit.route;
        head.extensions.remove::<OnUpgrade>();
        let upstream = self.upstream(route)?;
        let brought = brought_cookie(upstream.backend(), &head.headers);
        self.prepare(visit, permit, &mut head, false)?;
        let (response, place) = self.reach_plain(visit, permit, head, body).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Refusal::BackendAnswer.because("a 101 to a request that asked for no upgrade"));
        }
        let cookie =
            sticky_line(upstream, place.endpoint(), brought.as_deref(), visit.seen.scheme == "https");
        Ok(self.pass_on(route, response, cookie))
    }

    /// A backend's answer goes to the client as it is.
    fn pass_on(
        &self,
        route: &Route,
        mut response: Response<Incoming>,
        cookie: Option<HeaderValue>,
    ) -> Response<ResponseBody> {
        response.extensions_mut().remove::<OnUpgrade>();
        forward::response_headers(response.headers_mut(), &route.headers, false);
        response.headers_mut().extend(cookie.map(|line| (header::SET_COOKIE, line)));
        *response.version_mut() = http::Version::HTTP_11;
        response.map(Either::Left)
    }

    /// Makes the client's head the backend's: normal path, forwarded headers, the route's edits.
    fn prepare(
        &self,
        visit: &Visit<'_>,
        permit: &Permit<'_>,
        head: &mut request::Parts,
        upgrade: bool,
    ) -> Result<(), Refused> {
        let route = permit.route;
        // Which server it is, and so what it is called, is not known yet.
        forward::request_headers(
            &mut head.headers,
            visit.hop(),
            &route.headers,
            &visit.asked.authority,
            upgrade,
        );
        for (name, values) in &permit.headers {
            forward::vouch(&mut head.headers, name, values.iter().cloned());
        }
        let as_it_is = head.uri.authority().is_none() && head.uri.path() == visit.asked.path;
        if !as_it_is || route.strip_prefix.is_some() {
            head.uri = forwarded_target(&visit.asked.path, head.uri.query(), route.strip_prefix.as_deref())
                .map_err(|why| Refusal::Path.because(why))?;
        }
        head.version = http::Version::HTTP_11;
        Ok(())
    }

    fn open_session(
        &self,
        visit: &Visit<'_>,
        permit: &Permit<'_>,
        place: Place,
        agreed: &Agreed,
        traced: Option<Traced>,
        seat: Seat,
    ) -> Session {
        if let Some(at) = permit.expires {
            seat.handle().order(Ordered { order: Order::TokenExpired, code: TOKEN_EXPIRED, at });
        }
        let facts = Facts {
            id: visit.id.into(),
            route: permit.route.clone(),
            listener: visit.connection.listener.clone(),
            endpoint: place.endpoint().clone(),
            client: visit.seen.client,
            subprotocol: agreed.subprotocol.as_deref().map(|name| shown_subprotocol(name).into()),
            trace: traced.map(Box::new),
            opened: clock::now(),
            meters: Arc::default(),
        };
        let (host, path) = (visit.asked.host.as_str(), visit.shown_path);
        let client_cert = visit.connection.client_cert.as_ref().map(|shown| shown.fingerprint.as_str());
        let opened = Opened { host, path, deflate: agreed.deflate, tls: visit.connection.tls, client_cert };
        Session::open(facts, place, opened, seat, self.access_log)
    }
}

/// 3000, "unauthorized", is registered for what HTTP says with 401 (IANA, WebSocket Close Code Number Registry).
const TOKEN_EXPIRED: u16 = 3000;

impl From<Response<ResponseBody>> for Answered {
    fn from(response: Response<ResponseBody>) -> Answered {
        Answered { response, behind: None }
    }
}

impl Begun {
    /// What is left to do once the client has its 101. `latest`: the running configuration, which may be another by now.
    /// `counted`: the seats of the connection.
    pub fn go_on(
        mut self,
        client: Taken,
        counted: Vec<Counted>,
        open: OpenConnection,
        latest: &Latest<Gateway>,
    ) -> Splice {
        let latest = latest.get();
        if latest.generation != self.generation {
            latest.adopt(self.session.handle());
        }
        self.session.hold(counted);
        self.session.take_over(open);
        Splice::new(client, self.backend, self.route.rules.clone(), self.deflate, self.session)
    }

    /// The client was gone before its 101; the backend's TCP ends with it.
    pub fn call_off(self) {
        self.session.finish(&client_lost_at_the_start());
    }
}
