//! How late an event loop looks up from its work. A loop that a single session keeps busy lets all the others wait.

use crate::clock;
use crate::moment::Moment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One a second: what is told is the largest of the last minute.
const KEPT: usize = 60;

/// A loop that means to look up once a second writes it, any thread reads it.
#[derive(Debug)]
pub struct Lag {
    /// In nanoseconds, the latest of each place over the oldest.
    late: [AtomicU64; KEPT],
    next: AtomicU64,
    /// When it means to look up again, in nanoseconds of the process's clock. 0: it has not begun.
    due: AtomicU64,
}

impl Default for Lag {
    fn default() -> Lag {
        Lag {
            late: [const { AtomicU64::new(0) }; KEPT],
            next: AtomicU64::default(),
            due: AtomicU64::default(),
        }
    }
}

impl Lag {
    /// The loop means to look up then.
    pub fn expect(&self, due: Moment) {
        self.due.store(due.nanos(), Ordering::Relaxed);
    }

    /// It does now, and meant to then.
    pub fn looked_up(&self, due: Moment, now: Moment) {
        let place = self.next.fetch_add(1, Ordering::Relaxed) as usize % KEPT;
        if let Some(slot) = self.late.get(place) {
            slot.store(u64::try_from(now.since(due).as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// How long ago it meant to look up, and did not yet.
    pub fn overdue(&self) -> Duration {
        self.overdue_at(clock::now()).unwrap_or_default()
    }

    /// The largest of the last minute; that of a loop which is late just now counts as it grows.
    pub fn largest(&self) -> Duration {
        self.largest_at(clock::now())
    }

    fn largest_at(&self, now: Moment) -> Duration {
        let past = self.late.iter().map(|late| Duration::from_nanos(late.load(Ordering::Relaxed)));
        past.chain(self.overdue_at(now)).max().unwrap_or_default()
    }

    /// `None`: it has not begun.
    fn overdue_at(&self, now: Moment) -> Option<Duration> {
        let due = self.due.load(Ordering::Relaxed);
        (due > 0).then(|| now.since(Moment::from_nanos(due)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_a_minute() {
        let lag = Lag::default();
        let mut now = Moment::from_millis(1000);
        assert_eq!(lag.largest_at(now), Duration::ZERO, "it has not begun");
        let mut tick = |late: u64| {
            let due = now + Duration::from_secs(1);
            now = due + Duration::from_millis(late);
            lag.looked_up(due, now);
            lag.expect(now);
            lag.largest_at(now)
        };
        assert_eq!(tick(300), Duration::from_millis(300));
        for _ in 0..59 {
            assert_eq!(tick(2), Duration::from_millis(300));
        }
        assert_eq!(tick(2), Duration::from_millis(2));
    }

    #[test]
    fn a_loop_that_hangs_is_seen_before_it_is_free_again() {
        let lag = Lag::default();
        lag.expect(Moment::from_millis(2000));
        assert_eq!(lag.largest_at(Moment::from_millis(1000)), Duration::ZERO);
        assert_eq!(lag.largest_at(Moment::from_millis(5000)), Duration::from_secs(3));
        assert_eq!(lag.overdue_at(Moment::from_millis(5000)), Some(Duration::from_secs(3)));
        lag.expect(Moment::from_millis(6000));
        assert_eq!(lag.overdue_at(Moment::from_millis(5000)), Some(Duration::ZERO));
    }
}
