//! Where each key of a file stands, for whoever asks later which line decided.

use super::source::join;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The keys of a file, by their full paths: `route[chat].timeouts.idle`.
#[derive(Clone, Debug, Default)]
pub struct Written {
    file: PathBuf,
    lines: BTreeMap<String, usize>,
    /// The items of each list of tables, by the paths under which their keys are found.
    items: BTreeMap<String, Vec<String>>,
}

/// A line of a file. It counts from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub file: PathBuf,
    pub number: usize,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.number)
    }
}

impl Written {
    /// `offsets`: where the values stand in `text`.
    pub fn new(
        file: &Path,
        text: &str,
        offsets: BTreeMap<String, usize>,
        items: BTreeMap<String, Vec<String>>,
    ) -> Written {
        let breaks: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |offset| breaks.partition_point(|at| *at < offset) + 1;
        let lines = offsets.into_iter().map(|(key, offset)| (key, line(offset))).collect();
        Written { file: file.into(), lines, items }
    }

    /// Where a key stands, by its full path.
    pub fn line(&self, key: &str) -> Option<Line> {
        let number = *self.lines.get(key)?;
        Some(Line { file: self.file.clone(), number })
    }

    /// Where a key of an item of a list stands. `list` is `listener`, `backend` or `route`.
    pub fn line_in(&self, list: &str, index: usize, key: &str) -> Option<Line> {
        self.line(&join(self.items.get(list)?.get(index)?, key))
    }

    /// Where an item of a list begins.
    pub fn item(&self, list: &str, index: usize) -> Option<Line> {
        self.line(self.items.get(list)?.get(index)?)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }
}
