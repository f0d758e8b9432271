//! What the operator sees.

pub mod log;
pub mod metrics;
pub mod servers;
pub mod sparing;
mod text;
