//! A log line as text: byte for byte what tracing-subscriber writes where there is no terminal. Its own formatter asks
//! for the style of every word, and there is none to be had: that was a third of what a connection cost.

use std::fmt::{self, Debug, Write};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::VisitOutput;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{DefaultVisitor, FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// The time, the level, the place in the program, what happened, its fields. There are no spans in this program.
pub(super) struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let what = event.metadata();
        // Gathered here: each word would pass through two more writers on its way.
        let mut line = String::with_capacity(USUAL);
        push_time(&mut line, since_1970.as_secs(), since_1970.subsec_micros());
        line.push_str(match *what.level() {
            Level::TRACE => " TRACE ",
            Level::DEBUG => " DEBUG ",
            Level::INFO => "  INFO ",
            Level::WARN => "  WARN ",
            Level::ERROR => " ERROR ",
        });
        line.push_str(what.target());
        line.push(':');
        let mut fields = Fields { line, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        fields.line.push('\n');
        to.write_str(&fields.line)
    }
}

/// Few lines are longer.
const USUAL: usize = 768;

/// Writes each field behind a space.
struct Fields {
    line: String,
    result: fmt::Result,
}

impl Fields {
    fn name(&mut self, field: &Field) {
        self.line.push(' ');
        self.line.push_str(field.name());
        self.line.push('=');
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" || !speaks_for_itself(value) {
            return self.record_rare(|rare| rare.record_str(field, value));
        }
        self.name(field);
        self.line.push('"');
        self.line.push_str(value);
        self.line.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        push_number(&mut self.line, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        self.line.push_str(if value { "true" } else { "false" });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let before = self.line.len();
        if field.name() == "message" {
            // It has no name. Few messages need the escapes that the library has for them.
            let written = write!(self.line, " {value:?}");
            if written.is_ok() && self.line.bytes().skip(before).all(|byte| matches!(byte, b' '..=b'~')) {
                return;
            }
            self.line.truncate(before);
        }
        self.record_rare(|rare| rare.record_debug(field, value));
    }
}

impl Fields {
    /// As the library has it.
    fn record_rare(&mut self, record: impl FnOnce(&mut DefaultVisitor<'_>)) {
        let mut rare = DefaultVisitor::new(Writer::new(&mut self.line), false);
        record(&mut rare);
        self.result = self.result.and(rare.finish());
    }
}

/// Whether it stands between quotes as it is.
fn speaks_for_itself(value: &str) -> bool {
    value.bytes().all(|byte| PLAIN[usize::from(byte)])
}

/// Which bytes do. Looked up and not compared: a connection writes hundreds of them.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    plain
};

fn push_number(line: &mut String, number: u64) {
    if number < 10 {
        return line.push(char::from(b'0' + number as u8));
    }
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    let mut rest = number;
    loop {
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
        first -= 1;
    }
    line.push_str(str::from_utf8(&digits[first..]).unwrap_or_default());
}

/// `2026-01-31T23:59:59.000001Z`.
fn push_time(line: &mut String, seconds: u64, micros: u32) {
    let (year, month, day) = date(seconds / 86_400);
    let second = seconds % 86_400;
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let two = |number: u64| [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
    let micros = u64::from(micros);
    for (place, number) in [
        (0, year / 100),
        (2, year),
        (5, month),
        (8, day),
        (11, second / 3600),
        (14, second / 60 % 60),
        (17, second % 60),
        (20, micros / 10_000),
        (22, micros / 100),
        (24, micros),
    ] {
        text[place..place + 2].copy_from_slice(&two(number));
    }
    line.push_str(str::from_utf8(&text).unwrap_or_default());
}

/// Year, month and day of a day counted from 1970: years begin in March, so that the leap day is the last of one.
fn date(days: u64) -> (u64, u64, u64) {
    // From 1 March of the year 0; the calendar repeats after 400 years, which are 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn events() {
        let (name, text) = ("n\u{e9}\u{1b}[2J \"x\" \\ \u{2028}", String::from("a b=\"c\""));
        tracing::info!(
            id = "plain",
            empty = "",
            count = 0_u64,
            large = u64::MAX,
            yes = true,
            "session ended"
        );
        tracing::warn!(name, text = text.as_str(), code = 1006_u16, less = -3, ratio = 0.5, "said {name}");
        tracing::error!(error = %"shown\t", peer = ?Some("debug"), bind = ?[1, 2]);
        tracing::debug!(target: "another::place", "only words");
        tracing::trace!(r#type = "raw");
    }

    /// What `events` writes, without the times.
    fn written(subscriber: impl Fn(Written) -> tracing::subscriber::DefaultGuard) -> Vec<String> {
        let written = Written::default();
        let guard = subscriber(written.clone());
        events();
        drop(guard);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line[27..].to_string()).collect()
    }

    #[test]
    fn the_same_as_the_librarys() {
        use tracing_subscriber::util::SubscriberInitExt;
        let lines = || tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
        let ours =
            written(|to| lines().event_format(Text).with_writer(move || to.clone()).finish().set_default());
        let theirs = written(|to| lines().with_writer(move || to.clone()).finish().set_default());
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), 5);
    }

    #[test]
    fn times() {
        let shown = |seconds, micros| {
            let mut line = String::new();
            push_time(&mut line, seconds, micros);
            line
        };
        for (seconds, micros, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, 1, "2000-02-28T23:59:59.000001Z"),
            (951_782_400, 999_999, "2000-02-29T00:00:00.999999Z"),
            (951_868_800, 0, "2000-03-01T00:00:00.000000Z"),
            (1_709_251_199, 500_000, "2024-02-29T23:59:59.500000Z"),
            (1_735_689_599, 0, "2024-12-31T23:59:59.000000Z"),
            (1_735_689_600, 0, "2025-01-01T00:00:00.000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(shown(seconds, micros), expected);
        }
    }
}
