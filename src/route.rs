//! Which route a handshake takes: host, path, headers, subprotocol. The most specific route wins, whatever the order
//! in the file.

pub use crate::handshake::forward::{HeaderEdits, HeaderRules, HostHeader};
use crate::policy::access::Access;
use crate::policy::counts::Scope;
use crate::policy::crowd::{Crowd, CrowdLimits};
use crate::policy::forward_auth::ForwardAuth;
use crate::policy::origin::OriginPolicy;
use crate::refusal::{Refusal, Refused};
use crate::relay::Rules;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;

/// Everything the gateway needs to know about one route, complete and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub name: String,
    pub matcher: Matcher,
    /// Index into the running configuration's backends.
    pub backend: usize,
    pub http: PlainHttp,
    pub refuse: RefuseBy,
    /// Removed from the front of the normalised path before it is forwarded.
    pub strip_prefix: Option<String>,
    pub compression: Compression,
    pub headers: HeaderRules,
    pub origin: OriginPolicy,
    pub access: Access,
    /// Who is asked before anybody is let in.
    pub forward_auth: Option<ForwardAuth>,
    pub crowd: Crowd,
    pub rules: Arc<Rules>,
}

impl Route {
    /// A route that takes everything, with the defaults.
    pub fn new(name: &str, backend: usize) -> Route {
        Route {
            name: name.into(),
            matcher: Matcher::default(),
            backend,
            http: PlainHttp::Proxy,
            refuse: RefuseBy::Http,
            strip_prefix: None,
            compression: Compression::Passthrough,
            headers: HeaderRules::default(),
            origin: OriginPolicy::default(),
            access: Access::default(),
            forward_auth: None,
            crowd: Crowd { scope: Scope::Route(name.into()), limits: CrowdLimits::default() },
            rules: Arc::default(),
        }
    }
}

/// What happens to a request that does not ask for an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    Proxy,
    Reject,
}

/// How a client learns that a policy of the route refuses its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseBy {
    /// By the status, which programs can read and pages in a browser cannot.
    Http,
    /// By a Close behind a 101 of our own, which pages can read. Not every refusal: `Refusal::close_code`.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// permessage-deflate is negotiated between the two ends; limits count compressed bytes.
    Passthrough,
    /// The offer is removed, so that every limit counts what the application sees.
    Strip,
}

/// What a handshake must look like to take a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Empty: any host.
    pub hosts: Vec<HostPattern>,
    pub path: PathPattern,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub subprotocol: Option<String>,
}

/// In lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    Exact(String),
    /// `*.example.com`: exactly one label in front.
    OneLabelBelow(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathPattern {
    #[default]
    Any,
    Exact(String),
    /// `/socket/*`, kept as `/socket`: the path itself and everything below it.
    Below(String),
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(exact) => exact == host,
            HostPattern::OneLabelBelow(parent) => {
                host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => f.write_str(host),
            HostPattern::OneLabelBelow(parent) => write!(f, "*.{parent}"),
        }
    }
}

impl PathPattern {
    fn matches(&self, path: &str) -> bool {
        match self {
            PathPattern::Any => true,
            PathPattern::Exact(exact) => exact == path,
            PathPattern::Below(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    fn rank(&self) -> (u8, usize) {
        match self {
            PathPattern::Exact(exact) => (2, exact.len()),
            PathPattern::Below(prefix) => (1, prefix.len()),
            PathPattern::Any => (0, 0),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathPattern::Any => f.write_str("/*"),
            PathPattern::Exact(exact) => f.write_str(exact),
            PathPattern::Below(prefix) => write!(f, "{prefix}/*"),
        }
    }
}

/// What the table looks at. `host` is lower case and has no port; `path` is in its normal form.
#[derive(Clone, Copy, Debug)]
pub struct RouteFacts<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    pub subprotocols: &'a [String],
}

/// How closely a route fits: host first, then path, then how much else it asks for.
type Fit = (u8, (u8, usize), usize, bool);

impl Matcher {
    fn fit(&self, facts: RouteFacts<'_>) -> Option<Fit> {
        let host = if self.hosts.is_empty() {
            0
        } else {
            let hits = self.hosts.iter().filter(|pattern| pattern.matches(facts.host));
            hits.map(|pattern| if matches!(pattern, HostPattern::Exact(_)) { 2 } else { 1 }).max()?
        };
        let fits = self.path.matches(facts.path)
            && self
                .headers
                .iter()
                .all(|(name, value)| facts.headers.get_all(name).iter().any(|got| got == value))
            && self.subprotocol.as_ref().is_none_or(|wanted| facts.subprotocols.contains(wanted));
        fits.then(|| (host, self.path.rank(), self.headers.len(), self.subprotocol.is_some()))
    }
}

/// The routes of a running configuration.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
}

impl RouteTable {
    pub fn new(routes: Vec<Route>) -> RouteTable {
        let counted_by_name = |mut route: Route| {
            route.crowd.scope = Scope::Route(route.name.as_str().into());
            Arc::new(route)
        };
        RouteTable { routes: routes.into_iter().map(counted_by_name).collect() }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    /// The most specific route that fits; among equals the first in the file.
    pub fn find(&self, facts: RouteFacts<'_>) -> Option<&Arc<Route>> {
        let mut best: Option<(Fit, &Arc<Route>)> = None;
        for route in &self.routes {
            if let Some(fit) = route.matcher.fit(facts)
                && best.as_ref().is_none_or(|(so_far, _)| fit > *so_far)
            {
                best = Some((fit, route));
            }
        }
        best.map(|(_, route)| route)
    }

    /// The route of a request, or why it has none. `sni`: the name that TLS asked for.
    pub fn choose(&self, facts: RouteFacts<'_>, sni: Option<&str>) -> Result<&Arc<Route>, Refused> {
        let route = self
            .find(facts)
            .ok_or_else(|| Refusal::NoRoute.because(format!("no route for {}{}", facts.host, facts.path)))?;
        // Domain fronting: the certificate that was checked was one host's, the request is another's.
        let fronted = sni.filter(|sni| *sni != facts.host).filter(|sni| {
            let other = self.find(RouteFacts { host: sni, ..facts });
            !other.is_some_and(|other| Arc::ptr_eq(other, route))
        });
        match fronted {
            None => Ok(route),
            Some(sni) => {
                Err(Refusal::Misdirected
                    .because(format!("TLS asked for {sni}, the request for {}", facts.host)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, hosts: &[&str], path: &str) -> Route {
        let hosts = hosts
            .iter()
            .map(|host| match host.strip_prefix("*.") {
                Some(parent) => HostPattern::OneLabelBelow(parent.into()),
                None => HostPattern::Exact((*host).into()),
            })
            .collect();
        let path = match path.strip_suffix("/*") {
            Some("") => PathPattern::Any,
            Some(prefix) => PathPattern::Below(prefix.into()),
            None => PathPattern::Exact(path.into()),
        };
        Route { matcher: Matcher { hosts, path, ..Matcher::default() }, ..Route::new(name, 0) }
    }

    fn found(table: &RouteTable, host: &str, path: &str) -> String {
        let headers = HeaderMap::new();
        let facts = RouteFacts { host, path, headers: &headers, subprotocols: &[] };
        table.find(facts).map(|route| route.name.clone()).unwrap_or_default()
    }

    #[test]
    fn the_most_specific_route_wins_in_any_order() {
        let mut routes = vec![
            route("any", &[], "/*"),
            route("host", &["a.test"], "/*"),
            route("wild", &["*.test"], "/*"),
            route("below", &["a.test"], "/ws/*"),
            route("deeper", &["a.test"], "/ws/chat/*"),
            route("exact", &["a.test"], "/ws/chat"),
        ];
        for _ in 0..routes.len() {
            routes.rotate_left(1);
            let table = RouteTable::new(routes.clone());
            assert_eq!(found(&table, "other.example", "/ws"), "any");
            assert_eq!(found(&table, "a.test", "/"), "host");
            assert_eq!(found(&table, "b.test", "/ws/chat"), "wild");
            assert_eq!(found(&table, "a.test", "/ws"), "below");
            assert_eq!(found(&table, "a.test", "/ws/"), "below");
            assert_eq!(found(&table, "a.test", "/ws/chat"), "exact");
            assert_eq!(found(&table, "a.test", "/ws/chat/1"), "deeper");
            assert_eq!(found(&table, "a.test", "/wsadmin"), "host");
        }
    }

    #[test]
    fn a_wildcard_host_is_one_label() {
        let table = RouteTable::new(vec![route("wild", &["*.test.example"], "/*")]);
        assert_eq!(found(&table, "a.test.example", "/"), "wild");
        assert_eq!(found(&table, "b.a.test.example", "/"), "");
        assert_eq!(found(&table, "test.example", "/"), "");
        assert_eq!(found(&table, ".test.example", "/"), "");
    }

    #[test]
    fn headers_and_subprotocol_narrow_a_route() {
        let mut tenant = route("tenant", &[], "/*");
        tenant.matcher.headers = vec![(HeaderName::from_static("x-tenant"), HeaderValue::from_static("a"))];
        let mut mqtt = route("mqtt", &[], "/*");
        mqtt.matcher.subprotocol = Some("mqtt".into());
        let table = RouteTable::new(vec![route("plain", &[], "/*"), tenant, mqtt]);
        let find = |tenant: Option<&'static str>, offered: &[&str]| {
            let mut headers = HeaderMap::new();
            if let Some(tenant) = tenant {
                headers.append("x-tenant", HeaderValue::from_static("other"));
                headers.append("x-tenant", HeaderValue::from_static(tenant));
            }
            let subprotocols: Vec<String> = offered.iter().map(|one| (*one).into()).collect();
            let facts = RouteFacts { host: "h", path: "/", headers: &headers, subprotocols: &subprotocols };
            table.find(facts).unwrap().name.clone()
        };
        assert_eq!(find(None, &[]), "plain");
        assert_eq!(find(Some("b"), &[]), "plain");
        assert_eq!(find(Some("a"), &[]), "tenant");
        assert_eq!(find(None, &["wamp", "mqtt"]), "mqtt");
        assert_eq!(find(Some("a"), &["mqtt"]), "tenant");
    }

    #[test]
    fn tls_and_the_request_have_to_mean_one_route() {
        let table = RouteTable::new(vec![
            route("both", &["a.test", "b.test"], "/*"),
            route("narrow", &["b.test"], "/narrow"),
            route("other", &["c.test"], "/*"),
        ]);
        let check = |sni: Option<&str>, host: &str, path: &str, expected: Result<&str, Refusal>| {
            let headers = HeaderMap::new();
            let facts = RouteFacts { host, path, headers: &headers, subprotocols: &[] };
            let chosen = table.choose(facts, sni);
            let chosen = chosen.map(|route| route.name.as_str()).map_err(|refused| refused.refusal);
            assert_eq!(chosen, expected, "{sni:?} {host}{path}");
        };
        check(None, "a.test", "/", Ok("both"));
        check(Some("a.test"), "a.test", "/", Ok("both"));
        check(Some("b.test"), "a.test", "/", Ok("both"));
        check(Some("a.test"), "b.test", "/narrow", Err(Refusal::Misdirected));
        check(Some("c.test"), "a.test", "/", Err(Refusal::Misdirected));
        check(Some("d.test"), "a.test", "/", Err(Refusal::Misdirected));
        check(Some("a.test"), "d.test", "/", Err(Refusal::NoRoute));
    }
}
