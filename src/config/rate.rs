//! Rates: "none", or a table of a speed and a burst, with whatever else belongs to the kind of rate.

use super::error::Complaint;
use super::section::Section;
use super::value::Value;
use crate::meter::Rate;

/// More a second than any gateway sees of anything.
pub const MAX_COUNT: u64 = 1_000_000_000;

/// How one kind of rate is written.
#[derive(Clone, Copy)]
pub struct Example {
    pub per_second: &'static str,
    pub burst: &'static str,
}

/// "none", or a whole rate: the speed, the burst and the rest mean nothing without each other, so a route's rate
/// replaces an inherited one as one word. `rest` reads what else the table holds.
pub fn read<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    base: Option<T>,
    example: Example,
    amount: impl Fn(&Value<'a>) -> Result<u64, Complaint>,
    rest: impl FnOnce(&mut Section<'a>, Option<Rate>) -> Option<T>,
) -> Option<T> {
    let Some(value) = section.value(key) else {
        return base;
    };
    if value.is_none() {
        return None;
    }
    let Example { per_second, burst } = example;
    if !value.is_table() {
        let complaint = Complaint::new("is neither \"none\" nor a rate");
        let hint = format!("write \"none\", or {key} = {{ per_second = {per_second}, burst = {burst} }}");
        value.accept::<()>(Err(complaint.hint(hint)));
        return base;
    }
    let mut section = value.accept(value.section())?;
    let per_second = section.require("per_second", &format!("per_second = {per_second}"), &amount);
    let burst = section.require("burst", &format!("burst = {burst}, how much may come at once"), &amount);
    let rate = per_second.zip(burst).map(|(per_second, burst)| Rate::new(per_second, burst));
    rest(&mut section, rate)
}

/// Of things that are counted one by one.
pub fn count(value: &Value<'_>) -> Result<u64, Complaint> {
    value.number(1..=MAX_COUNT)
}
