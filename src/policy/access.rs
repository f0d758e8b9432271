//! What `[route.access]` asks of a client, besides its page: where it comes from, and what it shows.

use super::networks::Networks;
use super::token::TokenPolicy;

/// The default asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub networks: Networks,
    pub token: Option<TokenPolicy>,
}
