//! Whether a backend's 101 is one (RFC 6455 4.1, the client's checks): only then does the client get it.

use super::{accept_for, tokens};
use http::header::{self, HeaderMap, HeaderValue};

/// What the 101 settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    pub subprotocol: Option<String>,
    /// permessage-deflate (RFC 7692) is on: RSV1 has a meaning.
    pub deflate: bool,
}

/// What the backend was asked.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    pub key: &'a HeaderValue,
    pub subprotocols: &'a [String],
    /// permessage-deflate was in the offer that went to the backend.
    pub deflate: bool,
}

/// Checks the head of a 101. The error is for the operator.
pub fn verify(headers: &HeaderMap, offer: Offer<'_>) -> Result<Agreed, String> {
    if !tokens(headers, &header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket")) {
        return Err("its 101 has no Upgrade: websocket".into());
    }
    if !tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Err("its 101 has no Connection: Upgrade".into());
    }
    let mut accepts = headers.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
    match (accepts.next(), accepts.next()) {
        (Some(accept), None) if accept == accept_for(offer.key.as_bytes()).as_str() => {}
        (None, _) => return Err("its 101 has no Sec-WebSocket-Accept".into()),
        _ => return Err("its 101 has a wrong Sec-WebSocket-Accept".into()),
    }
    let mut subprotocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let subprotocol = match (subprotocols.next(), subprotocols.next()) {
        (None, _) => None,
        (Some(_), Some(_)) => return Err("its 101 chooses two subprotocols".into()),
        (Some(chosen), None) => {
            let known = offer.subprotocols.iter().find(|offered| chosen == offered.as_str());
            Some(known.cloned().ok_or("its 101 chooses a subprotocol that was not offered")?)
        }
    };
    let mut extensions = tokens(headers, &header::SEC_WEBSOCKET_EXTENSIONS);
    let deflate = match (extensions.next(), extensions.next()) {
        (None, _) => false,
        (Some(only), None) if offer.deflate && extension_name(only) == DEFLATE => true,
        _ => return Err("its 101 agrees to an extension that was not offered".into()),
    };
    Ok(Agreed { subprotocol, deflate })
}

pub(super) const DEFLATE: &str = "permessage-deflate";

/// The name in front of an extension's parameters.
pub(super) fn extension_name(extension: &str) -> &str {
    extension.split(';').next().unwrap_or_default().trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[(&'static str, &'static str)]) -> Result<Agreed, String> {
        let mut headers = HeaderMap::new();
        let good = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        for (name, value) in good.iter().filter(|(name, _)| !lines.iter().any(|(other, _)| other == name)) {
            headers.append(*name, HeaderValue::from_static(value));
        }
        for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let subprotocols = ["chat".to_string(), "mqtt".to_string()];
        verify(&headers, Offer { key: &key, subprotocols: &subprotocols, deflate: true })
    }

    #[test]
    fn a_real_upgrade() {
        assert_eq!(verdict(&[]), Ok(Agreed::default()));
        assert_eq!(
            verdict(&[("connection", "keep-alive, upgrade"), ("upgrade", "WebSocket")]),
            Ok(Agreed::default())
        );
        let mqtt = verdict(&[("sec-websocket-protocol", "mqtt")]).unwrap();
        assert_eq!(mqtt.subprotocol.as_deref(), Some("mqtt"));
        assert!(
            verdict(&[("sec-websocket-extensions", "permessage-deflate; server_max_window_bits=10")])
                .unwrap()
                .deflate
        );
    }

    #[test]
    fn anything_else_is_not_one() {
        for lines in [
            &[("upgrade", "")][..],
            &[("upgrade", "h2c")],
            &[("connection", "")],
            &[("connection", "keep-alive")],
            &[("sec-websocket-accept", "")],
            &[("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")],
            &[("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), ("sec-websocket-accept", "x")],
            &[("sec-websocket-protocol", "wamp")],
            &[("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "mqtt")],
            &[("sec-websocket-protocol", "chat, mqtt")],
            &[("sec-websocket-extensions", "x-webkit-deflate-frame")],
            &[("sec-websocket-extensions", "permessage-deflate, permessage-deflate")],
        ] {
            assert!(verdict(lines).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn an_extension_that_was_stripped_from_the_offer_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("Upgrade"));
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        headers.insert("sec-websocket-accept", HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        headers.insert("sec-websocket-extensions", HeaderValue::from_static("permessage-deflate"));
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert!(verify(&headers, Offer { key: &key, subprotocols: &[], deflate: false }).is_err());
    }
}
