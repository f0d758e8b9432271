//! Sockets: everything that touches the network lives here.

pub mod listen;
pub mod tls;
