//! One configuration file while it is read: its text, its environment, and everything found wrong with it so far.
//!
//! Readers report and carry on, so that an operator sees every problem at once; the verdict falls at the end.

use super::error::{Complaint, ConfigError, Position, nearest};
use super::written::Written;
use crate::net::tls::CertificateFiles;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    pub env: &'a dyn Fn(&str) -> Option<String>,
    found: RefCell<Found>,
}

/// Where a value stands and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub offset: usize,
    pub key: String,
}

/// What the configuration counts on and the system has to have, files for the most part; `check` looks.
pub enum Needed {
    Pair { files: CertificateFiles, cert_at: Place, key_at: Place },
    Authorities { path: PathBuf, at: Place },
    Keys { path: PathBuf, at: Place },
    TicketKeys { path: PathBuf, at: Place },
    AdminToken { path: PathBuf, at: Place },
    Descriptors { connections: u32, at: Place },
}

#[derive(Default)]
struct Found {
    problems: Vec<(usize, ConfigError)>,
    warnings: Vec<(usize, ConfigError)>,
    needed: Vec<Needed>,
    unknown: Vec<Unknown>,
    /// Every key a reader asked for, by its path without names and numbers, and whether the file has it.
    asked: BTreeMap<String, bool>,
    /// Where the keys stand that a reader found, and the items of lists of tables.
    written: BTreeMap<String, usize>,
    items: BTreeMap<String, Vec<String>>,
}

/// What came of a file.
pub struct Conclusion {
    /// Each in the order of the file.
    pub problems: Vec<ConfigError>,
    pub warnings: Vec<ConfigError>,
    pub written: Written,
}

/// A key nobody asked for. What to suggest is known only when all have asked.
struct Unknown {
    at: Place,
    section: String,
    key: String,
    siblings: Vec<&'static str>,
}

impl<'a> Source<'a> {
    pub fn new(file: &'a Path, text: &'a str, env: &'a dyn Fn(&str) -> Option<String>) -> Source<'a> {
        Source { file, text, env, found: RefCell::default() }
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    /// A relative path counts from the directory of the file that names it, wherever the program was started.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    pub fn problem(&self, at: &Place, complaint: Complaint) {
        let error = self.error(at, complaint);
        self.found.borrow_mut().problems.push((at.offset, error));
    }

    pub fn warning(&self, at: &Place, complaint: Complaint) {
        let error = self.error(at, complaint);
        self.found.borrow_mut().warnings.push((at.offset, error));
    }

    pub fn need(&self, needed: Needed) {
        self.found.borrow_mut().needed.push(needed);
    }

    pub fn take_needed(&self) -> Vec<Needed> {
        std::mem::take(&mut self.found.borrow_mut().needed)
    }

    /// `section` is the path without names and numbers: `route.limits`, empty for the top of the file.
    pub fn asked(&self, section: &str, key: &str, present: bool) {
        *self.found.borrow_mut().asked.entry(join(section, key)).or_default() |= present;
    }

    /// A reader found the key here.
    pub fn written(&self, at: &Place) {
        self.found.borrow_mut().written.insert(at.key.clone(), at.offset);
    }

    /// The next item of a list of tables. `list` is the path without names and numbers.
    pub fn item(&self, list: &str, at: &Place) {
        self.written(at);
        self.found.borrow_mut().items.entry(list.into()).or_default().push(at.key.clone());
    }

    pub fn unknown(&self, at: Place, section: &str, key: &str, siblings: Vec<&'static str>) {
        let unknown = Unknown { at, section: section.into(), key: key.into(), siblings };
        self.found.borrow_mut().unknown.push(unknown);
    }

    pub fn line(&self, place: &Place) -> usize {
        self.position(place.offset).line
    }

    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Position { line, column }
    }

    fn error(&self, at: &Place, complaint: Complaint) -> ConfigError {
        let Complaint { problem, hint } = complaint;
        let position = Some(self.position(at.offset));
        ConfigError { file: self.file.into(), position, key: at.key.clone(), problem, hint }
    }

    pub fn conclude(self) -> Conclusion {
        let unknown = std::mem::take(&mut self.found.borrow_mut().unknown);
        for unknown in unknown {
            let complaint = unknown.complaint(&self.found.borrow().asked);
            self.problem(&unknown.at, complaint);
        }
        let found = self.found.into_inner();
        let sorted = |mut errors: Vec<(usize, ConfigError)>| {
            errors.sort_by_key(|(offset, _)| *offset);
            errors.into_iter().map(|(_, error)| error).collect()
        };
        let written = Written::new(self.file, self.text, found.written, found.items);
        Conclusion { problems: sorted(found.problems), warnings: sorted(found.warnings), written }
    }

    #[cfg(test)]
    pub fn keys(&self) -> BTreeMap<String, bool> {
        self.found.borrow().asked.clone()
    }
}

impl Unknown {
    /// A key that stands right under this section is the best guess, then one spelled nearly so, then one that is at
    /// home elsewhere: in TOML a key after a `[table]` header belongs to that table, which surprises everybody once.
    fn complaint(&self, asked: &BTreeMap<String, bool>) -> Complaint {
        let complaint = Complaint::new("unknown key");
        let homes: Vec<&str> = asked
            .keys()
            .filter_map(|path| match path.rsplit_once('.') {
                Some((home, key)) => (key == self.key).then_some(home),
                None => (*path == self.key).then_some(""),
            })
            .filter(|home| !home.starts_with("defaults") || self.section.starts_with("defaults"))
            .collect();
        let below = join(&self.section, "");
        let homes_below: Vec<String> =
            homes.iter().filter(|home| home.starts_with(&below)).map(|home| header(home)).collect();
        if !homes_below.is_empty() {
            return complaint.hint(format!("`{}` belongs {}", self.key, homes_below.join(" or ")));
        }
        if let Some(meant) = nearest(&self.key, &self.siblings) {
            return complaint.hint(format!("did you mean `{meant}`?"));
        }
        // What the defaults do not take, a route may.
        let twin = self.section.replacen("defaults", "route", 1);
        match homes.iter().find(|home| **home == twin).or(homes.first()) {
            Some(home) => complaint.hint(format!("`{}` belongs {}", self.key, header(home))),
            None => complaint.hint(format!("the keys here are {}", self.siblings.join(", "))),
        }
    }
}

/// Where keys of this section are written.
fn header(section: &str) -> String {
    match section {
        "" => "at the top of the file, before the first [table]".into(),
        "listener" | "backend" | "route" => format!("in [[{section}]]"),
        _ => format!("in [{section}]"),
    }
}

/// A dotted path.
pub fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.into() } else { format!("{section}.{key}") }
}
