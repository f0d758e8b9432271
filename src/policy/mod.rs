//! Who may connect. Each policy is a pure function of facts to a verdict; what a denial becomes on the wire stands in
//! `refusal`.

pub mod address;
pub mod forward_auth;
pub mod origin;
pub mod seen;
