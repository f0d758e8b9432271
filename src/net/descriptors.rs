//! File descriptors: how many the process may have, and how many connections fit into them.

use super::doorstep;

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
    /// `None`: there is no limit, or the system does not tell.
    limit: Option<u64>,
    reserve: u64,
}

/// A session's client and its backend.
const A_CONNECTION: u64 = 2;

/// The log, signals, files that are read again, names that are looked up; and clients that are sent away.
const FOR_THE_PROCESS: u64 = 16 + doorstep::AT_A_TIME as u64;

/// Two pollers, an alarm, its share of the signals, and a connection that it will not let in; beside its listening
/// sockets.
const FOR_A_LOOP: u64 = 5;

impl Descriptors {
    /// Of this process, when it has so many event loops and each so many listening sockets.
    pub fn of_this_process(loops: usize, listeners: usize) -> Descriptors {
        // Linux's own way to tell; elsewhere there is no such file.
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Descriptors::of(&limits, loops, listeners)
    }

    fn of(limits: &str, loops: usize, listeners: usize) -> Descriptors {
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        let for_loops = (loops as u64).saturating_mul(FOR_A_LOOP + listeners as u64);
        Descriptors { limit: soft, reserve: FOR_THE_PROCESS.saturating_add(for_loops) }
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

    fn limits(soft: &str) -> String {
        format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max processes             94987                94987                processes \n\
             Max open files            {soft:<20} 524288               files     \n"
        )
    }

    #[test]
    fn auto_is_what_the_descriptors_hold() {
        let check = |soft: &str, loops, listeners, expected| {
            let descriptors = Descriptors::of(&limits(soft), loops, listeners);
            assert_eq!(MaxConnections::Auto.in_numbers(descriptors), expected, "{soft}");
            if let Some(room) = expected.filter(|room| *room > 1) {
                assert_eq!(descriptors.lacking_for(room), None, "{soft}");
                let needed = 2 * u64::from(room + 1) + descriptors.reserve;
                assert_eq!(descriptors.lacking_for(room + 1), Some((needed, soft.parse().unwrap())));
            }
        };
        check("1024", 2, 1, Some((1024 - 32 - 12) / 2));
        check("1024", 2, 3, Some((1024 - 32 - 16) / 2));
        check("1048576", 16, 2, Some((1_048_576 - 32 - 112) / 2));
        check("48", 2, 1, Some(2));
        check("20", 2, 1, Some(1));
        check("unlimited", 2, 1, None);
        let unknown = Descriptors::of("", 2, 1);
        assert_eq!((MaxConnections::Auto.in_numbers(unknown), unknown.lacking_for(u32::MAX)), (None, None));
        assert_eq!(MaxConnections::AtMost(7).in_numbers(unknown), Some(7));
        assert_eq!(MaxConnections::Unlimited.in_numbers(Descriptors::of(&limits("48"), 1, 1)), None);
    }

    #[test]
    fn the_system_tells() {
        assert!(Descriptors::of_this_process(1, 1).limit.is_some_and(|limit| limit > 0));
    }
}
