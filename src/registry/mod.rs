//! The live sessions of the process: who they are, what passes through them, and how an order reaches them.
//!
//! A session's own thread writes its figures; any thread may read them. The table is locked for a step at a time, never
//! for as long as somebody looks at all of it: a hundred thousand sessions must not wait for a reader.

mod handle;
mod survey;
pub mod tap;

pub use handle::{Facts, Handle, News, Ordered};
pub use survey::Survey;

use crate::observe::metrics::{Metrics, Names};
use crate::relay::Order;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use survey::Past;
use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub struct Sessions {
    table: Mutex<Table>,
    emptied: Notify,
    /// Held while somebody adds up what all of them did.
    surveyed: Mutex<()>,
    metrics: Arc<Metrics>,
}

/// Sorted by number, which is by age: a reader can go on where it stopped.
#[derive(Debug, Default)]
struct Table {
    last_number: u64,
    live: BTreeMap<u64, Arc<Handle>>,
    past: Past,
    entry: Entry,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Entry {
    #[default]
    Open,
    /// Who is late comes in, and leaves with the others: within what is left of their time.
    ForLatecomers {
        parting: Parting,
        until: Instant,
    },
    Shut,
}

/// A session's place among the live ones, given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    handle: Arc<Handle>,
    sessions: Arc<Sessions>,
}

/// An end that is ordered for several sessions, evenly over `spread`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    pub order: Order,
    pub code: u16,
    pub spread: Duration,
}

/// So many handles are taken from the table at a time.
const STEP: usize = 256;

impl Sessions {
    /// A place for a new session; none while the process is going away for good.
    pub fn enter(self: &Arc<Sessions>) -> Option<Seat> {
        let mut table = self.table();
        if table.entry == Entry::Shut {
            return None;
        }
        table.last_number += 1;
        let number = table.last_number;
        let handle = Arc::new(Handle::new(number));
        table.live.insert(number, handle.clone());
        if let Entry::ForLatecomers { parting: Parting { order, code, .. }, until } = table.entry {
            let now = Instant::now();
            let at = now + until.saturating_duration_since(now).mul_f64(fastrand::f64());
            handle.order(Ordered { order, code, at });
        }
        Some(Seat { handle, sessions: self.clone() })
    }

    /// What is counted beside what the sessions count themselves.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The configuration that runs has these names: see [`Metrics::configured`].
    pub fn configured(&self, names: &Names<'_>) {
        self.metrics.configured(names);
        self.table().past.forget_all_but(|route| self.metrics.knows_route(route));
    }

    /// How many there are, those included whose handshake is under way.
    pub fn count(&self) -> usize {
        self.table().live.len()
    }

    /// Lets nobody in any more.
    pub fn shut(&self) {
        self.table().entry = Entry::Shut;
    }

    pub fn is_shut(&self) -> bool {
        self.table().entry == Entry::Shut
    }

    /// Whether another process has the listeners.
    pub fn are_for_latecomers(&self) -> bool {
        matches!(self.table().entry, Entry::ForLatecomers { .. })
    }

    /// Sends everybody away, and whoever is late as well: another process has the listeners, and a connection that this
    /// one accepted just before is not to be turned away. Returns how many there were.
    pub fn send_all_away(&self, parting: Parting, random: impl FnMut() -> f64) -> usize {
        self.table().entry = Entry::ForLatecomers { parting, until: Instant::now() + parting.spread };
        self.send_away(parting, |_| true, random)
    }

    pub fn get(&self, number: u64) -> Option<Arc<Handle>> {
        self.table().live.get(&number).cloned()
    }

    /// All of them, oldest first, from behind `after` on. What opens and ends meanwhile may be among them or not.
    pub fn iter(&self, after: u64) -> impl Iterator<Item = Arc<Handle>> + '_ {
        let mut after = after;
        std::iter::from_fn(move || {
            let step = self.table().step(after);
            after = step.last()?.number();
            Some(step)
        })
        .flatten()
    }

    /// Orders those that are wanted to end, evenly over the spread, each with a little jitter of its own (`random`
    /// yields 0 to 1). Returns how many there were.
    pub fn send_away(
        &self,
        parting: Parting,
        wanted: impl Fn(&Handle) -> bool,
        random: impl FnMut() -> f64,
    ) -> usize {
        let handles: Vec<Arc<Handle>> = self.iter(0).filter(|handle| wanted(handle)).collect();
        parting.tell(&handles, random);
        handles.len()
    }

    /// Returns when no session is left.
    pub async fn gone(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// A panic while the lock was held left nothing half done: every critical section here is a few plain steps.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The next few behind `after`.
    fn step(&self, after: u64) -> Vec<Arc<Handle>> {
        let rest = self.live.range((Bound::Excluded(after), Bound::Unbounded));
        rest.take(STEP).map(|(_, handle)| handle.clone()).collect()
    }
}

impl Parting {
    /// Orders these to end, each with a little jitter of its own (`random` yields 0 to 1).
    pub fn tell(&self, handles: &[Arc<Handle>], mut random: impl FnMut() -> f64) {
        let now = Instant::now();
        for (place, handle) in handles.iter().enumerate() {
            let at = now + self.spread.mul_f64((place as f64 + random()) / handles.len() as f64);
            handle.order(Ordered { order: self.order, code: self.code, at });
        }
    }
}

impl Seat {
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.sessions.metrics
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.sessions.table();
        table.live.remove(&self.handle.number());
        table.past.add(&self.handle);
        if table.live.is_empty() {
            self.sessions.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Parting = Parting { order: Order::Drain, code: 1012, spread: Duration::from_secs(10) };

    fn numbers(sessions: &Sessions, after: u64) -> Vec<u64> {
        sessions.iter(after).map(|handle| handle.number()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn ends_are_spread_evenly() {
        let sessions = Arc::new(Sessions::default());
        let seats: Vec<Seat> = (0..100).map(|_| sessions.enter().unwrap()).collect();
        let start = Instant::now();
        sessions.shut();
        assert_eq!(sessions.send_away(DRAIN, |_| true, || 0.5), 100);
        let mut due: Vec<_> = seats.iter().map(|seat| seat.handle.ordered().unwrap().at - start).collect();
        due.sort_unstable();
        for (place, at) in due.iter().enumerate() {
            let expected = Duration::from_millis(100 * place as u64 + 50);
            assert!(at.abs_diff(expected) < Duration::from_millis(1), "{place}: {at:?}");
        }
        assert!(sessions.enter().is_none(), "nobody enters a gateway that goes away");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_late_leaves_with_the_others() {
        let sessions = Arc::new(Sessions::default());
        let start = Instant::now();
        let early = sessions.enter().unwrap();
        assert_eq!(sessions.send_all_away(DRAIN, || 0.5), 1);
        assert!(!sessions.is_shut());
        tokio::time::advance(Duration::from_secs(6)).await;
        let late: Vec<Seat> = (0..100).map(|_| sessions.enter().unwrap()).collect();
        let due = |seat: &Seat| seat.handle.ordered().unwrap().at - start;
        assert_eq!(due(&early), Duration::from_secs(5));
        let (first, last) = (late.iter().map(due).min().unwrap(), late.iter().map(due).max().unwrap());
        assert!(first >= Duration::from_secs(6) && last <= Duration::from_secs(10), "{first:?} {last:?}");
        assert!(last - first > Duration::from_secs(2), "all at once: {first:?} {last:?}");
        tokio::time::advance(Duration::from_secs(60)).await;
        let very_late = sessions.enter().unwrap();
        assert_eq!(due(&very_late), Duration::from_secs(66), "at once");
        sessions.shut();
        assert!(sessions.is_shut() && sessions.enter().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_is_wanted_is_told() {
        let sessions = Arc::new(Sessions::default());
        let seats: Vec<Seat> = (0..10).map(|_| sessions.enter().unwrap()).collect();
        assert_eq!(sessions.send_away(DRAIN, |handle| handle.number() % 5 == 0, || 0.0), 2);
        let told: Vec<u64> = seats
            .iter()
            .filter(|seat| seat.handle.ordered().is_some())
            .map(|seat| seat.handle.number())
            .collect();
        assert_eq!(told, [5, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_word_takes_back_nothing_that_is_due_earlier() {
        let sessions = Arc::new(Sessions::default());
        let seats: Vec<Seat> = (0..10).map(|_| sessions.enter().unwrap()).collect();
        let start = Instant::now();
        let slowly = Parting { code: 4000, spread: Duration::from_secs(100), ..DRAIN };
        sessions.send_away(slowly, |_| true, || 0.0);
        let due = || -> Vec<(u64, u16)> {
            let ordered = seats.iter().map(|seat| seat.handle.ordered().unwrap());
            ordered.map(|ordered| ((ordered.at - start).as_secs(), ordered.code)).collect()
        };
        let before = due();
        sessions.send_away(
            Parting { code: 4001, spread: Duration::from_secs(1000), ..DRAIN },
            |_| true,
            || 0.0,
        );
        assert_eq!(due(), before);
        // Faster, it is the later word that counts, but for who would have gone sooner.
        sessions.send_away(Parting { spread: Duration::from_secs(50), ..DRAIN }, |_| true, || 0.1);
        assert_eq!(due()[0], (0, 4000));
        assert_eq!(due()[9], (45, 1012));
    }

    #[tokio::test]
    async fn a_reader_sees_all_in_order_and_goes_on_where_it_stopped() {
        let sessions = Arc::new(Sessions::default());
        let mut seats: Vec<Seat> = (0..1000).map(|_| sessions.enter().unwrap()).collect();
        assert_eq!(numbers(&sessions, 0), (1..=1000).collect::<Vec<_>>());
        assert_eq!(numbers(&sessions, 990), (991..=1000).collect::<Vec<_>>());
        seats.retain(|seat| seat.handle.number() % 100 == 0);
        assert_eq!(numbers(&sessions, 500), [600, 700, 800, 900, 1000]);
        assert!(sessions.get(500).is_some() && sessions.get(501).is_none());
        // Sessions that come and go between two steps of the reader.
        let mut seen = Vec::new();
        for handle in sessions.iter(0) {
            seen.push(handle.number());
            seats.pop();
            if seen.len() < 1000 {
                seats.insert(0, sessions.enter().unwrap());
            }
        }
        assert!(seen.is_sorted());
    }

    #[tokio::test(start_paused = true)]
    async fn gone_when_the_last_seat_is_given_back() {
        let sessions = Arc::new(Sessions::default());
        let first = sessions.enter().unwrap();
        let second = sessions.enter().unwrap();
        let waiting = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.gone().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
        assert_eq!(sessions.count(), 0);
    }
}
