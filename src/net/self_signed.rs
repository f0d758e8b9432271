//! A certificate made on the fly, for the demo and for trying things out. It lives in memory and ends with the process.

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// A server configuration for these names, signed by nobody.
pub fn server_config(names: Vec<String>) -> Result<Arc<ServerConfig>, String> {
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    super::tls::server_config_for(vec![made.cert.der().clone()], key)
}
