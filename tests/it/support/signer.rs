//! Tokens and the keys that sign them, made on the spot.

use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// An issuer with one key.
pub struct Signer {
    pub algorithm: Algorithm,
    pub id: String,
    key: EncodingKey,
}

impl Signer {
    pub fn new(algorithm: Algorithm, id: &str) -> Signer {
        let made = |kind| KeyPair::generate_for(kind).unwrap().serialize_der();
        let key = match algorithm {
            Algorithm::HS256 => EncodingKey::from_secret(&made(&PKCS_ECDSA_P256_SHA256)),
            // Behind 26 bytes of PKCS#8 (RFC 5958 2) stands the RSA key of PKCS#1, which is what is wanted.
            Algorithm::RS256 => EncodingKey::from_rsa_der(&made(&PKCS_RSA_SHA256)[26..]),
            Algorithm::ES256 => EncodingKey::from_ec_der(&made(&PKCS_ECDSA_P256_SHA256)),
            _ => EncodingKey::from_ed_der(Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref()),
        };
        Signer { algorithm, id: id.into(), key }
    }

    /// Its public half (the whole of a secret).
    pub fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        serde_json::to_value(jwk).unwrap()
    }

    /// A token that is good for ten minutes, with these claims changed; null takes one away.
    pub fn token(&self, changes: Value) -> String {
        let mut claims = json!({ "exp": now() + 600 });
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        let header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        encode(&header, &claims, &self.key).unwrap()
    }
}

/// The set of this issuer alone.
pub fn jwks(signer: &Signer) -> String {
    json!({ "keys": [signer.jwk()] }).to_string()
}

/// In seconds since the start of 1970, as tokens count.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
