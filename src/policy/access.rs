//! What `[route.access]` asks of a client: where it comes from, and what it shows. Whom else to ask stands in
//! `forward_auth`.

use super::networks::Networks;
use super::token::TokenPolicy;

/// The default asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub networks: Networks,
    pub token: Option<TokenPolicy>,
}
