//! Whether an upgrade has a span, and what its backend is told: the samplers of OpenTelemetry, and what Trace Context asks
//! of whoever takes part.

use crate::handshake::trace::{SAMPLED, Trace};

/// Which upgrades have a span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampling {
    /// Whoever sent the request decides, where it says.
    pub(super) follows_parent: bool,
    /// Of the others, this part.
    pub(super) ratio: f64,
}

/// The part that we take in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// As the backend is told of it.
    pub(super) trace: Trace,
    /// Whether the collector hears of the span that it names.
    pub(super) is_kept: bool,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { follows_parent: true, ratio: 1.0 }
    }
}

impl Sampling {
    /// `name` and `argument`: of the environment.
    pub(super) fn named(name: &str, argument: Option<&str>) -> Result<Sampling, String> {
        let (follows_parent, rest) = match name.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let ratio = match rest {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => ratio(argument)?,
            _ => return Err(format!("OTEL_TRACES_SAMPLER: `{name}` is not supported, but {KNOWN} are")),
        };
        Ok(Sampling { follows_parent, ratio })
    }

    /// `random` gives numbers other than 0.
    pub(super) fn part(&self, asked: Option<Trace>, random: &mut dyn FnMut() -> u64) -> Part {
        let id = asked.map_or_else(|| trace_id(random(), random()), |asked| asked.id);
        let is_kept = match asked {
            Some(asked) if self.follows_parent => asked.is_sampled(),
            _ => self.takes(id),
        };
        match asked {
            // Without a span of ours the next one's parent is still the one before: the header stays as it was.
            Some(trace) if !is_kept => Part { trace, is_kept },
            // Whoever takes part is the parent. A flag of which nothing is known is not passed on (Trace Context 3.2.2.5.2).
            _ => {
                let flags = if is_kept { SAMPLED } else { 0 };
                Part { trace: Trace { id, parent: random().to_be_bytes(), flags }, is_kept }
            }
        }
    }

    /// Every program that sees this trace, and takes as many, takes it or leaves it.
    fn takes(&self, id: [u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g, h] = id;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        number < (self.ratio * (1_u64 << 63) as f64) as u64
    }
}

const KNOWN: &str = "always_on, always_off, traceidratio, and each of them with parentbased_ before it,";

fn ratio(argument: Option<&str>) -> Result<f64, String> {
    let Some(text) = argument else { return Ok(1.0) };
    text.parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| format!("OTEL_TRACES_SAMPLER_ARG: `{text}` is not a part of 1, such as 0.25"))
}

fn trace_id(high: u64, low: u64) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Trace = Trace { id: [7; 16], parent: [9; 8], flags: 1 };

    fn part(sampling: Sampling, asked: Option<Trace>) -> Part {
        let mut numbers = 0x10..;
        sampling.part(asked, &mut || numbers.next().unwrap())
    }

    fn named(name: &str) -> Sampling {
        Sampling::named(name, None).unwrap()
    }

    #[test]
    fn whoever_takes_part_is_the_parent() {
        let Part { trace, is_kept } = part(Sampling::default(), Some(Trace { flags: 0xff, ..ASKED }));
        assert_eq!((trace.id, trace.flags, is_kept), (ASKED.id, 1, true));
        assert_eq!(trace.parent, 0x10_u64.to_be_bytes());
    }

    #[test]
    fn a_trace_that_begins_here() {
        let Part { trace, is_kept } = part(Sampling::default(), None);
        assert_eq!(trace.to_string(), "00-00000000000000100000000000000011-0000000000000012-01");
        assert!(is_kept);
        // Whoever is next is told what was decided.
        let Part { trace, is_kept } = part(named("parentbased_always_off"), None);
        assert_eq!((trace.flags, is_kept), (0, false));
    }

    #[test]
    fn what_is_not_kept_passes_as_it_came() {
        let unsampled = Trace { flags: 0xfe, ..ASKED };
        assert_eq!(part(Sampling::default(), Some(unsampled)), Part { trace: unsampled, is_kept: false });
        assert_eq!(part(named("always_off"), Some(ASKED)), Part { trace: ASKED, is_kept: false });
    }

    #[test]
    fn who_decides() {
        let unsampled = Trace { flags: 0, ..ASKED };
        for (name, sampled_parent, unsampled_parent, nobody) in [
            ("always_on", true, true, true),
            ("always_off", false, false, false),
            ("parentbased_always_on", true, false, true),
            ("parentbased_always_off", true, false, false),
        ] {
            let is_kept = |asked| part(named(name), asked).is_kept;
            let kept = [Some(ASKED), Some(unsampled), None].map(is_kept);
            assert_eq!(kept, [sampled_parent, unsampled_parent, nobody], "{name}");
        }
        assert!(Sampling::named("xray", None).unwrap_err().contains("`xray`"));
        for bad in ["1.1", "-0.1", "NaN", "half"] {
            assert!(Sampling::named("traceidratio", Some(bad)).unwrap_err().contains(bad));
        }
    }

    #[test]
    fn a_ratio_is_one() {
        for (text, least, most) in [("0", 0, 0), ("0.25", 2200, 2800), ("1", 10_000, 10_000)] {
            let sampling = Sampling::named("parentbased_traceidratio", Some(text)).unwrap();
            let mut random = fastrand::Rng::with_seed(10);
            let kept = (0..10_000).filter(|_| sampling.part(None, &mut || random.u64(1..)).is_kept).count();
            assert!((least..=most).contains(&kept), "{text}: {kept}");
        }
        // By the lower half of the id, as the libraries of OpenTelemetry have it.
        let half = Sampling::named("traceidratio", Some("0.5")).unwrap();
        assert!(half.takes(trace_id(u64::MAX, u64::MAX / 2)) && !half.takes(trace_id(0, u64::MAX / 2 + 1)));
    }
}
