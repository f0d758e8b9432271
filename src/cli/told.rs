//! What a gateway told, taken apart for people. It may be older or newer than this program: what it does not say is left
//! out, and what it says besides stays unread.

use super::terminal::clean;
use serde_json::Value;

/// Fit for a terminal. Empty where there is none.
pub fn text(told: &Value, at: &str) -> String {
    clean(told.pointer(at).and_then(Value::as_str).unwrap_or_default()).into()
}

pub fn number(told: &Value, at: &str) -> Option<u64> {
    told.pointer(at)?.as_u64()
}

/// A number as its cell has it.
pub fn count(told: &Value, at: &str) -> String {
    number(told, at).map_or(String::new(), |number| number.to_string())
}

pub fn list<'v>(told: &'v Value, at: &str) -> &'v [Value] {
    told.pointer(at).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One text, or several in a list.
pub fn texts(told: &Value, at: &str) -> String {
    match told.pointer(at) {
        Some(Value::Array(list)) => {
            let list = list.iter().filter_map(Value::as_str).map(|text| clean(text).into_owned());
            list.collect::<Vec<_>>().join(", ")
        }
        _ => text(told, at),
    }
}
