//! Integration tests: the real program on loopback, raw bytes on both sides.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod closing;
mod config;
mod faults;
mod frames;
mod handshake;
mod layering;
mod origin;
mod routing;
mod session;
mod support;
