//! Figures as people take them in at a glance: a few characters, whatever their size.

const BINARY: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `999B`, `1.5KiB`, `12.0MiB`, `345GiB`: seven characters at the most.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut amount = bytes as f64;
    let mut unit = BINARY[0];
    for next in BINARY {
        (amount, unit) = (amount / 1024.0, next);
        // What would be rounded to 1024 is one of the next unit.
        if amount < 1023.5 {
            break;
        }
    }
    if amount < 99.95 { format!("{amount:.1}{unit}") } else { format!("{amount:.0}{unit}") }
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `850ms`, `42s`, `3m5s`, `3h12m`, `5d4h`, `412d`: its two largest units.
pub fn span(millis: u64) -> String {
    let two = |large: u64, unit: &str, small: u64, rest: &str| {
        let (whole, part) = (millis / large, millis % large / small);
        if part == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{part}{rest}") }
    };
    match millis {
        0..SECOND => format!("{millis}ms"),
        SECOND..MINUTE => format!("{}s", millis / SECOND),
        MINUTE..HOUR => two(MINUTE, "m", SECOND, "s"),
        HOUR..DAY => two(HOUR, "h", MINUTE, "m"),
        _ if millis < 100 * DAY => two(DAY, "d", HOUR, "h"),
        _ => format!("{}d", millis / DAY),
    }
}

/// A time that is short as a rule: `0.08ms`, `1.25ms`, `12.5ms`, `340ms`, `2.1s`.
pub fn latency(millis: f64) -> String {
    match millis {
        _ if millis < 9.995 => format!("{millis:.2}ms"),
        _ if millis < 99.95 => format!("{millis:.1}ms"),
        _ if millis < 999.5 => format!("{millis:.0}ms"),
        _ if millis < 59_950.0 => format!("{:.1}s", millis / 1000.0),
        _ => span(millis as u64),
    }
}

/// How many a second: `0`, `0.4`, `99.9`, `1234`, `1.2M`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        _ if per_second < 0.05 => "0".into(),
        _ if per_second < 99.95 => format!("{per_second:.1}"),
        _ if per_second < 99_999.5 => format!("{per_second:.0}"),
        _ if per_second < 999_950.0 => format!("{:.0}k", per_second / 1e3),
        _ if per_second < 999_950_000.0 => format!("{:.1}M", per_second / 1e6),
        _ => format!("{:.1}G", per_second / 1e9),
    }
}

/// `1 session`, `2 sessions`.
pub fn of(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (1536, "1.5KiB"),
            (102_348, "99.9KiB"),
            (102_400, "100KiB"),
            (1_048_063, "1023KiB"),
            (1_048_064, "1.0MiB"),
            (1 << 40, "1.0TiB"),
            (u64::MAX, "16.0EiB"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn spans() {
        for (millis, expected) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_999, "1s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (185_000, "3m5s"),
            (3_600_000, "1h"),
            (11_520_000, "3h12m"),
            (86_400_000, "1d"),
            (446_400_000, "5d4h"),
            (8_639_999_999, "99d23h"),
            (8_640_000_000, "100d"),
            (u64::MAX, "213503982334d"),
        ] {
            assert_eq!(span(millis), expected, "{millis}");
        }
    }

    #[test]
    fn latencies() {
        for (millis, expected) in [
            (0.0, "0.00ms"),
            (0.083, "0.08ms"),
            (9.999, "10.0ms"),
            (12.46, "12.5ms"),
            (99.96, "100ms"),
            (999.6, "1.0s"),
            (2_120.0, "2.1s"),
            (90_000.0, "1m30s"),
        ] {
            assert_eq!(latency(millis), expected, "{millis}");
        }
    }

    #[test]
    fn rates() {
        for (per_second, expected) in [
            (0.0, "0"),
            (0.04, "0"),
            (0.4, "0.4"),
            (99.96, "100"),
            (99_999.0, "99999"),
            (250_000.0, "250k"),
            (1_250_000.0, "1.2M"),
            (999_960_000.0, "1.0G"),
        ] {
            assert_eq!(rate(per_second), expected, "{per_second}");
        }
    }

    #[test]
    fn no_figure_is_wider_than_its_column() {
        for shift in 0..64 {
            for bytes in [1_u64 << shift, (1_u64 << shift) - 1, (1_u64 << shift).wrapping_mul(1023)] {
                assert!(size(bytes).len() <= 7, "{bytes}: {}", size(bytes));
            }
        }
    }
}
