//! A certificate made on the fly, for the demo and for trying things out. It lives in memory and ends with the process.

use super::served_tls::ServedTls;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// TLS for these names, signed by nobody.
pub fn serve(names: Vec<String>) -> Result<Arc<ServedTls>, String> {
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    ServedTls::made(vec![made.cert.der().clone()], key).map(Arc::new)
}
