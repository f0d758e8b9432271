//! Certificates and keys from PEM files. The one file that knows rustls-pemfile: the crate is archived (see
//! CONTRIBUTING.md), and replacing it is to stay a change of ten lines.

use crate::watched;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::path::Path;

/// More than the authorities of all the world take.
const MAX_SIZE: u64 = 4 << 20;

/// Every certificate of the file, in its order. The error says what to look at.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    watched::open(path).and_then(|(file, _)| certificates_in(file, path))
}

/// The first private key of the file: PKCS#8, PKCS#1 or SEC1.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    watched::open(path).and_then(|(file, _)| key_in(file, path))
}

/// The same of a file that is open already.
pub fn certificates_in(file: File, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = watched::read(file, path, MAX_SIZE)?;
    let certificates: Vec<_> = rustls_pemfile::certs(&mut bytes.as_slice())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{} is not sound PEM: {error}", path.display()))?;
    if certificates.is_empty() {
        return Err(format!("{} holds no certificate (-----BEGIN CERTIFICATE-----)", path.display()));
    }
    Ok(certificates)
}

/// The same of a file that is open already.
pub fn key_in(file: File, path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = watched::read(file, path, MAX_SIZE)?;
    rustls_pemfile::private_key(&mut bytes.as_slice())
        .map_err(|error| format!("{} is not sound PEM: {error}", path.display()))?
        .ok_or_else(|| format!("{} holds no private key (-----BEGIN PRIVATE KEY-----)", path.display()))
}
