//! One value of the file, read as what it has to be.
//!
//! A reader of a value returns its complaint, and [`Value::accept`] reports it: what is wrong is said once, where it
//! is found, and the place is added here.

use super::error::{Complaint, any_of, nearest};
use super::expand::expand;
use super::section::Section;
use super::source::{Place, Source, join};
use super::units;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::{DeArray, DeTable, DeValue};

pub struct Value<'a> {
    source: &'a Source<'a>,
    raw: &'a DeValue<'a>,
    place: Place,
    /// The path without names and numbers.
    schema: String,
}

impl<'a> Value<'a> {
    pub fn new(source: &'a Source<'a>, raw: &'a DeValue<'a>, place: Place, schema: String) -> Value<'a> {
        Value { source, raw, place, schema }
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn source(&self) -> &'a Source<'a> {
        self.source
    }

    pub fn accept<T>(&self, read: Result<T, Complaint>) -> Option<T> {
        read.map_err(|complaint| self.source.problem(&self.place, complaint)).ok()
    }

    /// The word "none", which switches off what can be switched off.
    pub fn is_none(&self) -> bool {
        self.is_text() && self.text().is_ok_and(|text| text == "none")
    }

    pub fn is_text(&self) -> bool {
        self.raw.is_str()
    }

    pub fn is_table(&self) -> bool {
        self.raw.is_table()
    }

    pub fn text(&self) -> Result<String, Complaint> {
        match self.raw {
            DeValue::String(text) => expand(text, self.source.env),
            DeValue::Integer(number) => {
                Err(self.wrong("a string", &format!("write it in quotes: \"{number}\"")))
            }
            _ => Err(self.wrong("a string", "write text in quotes")),
        }
    }

    /// Text in a form of its own.
    pub fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, Complaint>) -> Result<T, Complaint> {
        parse(&self.text()?)
    }

    /// One of a few words. `not_yet` are words of the design that this version does not have.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)], not_yet: &[&str]) -> Result<T, Complaint> {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        if !self.is_text() {
            return Err(self.wrong("a string", &format!("write {}", any_of(&known))));
        }
        let text = self.text()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*meaning);
        }
        if not_yet.contains(&text.as_str()) {
            let complaint = Complaint::new(format!("{text:?} is not yet supported"));
            return Err(complaint.hint(format!("write {}", any_of(&known))));
        }
        let complaint = Complaint::new(format!("{text:?} is not a value of this key"));
        Err(match nearest(&text, &known) {
            Some(meant) => complaint.hint(format!("did you mean {meant:?}? It takes {}", any_of(&known))),
            None => complaint.hint(format!("write {}", any_of(&known))),
        })
    }

    pub fn boolean(&self) -> Result<bool, Complaint> {
        let wrong = || self.wrong("true or false", "write true or false, without quotes");
        match self.raw {
            DeValue::Boolean(boolean) => Ok(*boolean),
            _ => self.substituted()?.and_then(|text| text.parse().ok()).ok_or_else(wrong),
        }
    }

    pub fn number(&self, range: RangeInclusive<u64>) -> Result<u64, Complaint> {
        let wrong = || self.wrong("a whole number", "write digits, without quotes");
        let number = match self.raw {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => Some(self.substituted()?.and_then(|text| text.parse().ok()).ok_or_else(wrong)?),
        };
        match number {
            Some(0) if *range.start() == 1 => Err(units::zero()),
            Some(number) if range.contains(&number) => Ok(number),
            _ => Err(Complaint::new("is out of range").hint(format!(
                "write a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// From 0 to 1.
    pub fn fraction(&self) -> Result<f64, Complaint> {
        let wrong = || self.wrong("a number from 0 to 1", "0.1 is a tenth");
        let number = match self.raw {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => self.substituted()?.and_then(|text| text.parse().ok()),
        };
        let number: f64 = number.ok_or_else(wrong)?;
        if (0.0..=1.0).contains(&number) {
            Ok(number)
        } else {
            Err(Complaint::new("is not from 0 to 1").hint("0.1 is a tenth"))
        }
    }

    /// Longer than zero.
    pub fn duration(&self) -> Result<Duration, Complaint> {
        let duration = self.duration_or_zero()?;
        if duration.is_zero() { Err(units::zero()) } else { Ok(duration) }
    }

    /// For waits, where zero means what it says.
    pub fn duration_or_zero(&self) -> Result<Duration, Complaint> {
        match self.raw {
            DeValue::Integer(number) => Err(units::bare_duration(&number.to_string())),
            DeValue::Float(number) => Err(units::bare_duration(number.as_str())),
            DeValue::String(_) => self.parse(units::duration),
            _ => Err(self.wrong("a duration", r#"write "30s", "5m", "500ms""#)),
        }
    }

    /// In bytes, at least one.
    pub fn size(&self) -> Result<u64, Complaint> {
        let size = match self.raw {
            DeValue::Integer(number) => Err(units::bare_size(&number.to_string())),
            DeValue::Float(number) => Err(units::bare_size(number.as_str())),
            DeValue::String(_) => self.parse(units::size),
            _ => Err(self.wrong("a size", r#"write "64KiB", "1MiB", "2MB""#)),
        }?;
        if size == 0 { Err(units::zero()) } else { Ok(size) }
    }

    /// A file or a directory; relative paths count from the directory of the configuration file.
    pub fn path(&self) -> Result<PathBuf, Complaint> {
        let text = self.text()?;
        if text.is_empty() {
            return Err(Complaint::new("is an empty path").hint("write the path of a file"));
        }
        if let Some(rest) = text.strip_prefix("~/") {
            return Err(Complaint::new("~ is not expanded").hint(format!("write \"${{HOME}}/{rest}\"")));
        }
        Ok(self.source.resolve(&text))
    }

    /// The elements of a list that can be read; the complaints about the others are reported.
    pub fn each<T>(
        &self,
        example: &str,
        read: impl Fn(&Value<'a>) -> Result<T, Complaint>,
    ) -> Result<Vec<T>, Complaint> {
        let DeValue::Array(array) = self.raw else {
            return Err(self.wrong("a list", &format!("write [{example}]")));
        };
        Ok(self.elements(array).filter_map(|element| element.accept(read(&element))).collect())
    }

    /// How many elements it has, readable or not. What is neither a list nor a table is one.
    pub fn len(&self) -> usize {
        match self.raw {
            DeValue::Array(array) => array.len(),
            DeValue::Table(table) => table.len(),
            _ => 1,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One value, or a list of them.
    pub fn one_or_more<T>(
        &self,
        example: &str,
        read: impl Fn(&Value<'a>) -> Result<T, Complaint>,
    ) -> Result<Vec<T>, Complaint> {
        if self.is_text() { Ok(vec![read(self)?]) } else { self.each(example, read) }
    }

    /// The keys and values of a table whose keys are the operator's own.
    pub fn entries(&self) -> Result<Vec<(String, Value<'a>)>, Complaint> {
        let DeValue::Table(table) = self.raw else {
            return Err(self.wrong("a table", "write { name = \"value\" }"));
        };
        let entry =
            |(key, value): (&toml::Spanned<toml::de::DeString<'a>>, &'a toml::Spanned<DeValue<'a>>)| {
                let name = key.get_ref().to_string();
                let shown = join(&self.place.key, &name.escape_debug().to_string());
                let place = Place { offset: key.span().start, key: shown };
                (name, Value::new(self.source, value.get_ref(), place, self.schema.clone()))
            };
        Ok(table.iter().map(entry).collect())
    }

    pub fn section(&self) -> Result<Section<'a>, Complaint> {
        match self.raw {
            DeValue::Table(table) => Ok(self.open(table, self.place.clone())),
            DeValue::Array(_) => Err(self.wrong("one table", &format!("write [{}], once", self.schema))),
            _ => Err(self.wrong("a table", &format!("write [{}] and its keys below", self.schema))),
        }
    }

    pub fn tables(&self) -> Result<Vec<Section<'a>>, Complaint> {
        let wrong =
            || self.wrong("a list of tables", &format!("write [[{}]] with two brackets", self.schema));
        let DeValue::Array(array) = self.raw else {
            return Err(wrong());
        };
        let section = |(index, element): (usize, Value<'a>)| {
            let Some(table) = element.raw.as_table() else {
                element.source.problem(&element.place, wrong());
                return None;
            };
            let key = format!("{}[{}]", self.place.key, Section::label(table, index + 1));
            let place = Place { key, ..element.place.clone() };
            self.source.item(&self.schema, &place);
            Some(element.open(table, place))
        };
        Ok(self.elements(array).enumerate().filter_map(section).collect())
    }

    fn open(&self, table: &'a DeTable<'a>, place: Place) -> Section<'a> {
        Section::new(self.source, Some(table), place, self.schema.clone())
    }

    fn elements(&self, array: &'a DeArray<'a>) -> impl Iterator<Item = Value<'a>> {
        array.iter().enumerate().map(|(index, element)| {
            let key = format!("{}[{}]", self.place.key, index + 1);
            let place = Place { offset: element.span().start, key };
            Value::new(self.source, element.get_ref(), place, self.schema.clone())
        })
    }

    /// A string with a variable may stand for a number or a boolean: TOML has no other way to write it.
    fn substituted(&self) -> Result<Option<String>, Complaint> {
        match self.raw {
            DeValue::String(text) if text.contains("${") => self.text().map(Some),
            _ => Ok(None),
        }
    }

    fn wrong(&self, expected: &str, hint: &str) -> Complaint {
        let found = match self.raw {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        Complaint::new(format!("must be {expected}, not {found}")).hint(hint)
    }
}

/// The same reader where "none" may stand as well.
pub fn or_none<'a, T>(
    read: impl Fn(&Value<'a>) -> Result<T, Complaint>,
) -> impl Fn(&Value<'a>) -> Result<Option<T>, Complaint> {
    move |value| {
        if value.is_none() { Ok(None) } else { read(value).map(Some).map_err(units::with_none) }
    }
}
