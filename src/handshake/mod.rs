//! The opening handshake (RFC 6455 section 4) as facts: what a request asks for, what goes to the backend, whether its
//! answer is an upgrade. No socket, and no policy: who may connect is `policy`'s business.

mod address;
pub mod client_cert;
pub mod forward;
mod key;
mod list;
pub mod path;
pub mod reply;
pub mod request;
pub mod trace;

pub use address::address_text;
pub use key::{accept_for, is_valid_key, new_key};
pub use list::{elements, hops, tokens};
