//! An address in letters, as it stands in headers and log lines.

use std::net::IpAddr;

/// What `Display` writes. A connection needs it several times over, and IPv4 is what most have: worth a tenth of the
/// instructions.
pub fn address_text(address: IpAddr) -> String {
    let IpAddr::V4(v4) = address else {
        return address.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in v4.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        if octet >= 100 {
            text.push(char::from(b'0' + octet / 100));
        }
        if octet >= 10 {
            text.push(char::from(b'0' + octet / 10 % 10));
        }
        text.push(char::from(b'0' + octet % 10));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_library_writes_it() {
        let check = |address: IpAddr| assert_eq!(address_text(address), address.to_string());
        for octet in 0..=255 {
            check([octet, 0, 10, 255 - octet].into());
        }
        check("2001:db8::1".parse().unwrap());
    }
}
