//! TLS toward clients.

use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// SNI picks; the first is for clients that name none of them.
    pub certificates: Vec<CertificateFiles>,
    pub min_version: TlsVersion,
    /// Mutual TLS: the CA whose client certificates are taken.
    pub client_auth: Option<ClientAuth>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    pub ca: PathBuf,
    pub required: bool,
}
