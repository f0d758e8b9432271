//! The keys that tokens are checked with: a JWK set (RFC 7517), each key with the one algorithm it is for.
//!
//! The algorithm is the key's, never the token's: a token that could choose would choose `none`, or have a public key
//! taken for a shared secret (RFC 8725 3.1). What a token says only has to agree.

use super::token::shown;
use crate::refusal::{Refusal, Refused};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode};
use serde_json::{Map, Value};

/// What a token says, once its signature is known to be good.
pub type Claims = Map<String, Value>;

/// The usable keys of a set. The default has none and admits nobody.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Why the others are not among them.
    pub ignored: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Key {
    /// Its `kid`.
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
    /// That the signature is of this key's algorithm, and nothing else: what the claims have to be is `token`'s.
    rules: Validation,
}

/// Why a key cannot be used.
enum Unfit {
    /// It is for something else, as half the keys of some sets are.
    NotForSignatures,
    Wrong(&'static str),
}

impl KeySet {
    /// Reads a set, and passes over keys that are of no use here, as RFC 7517 (5) asks. The error says what to look at;
    /// it repeats nothing of a key.
    pub fn parse(text: &str) -> Result<KeySet, String> {
        let json: Value = serde_json::from_str(text)
            .map_err(|error| format!("is not JSON (line {}, column {})", error.line(), error.column()))?;
        let list = json.get("keys").and_then(Value::as_array);
        let list = list.ok_or("is not a JWK set: it has no list of \"keys\"")?;
        let mut set = KeySet::default();
        for (index, entry) in list.iter().enumerate() {
            match Key::read(entry) {
                Ok(key) => set.keys.push(key),
                Err(Unfit::NotForSignatures) => {}
                Err(Unfit::Wrong(why)) => {
                    let id = entry.get("kid").and_then(Value::as_str);
                    let id = id.map_or(String::new(), |id| format!(" ({:?})", shown(id)));
                    set.ignored.push(format!("key {}{id} {why}", index + 1));
                }
            }
        }
        if set.keys.is_empty() {
            let why = set.ignored.first().map_or(String::new(), |why| format!(": {why}"));
            return Err(format!("holds no key that signatures can be checked with{why}"));
        }
        Ok(set)
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A shared secret is in it: who can read it can make tokens.
    pub fn holds_secret(&self) -> bool {
        self.keys.iter().any(|key| key.algorithm == Algorithm::HS256)
    }

    /// The one key for a token that names this algorithm and this key. Where it names none, one alone may fit: trying
    /// them in turn would let a token be checked with a key that its issuer did not mean.
    pub fn find(&self, algorithm: &str, id: Option<&str>) -> Result<&Key, Refused> {
        let known = KNOWN.iter().find(|known| word(**known) == algorithm);
        let wanted = *known.ok_or_else(|| {
            let why = format!("alg is {:?}, not HS256, RS256, ES256 or EdDSA", shown(algorithm));
            Refusal::TokenAlgorithm.because(why)
        })?;
        let named: Vec<&Key> =
            self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id).collect();
        let fitting: Vec<&Key> = named.iter().copied().filter(|key| key.algorithm == wanted).collect();
        match (fitting.as_slice(), named.as_slice(), id) {
            ([only], _, _) => Ok(only),
            ([], [], Some(id)) => {
                Err(Refusal::TokenKey.because(format!("no key with kid {:?} in jwks_file", shown(id))))
            }
            ([], [key, ..], Some(id)) => Err(Refusal::TokenAlgorithm.because(format!(
                "alg is {algorithm}, but the key {:?} is for {}",
                shown(id),
                word(key.algorithm)
            ))),
            ([], _, None) => {
                Err(Refusal::TokenAlgorithm.because(format!("no key in jwks_file is for {algorithm}")))
            }
            (several, _, _) => Err(Refusal::TokenKey.because(format!(
                "{} keys in jwks_file fit {algorithm}, and the token does not say which it was signed with",
                several.len()
            ))),
        }
    }
}

impl Key {
    fn read(entry: &Value) -> Result<Key, Unfit> {
        let wrong = |_| Unfit::Wrong("is not a JWK of a known form");
        let jwk: Jwk = serde_json::from_value(entry.clone()).map_err(wrong)?;
        let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
        let common = &jwk.common;
        let use_fits = common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
        if !use_fits || !common.key_operations.as_ref().is_none_or(verifies) {
            return Err(Unfit::NotForSignatures);
        }
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return Err(Unfit::Wrong("is not oct, RSA, EC with P-256 or OKP with Ed25519")),
        };
        if common.key_algorithm.is_some_and(|written| written != KeyAlgorithm::from(algorithm)) {
            return Err(Unfit::Wrong("is for another algorithm than HS256, RS256, ES256 or EdDSA"));
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| Unfit::Wrong("is not in base64url"))?;
        check_size(&key, algorithm)?;
        let mut rules = Validation::new(algorithm);
        rules.required_spec_claims.clear();
        (rules.validate_exp, rules.validate_aud) = (false, false);
        Ok(Key { id: jwk.common.key_id, algorithm, key, rules })
    }

    /// The claims of a token that was signed with this key.
    pub fn verify(&self, token: &str) -> Result<Claims, Refused> {
        let verified = decode::<Claims>(token, &self.key, &self.rules);
        // The library's own words may repeat what the token holds.
        verified.map(|data| data.claims).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => {
                let id = self.id.as_deref().map_or(String::new(), |id| format!(" {:?}", shown(id)));
                let why = format!("the signature is not that of the {} key{id}", word(self.algorithm));
                Refusal::TokenSignature.because(why)
            }
            ErrorKind::InvalidAlgorithm => Refusal::TokenAlgorithm.because("alg is not that of the key"),
            _ => Refusal::TokenMalformed.because("a part of the token is not JSON in base64url"),
        })
    }
}

/// What tokens may be signed with.
const KNOWN: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// The name of an algorithm in tokens and keys (RFC 7518 3.1, RFC 8037 3.1).
const fn word(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::RS256 => "RS256",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        _ => "",
    }
}

/// What could be guessed or cannot be right is no key: a secret is as long as the hash (RFC 7518 3.2), a modulus at least
/// 2048 bits (3.3), a coordinate 32 bytes (6.2.1.2, RFC 8037 2).
fn check_size(key: &DecodingKey, algorithm: Algorithm) -> Result<(), Unfit> {
    let fits = match (key.kind(), algorithm) {
        (DecodingKeyKind::RsaModulusExponent { n, e }, _) => {
            let n = n.iter().skip_while(|byte| **byte == 0).count();
            (256..=1024).contains(&n) && !e.is_empty()
        }
        (DecodingKeyKind::SecretOrDer(bytes), Algorithm::HS256) => bytes.len() >= 32,
        (DecodingKeyKind::SecretOrDer(bytes), Algorithm::ES256) => bytes.len() == 1 + 32 + 32,
        (DecodingKeyKind::SecretOrDer(bytes), _) => bytes.len() == 32,
    };
    if fits { Ok(()) } else { Err(Unfit::Wrong("is too short, or not of the length it should have")) }
}
