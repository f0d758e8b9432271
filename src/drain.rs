//! Going away in good order.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// Not ready any more, but still accepting: the time a load balancer needs to notice.
    pub pre_stop_delay: Duration,
    /// When everything ends, whatever is left.
    pub drain_timeout: Duration,
    /// The time over which the Closes are spread, so that the clients do not come back all at once.
    pub close_spread: Duration,
    pub close_code: u16,
    /// How long the process that is to take over (SIGUSR2) may take until it is ready.
    pub handover_timeout: Duration,
}

impl Default for ShutdownSettings {
    fn default() -> ShutdownSettings {
        ShutdownSettings {
            pre_stop_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
            close_spread: Duration::from_secs(15),
            close_code: 1012,
            handover_timeout: Duration::from_secs(30),
        }
    }
}
