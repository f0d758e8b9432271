//! What a gateway with this configuration would do with a request, and which line of the file decided: listener, route,
//! policies, settings, backend. No connection is opened and nothing is started; the verdicts are those of the functions
//! that the running gateway asks.
//!
//! What only a running gateway knows is not told: how many clients there are, how fast they came, whether the backend is
//! up.

mod answer;
mod door;
mod effective;
mod policies;
mod settings;
mod show;
pub mod target;

pub use answer::{Decided, Explanation, Place, Row, Verdict};
pub use effective::effective;

use crate::backend::Backend;
use crate::config::{Loaded, Written};
use crate::gateway::{forwarded_target, shown_path};
use crate::handshake::forward::X_FORWARDED_FOR;
use crate::handshake::request::{Asked, Wants};
use crate::net::listen::{Bind, ListenerSettings};
use crate::net::proxy_protocol::ProxyProtocol;
use crate::policy::seen::Seen;
use crate::refusal::{Refusal, Refused};
use crate::route::{RefuseBy, Route, RouteFacts, RouteTable};
use crate::session::shown_address;
use http::header::{HeaderName, HeaderValue};
use http::request;
use policies::{Case, POLICIES, Ruling};
use settings::Setting;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use target::Target;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub target: Target,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who connects; where a PROXY header comes first, whom it names.
    pub from: Option<IpAddr>,
    /// Instead of the one to which the URL leads.
    pub listener: Option<String>,
    /// Since the start of 1970: tokens begin and end.
    pub now: Duration,
}

pub fn explain(loaded: &Loaded, question: &Question) -> Explanation {
    let mut teller = Teller { loaded, rows: Vec::new() };
    let verdict = teller.follow(question);
    let verdict = verdict.unwrap_or_else(|refused| Verdict::Refused { refused, close: None });
    Explanation { rows: teller.rows, verdict }
}

struct Teller<'a> {
    loaded: &'a Loaded,
    rows: Vec<Row>,
}

impl Teller<'_> {
    /// The way of a request through the gateway.
    fn follow(&mut self, question: &Question) -> Result<Verdict, Refused> {
        let Loaded { plan, .. } = self.loaded;
        let door = match door::find(&plan.listeners, &question.target, question.listener.as_deref()) {
            Ok(door) => door,
            Err(why) => return Ok(Verdict::Unheard(why)),
        };
        let listener = &plan.listeners[door.index];
        self.tell_listener(listener, &door);
        let head = question.target.head(&question.headers);
        let peer = question.from.or_else(|| local_peer(listener));
        let seen = Seen::new(&plan.trusted_proxies, peer, listener.tls.is_some(), &head.headers);
        self.tell_client(listener, peer, &seen, &head);
        let asked = Asked::read(&head)?;
        if listener.redirect_to_https {
            return Ok(Verdict::Redirected);
        }
        let sni = question.target.sni().filter(|_| listener.tls.is_some());
        let index = self.choose(&asked, &head, sni)?;
        let route = &plan.routes[index];
        let now = question.now;
        let judged = self.judge(index, &Case { route, head: &head, asked: &asked, seen: &seen, now });
        let provided = match judged {
            Ok(provided) => provided,
            Err(refused) => {
                return Ok(Verdict::Refused { close: close_for(route, &asked, &refused), refused });
            }
        };
        self.tell_settings(index, route, asked.wants == Wants::Plain);
        let backend = plan.backends.get(route.backend);
        let backend = backend.ok_or_else(|| Refusal::BackendConnect.because("the route has no backend"))?;
        self.tell_backend(index, route, backend);
        let path = forwarded_target(&asked.path, head.uri.query(), route.strip_prefix.as_deref());
        let path = shown_path(&path.map_err(|why| Refusal::Path.because(why))?, plan.log.query);
        let provided = certificate_to_show(listener).into_iter().chain(provided).collect();
        Ok(Verdict::Admitted { server: backend.to_string(), path, provided })
    }

    fn tell_listener(&mut self, listener: &ListenerSettings, door: &door::Door) {
        let of_process = settings::max_connections(self.loaded.plan.max_connections);
        self.tell_key("max_connections", of_process, self.place_at_top("max_connections"));
        let index = door.index;
        let bind = self.place_in("listener", index, "bind");
        self.tell_named("listener", &listener.name, door::show(listener), decided("listener.bind", bind));
        for other in &door.others {
            let other = &self.loaded.plan.listeners[*other];
            let note = format!("{} would do as well: --listener {}", door::show(other), other.name);
            self.tell("", note, None);
        }
        for (key, show) in settings::LISTENER {
            if let Some(value) = show(listener) {
                let place = self.place_in("listener", index, key);
                self.tell_key(format!("listener.{key}"), value, place);
            }
        }
    }

    fn tell_client(
        &mut self,
        listener: &ListenerSettings,
        peer: Option<IpAddr>,
        seen: &Seen,
        head: &request::Parts,
    ) {
        let introduced = listener.proxy_protocol == ProxyProtocol::Require;
        let connects = if introduced { "named by the PROXY header" } else { "who connects" };
        let forwarded = head.headers.contains_key(X_FORWARDED_FOR);
        let (client, peer) = (shown_address(seen.client), shown_address(peer));
        let told = match seen.peer_is_trusted {
            true if client != peer => format!("{client}, by the X-Forwarded-For of {peer}, {connects}"),
            false if forwarded => format!("{client}, {connects}; its X-Forwarded-For is not believed"),
            _ => format!("{client}, {connects}"),
        };
        let place = self.place_at_top("trusted_proxies");
        self.tell("client", told, Some(decided("trusted_proxies", place)));
    }

    /// The route, by its place in the file.
    fn choose(&mut self, asked: &Asked, head: &request::Parts, sni: Option<&str>) -> Result<usize, Refused> {
        let routes = RouteTable::new(self.loaded.plan.routes.clone());
        let (host, path, headers) = (asked.host.as_str(), asked.path.as_str(), &head.headers);
        let facts = RouteFacts { host, path, headers, subprotocols: asked.subprotocols() };
        let route = routes.choose(facts, sni)?;
        let index = routes.iter().position(|one| Arc::ptr_eq(one, route)).unwrap_or_default();
        let begins = self.loaded.written.item("route", index);
        let place = begins.map_or(Place::Default, Place::Own);
        self.tell_named("route", &route.name, show_route(route), decided("route", place));
        Ok(index)
    }

    /// Every policy until one refuses. What else has to hold, if none does.
    fn judge(&mut self, index: usize, case: &Case<'_>) -> Result<Vec<String>, Refused> {
        let mut all = Vec::new();
        for ruling in POLICIES.iter().filter_map(|policy| policy(case)) {
            let Ruling { policy, key, verdict, provided } = ruling;
            let place = self.place_of_route(index, key);
            let said = verdict.as_ref().map_or_else(|_| "refuses".into(), String::clone);
            self.tell(policy, said, Some(decided(key, place)));
            verdict?;
            all.extend(provided);
        }
        Ok(all)
    }

    fn tell_settings(&mut self, index: usize, route: &Route, is_plain: bool) {
        let of_sessions: &[Setting<Route>] = if is_plain { &[] } else { settings::SESSION };
        for (key, show) in settings::EVERY_REQUEST.iter().chain(of_sessions) {
            if let Some(value) = show(route) {
                let place = self.place_of_route(index, key);
                self.tell_key(*key, value, place);
            }
        }
    }

    fn tell_backend(&mut self, index: usize, route: &Route, backend: &Backend) {
        let server = backend.to_string();
        let shown = if backend.name == server { server } else { format!("{}, {server}", backend.name) };
        let place = self.place_of_route(index, "backend");
        self.tell_named("backend", &backend.name, shown, decided("backend", place));
        for (key, show) in settings::BACKEND {
            if let Some(value) = show(backend) {
                let place = self.place_in("backend", route.backend, key);
                self.tell_key(format!("backend.{key}"), value, place);
            }
        }
    }

    fn tell(&mut self, topic: &str, value: String, decided: Option<Decided>) {
        self.rows.push(Row { topic: topic.into(), name: None, value, decided });
    }

    fn tell_named(&mut self, topic: &str, name: &str, value: String, decided: Decided) {
        self.rows.push(Row { topic: topic.into(), name: Some(name.into()), value, decided: Some(decided) });
    }

    /// A key and its value.
    fn tell_key(&mut self, key: impl Display, value: String, place: Place) {
        let key = key.to_string();
        self.tell(&key, value, Some(decided(&key, place)));
    }

    fn written(&self) -> &Written {
        &self.loaded.written
    }

    fn place_at_top(&self, key: &str) -> Place {
        self.written().line(key).map_or(Place::Default, Place::Own)
    }

    fn place_in(&self, list: &str, index: usize, key: &str) -> Place {
        // A certificate may stand there in short.
        let short = if key == "tls.certificates" { "tls.cert" } else { key };
        let line = |key| self.written().line_in(list, index, key);
        line(key).or_else(|| line(short)).map_or(Place::Default, Place::Own)
    }

    /// A route's own word comes before that of `[defaults]`.
    fn place_of_route(&self, index: usize, key: &str) -> Place {
        let own = self.written().line_in("route", index, key).map(Place::Own);
        let inherited = || self.written().line(&format!("defaults.{key}")).map(Place::Inherited);
        own.or_else(inherited).unwrap_or(Place::Default)
    }
}

fn decided(key: &str, place: Place) -> Decided {
    Decided { key: key.into(), place }
}

/// Who connects where nobody was named: this machine; over a unix socket nobody has an address. What systemd passes is
/// mostly TCP.
fn local_peer(listener: &ListenerSettings) -> Option<IpAddr> {
    match listener.bind {
        Bind::Tcp(_) | Bind::Systemd(_) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Bind::Unix(_) => None,
    }
}

/// `refuse = "close"` is for those who asked for a socket, and for refusals that a Close can tell.
fn close_for(route: &Route, asked: &Asked, refused: &Refused) -> Option<u16> {
    let by_close = route.refuse == RefuseBy::Close && asked.wants != Wants::Plain;
    refused.refusal.close_code().filter(|_| by_close)
}

fn certificate_to_show(listener: &ListenerSettings) -> Option<String> {
    let client_auth = listener.tls.as_ref()?.client_auth.as_ref().filter(|auth| auth.required)?;
    Some(format!("it shows a certificate of {}", client_auth.ca.display()))
}

fn show_route(route: &Route) -> String {
    let matcher = &route.matcher;
    let hosts: Vec<String> = matcher.hosts.iter().map(ToString::to_string).collect();
    let host = if hosts.is_empty() { "any host".to_string() } else { hosts.join(" or ") };
    let mut shown = format!("{}, for {host} and {}", route.name, matcher.path);
    for (name, _) in &matcher.headers {
        shown += &format!(", with {name}");
    }
    if let Some(subprotocol) = &matcher.subprotocol {
        shown += &format!(", with subprotocol {subprotocol}");
    }
    shown
}
