//! Lines on their way to the writer's thread. They are gathered in one text, which the writer takes as a whole: under load
//! many lines cost one wake-up and one write. What comes on top of what may wait is dropped and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that wait at most.
const LONGEST: usize = 16_384;
/// How long the writer lets lines gather after it has written some, and how many bytes it lets gather.
const GATHERS: Duration = Duration::from_millis(20);
const ENOUGH: usize = 32 * 1024;
/// How long the end waits for a terminal or a disk that is slow.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A text that grew larger is given back to the system.
const KEPT: usize = 1 << 20;

/// Takes lines, from any thread.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There are lines, or it ends.
    word: Condvar,
    /// The writer has ended.
    end: Condvar,
    dropped: AtomicUsize,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    lines: usize,
    /// From how many bytes on the writer, which sleeps, is to be told; 0: it does not sleep.
    wake_at: usize,
    closed: bool,
    ended: bool,
}

/// Ends the writer once it has written what waits.
pub(super) struct Closing(Queue);

impl Queue {
    /// Starts a thread that writes into `sink`, until what is given back with the queue is dropped.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<(Self, Closing)> {
        let queue = Self(Arc::default());
        let writer = queue.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_into(sink))?;
        Ok((queue.clone(), Closing(queue)))
    }

    /// How many lines were dropped.
    pub(super) fn dropped(&self) -> usize {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Takes a line.
    pub(super) fn push(&self, line: &[u8]) {
        self.push_by(|text| text.extend_from_slice(line));
    }

    /// Takes a line from who writes it to the end of the text.
    pub(super) fn push_by(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.waiting();
        if waiting.lines >= LONGEST {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        write(&mut waiting.text);
        waiting.lines += 1;
        let wakes = waiting.wake_at > 0 && waiting.text.len() >= waiting.wake_at;
        if wakes {
            waiting.wake_at = 0;
        }
        drop(waiting);
        if wakes {
            self.0.word.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_into(&self, mut sink: impl Write) {
        let mut text = Vec::new();
        while self.take(&mut text) {
            // Whatever becomes of the log, the proxy goes on.
            let _ = sink.write_all(&text).and_then(|()| sink.flush());
            text.clear();
            text.shrink_to(KEPT);
            let mut waiting = self.waiting();
            waiting.wake_at = ENOUGH;
            let gathers = |waiting: &mut Waiting| waiting.text.len() < ENOUGH && !waiting.closed;
            drop(self.0.word.wait_timeout_while(waiting, GATHERS, gathers));
        }
        self.waiting().ended = true;
        self.0.end.notify_all();
    }

    /// Waits for lines, and takes them all. `false`: no more come.
    fn take(&self, text: &mut Vec<u8>) -> bool {
        let mut waiting = self.waiting();
        while waiting.text.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting.wake_at = 1;
            waiting = self.0.word.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        (waiting.lines, waiting.wake_at) = (0, 0);
        std::mem::swap(&mut waiting.text, text);
        true
    }
}

/// Takes one line with each write.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let queue = &self.0;
        let mut waiting = queue.waiting();
        waiting.closed = true;
        queue.0.word.notify_one();
        drop(queue.0.end.wait_timeout_while(waiting, LAST_WORDS, |waiting| !waiting.ended));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Passes on what it is to write, once it may.
    struct Slow(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.send(text.to_vec()).unwrap();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_disk_holds_nobody_up_and_loses_no_more_than_is_counted() {
        let (may, told) = mpsc::channel();
        let (write, written) = mpsc::channel();
        let (queue, closing) = Queue::start(Slow(told, write)).unwrap();
        for _ in 0..3 * LONGEST {
            queue.push(b"line\n");
        }
        let dropped = queue.dropped();
        assert!(dropped >= LONGEST, "{dropped}");
        drop(may);
        drop(closing);
        let lines = written.iter().map(|text| memchr::memchr_iter(b'\n', &text).count());
        assert_eq!(lines.sum::<usize>() + dropped, 3 * LONGEST);
    }
}
