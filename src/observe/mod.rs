//! What the operator sees.

pub mod log;
pub mod sparing;
mod text;
