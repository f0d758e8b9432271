//! What passed through a session: counted by its own thread while it lives, read by any.

use crate::frame::{Kind, Pair, Run, Side};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What one side sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub text_messages: u64,
    pub text_bytes: u64,
    pub binary_messages: u64,
    pub binary_bytes: u64,
    pub pings: u64,
    pub pongs: u64,
}

impl Tally {
    pub const fn messages(&self) -> u64 {
        self.text_messages.saturating_add(self.binary_messages)
    }

    /// Payload bytes, as they were on the wire: compressed where the message was.
    pub const fn bytes(&self) -> u64 {
        self.text_bytes.saturating_add(self.binary_bytes)
    }
}

/// The running figures of a session.
#[derive(Debug, Default)]
pub struct Meters {
    pub(super) tallies: Pair<RunningTally>,
    /// The last answer to a ping of ours took so long, by the side that answered. 0: there was none.
    rtt_micros: Pair<AtomicU32>,
    waiting: AtomicU32,
    throttled_millis: AtomicU32,
}

impl Meters {
    /// What each side sent so far.
    pub fn tallies(&self) -> Pair<Tally> {
        Pair { client: self.tallies.client.read(), backend: self.tallies.backend.read() }
    }

    /// How long each side took to answer our last ping.
    pub fn rtt(&self) -> Pair<Option<Duration>> {
        let read = |cell: &AtomicU32| {
            let micros = cell.load(Ordering::Relaxed);
            (micros > 0).then(|| Duration::from_micros(micros.into()))
        };
        Pair { client: read(&self.rtt_micros.client), backend: read(&self.rtt_micros.backend) }
    }

    pub(super) fn answered(&self, side: Side, rtt: Duration) {
        // 0 is taken.
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1);
        self.rtt_micros[side].store(micros, Ordering::Relaxed);
    }

    /// Bytes that wait for a peer which does not take them.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn set_waiting(&self, bytes: usize) {
        self.waiting.store(u32::try_from(bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// How long its rates kept the client waiting, in all.
    pub fn throttled(&self) -> Duration {
        Duration::from_millis(self.throttled_millis.load(Ordering::Relaxed).into())
    }

    pub fn add_throttled(&self, span: Duration) {
        // Up, as timers do: many short waits are a long one.
        let millis = u32::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
        let before = self.throttled_millis.load(Ordering::Relaxed);
        self.throttled_millis.store(before.saturating_add(millis), Ordering::Relaxed);
    }
}

/// Only its session's thread writes it, so that adding need not be one indivisible step.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct RunningTally {
    text_messages: Counter,
    text_bytes: Counter,
    binary_messages: Counter,
    binary_bytes: Counter,
    pings: Counter,
    pongs: Counter,
}

impl RunningTally {
    pub(super) fn read(&self) -> Tally {
        Tally {
            text_messages: self.text_messages.get(),
            text_bytes: self.text_bytes.get(),
            binary_messages: self.binary_messages.get(),
            binary_bytes: self.binary_bytes.get(),
            pings: self.pings.get(),
            pongs: self.pongs.get(),
        }
    }

    /// Whole messages.
    pub(super) fn count_run(&self, run: &Run) {
        if run.text.messages > 0 {
            self.text_messages.add(run.text.messages);
            self.text_bytes.add(run.text.bytes);
        }
        if run.binary.messages > 0 {
            self.binary_messages.add(run.binary.messages);
            self.binary_bytes.add(run.binary.bytes);
        }
    }

    pub(super) fn count(&self, kind: Kind, payload: usize, ended_message: bool) {
        let (messages, bytes) = match kind {
            Kind::Text => (&self.text_messages, &self.text_bytes),
            Kind::Binary => (&self.binary_messages, &self.binary_bytes),
        };
        bytes.add(payload as u64);
        if ended_message {
            messages.add(1);
        }
    }

    pub(super) fn ping(&self) {
        self.pings.add(1);
    }

    pub(super) fn pong(&self) {
        self.pongs.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_short_waits_are_a_long_one() {
        let meters = Meters::default();
        (0..1000).for_each(|_| meters.add_throttled(Duration::from_micros(900)));
        assert_eq!(meters.throttled(), Duration::from_secs(1));
    }

    #[test]
    fn a_session_pays_little_for_its_figures() {
        // With the two counts of an `Arc` it is one of the allocator's sizes.
        assert!(size_of::<Meters>() <= 112, "{}", size_of::<Meters>());
    }
}
