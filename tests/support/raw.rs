//! Bytes on a socket, for what no client would send.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::http2::Frame;
use super::patience;

/// A connection.
pub struct Raw(TcpStream);

impl Raw {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        Self(stream)
    }

    /// Sends bytes; a peer that has closed already is no error.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.0.write_all(bytes.as_ref());
        self
    }

    /// Sends bytes until nobody takes any more of them for a while, and returns how many that were.
    pub fn fill(&self) -> usize {
        let mut writer = self.writer();
        writer.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut sent = 0;
        while let Ok(length) = writer.write(&[b'x'; 16 << 10]) {
            sent += length;
        }
        writer.set_write_timeout(None).unwrap();
        sent
    }

    /// Says that nothing more is sent.
    pub fn finish(&mut self) -> &mut Self {
        self.0.shutdown(std::net::Shutdown::Write).unwrap();
        self
    }

    /// Everything until the peer closes, in whatever way.
    pub fn rest(&mut self) -> String {
        let mut got = Vec::new();
        let mut piece = [0; 16 * 1024];
        loop {
            match self.0.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => got.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the peer did not close: {error}; {}", String::from_utf8_lossy(&got)),
            }
        }
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Reads to the end, and tells whether that was a reset.
    pub fn is_reset(&mut self) -> bool {
        let mut rest = Vec::new();
        let ended = self.0.read_to_end(&mut rest);
        ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    }

    /// How long it waits for the peer from now on.
    pub fn patient_for(&mut self, time: Duration) {
        self.0.set_read_timeout(Some(time)).unwrap();
    }

    /// What comes until the peer closes or says nothing more for a while.
    pub fn rest_in_time(&mut self) -> String {
        let mut got = Vec::new();
        let _ = self.0.read_to_end(&mut got);
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Reads until this text has come.
    pub fn until(&mut self, text: &str) -> String {
        let mut got = Vec::new();
        let mut piece = [0; 16 * 1024];
        while !String::from_utf8_lossy(&got).contains(text) {
            let length = self.0.read(&mut piece).unwrap();
            assert!(length > 0, "it ended before {text}: {}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&piece[..length]);
        }
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Reads frames of HTTP/2 up to one that is looked for.
    pub fn frames_until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = Frame::read(&mut self.0);
            frames.push(frame.unwrap_or_else(|| panic!("no more frames behind {frames:?}")));
            if is_it(&frames[frames.len() - 1]) {
                return frames;
            }
        }
    }

    /// Reads until this text has come, or the end, however it came.
    pub fn until_or_end(&mut self, text: &str) -> String {
        let mut got = Vec::new();
        let mut piece = [0; 16 * 1024];
        while !String::from_utf8_lossy(&got).contains(text) {
            match self.0.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(length) => got.extend_from_slice(&piece[..length]),
            }
        }
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Reads until this text has come, says that nothing more is sent, and reads what is left.
    pub fn finish_after(&mut self, text: &str) -> String {
        self.until(text) + &self.finish().rest()
    }

    /// The same connection, for another thread.
    pub fn writer(&self) -> TcpStream {
        self.0.try_clone().unwrap()
    }

    /// Ends the connection by TCP RST.
    pub fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
