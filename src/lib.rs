//! framegate: a WebSocket reverse proxy that reads every frame.

// PURE: no IO, no clock, no log, no entropy of its own.
pub mod moment;
pub mod latest;
pub mod frame;
pub mod meter;
pub mod relay;
pub mod refusal;
pub mod handshake;
pub mod backend;
pub mod policy;
pub mod route;
// IO
pub mod clock;
pub mod watched;
pub mod observe;
pub mod spans;
pub mod registry;
pub mod drain;
pub mod keyring;
pub mod session;
pub mod net;
// STORY
pub mod gateway;
pub mod serve;
pub mod workers;
pub mod console;
// EDGE
pub mod config;
pub mod explain;
pub mod admin;
pub mod demo;
pub mod app;
pub mod cli;
