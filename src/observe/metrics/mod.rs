//! What the gateway counts, and how it is told: counters, gauges and histograms, as Prometheus' text or as OpenMetrics.
//!
//! # What it costs
//!
//! Nothing per message and nothing per read: a session's own figures (`relay::Meters`) are added up when somebody asks,
//! and once more when it ends. Opening, ending and refusing cost a look-up by name under a lock that readers share, and
//! an addition under one that nobody holds for longer than that. A ping that is answered costs two additions.
//!
//! # Why it is our own
//!
//! `prometheus-client`, the library that fits best, writes only OpenMetrics, and most of those who ask take the older
//! text for granted (`promtool check metrics` among them). Its families hash their labels and take a lock at each touch,
//! or have to be cached by the session, which has no room for it. And the larger part of what is told here is not counted
//! as it happens but read where it is: in sessions, pools and `/proc`. What is left for a library is the format.
//!
//! # Labels
//!
//! They hold names of the configuration, addresses of servers, and words from tables of our own: never what a client
//! sent. Of close codes see `series::code_label`. Names that left the configuration go at the next reload, sessions that
//! live on excepted ([`Metrics::configured`]).

mod connection;
mod exposition;
pub mod families;
pub mod histogram;
pub mod lag;
mod process;
mod series;
pub mod text;
mod traffic;

pub use connection::OpenConnection;
pub use exposition::{Scene, ServerFigures, StandingFigures};
pub use text::Dialect;
pub use traffic::Traffic;

use crate::clock;
use crate::frame::{Pair, Side};
use crate::relay::Outcome;
use histogram::{Distribution, Histogram, ROUND_TRIPS};
use lag::Lag;
use series::{BackendSeries, ListenerSeries, Named, RouteSeries, lock};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Everything that is counted. One for the process, passed to those who have something to say.
#[derive(Debug)]
pub struct Metrics {
    /// Since 1970, as all points in time here.
    started: Duration,
    routes: Named<RouteSeries>,
    listeners: Named<ListenerSeries>,
    backends: Named<BackendSeries>,
    departed: Mutex<Departed>,
    /// By the leg whose peer answered.
    round_trips: Pair<Histogram>,
    loops: Mutex<Vec<Arc<Lag>>>,
}

/// What names counted that are gone. Not told by name any more, but part of every total.
#[derive(Debug, Default)]
struct Departed {
    opened: u64,
    ended: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
}

/// The names that a configuration has.
#[derive(Clone, Debug, Default)]
pub struct Names<'a> {
    pub routes: Vec<&'a str>,
    pub listeners: Vec<&'a str>,
    pub backends: Vec<&'a str>,
}

/// Totals since the start, whatever happened to the names they were counted under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub live: u64,
    pub opened: u64,
    /// By cause.
    pub ended: BTreeMap<&'static str, u64>,
    pub refused: BTreeMap<&'static str, u64>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            started: clock::since_1970(),
            routes: Named::default(),
            listeners: Named::default(),
            backends: Named::default(),
            departed: Mutex::default(),
            round_trips: Pair { client: Histogram::new(ROUND_TRIPS), backend: Histogram::new(ROUND_TRIPS) },
            loops: Mutex::default(),
        }
    }
}

/// What happens.
impl Metrics {
    /// These are the names from now on: each has its series, at 0 if it is new. Series of other names go, except where
    /// sessions or connections still live under them.
    pub fn configured(&self, names: &Names<'_>) {
        // Held all the while, so that no total is taken without what goes.
        let mut departed = lock(&self.departed);
        let routes = self.routes.keep(names.routes.iter().copied(), RouteSeries::is_in_use);
        let listeners = self.listeners.keep(names.listeners.iter().copied(), ListenerSeries::is_in_use);
        self.backends.keep(names.backends.iter().copied(), |_| false);
        for series in routes.values() {
            departed.opened += series.opened.load(Ordering::Relaxed);
            series.ended().iter().for_each(|([_, cause, _], n)| add(&mut departed.ended, cause, *n));
        }
        for series in listeners.values() {
            series.refused().iter().for_each(|(cause, n)| add(&mut departed.refused, cause, *n));
        }
    }

    /// A connection that was handed on ([`OpenConnection::hand_on`]) ended.
    pub fn disconnected(&self, listener: &str) {
        self.listeners.with(listener, |series| series.connections.fetch_sub(1, Ordering::Relaxed));
    }

    /// `cause`: a word of our own.
    pub fn refused(&self, listener: &str, cause: &'static str) {
        self.listeners.with(listener, |series| series.refuse(cause));
    }

    /// A client gets its 101.
    pub fn admitted(&self, listener: &str, took: Duration) {
        self.listeners.with(listener, |series| series.handshakes.observe(took));
    }

    /// A server of the backend took a connection.
    pub fn dialed(&self, backend: &str, took: Duration) {
        self.backends.with(backend, |series| series.dials.observe(took));
    }

    pub fn opened(&self, route: &str) {
        self.routes.with(route, RouteSeries::open);
    }

    /// To be said once of each session that was `opened`.
    pub fn ended(&self, route: &str, outcome: &Outcome, lasted: Duration) {
        self.routes.with(route, |series| series.end(outcome, lasted));
    }

    /// The peer of this leg answered a ping of ours.
    pub fn answered(&self, leg: Side, took: Duration) {
        self.round_trips[leg].observe(took);
    }

    /// For one more event loop to write.
    pub fn new_loop(&self) -> Arc<Lag> {
        let lag = Arc::<Lag>::default();
        lock(&self.loops).push(lag.clone());
        lag
    }
}

/// What is known.
impl Metrics {
    /// Since 1970.
    pub fn started(&self) -> Duration {
        self.started
    }

    /// How late the event loop is that should have looked up from its work first. One that hangs is later and later.
    pub fn longest_overdue(&self) -> Duration {
        lock(&self.loops).iter().map(|lag| lag.overdue()).max().unwrap_or_default()
    }

    pub fn totals(&self) -> Totals {
        let departed = lock(&self.departed);
        let mut totals = Totals {
            live: 0,
            opened: departed.opened,
            ended: departed.ended.clone(),
            refused: departed.refused.clone(),
        };
        self.routes.each(|_, series| {
            totals.live += series.live.load(Ordering::Relaxed);
            totals.opened += series.opened.load(Ordering::Relaxed);
            series.ended().iter().for_each(|([_, cause, _], n)| add(&mut totals.ended, cause, *n));
        });
        self.listeners.each(|_, series| {
            series.refused().iter().for_each(|(cause, n)| add(&mut totals.refused, cause, *n));
        });
        totals
    }

    pub fn knows_route(&self, route: &str) -> bool {
        self.routes.read(route, |_| ()).is_some()
    }

    /// Live sessions of a route, and how many it had.
    pub fn of_route(&self, route: &str) -> (u64, u64) {
        let read = |series: &RouteSeries| {
            (series.live.load(Ordering::Relaxed), series.opened.load(Ordering::Relaxed))
        };
        self.routes.read(route, read).unwrap_or_default()
    }

    /// Open connections of clients.
    pub fn connections(&self, listener: &str) -> u64 {
        let read = |series: &ListenerSeries| series.connections.load(Ordering::Relaxed);
        self.listeners.read(listener, read).unwrap_or_default()
    }

    /// How long the peers of each leg took to answer.
    pub fn round_trips(&self) -> Pair<Distribution> {
        Pair { client: self.round_trips.client.read(), backend: self.round_trips.backend.read() }
    }
}

fn add(counts: &mut BTreeMap<&'static str, u64>, word: &'static str, n: u64) {
    *counts.entry(word).or_default() += n;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_outlive_the_names_they_were_counted_under() {
        let metrics = Metrics::default();
        let outcome = Outcome {
            by: crate::relay::By::Client,
            cause: crate::relay::Cause::Closed,
            about: None,
            close: Default::default(),
            lived: Duration::ZERO,
        };
        for route in ["a", "b"] {
            metrics.opened(route);
            metrics.ended(route, &outcome, Duration::ZERO);
        }
        metrics.opened("a");
        metrics.refused("public", "origin");
        let before = metrics.totals();
        assert_eq!((before.live, before.opened), (1, 3));
        metrics.configured(&Names::default());
        assert_eq!(metrics.totals(), before);
        assert_eq!((before.ended["closed"], before.refused["origin"]), (2, 1));
        assert!(metrics.knows_route("a") && !metrics.knows_route("b"));
    }
}
