//! What the operator reads when a configuration is wrong: where, which key, why, and what to write instead.

use std::fmt;
use std::path::PathBuf;

/// One problem (or warning) of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub file: PathBuf,
    /// `None` when it is about the file as a whole: it cannot be read.
    pub position: Option<Position>,
    /// The full path of the key, `route[chat].limits.client.max_frame_size`; items of a list go by their name or else
    /// their number, from 1. Empty for a syntax error.
    pub key: String,
    pub problem: String,
    pub hint: Option<String>,
}

/// Both count from 1, as editors do; a column is a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.problem)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

impl std::error::Error for ConfigError {}

/// What is wrong with a value, wherever it stands. The readers of values know no positions; whoever holds the value
/// adds its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub problem: String,
    pub hint: Option<String>,
}

impl Complaint {
    pub fn new(problem: impl Into<String>) -> Complaint {
        Complaint { problem: problem.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Complaint {
        self.hint = Some(hint.into());
        self
    }

    /// Hints at the candidate that was probably meant, or says `otherwise`.
    pub fn suggest(self, word: &str, candidates: &[&str], otherwise: impl Into<String>) -> Complaint {
        match nearest(word, candidates) {
            Some(meant) => self.hint(format!("did you mean {meant:?}?")),
            None => self.hint(otherwise),
        }
    }
}

/// The candidate that is a typing error away. A third of the letters may differ; more than that is another word,
/// unless it is the beginning of one.
pub fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let word = word.to_lowercase().replace('-', "_");
    let far = (word.chars().count() / 3).max(1);
    let distance =
        |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_lowercase().replace('-', "_"));
    let (candidate, steps) =
        candidates.iter().map(|one| (*one, distance(one))).min_by_key(|(_, steps)| *steps)?;
    let whole =
        candidates.iter().copied().filter(|candidate| word.len() >= 4 && candidate.starts_with(&word));
    (steps <= far).then_some(candidate).or_else(|| whole.min_by_key(|candidate| candidate.len()))
}

/// `"a", "b" or "c"`.
pub fn any_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_a_message() {
        let mut error = ConfigError {
            file: "a.toml".into(),
            position: Some(Position { line: 3, column: 7 }),
            key: "log.level".into(),
            problem: "unknown key".into(),
            hint: Some("remove it".into()),
        };
        assert_eq!(error.to_string(), "a.toml:3:7: log.level: unknown key\n  hint: remove it");
        error.hint = None;
        error.key.clear();
        assert_eq!(error.to_string(), "a.toml:3:7: unknown key");
        error.position = None;
        assert_eq!(error.to_string(), "a.toml: unknown key");
    }

    #[test]
    fn nearest_finds_typing_errors_and_nothing_else() {
        let keys = ["max_frame_size", "max_message_size", "opcodes", "idle"];
        let check = |word: &str, expected: Option<&str>| assert_eq!(nearest(word, &keys), expected, "{word}");
        check("max_msg_size", Some("max_message_size"));
        check("max-frame-size", Some("max_frame_size"));
        check("Opcodes", Some("opcodes"));
        check("idel", Some("idle"));
        check("ilde", Some("idle"));
        check("opco", Some("opcodes"));
        check("max_", Some("max_frame_size"));
        check("max", None);
        check("timeout", None);
        check("", None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(any_of(&["a"]), r#""a""#);
        assert_eq!(any_of(&["a", "b", "c"]), r#""a", "b" or "c""#);
    }
}
