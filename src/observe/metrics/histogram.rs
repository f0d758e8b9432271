//! Histograms: how often a span was how long, in fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of a histogram's buckets in microseconds; whatever is longer is counted behind the last one.
pub type Bounds = &'static [u64];

const MILLISECOND: u64 = 1000;
const SECOND: u64 = 1000 * MILLISECOND;
const CENTURY: u64 = 100 * 365 * 86_400 * SECOND;

/// A ping's way there and back: within a rack, to the other end of the world, over a bad radio link.
pub const ROUND_TRIPS: Bounds = &[
    500,
    MILLISECOND,
    2500,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2500 * MILLISECOND,
    5 * SECOND,
    10 * SECOND,
];

/// Handshakes and dials: up to the deadlines that they have by default.
pub const SETUPS: Bounds = &[
    MILLISECOND,
    2500,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2500 * MILLISECOND,
    5 * SECOND,
    10 * SECOND,
];

/// Sessions: from those that fail at once to those that stay for a day.
pub const LIFETIMES: Bounds = &[
    SECOND,
    5 * SECOND,
    15 * SECOND,
    60 * SECOND,
    5 * 60 * SECOND,
    15 * 60 * SECOND,
    3600 * SECOND,
    4 * 3600 * SECOND,
    12 * 3600 * SECOND,
    24 * 3600 * SECOND,
];

/// Any thread may add to it.
#[derive(Debug)]
pub struct Histogram {
    bounds: Bounds,
    /// One more than there are bounds.
    counts: Box<[AtomicU64]>,
    sum_micros: AtomicU64,
}

/// What a histogram said at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    bounds: Bounds,
    counts: Vec<u64>,
    sum_micros: u64,
}

impl Histogram {
    pub fn new(bounds: Bounds) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Histogram { bounds, counts, sum_micros: AtomicU64::default() }
    }

    pub fn observe(&self, span: Duration) {
        // Nothing here lasts for a century; the sum has room for many of them.
        let micros = u64::try_from(span.as_micros()).unwrap_or(CENTURY).min(CENTURY);
        let bucket = self.bounds.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get(bucket) {
            self.sum_micros.fetch_add(micros, Ordering::Relaxed);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn read(&self) -> Distribution {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Distribution { bounds: self.bounds, counts, sum_micros: self.sum_micros.load(Ordering::Relaxed) }
    }
}

impl Distribution {
    /// How many spans there were. The sum of what stands in the buckets, so that the two never contradict each other.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum_seconds(&self) -> f64 {
        seconds(self.sum_micros)
    }

    /// Each bound in seconds with the number of spans up to it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut up_to = 0;
        self.bounds.iter().zip(&self.counts).map(move |(bound, count)| {
            up_to += count;
            (seconds(*bound), up_to)
        })
    }

    /// Each bucket's upper bound, which the last one has none of, with the number of spans in it.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = self.bounds.iter().map(|bound| Some(Duration::from_micros(*bound))).chain([None]);
        bounds.zip(self.counts.iter().copied())
    }

    /// The span that this part of all (0 to 1) did not exceed, as well as the buckets can tell: within one, spans are
    /// taken to be spread evenly. What lies behind the last bound is said to lie at it. `None` where there was nothing.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let rank = part.clamp(0.0, 1.0) * self.count() as f64;
        let (mut below, mut lower) = (0, 0);
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            if *count > 0 && (below + count) as f64 >= rank {
                let within = (rank - below as f64).max(0.0) / *count as f64;
                let micros = lower as f64 + within * (bound - lower) as f64;
                return Some(Duration::from_secs_f64(micros / SECOND as f64));
            }
            below += count;
            lower = *bound;
        }
        (self.count() > 0).then(|| Duration::from_micros(lower))
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / SECOND as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> Distribution {
        let histogram = Histogram::new(ROUND_TRIPS);
        millis.into_iter().for_each(|millis| histogram.observe(Duration::from_millis(millis)));
        histogram.read()
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let read = of([0, 1, 5, 6, 10_000, 10_001]);
        let up_to: Vec<u64> = read.cumulative().map(|(_, count)| count).collect();
        assert_eq!(up_to, [1, 2, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!((read.count(), read.sum_seconds()), (6, 20.013));
    }

    #[test]
    fn quantiles_are_estimated_within_their_bucket() {
        assert_eq!(of([]).quantile(0.5), None);
        let even = of((0..100).map(|_| 60));
        assert_eq!(even.quantile(0.5), Some(Duration::from_millis(75)), "the middle of 50 to 100");
        assert_eq!(even.quantile(1.0), Some(Duration::from_millis(100)));
        assert_eq!(of([60_000]).quantile(0.99), Some(Duration::from_secs(10)), "all that is known of it");
        let mixed = of((0..98).map(|_| 1).chain([200, 200]));
        assert!(mixed.quantile(0.5).unwrap() <= Duration::from_millis(1));
        assert!(mixed.quantile(0.99).unwrap() > Duration::from_millis(100));
    }

    #[test]
    fn no_span_is_too_long() {
        let histogram = Histogram::new(LIFETIMES);
        histogram.observe(Duration::MAX);
        assert_eq!(histogram.read().count(), 1);
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [ROUND_TRIPS, SETUPS, LIFETIMES] {
            assert!(bounds.is_sorted_by(|one, next| one < next));
        }
    }

    proptest! {
        #[test]
        fn a_quantile_lies_where_its_bucket_is(
            mut millis in prop::collection::vec(0u64..9000, 1..200), part in 0.0f64..=1.0,
        ) {
            let estimate = of(millis.iter().copied()).quantile(part).unwrap().as_micros() as u64;
            millis.sort_unstable();
            let rank = ((part * millis.len() as f64).ceil() as usize).clamp(1, millis.len());
            let exact = millis[rank - 1] * 1000;
            let bucket = |micros: u64| ROUND_TRIPS.partition_point(|bound| *bound < micros);
            let (lower, upper) = (bucket(exact).checked_sub(1).map_or(0, |at| ROUND_TRIPS[at]), ROUND_TRIPS[bucket(exact)]);
            prop_assert!((lower..=upper).contains(&estimate), "{} is {}, estimated {}", part, exact, estimate);
        }
    }
}
