//! JSON Web Tokens (RFC 7519): whether one admits its bearer, and for how long. What time it is, and which keys are good
//! now, is for the caller to say.

use super::bearer::Place;
use super::jwks::{Claims, KeySet};
use crate::refusal::{Refusal, Refused};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPolicy {
    /// The keys, as a JWK set; read again when it changes.
    pub jwks_file: PathBuf,
    /// Where tokens are looked for, in this order.
    pub from: Vec<Place>,
    /// Whom tokens have to be for: one of these. Empty: tokens that are for nobody in particular.
    pub audience: Vec<String>,
    /// Who has to have made them.
    pub issuer: Option<String>,
    /// By how much the clocks of the issuer and of this machine may differ.
    pub leeway: Duration,
}

/// What a token says of itself, which nobody has vouched for yet.
#[derive(Debug, PartialEq, Eq)]
struct Label {
    algorithm: String,
    key: Option<String>,
}

impl TokenPolicy {
    pub const LEEWAY: Duration = Duration::from_secs(30);

    /// How much longer the token admits its bearer. `now` counts from the start of 1970, as the token's own times do.
    pub fn judge(&self, token: &str, keys: &KeySet, now: Duration) -> Result<Duration, Refused> {
        let label = Label::read(token)?;
        let key = keys.find(&label.algorithm, label.key.as_deref())?;
        let claims = key.verify(token)?;
        self.judge_issuer(&claims)?;
        self.judge_audience(&claims)?;
        self.judge_times(&claims, now)
    }

    fn judge_issuer(&self, claims: &Claims) -> Result<(), Refused> {
        let Some(wanted) = &self.issuer else {
            return Ok(());
        };
        match claims.get("iss").and_then(Value::as_str) {
            Some(issuer) if issuer == wanted => Ok(()),
            Some(issuer) => {
                Err(Refusal::TokenIssuer.because(format!("iss is {:?}, not {wanted:?}", shown(issuer))))
            }
            None => Err(Refusal::TokenIssuer.because(format!("no iss, where {wanted:?} is asked for"))),
        }
    }

    /// RFC 7519 4.1.3: one name or several; who does not find itself among them must refuse.
    fn judge_audience(&self, claims: &Claims) -> Result<(), Refused> {
        let said: Vec<&str> = match claims.get("aud") {
            None | Some(Value::Null) if self.audience.is_empty() => return Ok(()),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if said.iter().any(|said| self.audience.iter().any(|wanted| wanted == said)) {
            return Ok(());
        }
        let said = shown(&said.join(", ")).to_string();
        let why = match self.audience.as_slice() {
            [] => format!("the token is for {said:?}: if that is this route, set jwt.audience"),
            wanted => format!("aud is {said:?}, not {}", wanted.join(" or ")),
        };
        Err(Refusal::TokenAudience.because(why))
    }

    /// A token without an end would let its bearer in for ever, and its session never end: it is refused.
    fn judge_times(&self, claims: &Claims, now: Duration) -> Result<Duration, Refused> {
        let ends = time(claims, "exp")?;
        let ends =
            ends.ok_or_else(|| Refusal::TokenMalformed.because("no exp: the token would never end"))?;
        let begins = time(claims, "nbf")?.unwrap_or_default();
        if begins > now.saturating_add(self.leeway) {
            let early = begins.saturating_sub(now).as_secs();
            return Err(Refusal::TokenNotYet.because(format!("nbf is {early} s from now")));
        }
        let latest = ends.saturating_add(self.leeway);
        if latest <= now {
            let late = now.saturating_sub(ends).as_secs();
            return Err(Refusal::TokenExpired.because(format!("exp was {late} s ago")));
        }
        // Who comes in the leeway has what is left of it: by the issuer's clock it may be before the end yet.
        Ok(if ends > now { ends } else { latest }.saturating_sub(now))
    }
}

impl Label {
    /// The header of a token in compact form (RFC 7515 7.1).
    fn read(token: &str) -> Result<Label, Refused> {
        let malformed = |why: &str| Refusal::TokenMalformed.because(why);
        let parts: Vec<&str> = token.splitn(4, '.').collect();
        let [header, _, _] = parts.as_slice() else {
            return Err(malformed("not a token of three parts"));
        };
        let header = BASE64_URL_SAFE_NO_PAD.decode(header).ok();
        let header: Option<Map<String, Value>> =
            header.and_then(|header| serde_json::from_slice(&header).ok());
        let header = header.ok_or_else(|| malformed("the token's header is not JSON in base64url"))?;
        // RFC 7515 4.1.11: who does not understand what it names must refuse, and nothing here does.
        if header.contains_key("crit") {
            return Err(malformed("the token's header has crit"));
        }
        let algorithm = header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm.ok_or_else(|| malformed("the token's header has no alg"))?.to_string();
        match header.get("kid") {
            None => Ok(Label { algorithm, key: None }),
            Some(Value::String(key)) => Ok(Label { algorithm, key: Some(key.clone()) }),
            Some(_) => Err(malformed("the token's kid is not a string")),
        }
    }
}

/// A NumericDate (RFC 7519 2): seconds, which need not be whole.
fn time(claims: &Claims, name: &str) -> Result<Option<Duration>, Refused> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let whole = value.as_u64().map(Duration::from_secs);
    let read = whole.or_else(|| Duration::try_from_secs_f64(value.as_f64()?).ok());
    read.map(Some).ok_or_else(|| Refusal::TokenMalformed.because(format!("{name} is not a time")))
}

/// What a stranger wrote, short enough for a log line.
pub(super) fn shown(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::Ed25519KeyPair;
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
    use serde_json::json;
    use std::sync::LazyLock;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const ALL: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

    /// A key of each kind, made for this run.
    static SIGNERS: LazyLock<Vec<EncodingKey>> = LazyLock::new(|| {
        let made = |kind| KeyPair::generate_for(kind).unwrap().serialize_der();
        vec![
            EncodingKey::from_secret(&made(&PKCS_ED25519)),
            // Behind 26 bytes of PKCS#8 (RFC 5958 2) stands the RSA key of PKCS#1, which is what is wanted.
            EncodingKey::from_rsa_der(&made(&PKCS_RSA_SHA256)[26..]),
            EncodingKey::from_ec_der(&made(&PKCS_ECDSA_P256_SHA256)),
            EncodingKey::from_ed_der(Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref()),
        ]
    });

    fn signer(algorithm: Algorithm) -> &'static EncodingKey {
        &SIGNERS[ALL.iter().position(|other| *other == algorithm).unwrap()]
    }

    /// The public half of a key (the whole of a secret), under this name.
    fn jwk(algorithm: Algorithm, id: &str) -> Value {
        let mut jwk = Jwk::from_encoding_key(signer(algorithm), algorithm).unwrap();
        jwk.common.key_id = Some(id.into());
        serde_json::to_value(jwk).unwrap()
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(&json!({ "keys": keys }).to_string()).unwrap()
    }

    /// Every kind once, each named by its algorithm.
    fn all_kinds() -> KeySet {
        set(&ALL.map(|algorithm| jwk(algorithm, &format!("{algorithm:?}"))))
    }

    fn policy() -> TokenPolicy {
        TokenPolicy {
            jwks_file: PathBuf::new(),
            from: vec![Place::Header],
            audience: vec!["chat".into()],
            issuer: Some("https://id.test".into()),
            leeway: TokenPolicy::LEEWAY,
        }
    }

    /// Good claims with these changed; null takes one away.
    fn claims(changes: Value) -> Value {
        let mut claims = json!({
            "sub": "somebody", "iss": "https://id.test", "aud": "chat", "exp": NOW.as_secs() + 600,
        });
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    fn token(algorithm: Algorithm, id: Option<&str>, changes: Value) -> String {
        let header = Header { kid: id.map(String::from), ..Header::new(algorithm) };
        encode(&header, &claims(changes), signer(algorithm)).unwrap()
    }

    fn base64(text: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }

    /// A token with a header of any kind, signed as somebody who has this secret would.
    fn forged(header: &Value, secret: &[u8]) -> String {
        let message = format!("{}.{}", base64(&header.to_string()), base64(&claims(json!({})).to_string()));
        let key = EncodingKey::from_secret(secret);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    }

    /// The verdict, and the operator's word for it.
    fn verdict(keys: &KeySet, token: &str) -> Result<u64, &'static str> {
        let verdict = policy().judge(token, keys, NOW);
        if let Err(refused) = &verdict {
            assert!(
                token.split('.').filter(|part| part.len() > 4).all(|part| !refused.detail.contains(part))
            );
            assert!(refused.detail.len() < 300, "{}", refused.detail);
        }
        verdict.map(|left| left.as_secs()).map_err(|refused| refused.refusal.cause_word())
    }

    #[test]
    fn every_algorithm_admits() {
        let keys = all_kinds();
        for algorithm in ALL {
            let id = format!("{algorithm:?}");
            for id in [Some(id.as_str()), None] {
                assert_eq!(verdict(&keys, &token(algorithm, id, json!({}))), Ok(600), "{id:?}");
            }
        }
    }

    #[test]
    fn claims_and_their_verdicts() {
        let now = NOW.as_secs();
        for (changes, expected) in [
            (json!({}), Ok(600)),
            (json!({ "exp": now + 1 }), Ok(1)),
            // In the leeway there is the rest of it.
            (json!({ "exp": now }), Ok(30)),
            (json!({ "exp": now - 29 }), Ok(1)),
            (json!({ "exp": now - 30 }), Err("auth.expired")),
            (json!({ "exp": 0 }), Err("auth.expired")),
            (json!({ "exp": now as f64 + 7.5 }), Ok(7)),
            (json!({ "exp": u64::MAX }), Ok(u64::MAX - now)),
            (json!({ "exp": null }), Err("auth.malformed")),
            (json!({ "exp": (now + 600).to_string() }), Err("auth.malformed")),
            (json!({ "exp": -1 }), Err("auth.malformed")),
            (json!({ "exp": 1e300 }), Err("auth.malformed")),
            (json!({ "nbf": now - 1 }), Ok(600)),
            (json!({ "nbf": now + 30 }), Ok(600)),
            (json!({ "nbf": now + 31 }), Err("auth.not_yet")),
            (json!({ "nbf": "soon" }), Err("auth.malformed")),
            (json!({ "iat": now + 9999 }), Ok(600)),
            (json!({ "aud": ["mail", "chat"] }), Ok(600)),
            (json!({ "aud": "mail" }), Err("auth.audience")),
            (json!({ "aud": "Chat" }), Err("auth.audience")),
            (json!({ "aud": ["mail"] }), Err("auth.audience")),
            (json!({ "aud": [] }), Err("auth.audience")),
            (json!({ "aud": { "chat": "chat" } }), Err("auth.audience")),
            (json!({ "aud": null }), Err("auth.audience")),
            (json!({ "iss": "https://id.test/" }), Err("auth.issuer")),
            (json!({ "iss": ["https://id.test"] }), Err("auth.issuer")),
            (json!({ "iss": null }), Err("auth.issuer")),
            (json!({ "iss": "x".repeat(9999) }), Err("auth.issuer")),
        ] {
            let token = token(Algorithm::ES256, None, changes.clone());
            assert_eq!(verdict(&all_kinds(), &token), expected, "{changes}");
        }
    }

    /// RFC 7519 4.1.3: a token for somebody, where nobody said who we are, is not for us.
    #[test]
    fn what_the_policy_does_not_ask_for() {
        let asks_nothing = TokenPolicy { audience: Vec::new(), issuer: None, ..policy() };
        let judge = |changes| {
            let token = token(Algorithm::EdDSA, None, changes);
            asks_nothing.judge(&token, &all_kinds(), NOW).map_err(|refused| refused.refusal)
        };
        assert!(judge(json!({ "aud": null, "iss": null })).is_ok());
        assert!(judge(json!({ "aud": null, "iss": "anybody" })).is_ok());
        assert_eq!(judge(json!({})), Err(Refusal::TokenAudience));
        let strict = TokenPolicy { leeway: Duration::ZERO, ..policy() };
        let late = token(Algorithm::EdDSA, None, json!({ "exp": NOW.as_secs() }));
        assert_eq!(strict.judge(&late, &all_kinds(), NOW).unwrap_err().refusal, Refusal::TokenExpired);
    }

    #[test]
    fn the_key_says_the_algorithm() {
        let keys = all_kinds();
        let public = jwk(Algorithm::RS256, "");
        let modulus = BASE64_URL_SAFE_NO_PAD.decode(public["n"].as_str().unwrap()).unwrap();
        let unsigned = format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(&claims(json!({})).to_string()));
        let head = |algorithm: &str, id: Option<&str>| match id {
            Some(id) => json!({ "alg": algorithm, "kid": id }),
            None => json!({ "alg": algorithm }),
        };
        for (what, token, expected) in [
            ("none", unsigned, "auth.algorithm"),
            ("None with a kid", forged(&head("None", Some("HS256")), b"x"), "auth.algorithm"),
            ("HS384", forged(&head("HS384", Some("HS256")), b"x"), "auth.algorithm"),
            ("an RSA key as a secret", forged(&head("HS256", Some("RS256")), &modulus), "auth.algorithm"),
            ("the same without kid", forged(&head("HS256", None), &modulus), "auth.signature"),
            ("a guessed secret", forged(&head("HS256", Some("HS256")), b"secret"), "auth.signature"),
            ("an empty secret", forged(&head("HS256", Some("HS256")), b""), "auth.signature"),
            (
                "one kind under the name of another",
                token(Algorithm::EdDSA, Some("ES256"), json!({})),
                "auth.algorithm",
            ),
            ("a key nobody has", token(Algorithm::ES256, Some("rotated"), json!({})), "auth.key"),
            ("an empty name", token(Algorithm::ES256, Some(""), json!({})), "auth.key"),
        ] {
            assert_eq!(verdict(&keys, &token), Err(expected), "{what}");
        }
        // Without a secret in the set nothing at all is taken for one.
        let public_only = set(&[public]);
        assert_eq!(verdict(&public_only, &forged(&head("HS256", None), &modulus)), Err("auth.algorithm"));
        assert_eq!(
            verdict(&KeySet::default(), &token(Algorithm::ES256, None, json!({}))),
            Err("auth.algorithm")
        );
        assert_eq!(
            verdict(&KeySet::default(), &token(Algorithm::ES256, Some("a"), json!({}))),
            Err("auth.key")
        );
    }

    #[test]
    fn a_token_that_names_no_key_fits_one_alone() {
        let two =
            set(&[jwk(Algorithm::ES256, "old"), jwk(Algorithm::ES256, "new"), jwk(Algorithm::EdDSA, "x")]);
        assert_eq!(verdict(&two, &token(Algorithm::ES256, None, json!({}))), Err("auth.key"));
        assert_eq!(verdict(&two, &token(Algorithm::ES256, Some("new"), json!({}))), Ok(600));
        assert_eq!(verdict(&two, &token(Algorithm::EdDSA, None, json!({}))), Ok(600));
        let twins =
            set(&[jwk(Algorithm::ES256, "a"), jwk(Algorithm::ES256, "a"), jwk(Algorithm::EdDSA, "a")]);
        assert_eq!(verdict(&twins, &token(Algorithm::ES256, Some("a"), json!({}))), Err("auth.key"));
        assert_eq!(verdict(&twins, &token(Algorithm::EdDSA, Some("a"), json!({}))), Ok(600));
    }

    #[test]
    fn what_is_no_token() {
        let keys = all_kinds();
        let good = token(Algorithm::ES256, Some("ES256"), json!({}));
        let parts: Vec<&str> = good.split('.').collect();
        let with_head = |head: &str| format!("{}.{}.{}", base64(head), parts[1], parts[2]);
        for (token, expected) in [
            (String::new(), "auth.malformed"),
            ("secret".into(), "auth.malformed"),
            ("..".into(), "auth.malformed"),
            (format!("{}.{}", parts[0], parts[1]), "auth.malformed"),
            (format!("{good}."), "auth.malformed"),
            (format!("{good}.x.y"), "auth.malformed"),
            (format!("{good}="), "auth.malformed"),
            (format!(" {good}"), "auth.malformed"),
            (with_head("[]"), "auth.malformed"),
            (with_head("{}"), "auth.malformed"),
            (with_head(r#"{"alg":5}"#), "auth.malformed"),
            (with_head(r#"{"alg":["ES256"]}"#), "auth.malformed"),
            (with_head(r#"{"alg":"ES256","kid":1}"#), "auth.malformed"),
            (with_head(r#"{"alg":"ES256","kid":"ES256","crit":["b64"],"b64":false}"#), "auth.malformed"),
            (with_head(r#"{"alg":"ES256","kid":"ES256","typ":7}"#), "auth.malformed"),
            // Every bit of it is signed.
            (with_head(r#"{"alg":"ES256","kid":"ES256"}"#), "auth.signature"),
            (format!("{}.{}.{}", parts[0], base64("{}"), parts[2]), "auth.signature"),
            (format!("{}.{}.{}", parts[0], parts[1], base64("signature")), "auth.signature"),
            (format!("{}.{}.", parts[0], parts[1]), "auth.signature"),
            (with_head(&format!(r#"{{"alg":"{}"}}"#, "x".repeat(9999))), "auth.algorithm"),
            (with_head(&format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "\u{e9}".repeat(9999))), "auth.key"),
        ] {
            assert_eq!(verdict(&keys, &token), Err(expected), "{token}");
        }
    }

    /// RFC 7515 A.1, A.2 and A.3: signed by somebody else's program.
    #[test]
    fn the_examples_of_the_rfc() {
        let payload =
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let secret = json!({ "kty": "oct",
            "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" });
        let rsa = json!({ "kty": "RSA", "e": "AQAB",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
        let curve = json!({ "kty": "EC", "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
        let keys = set(&[secret, rsa, curve]);
        let policy = TokenPolicy { audience: Vec::new(), issuer: Some("joe".into()), ..policy() };
        let before = Duration::from_secs(1_300_819_380 - 5);
        for (header, signature) in [
            ("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            (
                "eyJhbGciOiJSUzI1NiJ9",
                "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
            ),
            (
                "eyJhbGciOiJFUzI1NiJ9",
                "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
            ),
        ] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(policy.judge(&token, &keys, before), Ok(Duration::from_secs(5)), "{header}");
            let late = policy.judge(&token, &keys, NOW).unwrap_err();
            assert_eq!(late.refusal, Refusal::TokenExpired, "{header}");
        }
    }

    #[test]
    fn sets_of_keys() {
        let good = jwk(Algorithm::ES256, "good");
        let with = |changes: Value| {
            let mut key = jwk(Algorithm::ES256, "odd");
            key.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            key
        };
        for (odd, expected) in [
            (with(json!({ "use": "sig" })), None),
            (with(json!({ "key_ops": ["verify"] })), None),
            (with(json!({ "x5c": ["MII"], "extra": true })), None),
            // For something else, and nothing to wonder about.
            (with(json!({ "use": "enc" })), Some("")),
            (with(json!({ "key_ops": ["sign"] })), Some("")),
            (with(json!({ "alg": "ES384" })), Some("is for another algorithm")),
            (with(json!({ "alg": "HS256" })), Some("is for another algorithm")),
            (with(json!({ "crv": "P-384" })), Some("is not oct, RSA")),
            (with(json!({ "kty": "RSA" })), Some("is not oct, RSA")),
            (with(json!({ "x": "AAAA" })), Some("is too short")),
            (with(json!({ "x": "*" })), Some("is not in base64url")),
            (json!({ "kty": "oct", "k": base64("a short secret") }), Some("is too short")),
            (
                json!({ "kty": "oct", "k": base64("a long secret, of more than 32 bytes"), "alg": "HS512" }),
                Some("is for another"),
            ),
            (json!({ "kty": "RSA", "n": base64(&"n".repeat(128)), "e": "AQAB" }), Some("is too short")),
            (json!({ "kty": "OKP", "crv": "X25519", "x": base64(&"x".repeat(32)) }), Some("is not oct, RSA")),
            (json!("key"), Some("is not a JWK")),
        ] {
            let keys = set(&[good.clone(), odd.clone()]);
            assert_eq!(keys.len(), if expected.is_none() { 2 } else { 1 }, "{odd}");
            let said = keys.ignored.first().map_or("", String::as_str);
            assert!(said.contains(expected.unwrap_or_default()), "{odd}: {said}");
            assert_eq!(said.is_empty(), expected.unwrap_or_default().is_empty(), "{odd}: {said}");
        }
        for (text, expected) in [
            ("", "is not JSON (line 1"),
            ("{}", "no list of \"keys\""),
            ("[]", "no list of \"keys\""),
            ("{\"keys\": []}", "holds no key"),
            (
                "{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}]}",
                "holds no key that signatures can be checked with: key 1 is too short",
            ),
        ] {
            let problem = KeySet::parse(text).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("c2VjcmV0"), "{text}: {problem}");
        }
        assert!(set(&[jwk(Algorithm::HS256, "a")]).holds_secret());
        assert!(!set(&[good]).holds_secret());
    }
}
