//! Integration tests: the real program on loopback, raw bytes on both sides.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod config;
mod layering;
mod session;
mod support;
