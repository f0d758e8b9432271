//! Asking before many sessions end, where somebody is there to be asked.

use super::failure::Failure;
use std::io::{self, BufRead, IsTerminal, Write};

/// No answer is longer.
const MAX_ANSWER: u64 = 1024;

/// Asks, unless it is agreed to already or a program is at the keyboard.
pub fn ask(agreed: bool, question: impl FnOnce() -> Result<String, Failure>) -> Result<(), Failure> {
    if agreed || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    let mut out = io::stderr();
    let _ = write!(out, "{} [y/N] ", question()?);
    let _ = out.flush();
    if is_yes(io::stdin().lock()) { Ok(()) } else { Err(Failure::new("nothing was done", "")) }
}

fn is_yes(answer: impl BufRead) -> bool {
    let mut line = String::new();
    let read = answer.take(MAX_ANSWER).read_line(&mut line);
    read.is_ok() && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, expected) in [
            ("y\n", true),
            ("Yes\n", true),
            (" y \n", true),
            ("n\n", false),
            ("\n", false),
            ("", false),
            ("yes please\n", false),
            ("\ny\n", false),
            ("\u{ff}\n", false),
        ] {
            assert_eq!(is_yes(answer.as_bytes()), expected, "{answer:?}");
        }
        assert!(!is_yes(&b"\xff\xfe"[..]));
        assert!(!is_yes(io::BufReader::new(io::repeat(b'y'))));
    }
}
