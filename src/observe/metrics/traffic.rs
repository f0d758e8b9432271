//! What passed through many sessions together.

use crate::frame::{Pair, Side};
use crate::relay::{Meters, Tally};
use std::ops::AddAssign;
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// By the side that sent it.
    pub from: Pair<Tally>,
    pub throttled: Duration,
}

impl AddAssign<&Meters> for Traffic {
    fn add_assign(&mut self, meters: &Meters) {
        *self += Traffic { from: meters.tallies(), throttled: meters.throttled() };
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Traffic) {
        for side in Side::BOTH {
            let (sum, more) = (&mut self.from[side], more.from[side]);
            // Wrapping, as everything that counts for ever does; nobody will see it.
            for (sum, more) in [
                (&mut sum.text_messages, more.text_messages),
                (&mut sum.text_bytes, more.text_bytes),
                (&mut sum.binary_messages, more.binary_messages),
                (&mut sum.binary_bytes, more.binary_bytes),
                (&mut sum.pings, more.pings),
                (&mut sum.pongs, more.pongs),
            ] {
                *sum = sum.wrapping_add(more);
            }
        }
        self.throttled = self.throttled.saturating_add(more.throttled);
    }
}
