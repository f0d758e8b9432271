//! Lines that come in floods: so many a second are written, the others are counted and told together. An attack must not
//! fill the disk, nor cost the gateway a line for each attempt.

use crate::meter::{Rate, TokenBucket};
use crate::moment::Moment;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Enough to see who it is.
const LINES: Rate = Rate::new(10, 50);

#[derive(Debug)]
pub struct Sparing {
    since: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lines: TokenBucket,
    /// By cause, of which there are few.
    left_out: BTreeMap<&'static str, u64>,
}

impl Default for Sparing {
    fn default() -> Sparing {
        Sparing { since: Instant::now(), state: Mutex::default() }
    }
}

impl Sparing {
    /// Whether this line may be written; if not, it is counted.
    pub fn may_write(&self, cause: &'static str) -> bool {
        let now = Moment::default() + self.since.elapsed();
        let mut state = self.lock();
        let may = state.lines.take(LINES, 1, now).is_ok();
        if !may {
            *state.left_out.entry(cause).or_default() += 1;
        }
        may
    }

    /// Says what was left out since the last time. To be called now and then, and at the end.
    pub fn tell(&self) {
        self.tell_as("handshakes refused that have no line of their own");
    }

    /// The same for lines of another kind.
    pub fn tell_as(&self, what: &str) {
        for (cause, count) in self.take_left_out() {
            tracing::warn!(cause, count, "{what}");
        }
    }

    fn take_left_out(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.lock().left_out)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_written_or_counted() {
        let sparing = Sparing::default();
        let written = (0..1000).filter(|_| sparing.may_write("a")).count() as u64;
        let others = (0..10).filter(|_| sparing.may_write("b")).count() as u64;
        // Ten more for each second that this took.
        assert!((50..500).contains(&written), "{written}");
        let left_out = sparing.take_left_out();
        assert_eq!(left_out.get("a"), Some(&(1000 - written)));
        assert_eq!(left_out.get("b").copied().unwrap_or_default(), 10 - others);
        assert!(sparing.take_left_out().is_empty(), "told once");
    }
}
