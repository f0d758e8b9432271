//! The PROXY protocol: who a client is, in the words of the proxy in front of us, and ours to the server behind us. The
//! bytes are `header`'s business; whose word is taken is `serve`'s, and the deadline too.

pub mod header;

use header::{Malformed, Progress, Told, examine};
use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Whether a listener's connections begin with a header. There is no guessing: where it may be missing, anybody who can
/// connect may write one (2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    #[default]
    Off,
    /// Version 1 or 2.
    Require,
}

/// Why a connection has no header.
#[derive(Debug)]
pub enum NoHeader {
    Malformed(Malformed),
    /// The stream ended inside it, or before it.
    Cut,
    Broken(io::Error),
}

impl fmt::Display for NoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoHeader::Malformed(why) => why.fmt(f),
            NoHeader::Cut => f.write_str("the connection ended before its PROXY header did"),
            NoHeader::Broken(error) => error.fmt(f),
        }
    }
}

/// Reads a header and not one byte behind it: those belong to TLS, or to HTTP.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Result<Told, NoHeader> {
    let mut header = Vec::new();
    loop {
        let needs = match examine(&header).map_err(NoHeader::Malformed)? {
            Progress::Needs(needs) => needs,
            Progress::Whole(told) => return Ok(told),
        };
        let have = header.len();
        header.resize(have + needs, 0);
        let read = stream.read(&mut header[have..]).await.map_err(NoHeader::Broken)?;
        if read == 0 {
            return Err(NoHeader::Cut);
        }
        header.truncate(have + read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_behind_a_header_stays_there() {
        let client: std::net::SocketAddr = "[2001:db8::1]:5000".parse().unwrap();
        let behind = b"\x16\x03\x01\x02\x00 the beginning of TLS";
        for header in
            [header::write(Some(client), None), b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n".to_vec()]
        {
            let bytes = [&header[..], behind].concat();
            for cut in 0..=bytes.len() {
                let mut stream = (&bytes[..cut]).chain(&bytes[cut..]);
                assert_eq!(receive(&mut stream).await.unwrap(), Told::Client(client), "cut at {cut}");
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.unwrap();
                assert_eq!(rest, behind, "cut at {cut}");
            }
            for cut in 0..header.len() {
                let over = receive(&mut &header[..cut]).await;
                assert!(matches!(over, Err(NoHeader::Cut)), "{over:?} after {cut} bytes");
            }
        }
    }
}
