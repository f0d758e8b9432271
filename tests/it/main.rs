//! Integration tests: the real program on loopback, raw bytes on both sides.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod access;
mod admin;
mod admin_guard;
mod backend_answers;
mod backend_tls;
mod causes;
mod certificates;
mod churn;
mod cli_admin;
mod clients;
mod closing;
mod compression;
mod config;
mod crowds;
mod dashboard;
mod deploy;
mod drain;
mod early_bytes;
mod explain;
mod faults;
mod forward_auth;
mod forwarding;
mod frames;
mod handover;
mod handshake;
mod heartbeat;
mod keep_alive;
mod layering;
mod limits;
mod listeners;
mod logs;
mod memory;
mod metrics;
mod origin;
#[cfg(feature = "otlp")]
mod otlp;
mod plain_http;
mod pools;
mod processes;
mod proxy_protocol;
mod rates;
mod reload;
mod refuse_close;
mod routing;
mod session;
mod support;
mod tap;
mod systemd;
mod timeouts;
mod tls;
mod tokens;
mod transparency;
mod unreachable;
mod workers;
