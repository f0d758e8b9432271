//! Text that is not TOML, explained.
//!
//! The parser recovers and goes on, so several mistakes are found at once, but what it makes of the lines in between is
//! guesswork: a file with a syntax error is not looked at any further.

use super::error::Complaint;
use super::source::{Place, Source};
use toml::de::Error;

/// Reports the first error of each line; those behind it mostly follow from it.
pub fn report(source: &Source<'_>, mut errors: Vec<Error>) {
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let mut last_line = 0;
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        let at = Place { offset, key: String::new() };
        let line = source.line(&at);
        if line != last_line {
            last_line = line;
            source.problem(&at, explain(source.text(), offset, error.message()));
        }
    }
}

fn explain(text: &str, offset: usize, message: &str) -> Complaint {
    let line = line_around(text, offset);
    let word = word_around(text, offset);
    let looks_like_text = !word.is_empty() && !word.contains(['"', '\'']);
    if message.starts_with("string values must be quoted") && word.is_empty() {
        return Complaint::new("the value is missing").hint(format!("the line reads: {line}"));
    }
    let unquoted = message.starts_with("string values must be quoted") || message.starts_with("invalid ");
    if unquoted && looks_like_text {
        return Complaint::new(format!("{word} is not a TOML value"))
            .hint(format!("text stands in quotes: \"{word}\""));
    }
    if message.starts_with("duplicate key") {
        return Complaint::new(format!("`{word}` is here for the second time"))
            .hint("keep one of the two; lists of tables are written [[listener]], [[backend]], [[route]]");
    }
    Complaint::new(format!("not TOML: {message}")).hint(format!("the line reads: {line}"))
}

fn line_around(text: &str, offset: usize) -> &str {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = after.find('\n').map_or(text.len(), |newline| before.len() + newline);
    text.get(start..end).unwrap_or_default().trim()
}

fn word_around(text: &str, offset: usize) -> &str {
    let apart = |letter: char| letter.is_whitespace() || "=,[]#".contains(letter);
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let start = before.rfind(apart).map_or(0, |index| index + 1);
    let end = after.find(apart).map_or(text.len(), |index| before.len() + index);
    text.get(start..end).unwrap_or_default()
}
