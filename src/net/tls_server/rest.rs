//! What a TLS connection owns between two turns, and gives back as soon as it can.

use rustls::server::ServerConnectionData;
use rustls::unbuffered::{EncodeError, EncodeTlsData};
use tokio::io::ReadBuf;

/// Bytes that wait, given back as soon as the last of them is gone.
#[derive(Default)]
pub(super) struct Rest {
    pub(super) bytes: Vec<u8>,
    gone: usize,
}

impl Rest {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn push_record(&mut self, record: &mut EncodeTlsData<'_, ServerConnectionData>) {
        // Its size is told to whoever brings too little room.
        if let Err(EncodeError::InsufficientSize(size)) = record.encode(&mut []) {
            let end = self.bytes.len();
            self.bytes.resize(end + size.required_size, 0);
            let encoded = record.encode(&mut self.bytes[end..]).unwrap_or(0);
            self.bytes.truncate(end + encoded);
        }
    }

    pub(super) fn remove(&mut self, n: usize) {
        self.gone += n;
        if self.gone == self.bytes.len() {
            *self = Rest::default();
        }
    }

    pub(super) fn read(&mut self, buf: &mut ReadBuf<'_>) {
        let fits = self.as_slice().len().min(buf.remaining());
        buf.put_slice(&self.as_slice()[..fits]);
        self.remove(fits);
    }
}
