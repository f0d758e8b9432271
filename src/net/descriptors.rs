//! File descriptors: how many the process may have, and how many connections fit into them.

use super::doorstep;
use super::splice::pipe;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many connections the process takes at a time, as the operator says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxConnections {
    /// As many as there are descriptors for.
    #[default]
    Auto,
    AtMost(u32),
    Unlimited,
}

/// How many descriptors there are, and how many the gateway needs for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// `None`: there is no limit.
    limit: Option<u64>,
    reserve: u64,
}

/// A session's client and its backend.
const A_CONNECTION: u64 = 2;

/// The log, signals, files that are read again, names that are looked up; and clients that are sent away.
const FOR_THE_PROCESS: u64 = 16 + doorstep::AT_A_TIME as u64;

/// Two pollers, an alarm, its share of the signals, a connection that it will not let in, and its pipes; beside its
/// listening sockets.
const FOR_A_LOOP: u64 = 5 + pipe::DESCRIPTORS as u64;

/// Lets the process have as many as it may. The lower limit that a shell or service manager starts programs with is there
/// for those that use select(2).
pub fn take_all() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

impl Descriptors {
    /// Of this process once it runs, when it has so many event loops and each so many listening sockets.
    pub fn of_this_process(loops: usize, listeners: usize) -> Descriptors {
        Descriptors::new(getrlimit(Resource::Nofile).maximum, loops, listeners)
    }

    fn new(limit: Option<u64>, loops: usize, listeners: usize) -> Descriptors {
        let for_loops = (loops as u64).saturating_mul(FOR_A_LOOP + listeners as u64);
        Descriptors { limit, reserve: FOR_THE_PROCESS.saturating_add(for_loops) }
    }

    /// With so many more kept for something else.
    pub fn reserving(self, more: u64) -> Descriptors {
        Descriptors { reserve: self.reserve.saturating_add(more), ..self }
    }

    /// What so many connections need, if it is more than there is: that, and what there is.
    pub fn lacking_for(&self, connections: u32) -> Option<(u64, u64)> {
        let needed = A_CONNECTION * u64::from(connections) + self.reserve;
        self.limit.filter(|limit| *limit < needed).map(|limit| (needed, limit))
    }

    /// As many connections as fit, and one if none does.
    fn room(&self) -> Option<u32> {
        let room = self.limit?.saturating_sub(self.reserve) / A_CONNECTION;
        Some(u32::try_from(room).unwrap_or(u32::MAX).max(1))
    }
}

impl MaxConnections {
    /// `None`: no limit.
    pub fn in_numbers(self, descriptors: Descriptors) -> Option<u32> {
        match self {
            MaxConnections::Auto => descriptors.room(),
            MaxConnections::AtMost(number) => Some(number),
            MaxConnections::Unlimited => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_what_the_descriptors_hold() {
        for (limit, loops, listeners, expected) in [
            (1024, 2, 1, (1024 - 32 - 2 * 70) / 2),
            (1024, 2, 3, (1024 - 32 - 2 * 72) / 2),
            (1_048_576, 16, 2, (1_048_576 - 32 - 16 * 71) / 2),
            (128, 1, 1, 13),
            (105, 1, 1, 1),
            // One is always tried.
            (20, 2, 1, 1),
        ] {
            let descriptors = Descriptors::new(Some(limit), loops, listeners);
            assert_eq!(MaxConnections::Auto.in_numbers(descriptors), Some(expected), "{limit}");
            if limit > 20 {
                let needed = 2 * u64::from(expected + 1) + descriptors.reserve;
                assert_eq!(descriptors.lacking_for(expected), None, "{limit}");
                assert_eq!(descriptors.lacking_for(expected + 1), Some((needed, limit)));
            }
        }
    }

    #[test]
    fn the_operators_word_counts_more() {
        let (few, endless) = (Descriptors::new(Some(48), 1, 1), Descriptors::new(None, 1, 1));
        assert_eq!(MaxConnections::AtMost(700).in_numbers(few), Some(700));
        assert_eq!(MaxConnections::Unlimited.in_numbers(few), None);
        assert_eq!((MaxConnections::Auto.in_numbers(endless), endless.lacking_for(u32::MAX)), (None, None));
    }
}
