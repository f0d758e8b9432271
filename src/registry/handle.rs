//! One live session, as others see it: what is known of it, and the slot through which orders reach it.

use super::tap::Tap;
use crate::backend::pool::Endpoint;
use crate::clock;
use crate::moment::Moment;
use crate::relay::{Meters, Order, Rules};
use crate::route::Route;
use crate::spans::Traced;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// What names a session. Everything here may stand in a log: no secret, no query value. Names that sessions have in
/// common are shared, for an idle session has to be small.
#[derive(Debug)]
pub struct Facts {
    /// Of its request. A client may have chosen it, so it need not be the only one with it.
    pub id: Box<str>,
    /// As it was when the session opened; its rules may have changed since.
    pub route: Arc<Route>,
    pub listener: Arc<str>,
    /// The server it was sent to.
    pub endpoint: Arc<Endpoint>,
    pub client: Option<IpAddr>,
    /// What the two ends agreed to, fit for a log.
    pub subprotocol: Option<Box<str>>,
    /// The trace that its request belongs to.
    pub trace: Option<Box<Traced>>,
    pub opened: Moment,
    pub meters: Arc<Meters>,
}

impl Facts {
    pub fn age(&self) -> Duration {
        clock::now().since(self.opened)
    }

    /// For a log.
    pub fn trace_id(&self) -> Option<String> {
        self.trace.as_ref().map(|trace| trace.id_text())
    }
}

/// An end that was ordered, and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    pub order: Order,
    pub code: u16,
    pub at: Instant,
}

#[derive(Debug)]
pub struct Handle {
    number: u64,
    /// Says whether the slot is worth a lock.
    is_told: AtomicBool,
    /// Once its handshake is over.
    facts: OnceLock<Facts>,
    slot: Mutex<Slot>,
}

/// What the session's thread has to be told.
#[derive(Debug, Default)]
struct Slot {
    ordered: Option<Ordered>,
    news: Option<Box<News>>,
    waker: Option<Waker>,
}

/// What seldom comes.
#[derive(Debug, Default)]
pub struct News {
    /// Other rules to follow.
    pub rules: Option<Arc<Rules>>,
    /// Somebody wants to look on.
    pub taps: Vec<Tap>,
}

impl Handle {
    pub(super) fn new(number: u64) -> Handle {
        let (is_told, facts, slot) = (AtomicBool::default(), OnceLock::new(), Mutex::default());
        Handle { number, is_told, facts, slot }
    }

    /// Its own in this process.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// `None`: its handshake is under way.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.get()
    }

    /// The handshake is over. What is said a second time is not taken.
    pub fn open(&self, facts: Facts) -> &Facts {
        self.facts.get_or_init(|| facts)
    }

    /// The order that is due first stands: a session ends once.
    pub fn order(&self, ordered: Ordered) {
        self.tell(|slot| {
            if slot.ordered.is_none_or(|standing| ordered.at < standing.at) {
                slot.ordered = Some(ordered);
            }
        });
    }

    /// The session follows these rules from now on.
    pub fn follow(&self, rules: Arc<Rules>) {
        self.tell(|slot| slot.news.get_or_insert_default().rules = Some(rules));
    }

    /// Its frames are shown to this one too, from the next turn on.
    pub fn tap(&self, tap: Tap) {
        self.tell(|slot| slot.news.get_or_insert_default().taps.push(tap));
    }

    fn tell(&self, what: impl FnOnce(&mut Slot)) {
        let mut slot = self.slot();
        what(&mut slot);
        self.is_told.store(true, Ordering::Release);
        if let Some(waker) = &slot.waker {
            waker.wake_by_ref();
        }
    }

    /// The order, once there is one.
    pub fn ordered(&self) -> Option<Ordered> {
        if !self.is_told.load(Ordering::Acquire) {
            return None;
        }
        self.slot().ordered
    }

    /// What there is besides orders, once.
    pub fn take_news(&self) -> Option<Box<News>> {
        if !self.is_told.load(Ordering::Acquire) {
            return None;
        }
        let mut slot = self.slot();
        let news = slot.news.take();
        self.is_told.store(slot.ordered.is_some(), Ordering::Release);
        news
    }

    /// Names the task that has to be woken.
    pub fn register(&self, waker: &Waker) {
        self.slot().waker = Some(waker.clone());
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_two_orders_the_one_that_is_due_first_stands() {
        let now = Instant::now();
        let order = |order, seconds| Ordered { order, code: 3000, at: now + Duration::from_secs(seconds) };
        let (expiry, drain) = (order(Order::TokenExpired, 60), order(Order::Drain, 10));
        for orders in [[expiry, drain], [drain, expiry]] {
            let handle = Handle::new(1);
            orders.into_iter().for_each(|ordered| handle.order(ordered));
            assert_eq!(handle.ordered(), Some(drain));
        }
    }

    #[test]
    fn rules_are_told_once_and_the_latest_count() {
        let handle = Handle::new(1);
        let take_rules = || handle.take_news().and_then(|news| news.rules);
        assert!(take_rules().is_none());
        let (first, second) = (Arc::<Rules>::default(), Arc::<Rules>::default());
        handle.follow(first);
        handle.follow(second.clone());
        assert!(take_rules().is_some_and(|told| Arc::ptr_eq(&told, &second)));
        assert!(take_rules().is_none());
    }

    #[test]
    fn a_session_pays_little_for_being_known() {
        // With the two counts of an `Arc` it is one of the allocator's sizes.
        assert!(size_of::<Handle>() <= 208, "{}", size_of::<Handle>());
    }
}
