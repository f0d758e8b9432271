//! framegate: a WebSocket reverse proxy that reads every frame.

pub mod moment;
pub mod frame;
pub mod meter;
