//! A token bucket as arithmetic on (now, cost): no timer refills it, no clock is asked.
//!
//! The bucket stores one moment: when it will be full again. Tokens are time (the generic cell rate algorithm), so a
//! bucket is eight bytes and a check is one addition.

use crate::moment::Moment;
use std::fmt;
use std::time::Duration;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// Both at least one: a bucket that never fills would refuse for ever, and "none" says that better.
    pub const fn new(per_second: u64, burst: u64) -> Rate {
        Rate {
            per_second: if per_second == 0 { 1 } else { per_second },
            burst: if burst == 0 { 1 } else { burst },
        }
    }

    pub const fn per_second(self) -> u64 {
        self.per_second
    }

    pub const fn burst(self) -> u64 {
        self.burst
    }

    /// The time in which `cost` tokens flow in, rounded up.
    fn span(self, cost: u64) -> Duration {
        let nanos = (u128::from(cost) * 1_000_000_000).div_ceil(u128::from(self.per_second));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} a second, {} at once", self.per_second, self.burst)
    }
}

/// A bucket that starts full. Of two, the greater owes more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenBucket {
    full_at: Moment,
}

impl TokenBucket {
    /// Takes `cost` tokens, or says when that many will be there. A cost above the burst is held to the burst: it must
    /// be possible at some time.
    pub fn take(&mut self, rate: Rate, cost: u64, now: Moment) -> Result<(), Moment> {
        let cost = cost.min(rate.burst);
        let full_at = self.full_at.max(now) + rate.span(cost);
        let over = full_at.since(now).checked_sub(rate.span(rate.burst)).filter(|over| !over.is_zero());
        match over {
            None => {
                self.full_at = full_at;
                Ok(())
            }
            Some(over) => Err(now + over),
        }
    }

    /// Takes what was already spent, into debt if need be.
    pub fn charge(&mut self, rate: Rate, cost: u64, now: Moment) {
        self.full_at = self.full_at.max(now) + rate.span(cost);
    }

    /// Where the rate may be another than before: an empty bucket owes no more than this one holds.
    pub fn hold_to(&mut self, rate: Rate, now: Moment) {
        self.full_at = self.full_at.min(now + rate.span(rate.burst));
    }

    /// When the debt will be paid; `None` when there is none.
    pub fn in_debt_until(&self, rate: Rate, now: Moment) -> Option<Moment> {
        let over = self.full_at.since(now).checked_sub(rate.span(rate.burst))?;
        (!over.is_zero()).then(|| now + over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate::new(10, 3);
        let mut bucket = TokenBucket::default();
        let now = Moment::from_millis(1000);
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, 1, now), Ok(()));
        }
        assert_eq!(bucket.take(rate, 1, now), Err(Moment::from_millis(1100)));
        assert_eq!(bucket.take(rate, 1, Moment::from_millis(1099)), Err(Moment::from_millis(1100)));
        assert_eq!(bucket.take(rate, 1, Moment::from_millis(1100)), Ok(()));
        // A long rest fills it to the burst and no further.
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, 1, Moment::from_millis(90_000)), Ok(()));
        }
        assert!(bucket.take(rate, 1, Moment::from_millis(90_000)).is_err());
    }

    #[test]
    fn debt_is_paid_at_the_rate() {
        let rate = Rate::new(1000, 500);
        let mut bucket = TokenBucket::default();
        let now = Moment::from_millis(7);
        bucket.charge(rate, 500, now);
        assert_eq!(bucket.in_debt_until(rate, now), None);
        bucket.charge(rate, 250, now);
        assert_eq!(bucket.in_debt_until(rate, now), Some(Moment::from_millis(257)));
        assert_eq!(bucket.in_debt_until(rate, Moment::from_millis(257)), None);
    }

    #[test]
    fn a_cost_above_the_burst_is_possible_when_full() {
        let rate = Rate::new(1, 5);
        let mut bucket = TokenBucket::default();
        assert_eq!(bucket.take(rate, 1_000_000, Moment::from_millis(1)), Ok(()));
        assert!(bucket.take(rate, 1, Moment::from_millis(1)).is_err());
    }

    proptest! {
        #[test]
        fn never_more_than_burst_plus_rate(
            per_second in 1u64..2000, burst in 1u64..100,
            steps in prop::collection::vec((0u64..500, 1u64..10), 1..200),
        ) {
            let rate = Rate::new(per_second, burst);
            let mut bucket = TokenBucket::default();
            let start = Moment::from_millis(5);
            let (mut now, mut taken) = (start, 0);
            for (wait, cost) in steps {
                now = now + Duration::from_millis(wait);
                let cost = cost.min(burst);
                match bucket.take(rate, cost, now) {
                    Ok(()) => taken += cost,
                    Err(later) => {
                        prop_assert!(later > now);
                        let mut patient = bucket;
                        prop_assert!(patient.take(rate, cost, later).is_ok());
                    }
                }
            }
            let earned = now.since(start).as_secs_f64() * per_second as f64;
            prop_assert!(taken as f64 <= burst as f64 + earned + 1.0);
        }
    }
}
