//! The servers of one backend as they are now: which of them are there, how they are, how much each carries, and which is
//! next. Shared by all workers; a lock is held for one decision.
//!
//! A server of the configuration is one or more [`Endpoint`]s: a name has as many as it has addresses, and they come and
//! go with the answers of DNS. Live sessions keep the endpoint they have.

use super::balance::{self, Balance, Candidate, Choice};
use super::health::Health;
use super::{Backend, Server, Weighted};
use crate::moment::Moment;
use crate::refusal::Refusal;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Addresses of a name that are used.
pub const MOST_ADDRESSES: usize = 64;

/// Where a socket goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One address of one server.
#[derive(Debug)]
pub struct Endpoint {
    /// The same in every process and in every configuration that names it.
    pub id: u64,
    /// The same in every process too, and of this backend's alone: others may name the same server.
    pub here: u64,
    /// The place of its server in the configuration.
    pub server: usize,
    pub address: Address,
    /// The name of its backend.
    pub backend: Arc<str>,
    /// As it stands in log lines.
    pub label: Arc<str>,
    /// Its server, as the configuration names it.
    pub named: Server,
    /// What a sticky cookie says of it.
    pub token: Option<String>,
    state: Arc<State>,
}

/// What is known of an endpoint, whichever configuration it was in at the time.
#[derive(Debug)]
struct State {
    live: AtomicUsize,
    /// Clients that it failed, by the refusals of `Refusal::OF_SERVERS`.
    failures: [AtomicU64; Refusal::OF_SERVERS.len()],
    health: Mutex<Health>,
}

impl State {
    fn new(health: Health) -> Arc<State> {
        Arc::new(State {
            live: AtomicUsize::new(0),
            failures: Default::default(),
            health: Mutex::new(health),
        })
    }
}

impl Endpoint {
    /// Looks at its health or changes it.
    pub fn health<T>(&self, with: impl FnOnce(&mut Health) -> T) -> T {
        with(&mut lock(&self.state.health))
    }

    /// Live sessions.
    pub fn live(&self) -> usize {
        self.state.live.load(Ordering::Relaxed)
    }

    /// It failed a client in this way. What is no server's fault is not counted.
    pub fn count_failure(&self, refusal: Refusal) {
        let mut ways = Refusal::OF_SERVERS.into_iter().zip(&self.state.failures);
        if let Some((_, count)) = ways.find(|(way, _)| *way == refusal) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often it failed clients, by cause.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let ways = Refusal::OF_SERVERS.into_iter().zip(&self.state.failures);
        ways.map(|(way, count)| (way.cause_word(), count.load(Ordering::Relaxed)))
    }
}

/// A client's place at an endpoint, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    endpoint: Arc<Endpoint>,
    counts: bool,
}

impl Place {
    fn take(endpoint: &Arc<Endpoint>, counts: bool, now: Moment) -> Place {
        endpoint.health(|health| health.picked(now));
        endpoint.state.live.fetch_add(usize::from(counts), Ordering::Relaxed);
        Place { endpoint: endpoint.clone(), counts }
    }

    /// At a server that nobody dials, for tests.
    #[cfg(test)]
    pub fn somewhere() -> Place {
        let server = Server::Unix("backend".into());
        let mut random = || 0.0;
        let (token, last, within) = (None, None, None);
        let (key, counts, tried, now) = (0, true, &[][..], Moment::default());
        let mut asked = Asked { key, token, last, counts, tried, within, now, random: &mut random };
        Pool::new(Backend::new("backend", [server])).pick(&mut asked).unwrap()
    }

    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.endpoint.state.live.fetch_sub(usize::from(self.counts), Ordering::Relaxed);
    }
}

/// What a pick may depend on.
pub struct Asked<'a> {
    /// Of what `hash_on` names.
    pub key: u64,
    /// The value of the sticky cookie that the client brought.
    pub token: Option<&'a str>,
    /// Where the client's last plain request went: it stays there, unless the key says otherwise.
    pub last: Option<u64>,
    /// For a session: it counts, and a server that is full takes no more.
    pub counts: bool,
    /// Endpoints that this client was sent to already.
    pub tried: &'a [u64],
    /// Only these servers are left to try: other addresses of what has failed.
    pub within: Option<&'a [usize]>,
    pub now: Moment,
    /// 0 to 1, 1 excluded.
    pub random: &'a mut (dyn FnMut() -> f64 + Send),
}

/// Why there is no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoServer {
    /// Each has as many sessions as it may.
    Full,
    /// Each was tried.
    AllTried,
    /// No name has an address yet.
    NoAddress,
}

/// What an answer of DNS changed, in log labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub added: Vec<Arc<str>>,
    pub removed: Vec<Arc<str>>,
}

#[derive(Debug)]
pub struct Pool {
    backend: Backend,
    name: Arc<str>,
    entries: Mutex<Vec<Entry>>,
    /// What DNS does not name any more and sessions still have. Some resolvers name a part of all addresses, each time
    /// another: what comes back has the sessions that it has, and counts them.
    gone: Mutex<Vec<Weak<Endpoint>>>,
    /// What the configuration before knew of these, by [`Endpoint::here`]. Sessions that it opened still count.
    inherited: Mutex<HashMap<u64, Inherited>>,
    /// By server: it was not there in the configuration before, though others of this backend were.
    newcomers: Vec<bool>,
}

/// The pool before is let go; sessions keep what they have.
#[derive(Debug)]
enum Inherited {
    Held(Arc<State>),
    Left(Weak<State>),
}

#[derive(Debug)]
struct Entry {
    endpoint: Arc<Endpoint>,
    /// Of round robin.
    credit: f64,
}

impl Pool {
    /// Servers named by an address are there at once; names wait for [`Pool::resolved`].
    pub fn new(backend: Backend) -> Pool {
        Pool::with(backend, HashMap::new(), Vec::new(), |_| Vec::new(), Moment::default())
    }

    /// After `before`, which a reload replaces: servers that stay keep what is known of them, with their addresses and
    /// their sessions; those that are new start slowly.
    pub fn after(before: &Pool, backend: Backend, now: Moment) -> Pool {
        let known = |server: &Server| before.backend.servers.iter().any(|one| one.server == *server);
        let newcomers = backend.servers.iter().map(|one| !known(&one.server)).collect();
        let entries = before.endpoints();
        let addresses = |server: &Server| {
            let here = entries.iter().filter(|endpoint| endpoint.named == *server);
            here.map(|endpoint| endpoint.address.clone()).collect()
        };
        Pool::with(backend, before.bequeath(), newcomers, addresses, now)
    }

    fn with(
        backend: Backend,
        inherited: HashMap<u64, Inherited>,
        newcomers: Vec<bool>,
        addresses: impl Fn(&Server) -> Vec<Address>,
        now: Moment,
    ) -> Pool {
        let pool = Pool {
            name: backend.name.as_str().into(),
            entries: Mutex::default(),
            gone: Mutex::default(),
            inherited: Mutex::new(inherited),
            newcomers,
            backend,
        };
        for (server, Weighted { server: named, .. }) in pool.backend.servers.iter().enumerate() {
            let known = named.literal().map_or_else(|| addresses(named), |address| vec![address]);
            if !known.is_empty() {
                pool.resolved(server, &known, now);
            }
        }
        // From here on only sessions keep what is left.
        for left in lock(&pool.inherited).values_mut() {
            if let Inherited::Held(state) = left {
                *left = Inherited::Left(Arc::downgrade(state));
            }
        }
        pool
    }

    /// It is the pool that runs from now on: where nobody probes any more, what probes said last does not count.
    pub fn begin(&self) {
        if self.backend.health.is_none() {
            self.endpoints().iter().for_each(|endpoint| endpoint.health(Health::forget_probes));
        }
    }

    fn bequeath(&self) -> HashMap<u64, Inherited> {
        let mut all = HashMap::new();
        for (here, left) in lock(&self.inherited).iter() {
            if let Inherited::Left(state) = left
                && state.strong_count() > 0
            {
                all.insert(*here, Inherited::Left(state.clone()));
            }
        }
        for endpoint in lock(&self.gone).iter().filter_map(Weak::upgrade) {
            all.insert(endpoint.here, Inherited::Left(Arc::downgrade(&endpoint.state)));
        }
        for endpoint in self.endpoints() {
            all.insert(endpoint.here, Inherited::Held(endpoint.state.clone()));
        }
        all
    }

    /// What is known of this one from before.
    fn inherited(&self, here: u64) -> Option<Arc<State>> {
        match lock(&self.inherited).get(&here)? {
            Inherited::Held(state) => Some(state.clone()),
            Inherited::Left(state) => state.upgrade(),
        }
    }

    /// Whether the server of `endpoint`, of this or another pool, is one of this backend's.
    pub fn has_server_of(&self, endpoint: &Endpoint) -> bool {
        self.backend.servers.iter().any(|one| one.server == endpoint.named)
    }

    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Whether `server` has an address.
    pub fn knows(&self, server: usize) -> bool {
        lock(&self.entries).iter().any(|entry| entry.endpoint.server == server)
    }

    /// Whether no server has an address.
    pub fn is_empty(&self) -> bool {
        lock(&self.entries).is_empty()
    }

    /// How many addresses `server` has.
    pub fn addresses(&self, server: usize) -> usize {
        lock(&self.entries).iter().filter(|entry| entry.endpoint.server == server).count()
    }

    /// The addresses of the name of `server` are now these. The first answer finds servers that were always there; what a
    /// later one adds starts slowly.
    pub fn resolved(&self, server: usize, addresses: &[Address], now: Moment) -> Moved {
        let mut entries = lock(&self.entries);
        let had_some = entries.iter().any(|entry| entry.endpoint.server == server);
        let mut wanted: Vec<&Address> = addresses.iter().collect();
        wanted.sort();
        wanted.dedup();
        wanted.truncate(MOST_ADDRESSES);
        let mut moved = Moved::default();
        let mut gone = lock(&self.gone);
        gone.retain(|endpoint| endpoint.strong_count() > 0);
        entries.retain(|entry| {
            let stays = entry.endpoint.server != server || wanted.contains(&&entry.endpoint.address);
            if !stays {
                moved.removed.push(entry.endpoint.label.clone());
                gone.push(Arc::downgrade(&entry.endpoint));
            }
            stays
        });
        for address in wanted {
            let known = |entry: &Entry| entry.endpoint.server == server && entry.endpoint.address == *address;
            if entries.iter().any(known) {
                continue;
            }
            let is_it = |one: &Endpoint| one.server == server && one.address == *address;
            let left = gone.iter().filter_map(Weak::upgrade).find(|one| is_it(one));
            let endpoint = left.unwrap_or_else(|| {
                let is_new = had_some || self.newcomers.get(server).is_some_and(|new| *new);
                let health = if is_new { Health::new(now) } else { Health::known() };
                Arc::new(self.endpoint(server, address, health))
            });
            moved.added.push(endpoint.label.clone());
            entries.push(Entry { endpoint, credit: 0.0 });
        }
        moved
    }

    fn endpoint(&self, server: usize, address: &Address, health: Health) -> Endpoint {
        let written = &self.backend.servers[server].server;
        let label = match (written.literal(), address) {
            (None, Address::Tcp(address)) => format!("{written} ({})", address.ip()),
            _ => written.to_string(),
        };
        let token = self.backend.sticky.as_ref().map(|sticky| sticky.token(&self.backend.name, &label));
        let id = balance::hash(label.as_bytes());
        let here = balance::hash(format!("{}\0{label}", self.name).as_bytes());
        Endpoint {
            id,
            here,
            server,
            address: address.clone(),
            backend: self.name.clone(),
            label: label.into(),
            named: written.clone(),
            token,
            state: self.inherited(here).unwrap_or_else(|| State::new(health)),
        }
    }

    /// The next server, with a place at it.
    pub fn pick(&self, asked: &mut Asked<'_>) -> Result<Place, NoServer> {
        let mut entries = lock(&self.entries);
        if entries.is_empty() {
            return Err(NoServer::NoAddress);
        }
        let cap = self.backend.max_connections.filter(|_| asked.counts).unwrap_or(usize::MAX);
        let is_left = |endpoint: &Endpoint| {
            !asked.tried.contains(&endpoint.id)
                && asked.within.is_none_or(|servers| servers.contains(&endpoint.server))
        };
        let untried: Vec<usize> = (0..entries.len()).filter(|at| is_left(&entries[*at].endpoint)).collect();
        let free: Vec<usize> =
            untried.iter().copied().filter(|at| entries[*at].endpoint.live() < cap).collect();
        let up: Vec<usize> = free
            .iter()
            .copied()
            .filter(|at| entries[*at].endpoint.health(|health| health.is_up(asked.now)))
            .collect();
        let is_wanted = |endpoint: &Endpoint| {
            let stuck = asked.token.is_some() && endpoint.token.as_deref() == asked.token;
            stuck || (self.backend.balance != Balance::Hash && asked.last == Some(endpoint.id))
        };
        // Of the two the cookie is the stronger.
        let wanted = up.iter().filter(|at| is_wanted(&entries[**at].endpoint));
        let wanted = wanted.max_by_key(|at| entries[**at].endpoint.token.as_deref() == asked.token);
        if let Some(at) = wanted {
            return Ok(Place::take(&entries[*at].endpoint, asked.counts, asked.now));
        }
        // With nobody healthy any of them is better than refusing everybody: the verdict may be wrong or late.
        let eligible = if up.is_empty() { free } else { up };
        let candidates: Vec<Candidate> =
            eligible.iter().map(|at| self.candidate(&entries[*at], asked.now)).collect();
        let mut choice = Choice { balance: self.backend.balance, key: asked.key, random: &mut *asked.random };
        let Some(chosen) = balance::choose(&candidates, &mut choice) else {
            return Err(if untried.is_empty() { NoServer::AllTried } else { NoServer::Full });
        };
        if self.backend.balance == Balance::RoundRobin {
            let credits = balance::settled(&candidates, chosen);
            for (at, credit) in eligible.iter().zip(credits) {
                entries[*at].credit = credit;
            }
        }
        Ok(Place::take(&entries[eligible[chosen]].endpoint, asked.counts, asked.now))
    }

    fn candidate(&self, entry: &Entry, now: Moment) -> Candidate {
        Candidate {
            id: entry.endpoint.id,
            weight: self.backend.servers[entry.endpoint.server].weight,
            ramp: balance::ramp(
                entry.endpoint.health(|health| health.up_since()),
                self.backend.slow_start,
                now,
            ),
            live: entry.endpoint.live(),
            credit: entry.credit,
        }
    }

    /// Whether there is one besides those and this one.
    pub fn has_another(&self, tried: &[u64], this: u64) -> bool {
        let is_other = |id: u64| id != this && !tried.contains(&id);
        lock(&self.entries).iter().any(|entry| is_other(entry.endpoint.id))
    }

    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        lock(&self.entries).iter().map(|entry| entry.endpoint.clone()).collect()
    }

    /// How many endpoints are up, and how many there are.
    pub fn standing(&self, now: Moment) -> (usize, usize) {
        let endpoints = self.endpoints();
        (
            endpoints.iter().filter(|endpoint| endpoint.health(|health| health.is_up(now))).count(),
            endpoints.len(),
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::OnServerDown;
    use super::*;
    use crate::backend::balance::ramp;
    use crate::backend::health::HealthSettings;
    use crate::backend::sticky::Sticky;
    use proptest::prelude::*;
    use std::slice;
    use std::time::Duration;

    fn now() -> Moment {
        Moment::from_millis(1_000_000)
    }

    fn backend(servers: usize) -> Backend {
        let server = |n: usize| Server::Tcp { host: format!("10.0.0.{}", n + 1), port: 9000, tls: false };
        Backend::new("chat", (0..servers).map(server))
    }

    fn address(text: &str) -> Address {
        Address::Tcp(text.parse().unwrap())
    }

    /// A pick of a session's, where the rest does not matter.
    fn pick(pool: &Pool, tried: &[u64]) -> Result<Place, NoServer> {
        pick_at(pool, tried, now(), |_| ())
    }

    fn pick_at<'a>(
        pool: &Pool,
        tried: &'a [u64],
        now: Moment,
        change: impl FnOnce(&mut Asked<'a>),
    ) -> Result<Place, NoServer> {
        // Lives as long as the rest of what is asked for; a test is short.
        let random: &'a mut (dyn FnMut() -> f64 + Send) = Box::leak(Box::new(seeded()));
        let (token, last, within) = (None, None, None);
        let mut asked = Asked { key: 0, token, last, counts: true, tried, within, now, random };
        change(&mut asked);
        pool.pick(&mut asked)
    }

    fn seeded() -> impl FnMut() -> f64 + Send {
        let mut random = fastrand::Rng::with_seed(7);
        move || random.f64()
    }

    fn fail(pool: &Pool, server: usize, now: Moment) {
        pool.endpoints()[server].health(|health| health.failed(now));
    }

    #[test]
    fn a_place_counts_for_as_long_as_it_is_held() {
        let pool = Pool::new(backend(2));
        let places: Vec<Place> = (0..10).map(|_| pick(&pool, &[]).unwrap()).collect();
        assert_eq!(pool.endpoints().iter().map(|one| one.live()).collect::<Vec<_>>(), [5, 5]);
        let plain = pick_at(&pool, &[], now(), |asked| asked.counts = false).unwrap();
        assert_eq!(plain.endpoint().live(), 5, "a plain request is no session");
        drop((places, plain));
        assert_eq!(pool.endpoints().iter().map(|one| one.live()).sum::<usize>(), 0);
    }

    #[test]
    fn after_a_reload_servers_that_stay_are_who_they_were() {
        let before = Pool::new(backend(3));
        let places: Vec<Place> = (0..9).map(|_| pick(&before, &[]).unwrap()).collect();
        fail(&before, 1, now());
        // Another order, one is gone, one is new.
        let mut changed = backend(4);
        changed.servers.swap(0, 1);
        changed.servers.remove(2);
        let after = Pool::after(&before, changed.clone(), now());
        drop(before);
        let live = |pool: &Pool| pool.endpoints().iter().map(|one| one.live()).collect::<Vec<_>>();
        assert_eq!(live(&after), [3, 3, 0]);
        let up =
            |one: &Arc<Endpoint>| one.health(|health| (health.is_up(now()), health.up_since().is_some()));
        assert_eq!(
            after.endpoints().iter().map(up).collect::<Vec<_>>(),
            [(false, true), (true, false), (true, true)]
        );
        let is_there = |place: &Place| after.has_server_of(place.endpoint());
        assert_eq!(places.iter().filter(|place| is_there(place)).count(), 6);
        // One that comes back finds the sessions that it still has, also a generation later.
        let again = Pool::after(&Pool::after(&after, changed, now()), backend(3), now());
        assert_eq!(live(&again), [3, 3, 3]);
        drop(places);
        assert_eq!(live(&again), [0, 0, 0]);
    }

    #[test]
    fn a_name_keeps_its_addresses_over_a_reload() {
        let named = Server::Tcp { host: "chat.internal".into(), port: 9000, tls: false };
        let before = Pool::new(Backend::new("chat", [named.clone()]));
        before.resolved(0, &[address("10.0.0.1:9000"), address("10.0.0.2:9000")], now());
        let after = Pool::after(&before, Backend::new("chat", [named]), now());
        assert!(after.knows(0) && after.addresses(0) == 2);
    }

    #[test]
    fn what_probes_said_is_forgotten_where_nobody_probes_any_more() {
        let settings = HealthSettings { fall: 1, ..HealthSettings::default() };
        let before = Pool::new(Backend { health: Some(settings.clone()), ..backend(1) });
        before.endpoints()[0].health(|health| health.probed(false, &settings, now()));
        for (health, is_up) in [(Some(settings), false), (None, true)] {
            let after = Pool::after(&before, Backend { health, ..backend(1) }, now());
            assert_eq!(after.standing(now()).0, 0, "a reload that fails later has changed nothing");
            after.begin();
            assert_eq!(after.standing(now()).0 == 1, is_up);
        }
    }

    #[test]
    fn a_full_server_takes_no_session_and_every_plain_request() {
        let pool = Pool::new(Backend { max_connections: Some(2), ..backend(1) });
        let _places = [pick(&pool, &[]).unwrap(), pick(&pool, &[]).unwrap()];
        assert_eq!(pick(&pool, &[]).unwrap_err(), NoServer::Full);
        assert!(pick_at(&pool, &[], now(), |asked| asked.counts = false).is_ok());
    }

    #[test]
    fn a_client_is_sent_to_each_server_once() {
        let pool = Pool::new(backend(3));
        let mut tried = Vec::new();
        for _ in 0..3 {
            tried.push(pick(&pool, &tried).unwrap().endpoint().id);
        }
        tried.sort_unstable();
        tried.dedup();
        assert_eq!(tried.len(), 3);
        assert_eq!(pick(&pool, &tried).unwrap_err(), NoServer::AllTried);
    }

    #[test]
    fn who_is_down_is_passed_over_until_everybody_is() {
        let pool = Pool::new(backend(2));
        fail(&pool, 0, now());
        for _ in 0..20 {
            assert_eq!(pick(&pool, &[]).unwrap().endpoint().server, 1);
        }
        assert_eq!(pool.standing(now()), (1, 2));
        fail(&pool, 1, now());
        assert_eq!(pool.standing(now()), (0, 2));
        assert!(pick(&pool, &[]).is_ok(), "somebody is better than nobody");
        let healed = now() + Duration::from_secs(2);
        assert_eq!(pool.standing(healed), (2, 2));
    }

    #[test]
    fn a_server_that_was_ejected_meets_one_client_first() {
        let pool = Pool::new(Backend { slow_start: None, ..backend(2) });
        let mut held: Vec<Place> = (0..10).map(|_| pick(&pool, &[]).unwrap()).collect();
        held.retain(|place| place.endpoint().server == 1);
        fail(&pool, 0, now());
        let healed = now() + Duration::from_secs(1);
        let next = || pick_at(&pool, &[], healed, |_| ()).unwrap();
        let first = next();
        assert_eq!(first.endpoint().server, 0);
        assert!((0..20).all(|_| next().endpoint().server == 1));
        first.endpoint().health(|health| health.opened(healed));
        assert_eq!(next().endpoint().server, 0);
    }

    #[test]
    fn a_cookie_leads_to_its_server_while_that_is_up_and_else_nowhere() {
        let sticky = Sticky { cookie: "s".into(), ttl: Duration::from_secs(1), secret: String::new() };
        let pool = Pool::new(Backend { sticky: Some(sticky), ..backend(3) });
        let endpoints = pool.endpoints();
        for (server, endpoint) in endpoints.iter().enumerate() {
            let token = endpoint.token.clone().unwrap();
            for _ in 0..5 {
                let place = pick_at(&pool, &[], now(), |asked| {
                    asked.token = Some(&token);
                    asked.last = Some(endpoints[(server + 1) % 3].id);
                });
                assert_eq!(place.unwrap().endpoint().server, server, "and is stronger than a connection");
            }
            let elsewhere = pick_at(&pool, &[endpoint.id], now(), |asked| asked.token = Some(&token));
            assert_ne!(elsewhere.unwrap().endpoint().server, server, "it was tried");
        }
        let token = endpoints[2].token.clone().unwrap();
        fail(&pool, 2, now());
        let elsewhere = pick_at(&pool, &[], now(), |asked| asked.token = Some(&token));
        assert_ne!(elsewhere.unwrap().endpoint().server, 2, "it is down");
        assert!(pick_at(&pool, &[], now(), |asked| asked.token = Some("made up")).is_ok());
    }

    #[test]
    fn a_kept_connection_keeps_its_server_unless_the_key_says_otherwise() {
        for balance in [Balance::LeastConn, Balance::RoundRobin, Balance::TwoChoices, Balance::Hash] {
            let pool = Pool::new(Backend { balance, ..backend(5) });
            let at = |last: u64| {
                pick_at(&pool, &[], now(), |asked| asked.last = Some(last)).unwrap().endpoint().id
            };
            let kept = pool.endpoints().iter().filter(|one| at(one.id) == one.id).count();
            assert_eq!(kept, if balance == Balance::Hash { 1 } else { 5 }, "{balance:?}");
        }
    }

    #[test]
    fn a_names_addresses_are_servers_and_follow_dns() {
        let name = Server::Tcp { host: "chat.internal".into(), port: 9000, tls: false };
        let pool = Pool::new(Backend::new("chat", [name]));
        assert_eq!(pick(&pool, &[]).unwrap_err(), NoServer::NoAddress);
        let (a, b, c) = (address("10.0.0.1:9000"), address("10.0.0.2:9000"), address("10.0.0.3:9000"));
        let moved = pool.resolved(0, &[b.clone(), a.clone(), a.clone()], now());
        assert_eq!(
            moved.added.iter().map(|label| &**label).collect::<Vec<_>>(),
            ["ws://chat.internal:9000 (10.0.0.1)", "ws://chat.internal:9000 (10.0.0.2)",]
        );
        let place = pick(&pool, &[]).unwrap();
        let stays = place.endpoint().address.clone();
        let gone = if stays == a { b } else { a };
        let moved = pool.resolved(0, &[stays.clone(), c.clone()], now());
        assert_eq!((moved.added.len(), moved.removed.len()), (1, 1));
        let known = |address: &Address| pool.endpoints().iter().find(|one| one.address == *address).cloned();
        assert_eq!(known(&stays).unwrap().live(), 1, "it is the same endpoint as before");
        assert!(known(&gone).is_none());
        let new = known(&c).unwrap().health(|health| health.up_since());
        assert_eq!(ramp(new, Some(Duration::from_secs(10)), now() + Duration::from_secs(5)), 0.5);
        pool.resolved(0, &[c], now());
        assert_eq!(place.endpoint().live(), 1, "a live session keeps the endpoint it has");
    }

    #[test]
    fn an_address_that_comes_back_has_the_sessions_it_has() {
        let name = Server::Tcp { host: "chat.internal".into(), port: 9000, tls: false };
        let pool = Pool::new(Backend { max_connections: Some(2), ..Backend::new("chat", [name]) });
        let (a, b) = (address("10.0.0.1:9000"), address("10.0.0.2:9000"));
        pool.resolved(0, slice::from_ref(&a), now());
        let mut places = vec![pick(&pool, &[]).unwrap(), pick(&pool, &[]).unwrap()];
        pool.resolved(0, slice::from_ref(&b), now());
        assert_eq!(pick(&pool, &[]).unwrap().endpoint().address, b);
        pool.resolved(0, slice::from_ref(&a), now());
        assert_eq!(pick(&pool, &[]).unwrap_err(), NoServer::Full);
        places.pop();
        assert!(pick(&pool, &[]).is_ok());
        drop(places);
        pool.resolved(0, &[b], now());
        fail(&pool, 0, now());
        pool.resolved(0, &[a], now());
        assert!(pool.gone.lock().unwrap().iter().all(|one| one.strong_count() == 0), "nobody keeps it else");
    }

    #[test]
    fn the_other_addresses_of_a_name_are_no_other_servers() {
        let name = |host: &str| Server::Tcp { host: host.into(), port: 1, tls: false };
        let pool = Pool::new(Backend::new("chat", [name("a.test"), name("b.test")]));
        pool.resolved(0, &[address("10.0.0.1:1"), address("10.0.0.2:1")], now());
        pool.resolved(1, &[address("10.0.1.1:1")], now());
        let first = pool.endpoints()[0].id;
        let next = pick_at(&pool, &[first], now(), |asked| asked.within = Some(&[0])).unwrap();
        assert_eq!(next.endpoint().server, 0);
        let tried = [first, next.endpoint().id];
        let none = pick_at(&pool, &tried, now(), |asked| asked.within = Some(&[0]));
        assert_eq!(none.unwrap_err(), NoServer::AllTried);
        assert!(pool.has_another(&tried, 0) && !pool.has_another(&tried, pool.endpoints()[2].id));
    }

    proptest! {
        #[test]
        fn never_a_down_server_while_an_up_one_has_room(
            balance in prop::sample::select(vec![
                Balance::LeastConn, Balance::RoundRobin, Balance::TwoChoices, Balance::Hash,
            ]),
            weights in prop::collection::vec(1u32..5, 1..7),
            down in prop::collection::vec(any::<bool>(), 7),
            keys in prop::collection::vec(any::<u64>(), 1..60),
            cap in prop::option::of(1usize..20),
        ) {
            let mut chat = Backend { balance, max_connections: cap, ..backend(weights.len()) };
            chat.on_server_down = OnServerDown::Keep;
            for (server, weight) in chat.servers.iter_mut().zip(&weights) {
                *server = Weighted { weight: *weight, ..server.clone() };
            }
            let pool = Pool::new(chat);
            for server in (0..weights.len()).filter(|server| down[*server]) {
                fail(&pool, server, now());
            }
            let mut places: Vec<Place> = Vec::new();
            for key in keys {
                let room = |server: usize| cap.is_none_or(|cap| pool.endpoints()[server].live() < cap);
                let up_with_room = (0..weights.len()).any(|server| !down[server] && room(server));
                let any_with_room = (0..weights.len()).any(room);
                match pick_at(&pool, &[], now(), |asked| asked.key = key) {
                    Ok(place) => {
                        prop_assert!(!down[place.endpoint().server] || !up_with_room);
                        places.push(place);
                    }
                    Err(none) => prop_assert!(none == NoServer::Full && !any_with_room),
                }
                for endpoint in pool.endpoints() {
                    prop_assert!(cap.is_none_or(|cap| endpoint.live() <= cap));
                }
            }
        }
    }
}
