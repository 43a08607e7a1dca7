//! What an HTTP/2 client sends beside requests and their bodies. h2 bounds what heads and bodies cost, and answers all
//! else: every SETTINGS and PING, however many there are. Who sends those without measure is cut off here, since a connection
//! that always has more to read keeps its worker from the others.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

/// So many frames in so long a time are a flood.
const MOST: u32 = 1000;
const SPAN: Duration = Duration::from_secs(1);
/// Who is sent this much may send a WINDOW_UPDATE for it, which does not count. Some send two for each DATA.
const UPDATED: usize = 8;
/// Of what was sent so much is to be made up for at most.
const UPDATED_MAX: usize = 1024 * 1024;
/// What a connection begins with.
const PREFACE: usize = 24;
/// A frame's length and kind, with its flags and stream (RFC 9113 §4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// The frames on one connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// What is still to come of the preface, or of a frame's payload.
    rest: usize,
    /// What has come of the next frame's head.
    head: [u8; HEAD],
    length: usize,
    counted: u32,
    since: Instant,
    not_updated: usize,
    /// Requests that may still be cancelled.
    not_reset: u32,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            rest: PREFACE,
            head: [0; HEAD],
            length: 0,
            counted: 0,
            since: Instant::now(),
            not_updated: 0,
            not_reset: 0,
        }
    }

    /// So much went to the client.
    pub(super) fn sent(&mut self, length: usize) {
        self.not_updated = UPDATED_MAX.min(self.not_updated + length);
    }

    /// This came.
    ///
    /// # Errors
    /// If it is a flood.
    pub(super) fn came(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((byte, behind)) = bytes.split_first() else { return Ok(()) };
            if let Some(place) = self.head.get_mut(self.length) {
                *place = *byte;
            }
            bytes = behind;
            self.length += 1;
            if self.length == HEAD {
                self.length = 0;
                let [high, middle, low, kind, ..] = self.head;
                self.rest = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.count(kind)?;
            }
        }
    }

    fn count(&mut self, kind: u8) -> io::Result<()> {
        match kind {
            DATA | CONTINUATION => return Ok(()),
            HEADERS => {
                // What is asked for may be cancelled once.
                self.not_reset = MOST.min(self.not_reset + 1);
                return Ok(());
            }
            RST_STREAM if self.not_reset > 0 => {
                self.not_reset -= 1;
                return Ok(());
            }
            WINDOW_UPDATE if self.not_updated >= UPDATED => {
                self.not_updated -= UPDATED;
                return Ok(());
            }
            _ => self.counted += 1,
        }
        if self.counted < MOST {
            return Ok(());
        }
        let now = Instant::now();
        if now - self.since < SPAN {
            tracing::debug!(
                "cut a client off that floods its HTTP/2 connection with frames that ask for nothing"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a flood of frames"));
        }
        (self.counted, self.since) = (0, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        [&[0, 0, length, kind, 0, 0, 0, 0, 0], &vec![kind; length.into()][..]].concat()
    }

    /// A connection that has begun, however what comes is cut.
    fn begun() -> Frames {
        let mut frames = Frames::new();
        for piece in [&b"PRI * HTTP/2.0\r\n\r\n"[..], b"SM\r\n\r\n\0\0", b"\0\x04\0\0\0\0\0"] {
            frames.came(piece).unwrap();
        }
        frames
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_ask_for_nothing_are_borne_up_to_a_thousand_a_second() {
        let mut frames = begun();
        let pings = frame(PING, 8).repeat(400);
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(500)).await;
            frames.came(&pings).unwrap();
        }
        let flood = (0..10).position(|_| frames.came(&pings).is_err());
        assert!(flood.is_some_and(|at| at < 5), "{flood:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_bodies_and_updates_of_what_was_sent_are_no_flood() {
        let mut frames = begun();
        let work = [frame(HEADERS, 70), frame(CONTINUATION, 200), frame(DATA, 0), frame(DATA, 255)].concat();
        // Cut anywhere.
        for piece in work.repeat(5000).chunks(1021) {
            frames.came(piece).unwrap();
        }
        let update = frame(WINDOW_UPDATE, 4);
        for _ in 0..10_000 {
            frames.sent(30);
            frames.came(&update.repeat(2)).unwrap();
        }
        let cancelled = [frame(HEADERS, 70), frame(RST_STREAM, 4)].concat();
        for _ in 0..10_000 {
            frames.came(&cancelled).unwrap();
        }
        frames.sent(usize::from(u16::MAX));
        assert!(frames.came(&update.repeat(200_000)).is_err(), "of what was never sent");
    }
}
