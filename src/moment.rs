//! A point in time that somebody else read.
//!
//! The core asks nobody the time: the driver reads its clock once per turn and hands a `Moment` in. It counts
//! nanoseconds since an origin the driver chose, so a test writes schedules as plain numbers and never sleeps.

use std::num::NonZeroU64;
use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since the driver's origin. Saturates: no arithmetic on time can panic or wrap. Held as one more than they
/// are, so that no moment at all takes no more room than one: a session has a dozen that may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(NonZeroU64);

impl Moment {
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self::from_nanos(millis.saturating_mul(1_000_000))
    }

    pub const fn nanos(self) -> u64 {
        self.0.get().wrapping_sub(1)
    }

    /// How long ago `earlier` was; zero when it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.nanos().saturating_sub(earlier.nanos()))
    }
}

impl Default for Moment {
    fn default() -> Moment {
        Moment::from_nanos(0)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, span: Duration) -> Moment {
        // Not `as_nanos`: 128 bits are dear, and this is asked at every turn.
        let nanos =
            span.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(span.subsec_nanos()));
        Moment(self.0.saturating_add(nanos))
    }
}
