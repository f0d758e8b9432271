//! The certificate that a client showed us, as the server behind is told of it (RFC 9440) and as a log line names it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{HeaderName, HeaderValue};
use std::fmt::Write;

pub const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
pub const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The value of `Client-Cert`.
    pub header: HeaderValue,
    /// SHA-256 of the certificate in hex, as `openssl x509 -fingerprint -sha256` has it without its colons.
    pub fingerprint: String,
}

impl ClientCertificate {
    /// A byte sequence of structured fields (RFC 9440 2.1, RFC 9651 4.1.8): base64 with its padding, between colons.
    pub fn from_der(der: &[u8]) -> Option<ClientCertificate> {
        let header = HeaderValue::from_str(&format!(":{}:", BASE64_STANDARD.encode(der))).ok()?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        let mut fingerprint = String::with_capacity(64);
        for byte in digest.as_ref() {
            let _ = write!(fingerprint, "{byte:02X}");
        }
        Some(ClientCertificate { header, fingerprint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_between_colons() {
        let shown = ClientCertificate::from_der(&[0x30, 0x82, 0xFF, 0x00]).unwrap();
        assert_eq!(shown.header, ":MIL/AA==:");
        // FIPS 180-2 B.1.
        let abc = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        assert_eq!(ClientCertificate::from_der(b"abc").unwrap().fingerprint, abc);
    }
}
