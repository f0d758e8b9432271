//! Certificates and keys from PEM files. The one file that knows rustls-pemfile: the crate is archived (see
//! CONTRIBUTING.md), and replacing it is to stay a change of ten lines.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::BufReader;
use std::path::Path;

/// Every certificate of the file, in its order. The error says what to look at.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut file = open(path)?;
    let certificates: Vec<_> = rustls_pemfile::certs(&mut file)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{} is not sound PEM: {error}", path.display()))?;
    if certificates.is_empty() {
        return Err(format!("{} holds no certificate (-----BEGIN CERTIFICATE-----)", path.display()));
    }
    Ok(certificates)
}

/// The first private key of the file: PKCS#8, PKCS#1 or SEC1.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    rustls_pemfile::private_key(&mut open(path)?)
        .map_err(|error| format!("{} is not sound PEM: {error}", path.display()))?
        .ok_or_else(|| format!("{} holds no private key (-----BEGIN PRIVATE KEY-----)", path.display()))
}

fn open(path: &Path) -> Result<BufReader<std::fs::File>, String> {
    let file =
        std::fs::File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(BufReader::new(file))
}
