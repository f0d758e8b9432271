//! Sockets: everything that touches the network lives here.

pub mod pem;
pub mod tls_server;
pub mod stream;
pub mod proxy_protocol;
pub mod listen;
pub mod admin;
pub mod systemd;
pub mod sockets;
pub mod handover;
pub mod notify;
pub mod doorstep;
pub mod descriptors;
pub mod validity;
pub mod certificates;
pub mod tickets;
pub mod tls;
pub mod served_tls;
pub mod self_signed;
pub mod dial;
pub mod resolve;
pub mod upstream;
pub mod http;
pub mod auth;
pub mod probe;
pub mod splice;
pub mod farewell;
