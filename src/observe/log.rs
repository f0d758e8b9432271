//! Log lines: two for a session, one for a refusal, text or JSON, on stderr.
//!
//! Fields are passed as plain strings, never as preformatted text: the writer then quotes and escapes them, so that
//! nothing a peer sent can break a line or forge one.

use super::text::Text;
use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least severe level that is written; `FRAMEGATE_LOG` overrides it, module by module.
    pub level: Level,
    pub format: LogFormat,
    /// One line when a session opens, one when it ends.
    pub access: bool,
    pub query: QueryValues,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    pub const fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// What a logged path shows of its query: the names always, the values only for debugging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryValues {
    Redact,
    Keep,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { level: Level::Info, format: LogFormat::Text, access: true, query: QueryValues::Redact }
    }
}

/// Starts logging for the process. `overrides` is the value of `FRAMEGATE_LOG`; the error names what is wrong with it.
pub fn start(settings: &LogSettings, overrides: Option<&str>) -> Result<(), String> {
    let filter = match overrides {
        Some(overrides) => {
            EnvFilter::try_new(overrides).map_err(|error| format!("FRAMEGATE_LOG: {error}"))?
        }
        None => filter_for(settings.level),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(|| Gathering);
    let lines = match settings.format {
        LogFormat::Text if io::stderr().is_terminal() => lines.with_ansi(true).boxed(),
        LogFormat::Text => lines.with_ansi(false).event_format(Text).boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    if started.is_ok() && overrides.is_none() {
        let change = move |level: Level| drop(handle.reload(filter_for(level)));
        let _ = LEVEL.set(Box::new(change)); // it starts once
    }
    started.map_err(|error| format!("logging cannot start: {error}"))
}

/// The process's log has another level from now on. Where `FRAMEGATE_LOG` says what is written, that stands.
pub fn change_level(level: Level) {
    if let Some(change) = LEVEL.get() {
        change(level);
    }
}

static LEVEL: OnceLock<Box<dyn Fn(Level) + Send + Sync>> = OnceLock::new();

/// What our libraries have to say is for our developers, at any level of the operator's.
fn filter_for(level: Level) -> EnvFilter {
    EnvFilter::new(format!("error,framegate={}", level.word()))
}

/// Writes out what this thread has gathered. To be called before a thread waits and when it ends; until the first call it
/// gathers nothing, so that a thread which never says so keeps no line back.
pub fn flush() {
    // A thread that is being taken down has done it already.
    let _ = GATHERED.try_with(|gathered| {
        let mut gathered = gathered.borrow_mut();
        gathered.is_called_upon = true;
        gathered.write_out()
    });
}

/// A worker's lines between two waits: a write for each of them would be a good part of what a connection costs. They
/// wait for as long as the worker is busy, a second at most; a process that is killed in that moment takes them along.
#[derive(Default)]
struct Gathered {
    lines: Vec<u8>,
    is_called_upon: bool,
}

/// A worker that never comes to wait writes this much together. While a process hands over, two of them write to one
/// pipe: up to this size it keeps what they write apart (pipe(7), `PIPE_BUF`).
const TOGETHER: usize = 4096;

thread_local! {
    static GATHERED: RefCell<Gathered> = RefCell::default();
}

impl Gathered {
    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        if self.lines.len() + line.len() > TOGETHER {
            self.write_out()?;
        }
        self.lines.extend_from_slice(line);
        if self.is_called_upon { Ok(()) } else { self.write_out() }
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let written = io::stderr().write_all(&self.lines);
        self.lines.clear();
        written
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        let _ = self.write_out();
    }
}

struct Gathering;

impl Write for Gathering {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let added = GATHERED.try_with(|gathered| gathered.borrow_mut().add(line));
        added.unwrap_or_else(|_| io::stderr().write_all(line)).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a peer said, fit for any terminal. The writers escape what would break a line; JSON leaves alone what only a
/// terminal obeys.
pub fn printable(text: &str) -> Cow<'_, str> {
    // As nearly all there is.
    if text.bytes().all(|byte| byte < 0x7F) || !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if is_obeyed(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// The C1 controls, the line separators of Unicode, and what turns the direction of text.
pub fn is_obeyed(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_obeys_is_left() {
        assert_eq!(printable("caf\u{e9} \u{1f600} \n"), "caf\u{e9} \u{1f600} \n");
        assert_eq!(printable("a\u{9b}31m\u{2028}\u{202e}b"), "a\\u{9b}31m\\u{2028}\\u{202e}b");
    }
}
