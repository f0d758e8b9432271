//! The admin address: every question about the running gateway and its sessions has an answer here, and what an operator
//! may change is changed here. Off unless configured; who may ask is `guard`'s business, before anything else.
//!
//! It is served by the program's main thread, which carries no sessions. What takes long there, looking at every session,
//! is done a few at a time, and other work comes in between.

mod act;
mod answer;
mod desk;
mod endpoint;
mod filter;
mod guard;
mod live;
mod office;
mod page;
mod problem;
mod refusals;
mod server;
mod sessions;
mod status;
mod tap;
mod wanted;
mod words;

pub use desk::Desk;
pub use office::{Next, Office};
