//! Who may connect. Each policy is a pure function of facts to a verdict; what a denial becomes on the wire stands in
//! `refusal`.

pub mod access;
pub mod address;
pub mod bearer;
pub mod counts;
pub mod crowd;
pub mod forward_auth;
pub mod jwks;
pub mod networks;
pub mod origin;
pub mod seen;
pub mod token;
