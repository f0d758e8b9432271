//! Frames by hand, independent of the library's own code.

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A client's frame: masked. `first` is the first byte: FIN, RSV, opcode.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len(), 0x80);
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A server's frame: not masked.
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len(), 0);
    frame.extend(payload);
    frame
}

/// A whole text message from a client.
pub fn text(message: &str) -> Vec<u8> {
    client_frame(0x81, message.as_bytes())
}

pub fn ping(payload: &[u8]) -> Vec<u8> {
    client_frame(0x89, payload)
}

pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

fn head(first: u8, len: usize, mask_bit: u8) -> Vec<u8> {
    let mut head = vec![first];
    match len {
        0..=125 => head.push(mask_bit | len as u8),
        126..=0xFFFF => {
            head.push(mask_bit | 126);
            head.extend((len as u16).to_be_bytes());
        }
        _ => {
            head.push(mask_bit | 127);
            head.extend((len as u64).to_be_bytes());
        }
    }
    head
}
