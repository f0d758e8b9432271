//! The process's clock: moments are counted from its start, those of everything alike.

use crate::moment::Moment;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

pub fn now() -> Moment {
    moment(Instant::now())
}

/// What the calendar says, for times that others give or read. Somebody may set it.
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub fn moment(instant: Instant) -> Moment {
    Moment::default() + instant.saturating_duration_since(*ORIGIN)
}

pub fn instant(moment: Moment) -> Instant {
    *ORIGIN + Duration::from_nanos(moment.nanos())
}
