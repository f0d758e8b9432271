//! A table of the file from which readers take keys, each with its type.
//!
//! A section remembers what it was asked for. When it is dropped it reports the keys nobody asked for, so a reader
//! cannot forget to; and because a reader asks for every key whether it is there or not, the code that reads a key is
//! the one place that knows it.

use super::error::Complaint;
use super::source::{Place, Source, join};
use super::value::Value;
use toml::de::{DeTable, DeValue};

pub struct Section<'a> {
    source: &'a Source<'a>,
    /// `None`: the file does not have it, so every key is absent.
    table: Option<&'a DeTable<'a>>,
    place: Place,
    /// The path without names and numbers.
    schema: String,
    asked: Vec<&'static str>,
    not_yet: &'static [&'static str],
}

impl<'a> Section<'a> {
    pub fn top(source: &'a Source<'a>, table: &'a DeTable<'a>) -> Section<'a> {
        Section::new(source, Some(table), Place { offset: 0, key: String::new() }, String::new())
    }

    pub fn new(
        source: &'a Source<'a>,
        table: Option<&'a DeTable<'a>>,
        place: Place,
        schema: String,
    ) -> Section<'a> {
        Section { source, table, place, schema, asked: Vec::new(), not_yet: &[] }
    }

    pub fn source(&self) -> &'a Source<'a> {
        self.source
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Keys of the design that this version does not have. Naming them keeps an operator from searching for a typing
    /// error.
    pub fn not_yet(&mut self, keys: &'static [&'static str]) {
        self.not_yet = keys;
    }

    pub fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        let (_, spanned) = self.table?.get_key_value(key)?;
        let place = Place { offset: spanned.span().start, key: join(&self.place.key, key) };
        self.source.written(&place);
        Some(Value::new(self.source, spanned.get_ref(), place, join(&self.schema, key)))
    }

    /// The key's value, or `base` when it is absent or wrong.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        base: T,
        read: impl FnOnce(&Value<'a>) -> Result<T, Complaint>,
    ) -> T {
        self.find(key, read).unwrap_or(base)
    }

    /// The key's value, unless it is absent or wrong.
    pub fn find<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'a>) -> Result<T, Complaint>,
    ) -> Option<T> {
        let value = self.value(key)?;
        value.accept(read(&value))
    }

    /// The value of a key that has to be there. `example` is what its line could look like.
    pub fn require<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&Value<'a>) -> Result<T, Complaint>,
    ) -> Option<T> {
        let value = self.value(key);
        if value.is_none() {
            self.missing(key, example);
        }
        value.and_then(|value| value.accept(read(&value)))
    }

    pub fn missing(&self, key: &str, example: &str) {
        let at = Place { key: join(&self.place.key, key), ..self.place.clone() };
        self.source.problem(&at, Complaint::new("is missing").hint(format!("add: {example}")));
    }

    /// A table inside; one that is absent is read as an empty one, so that its keys take what they stand for anyway.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        self.find_section(key).unwrap_or_else(|| {
            let place = Place { key: join(&self.place.key, key), ..self.place.clone() };
            Section::new(self.source, None, place, join(&self.schema, key))
        })
    }

    /// A table inside whose absence means something.
    pub fn find_section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let value = self.value(key)?;
        value.accept(value.section())
    }

    /// A list of tables, `[[key]]`. `None`: it is absent.
    pub fn tables(&mut self, key: &'static str) -> Option<Vec<Section<'a>>> {
        let value = self.value(key)?;
        Some(value.accept(value.tables()).unwrap_or_default())
    }

    /// A list of tables of which there is at least one.
    pub fn required_tables(&mut self, key: &'static str, example: &str) -> Vec<Section<'a>> {
        if self.is_empty(key) {
            self.missing(key, example);
        }
        self.tables(key).unwrap_or_default()
    }

    /// Whether a list has no elements, or is not in the file.
    pub fn is_empty(&self, key: &str) -> bool {
        let list = self.table.and_then(|table| table.get(key));
        list.is_none_or(|list| list.get_ref().as_array().is_some_and(|array| array.is_empty()))
    }

    /// Where a key stands, when it is in the file.
    pub fn place_of(&self, key: &str) -> Option<Place> {
        let spanned = self.table?.get(key)?;
        Some(Place { offset: spanned.span().start, key: join(&self.place.key, key) })
    }

    /// The name by which an item of a list goes in messages, read ahead of everything else.
    pub fn label(table: &DeTable<'_>, number: usize) -> String {
        let name = table.get("name").and_then(|name| match name.get_ref() {
            DeValue::String(name) => Some(name.as_ref()),
            _ => None,
        });
        // A name of digits alone would be taken for a number.
        let plain = |name: &&str| {
            name.len() <= 64
                && name.chars().all(|letter| letter.is_ascii_graphic())
                && name.chars().any(|letter| !letter.is_ascii_digit())
        };
        name.filter(plain).map_or_else(|| number.to_string(), str::to_owned)
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        for key in &self.asked {
            self.source.asked(&self.schema, key, self.table.is_some_and(|table| table.contains_key(*key)));
        }
        for (key, _) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            let shown = join(&self.place.key, &name.escape_debug().to_string());
            let at = Place { offset: key.span().start, key: shown };
            if self.not_yet.contains(&name) {
                let complaint = Complaint::new("not yet supported");
                self.source.problem(&at, complaint.hint("remove it; this version works without"));
            } else if !self.asked.contains(&name) {
                self.source.unknown(at, &self.schema, name, self.asked.clone());
            }
        }
    }
}
