//! As much of HTTP/1.1 as both ends need.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A connection's reading half and what was read ahead.
pub(crate) struct Reader<R> {
    socket: R,
    buffer: Vec<u8>,
    at: usize,
}

/// The head of a message.
pub(crate) struct Head {
    /// The status or request line.
    pub(crate) line: String,
    pub(crate) length: Option<usize>,
    pub(crate) chunked: bool,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(socket: R) -> Self {
        Self { socket, buffer: Vec::new(), at: 0 }
    }

    /// Reads more. `false` at the end.
    async fn fill(&mut self) -> Result<bool> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        }
        if self.buffer.capacity() == self.buffer.len() {
            // An idle stream must not hold much: there may be ten thousand.
            self.buffer.reserve(self.buffer.len().clamp(2048, 64 * 1024));
        }
        Ok(self.socket.read_buf(&mut self.buffer).await? > 0)
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// The next head; `None` if the other side has closed.
    pub(crate) async fn head(&mut self) -> Result<Option<Head>> {
        let end = loop {
            if let Some(end) = self.rest().windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill().await? {
                return if self.rest().is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        };
        let text = String::from_utf8_lossy(self.rest().get(..end).unwrap_or_default()).to_ascii_lowercase();
        self.at += end;
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let mut head = Head { line, length: None, chunked: false };
        for field in lines {
            match field.split_once(':') {
                Some(("content-length", value)) => head.length = value.trim().parse().ok(),
                Some(("transfer-encoding", value)) => head.chunked = value.trim() == "chunked",
                _ => {}
            }
        }
        Ok(Some(head))
    }

    /// Takes so many bytes and shows them piece by piece.
    pub(crate) async fn take(&mut self, mut count: usize, mut see: impl FnMut(&[u8])) -> Result<()> {
        while count > 0 {
            if self.rest().is_empty() && !self.fill().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let piece = self.rest().get(..count.min(self.rest().len())).unwrap_or_default();
            see(piece);
            let length = piece.len();
            self.at += length;
            count -= length;
        }
        Ok(())
    }

    /// The next chunk's data, shown piece by piece. `false` after the last.
    pub(crate) async fn chunk(&mut self, see: impl FnMut(&[u8])) -> Result<bool> {
        let end = loop {
            if let Some(end) = self.rest().windows(2).position(|window| window == b"\r\n") {
                break end;
            }
            if !self.fill().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        };
        let line = std::str::from_utf8(self.rest().get(..end).unwrap_or_default()).map_err(Error::other)?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(Error::other)?;
        self.at += end + 2;
        self.take(size, see).await?;
        self.take(2, |_| {}).await?;
        Ok(size > 0)
    }

    /// The whole body after a head; returns its size.
    pub(crate) async fn body(&mut self, head: &Head, mut see: impl FnMut(&[u8])) -> Result<usize> {
        let mut size = 0;
        let mut count = |piece: &[u8]| {
            size += piece.len();
            see(piece);
        };
        if head.chunked {
            while self.chunk(&mut count).await? {}
        } else {
            self.take(head.length.unwrap_or(0), &mut count).await?;
        }
        Ok(size)
    }
}

/// A chunk as it travels.
pub(crate) fn chunk(data: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
