//! Series that belong to a name of the configuration's: a route, a listener, a backend. There are as many as there are
//! names, and each stands from the moment its name is known, at 0.

use super::histogram::{Histogram, LIFETIMES, SETUPS};
use crate::frame::Side;
use crate::relay::{Cause, Outcome};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// Series by name.
#[derive(Debug)]
pub(super) struct Named<T>(RwLock<BTreeMap<Box<str>, T>>);

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named(RwLock::default())
    }
}

impl<T: Default> Named<T> {
    /// Does something with the series of a name. It cannot be removed meanwhile.
    pub(super) fn with<R>(&self, name: &str, act: impl FnOnce(&T) -> R) -> R {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = table.get(name) {
            return act(series);
        }
        drop(table);
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        act(table.entry(name.into()).or_default())
    }

    /// What the series of a name say, if there are any.
    pub(super) fn read<R>(&self, name: &str, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).map(look)
    }

    /// All of them, in the order of their names.
    pub(super) fn each(&self, mut visit: impl FnMut(&str, &T)) {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        table.iter().for_each(|(name, series)| visit(name, series));
    }

    /// Sees to it that these names have series. Others stay as long as they are `in_use`; the rest is given back.
    pub(super) fn keep<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        in_use: impl Fn(&T) -> bool,
    ) -> BTreeMap<Box<str>, T> {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *table);
        for name in names {
            table.insert(name.into(), before.remove(name).unwrap_or_default());
        }
        let (stay, go): (BTreeMap<_, _>, _) = before.into_iter().partition(|(_, series)| in_use(series));
        table.extend(stay);
        go
    }
}

/// Who ended a session, why, and with which code, as labels say it.
pub(super) type Ending = [&'static str; 3];

#[derive(Debug)]
pub(super) struct RouteSeries {
    pub(super) live: AtomicU64,
    pub(super) opened: AtomicU64,
    ended: Mutex<BTreeMap<Ending, u64>>,
    /// By the offender and its rule.
    violations: Mutex<BTreeMap<[&'static str; 2], u64>>,
    pub(super) lifetimes: Histogram,
}

impl Default for RouteSeries {
    fn default() -> RouteSeries {
        RouteSeries {
            live: AtomicU64::default(),
            opened: AtomicU64::default(),
            ended: Mutex::default(),
            violations: Mutex::default(),
            lifetimes: Histogram::new(LIFETIMES),
        }
    }
}

impl RouteSeries {
    pub(super) fn open(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, outcome: &Outcome, lasted: Duration) {
        let (by, cause, code) = (outcome.by.word(), outcome.cause.word(), code_label(outcome.close.code));
        *lock(&self.ended).entry([by, cause, code]).or_default() += 1;
        if let Cause::Violation(violation) = outcome.cause {
            let from = outcome.about.map_or("", Side::word);
            *lock(&self.violations).entry([from, violation.rule()]).or_default() += 1;
        }
        self.lifetimes.observe(lasted);
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.live.load(Ordering::Relaxed) > 0
    }

    pub(super) fn ended(&self) -> BTreeMap<Ending, u64> {
        lock(&self.ended).clone()
    }

    pub(super) fn violations(&self) -> BTreeMap<[&'static str; 2], u64> {
        lock(&self.violations).clone()
    }
}

#[derive(Debug)]
pub(super) struct ListenerSeries {
    pub(super) connections: AtomicU64,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    pub(super) handshakes: Histogram,
}

impl Default for ListenerSeries {
    fn default() -> ListenerSeries {
        ListenerSeries {
            connections: AtomicU64::default(),
            refused: Mutex::default(),
            handshakes: Histogram::new(SETUPS),
        }
    }
}

impl ListenerSeries {
    pub(super) fn refuse(&self, cause: &'static str) {
        *lock(&self.refused).entry(cause).or_default() += 1;
    }

    pub(super) fn refused(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.refused).clone()
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > 0
    }
}

#[derive(Debug)]
pub(super) struct BackendSeries {
    pub(super) dials: Histogram,
}

impl Default for BackendSeries {
    fn default() -> BackendSeries {
        BackendSeries { dials: Histogram::new(SETUPS) }
    }
}

/// A close code as a label: those to which the RFC and IANA's registry give a meaning by number, those that applications
/// and their clients choose as they like (RFC 6455 7.4.2) as `3xxx` and `4xxx`.
pub(super) const fn code_label(code: Option<u16>) -> &'static str {
    match code {
        None => "none",
        Some(1000) => "1000",
        Some(1001) => "1001",
        Some(1002) => "1002",
        Some(1003) => "1003",
        Some(1007) => "1007",
        Some(1008) => "1008",
        Some(1009) => "1009",
        Some(1010) => "1010",
        Some(1011) => "1011",
        Some(1012) => "1012",
        Some(1013) => "1013",
        Some(1014) => "1014",
        Some(3000) => "3000",
        Some(3003) => "3003",
        Some(3008) => "3008",
        Some(3000..=3999) => "3xxx",
        Some(4000..=4999) => "4xxx",
        // None of these is ever on the wire.
        Some(_) => "other",
    }
}

/// A panic while the lock was held left nothing half done: every critical section here is a plain step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_that_a_peer_may_choose_are_few_labels() {
        let labels: HashSet<&str> = (0..=u16::MAX).map(|code| code_label(Some(code))).collect();
        assert!(labels.len() <= 18, "{labels:?}");
        for (code, label) in [(1000, "1000"), (3000, "3000"), (3001, "3xxx"), (4999, "4xxx"), (1005, "other")]
        {
            assert_eq!(code_label(Some(code)), label);
        }
    }

    #[test]
    fn a_name_that_goes_takes_its_series_along_once_nobody_needs_it() {
        let routes = Named::<RouteSeries>::default();
        let names = |routes: &Named<RouteSeries>| {
            let mut names = Vec::new();
            routes.each(|name, series| names.push((name.to_string(), series.opened.load(Ordering::Relaxed))));
            names
        };
        assert!(routes.keep(["a", "b", "c"], RouteSeries::is_in_use).is_empty());
        routes.with("a", RouteSeries::open);
        routes.with("b", RouteSeries::open);
        routes.with("b", |series| series.live.store(0, Ordering::Relaxed));
        let gone = routes.keep(["c", "d"], RouteSeries::is_in_use);
        assert_eq!(gone.keys().map(|name| &**name).collect::<Vec<_>>(), ["b"]);
        assert_eq!(names(&routes), [("a".into(), 1), ("c".into(), 0), ("d".into(), 0)]);
        routes.keep(["a"], RouteSeries::is_in_use);
        assert_eq!(names(&routes), [("a".into(), 1)], "what stays keeps its numbers");
    }
}
