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
