//! What these commands write: fit for any terminal, no wider than it, and content with a reader who has read enough.

use super::failure::Failure;
use super::table::cut;
use crate::observe::log::{is_obeyed, printable};
use rustix::termios::tcgetwinsize;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::Duration;

/// Where there is no terminal to ask.
const USUAL_WIDTH: usize = 80;

/// The room on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    pub width: usize,
    /// `None`: it is no terminal, and what is written there stays.
    pub height: Option<usize>,
}

impl Screen {
    /// As it is now: a window may have another size the next moment.
    pub fn look() -> Screen {
        let size = tcgetwinsize(io::stdout()).ok().filter(|_| io::stdout().is_terminal());
        let columns = std::env::var("COLUMNS").ok();
        Screen::of(size.map(|size| (size.ws_col, size.ws_row)), columns.as_deref())
    }

    /// A terminal that does not know its size says zero.
    fn of(terminal: Option<(u16, u16)>, columns: Option<&str>) -> Screen {
        let named = columns.and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
        let usual = named.unwrap_or(USUAL_WIDTH);
        let or = |size: u16, usual: usize| if size == 0 { usual } else { usize::from(size) };
        match terminal {
            Some((width, height)) => Screen { width: or(width, usual), height: Some(or(height, 24)) },
            None => Screen { width: usual, height: None },
        }
    }
}

/// Writes to stdout.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::Closed),
        Err(error) => Err(Failure::new(format!("cannot write: {error}"), "")),
    }
}

/// What a terminal would obey is shown instead: with what the gateway says comes what its clients said.
pub fn clean(text: &str) -> Cow<'_, str> {
    let printable = printable(text);
    if !printable.contains(|letter: char| letter.is_ascii_control()) {
        return printable;
    }
    let escaped = |letter: char| {
        if letter.is_ascii_control() { letter.escape_default().to_string() } else { letter.to_string() }
    };
    printable.chars().map(escaped).collect::<String>().into()
}

/// The same value, spread over lines.
pub fn json(value: &Value) -> String {
    escaped(&format!("{value:#}\n"))
}

/// The same value in one line.
pub fn json_line(value: &Value) -> String {
    escaped(&format!("{value}\n"))
}

/// JSON stands for the same with every letter of its strings written by its number; other letters than ASCII's are nowhere
/// else.
pub fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            _ if is_obeyed(letter) => drop(write!(text, "\\u{:04x}", u32::from(letter))),
            _ => text.push(letter),
        }
    }
    text
}

/// Draws what `look` finds, again and again, in place of what was there before. Where it is no terminal, one comes behind
/// the other. Who looks at a gateway wants to see it come back, so only the first look may fail.
pub fn watch(every: Duration, mut look: impl FnMut(Screen) -> Result<String, Failure>) -> Failure {
    let mut last: Option<String> = None;
    loop {
        let screen = Screen::look();
        let frame = match (look(screen), &last) {
            (Ok(text), _) => last.insert(text).clone(),
            (Err(Failure::Closed), _) => return Failure::Closed,
            (Err(failure), None) => return failure,
            (Err(failure), Some(last)) => format!("{last}\n{}", fitted(&failure.to_string(), screen.width)),
        };
        let drawn = match screen.height {
            Some(height) => redraw(&frame, height),
            None => frame,
        };
        if let Err(failure) = print(&drawn) {
            return failure;
        }
        std::thread::sleep(every);
    }
}

/// Its lines, none wider than this.
pub fn fitted(text: &str, width: usize) -> String {
    text.lines().map(|line| cut(line, width) + "\n").collect()
}

/// The screen is written over line by line, for one that is cleared whole flickers. A line is cleared before it is written:
/// behind one that fills it some terminals would clear its last letter.
fn redraw(text: &str, height: usize) -> String {
    let mut drawn = String::from("\x1b[H");
    let lines: Vec<&str> = text.lines().collect();
    // Behind the last line stands the cursor.
    let room = height.saturating_sub(1).max(1);
    let shown = if lines.len() <= room { lines.len() } else { room - 1 };
    for line in &lines[..shown] {
        let _ = writeln!(drawn, "\x1b[K{line}");
    }
    if shown < lines.len() {
        let _ = writeln!(drawn, "\x1b[K… {} more lines", lines.len() - shown);
    }
    drawn + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn how_much_room_there_is() {
        let screen = |width, height| Screen { width, height };
        for (terminal, columns, expected) in [
            (Some((132, 50)), Some("40"), screen(132, Some(50))),
            (Some((0, 0)), None, screen(80, Some(24))),
            (Some((0, 0)), Some("40"), screen(40, Some(24))),
            (None, Some("200"), screen(200, None)),
            (None, Some("0"), screen(80, None)),
            (None, Some("wide"), screen(80, None)),
            (None, None, screen(80, None)),
        ] {
            assert_eq!(Screen::of(terminal, columns), expected);
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys() {
        for (text, expected) in [
            ("caf\u{e9} 部屋", "caf\u{e9} 部屋"),
            ("\x1b[2J\x07", "\\u{1b}[2J\\u{7}"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("\u{202e}txt\u{2066}\u{2028}", "\\u{202e}txt\\u{2066}\\u{2028}"),
        ] {
            assert_eq!(clean(text), expected);
        }
        let value = json!({ "a\u{9b}": ["\x1b[2J", "\u{202e}", "\u{7f}", "部"], "n": u64::MAX });
        for text in [json(&value), json_line(&value)] {
            assert!(
                !text.trim_end().contains(|c: char| is_obeyed(c) || (c.is_control() && c != '\n')),
                "{text}"
            );
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn a_frame_stays_on_the_screen() {
        assert_eq!(redraw("a\nb\n", 5), "\x1b[H\x1b[Ka\n\x1b[Kb\n\x1b[J");
        assert_eq!(redraw("a\nb\nc\nd\n", 4), "\x1b[H\x1b[Ka\n\x1b[Kb\n\x1b[K… 2 more lines\n\x1b[J");
        assert_eq!(redraw("a\nb\nc\n", 4).lines().count(), 4);
        assert_eq!(redraw("a\nb\n", 0), "\x1b[H\x1b[K… 2 more lines\n\x1b[J");
    }
}
