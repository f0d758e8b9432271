//! Durations and sizes as people write them: a number and its unit, always both.

use super::error::Complaint;
use std::time::Duration;

/// In milliseconds.
const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// In bytes. `kB` is how the SI writes it.
const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("KB", 1_000),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Longer than any session lives; a moment this far ahead is still far from the end of every clock.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// What "none" gets where it would leave something unbounded.
const ALWAYS_ON: &str = "cannot be switched off";

const ZERO: &str = "zero never switches a limit off";

/// A zero where a limit stands.
pub fn zero() -> Complaint {
    Complaint::new(ZERO).hint("this limit is always on: write a value above zero")
}

/// The same complaint, where "none" would have been taken.
pub fn with_none(complaint: Complaint) -> Complaint {
    if complaint.problem == ZERO { complaint.hint(r#"write "none" to switch it off"#) } else { complaint }
}

/// May be zero.
pub fn duration(text: &str) -> Result<Duration, Complaint> {
    let complaint = || Complaint::new(format!("{text:?} is not a duration"));
    if text == "none" {
        return Err(Complaint::new(ALWAYS_ON).hint("write a duration: \"500ms\", \"30s\", \"5m\""));
    }
    let (number, unit) = split(text);
    if number.is_empty() {
        return Err(complaint().hint(r#"write a whole number and ms, s, m, h or d: "500ms", "30s", "5m""#));
    }
    let Some((_, factor)) = DURATIONS.iter().find(|(name, _)| *name == unit) else {
        let hint = match unit.trim() {
            "" => bare_duration(number).hint,
            "sec" | "secs" | "second" | "seconds" | "S" => Some(format!("write \"{number}s\"")),
            "min" | "mins" | "minute" | "minutes" => Some(format!("write \"{number}m\"")),
            "hour" | "hours" | "H" => Some(format!("write \"{number}h\"")),
            "day" | "days" | "D" => Some(format!("write \"{number}d\"")),
            known if DURATIONS.iter().any(|(name, _)| *name == known) => {
                Some(format!("write \"{number}{known}\", without a space"))
            }
            _ => Some(
                "one whole number and one unit, of ms, s, m, h and d: \"1500ms\", \"90s\", \"5m\"".into(),
            ),
        };
        return Err(Complaint { hint, ..complaint() });
    };
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    millis.map(Duration::from_millis).filter(|duration| *duration <= LONGEST).ok_or_else(|| {
        Complaint::new(format!("{text:?} is longer than ten years")).hint("the longest duration is \"3650d\"")
    })
}

/// A number without a unit where a duration stands.
pub fn bare_duration(number: &str) -> Complaint {
    let hint = if is_zero(number) {
        r#"zero never means "off": write "none" if that is meant, or a time with its unit, such as "30s""#
            .into()
    } else if number.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("write \"{number}s\" if seconds are meant; the units are ms, s, m, h and d")
    } else {
        "write a whole number with a unit: \"1500ms\", \"90s\", \"5m\"".into()
    };
    Complaint::new(format!("{number} has no unit")).hint(hint)
}

/// May be zero.
pub fn size(text: &str) -> Result<u64, Complaint> {
    let complaint = || Complaint::new(format!("{text:?} is not a size"));
    if text == "none" {
        return Err(Complaint::new(ALWAYS_ON).hint("write a size: \"64KiB\", \"2MB\""));
    }
    let (number, unit) = split(text);
    if number.is_empty() {
        return Err(
            complaint().hint(r#"write a whole number and B, KiB, MiB, GiB, KB, MB or GB: "64KiB", "2MB""#)
        );
    }
    let Some((_, factor)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        let hint = match unit.trim().to_ascii_lowercase().as_str() {
            "" => bare_size(number).hint,
            "byte" | "bytes" | "b" => Some(format!("write \"{number}B\"")),
            "k" | "kib" | "kb" => Some(format!("write \"{number}KiB\"")),
            "m" | "mib" | "mb" => Some(format!("write \"{number}MiB\"")),
            "g" | "gib" | "gb" => Some(format!("write \"{number}GiB\"")),
            _ => Some("one whole number and one unit, of B, KiB, MiB, GiB, KB, MB and GB".into()),
        };
        return Err(Complaint { hint, ..complaint() });
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    bytes.filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(|| {
        // The longest frame there is (RFC 6455 5.2).
        Complaint::new(format!("{text:?} is larger than a frame can be, 2^63 - 1 bytes"))
            .hint(r#"write "none" where no limit is meant"#)
    })
}

/// A number without a unit where a size stands.
pub fn bare_size(number: &str) -> Complaint {
    let hint = match number.parse().map(show_size) {
        _ if is_zero(number) => {
            r#"zero never means "off": write "none" if that is meant, or a size with its unit, such as "64KiB""#.into()
        }
        Ok(shown) if shown == format!("{number}B") => format!("write \"{shown}\""),
        Ok(shown) => format!("write \"{number}B\", or \"{shown}\""),
        Err(_) => "write a whole number with a unit: \"512B\", \"64KiB\", \"2MB\"".into(),
    };
    Complaint::new(format!("{number} has no unit")).hint(hint)
}

fn is_zero(number: &str) -> bool {
    number.bytes().all(|byte| byte == b'0')
}

/// The duration as one would write it in the file.
pub fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 { "0s".into() } else { show(millis, &DURATIONS) }
}

/// The size as one would write it in the file.
pub fn show_size(bytes: u64) -> String {
    let binary = [SIZES[0], SIZES[5], SIZES[6], SIZES[7]];
    if bytes == 0 { "0B".into() } else { show(bytes, &binary) }
}

/// In the largest unit that divides it.
fn show(number: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().rev().find(|(_, factor)| number.is_multiple_of(*factor));
    fitting.map_or_else(|| number.to_string(), |(unit, factor)| format!("{}{unit}", number / factor))
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let millis = |text: &str| duration(text).map(|duration| duration.as_millis()).ok();
        for (text, expected) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("0s", Some(0)),
            ("3650d", Some(3650 * 86_400_000)),
            ("3651d", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
            ("30", None),
            ("", None),
            ("s", None),
            ("-5s", None),
            ("1.5s", None),
            ("1h30m", None),
            ("30 s", None),
            (" 30s", None),
            ("30S", None),
            ("٣s", None),
            ("none", None),
        ] {
            assert_eq!(millis(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("512B", Some(512)),
            ("64KiB", Some(65_536)),
            ("1MiB", Some(1_048_576)),
            ("2MB", Some(2_000_000)),
            ("3kB", Some(3_000)),
            ("3KB", Some(3_000)),
            ("1GiB", Some(1 << 30)),
            ("1GB", Some(1_000_000_000)),
            ("9223372036854775807B", Some(i64::MAX as u64)),
            ("9223372036854775808B", None),
            ("99999999999GiB", None),
            ("64K", None),
            ("64", None),
            ("1.5MiB", None),
            ("", None),
            ("MiB", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn hints_are_what_one_would_have_to_write() {
        let hint = |complaint: Complaint| complaint.hint.unwrap_or_default();
        assert_eq!(
            hint(duration("30").unwrap_err()),
            "write \"30s\" if seconds are meant; the units are ms, s, m, h and d"
        );
        assert_eq!(hint(duration("5min").unwrap_err()), "write \"5m\"");
        assert_eq!(hint(duration("30 s").unwrap_err()), "write \"30s\", without a space");
        assert_eq!(hint(size("64k").unwrap_err()), "write \"64KiB\"");
        assert_eq!(hint(size("65536").unwrap_err()), "write \"65536B\", or \"64KiB\"");
        assert_eq!(hint(bare_size("1000")), "write \"1000B\"");
        assert_eq!(hint(with_none(zero())), "write \"none\" to switch it off");
    }

    #[test]
    fn shown_as_written() {
        for text in ["500ms", "1500ms", "90s", "5m", "1h", "2d", "0s"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["1B", "1025B", "64KiB", "3MiB", "1GiB"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }
}
