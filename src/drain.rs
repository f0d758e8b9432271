//! Going away in good order: the live sessions, the orders that reach them, and Closes spread over time so that the
//! clients do not all come back in the same second.

use crate::relay::Order;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// Not ready any more, but still accepting: the time a load balancer needs to notice.
    pub pre_stop_delay: Duration,
    /// When everything ends, whatever is left.
    pub drain_timeout: Duration,
    /// The time over which the Closes are spread, so that the clients do not come back all at once.
    pub close_spread: Duration,
    pub close_code: u16,
}

impl Default for ShutdownSettings {
    fn default() -> ShutdownSettings {
        ShutdownSettings {
            pre_stop_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
            close_spread: Duration::from_secs(15),
            close_code: 1012,
        }
    }
}

/// An end that was ordered, and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    pub order: Order,
    pub code: u16,
    pub at: Instant,
}

/// The live sessions of the process.
#[derive(Debug, Default)]
pub struct Sessions {
    table: Mutex<Table>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Table {
    last_key: u64,
    live: HashMap<u64, Arc<Handle>>,
    draining: bool,
}

/// How an order reaches one session: a slot, and the waker of its task.
#[derive(Debug, Default)]
pub struct Handle {
    /// Says whether the slot is worth a lock.
    is_ordered: AtomicBool,
    /// The endpoint of a backend that it was sent to, once it is there.
    endpoint: OnceLock<u64>,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    ordered: Option<Ordered>,
    waker: Option<Waker>,
}

/// A session's place among the live ones, given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    key: u64,
    handle: Arc<Handle>,
    sessions: Arc<Sessions>,
}

impl Sessions {
    /// A place for a new session; none while the process is going away.
    pub fn enter(self: &Arc<Sessions>) -> Option<Seat> {
        let mut table = lock(&self.table);
        if table.draining {
            return None;
        }
        table.last_key += 1;
        let key = table.last_key;
        let handle = Arc::<Handle>::default();
        table.live.insert(key, handle.clone());
        Some(Seat { key, handle, sessions: self.clone() })
    }

    pub fn count(&self) -> usize {
        lock(&self.table).live.len()
    }

    /// Lets nobody in any more and orders every session to end, evenly over `spread`, each with a little jitter of its
    /// own (`random` yields 0 to 1). Returns how many there were.
    pub fn drain(&self, spread: Duration, code: u16, random: impl FnMut() -> f64) -> usize {
        let mut table = lock(&self.table);
        table.draining = true;
        order_all(&table.live.values().collect::<Vec<_>>(), Order::Drain, spread, code, random)
    }

    /// Orders the sessions at an endpoint to end, spread like those of a drain. Returns how many there were.
    pub fn end_at(
        &self,
        endpoint: u64,
        order: Order,
        spread: Duration,
        code: u16,
        random: impl FnMut() -> f64,
    ) -> usize {
        let table = lock(&self.table);
        let there = table.live.values().filter(|handle| handle.endpoint.get() == Some(&endpoint));
        order_all(&there.collect::<Vec<_>>(), order, spread, code, random)
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
}

/// Evenly over `spread`, each with a little jitter of its own.
fn order_all(
    handles: &[&Arc<Handle>],
    order: Order,
    spread: Duration,
    code: u16,
    mut random: impl FnMut() -> f64,
) -> usize {
    let now = Instant::now();
    for (place, handle) in handles.iter().enumerate() {
        let at = now + spread.mul_f64((place as f64 + random()) / handles.len() as f64);
        handle.order(Ordered { order, code, at });
    }
    handles.len()
}

impl Seat {
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = lock(&self.sessions.table);
        table.live.remove(&self.key);
        if table.live.is_empty() {
            self.sessions.emptied.notify_waiters();
        }
    }
}

impl Handle {
    /// Says where its session was sent to.
    pub fn sent_to(&self, endpoint: u64) {
        let _ = self.endpoint.set(endpoint);
    }

    /// The order that is due first stands: a session ends once.
    pub fn order(&self, ordered: Ordered) {
        let mut slot = lock(&self.slot);
        if slot.ordered.is_none_or(|standing| ordered.at < standing.at) {
            slot.ordered = Some(ordered);
            self.is_ordered.store(true, Ordering::Release);
        }
        if let Some(waker) = &slot.waker {
            waker.wake_by_ref();
        }
    }

    /// The order, once there is one.
    pub fn ordered(&self) -> Option<Ordered> {
        if !self.is_ordered.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.slot).ordered
    }

    /// Names the task that an order has to wake.
    pub fn register(&self, waker: &Waker) {
        lock(&self.slot).waker = Some(waker.clone());
    }
}

/// A panic while the lock was held left nothing half done: every critical section here is a few plain assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn closes_are_spread_evenly() {
        let sessions = Arc::new(Sessions::default());
        let seats: Vec<Seat> = (0..100).map(|_| sessions.enter().unwrap()).collect();
        let start = Instant::now();
        assert_eq!(sessions.drain(Duration::from_secs(10), 1012, || 0.5), 100);
        let mut due: Vec<_> = seats.iter().map(|seat| seat.handle.ordered().unwrap().at - start).collect();
        due.sort_unstable();
        for (place, at) in due.iter().enumerate() {
            let expected = Duration::from_millis(100 * place as u64 + 50);
            assert!(at.abs_diff(expected) < Duration::from_millis(1), "{place}: {at:?}");
        }
        assert!(sessions.enter().is_none(), "nobody enters a gateway that goes away");
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_orders_the_one_that_is_due_first_stands() {
        let now = Instant::now();
        let order = |order, seconds| Ordered { order, code: 3000, at: now + Duration::from_secs(seconds) };
        let (expiry, drain) = (order(Order::TokenExpired, 60), order(Order::Drain, 10));
        for orders in [[expiry, drain], [drain, expiry]] {
            let handle = Handle::default();
            orders.into_iter().for_each(|ordered| handle.order(ordered));
            assert_eq!(handle.ordered(), Some(drain));
        }
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
