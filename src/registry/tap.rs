//! A look at the frames of one live session as they pass. Whoever looks may be slow, and the session never waits for it:
//! what does not fit is counted.

use crate::frame::{Opcode, Side};
use crate::relay::By;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Frames that wait for a slow looker.
const WAITING: usize = 256;

/// Of a payload, so much is shown at the most.
pub const MOST_PAYLOAD: usize = 16 * 1024;

/// The session's end of it.
#[derive(Debug)]
pub struct Tap {
    sender: Sender<Looked>,
    /// So many were left out since the last one that fitted.
    missed: u64,
    payload: usize,
}

/// What passed, and what did not fit before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    pub missed: u64,
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Frame(Passed),
    /// The session is over: who ended it, why, and with which code.
    Ended {
        by: By,
        cause: &'static str,
        code: Option<u16>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// By the calendar, since 1970.
    pub at: Duration,
    /// Whose frame it is; the gateway says things of its own.
    pub from: By,
    pub to: Side,
    pub opcode: Opcode,
    pub fin: bool,
    /// RSV1: a compressed message begins.
    pub compressed: bool,
    /// Of the payload, as it was on the wire.
    pub size: u64,
    /// Its beginning, unmasked; as much as was asked for.
    pub payload: Box<[u8]>,
}

impl Tap {
    /// `payload`: how much of each payload is asked for.
    pub fn new(payload: usize) -> (Tap, Receiver<Looked>) {
        let (sender, receiver) = channel(WAITING);
        (Tap { sender, missed: 0, payload: payload.min(MOST_PAYLOAD) }, receiver)
    }

    /// How much of each payload it wants to see.
    pub fn payload(&self) -> usize {
        self.payload
    }

    /// Nobody looks any more.
    pub fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    pub fn show(&mut self, event: Event) {
        match self.sender.try_send(Looked { missed: self.missed, event }) {
            Ok(()) => self.missed = 0,
            Err(TrySendError::Full(_)) => self.missed += 1,
            Err(TrySendError::Closed(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_looker_misses_frames_and_is_told_how_many() {
        let frame = |size| {
            Event::Frame(Passed {
                at: Duration::ZERO,
                from: By::Client,
                to: Side::Backend,
                opcode: Opcode::Text,
                fin: true,
                compressed: false,
                size,
                payload: Box::default(),
            })
        };
        let (mut tap, mut looker) = Tap::new(0);
        (0..WAITING as u64 + 10).for_each(|size| tap.show(frame(size)));
        for size in 0..WAITING as u64 {
            assert_eq!(looker.try_recv().unwrap(), Looked { missed: 0, event: frame(size) });
        }
        assert!(looker.try_recv().is_err());
        tap.show(frame(7));
        assert_eq!(looker.try_recv().unwrap(), Looked { missed: 10, event: frame(7) });
        tap.show(frame(8));
        assert_eq!(looker.try_recv().unwrap().missed, 0);
        drop(looker);
        assert!(tap.is_over());
        tap.show(frame(9));
    }
}
