//! A body that a blocking thread writes while a client reads it: a bounded pipe between them.
//!
//! The writer waits for the reader, but not for ever: one that takes nothing for [`STALLED`] is cut
//! off, so that no thread is held by a client that does not read.

use std::io::{Error, ErrorKind, Write};
use std::time::Duration;

use actix_web::web::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

/// Octets that are handed over at once.
const CHUNK: usize = 32 << 10;
/// Chunks between writer and reader.
const CHUNKS: usize = 4;
/// A reader that takes nothing for so long is cut off.
const STALLED: Duration = Duration::from_secs(30);

/// The writing end, for a thread that may block.
pub(super) struct PipeWriter {
    runtime: Handle,
    buffer: BytesMut,
    chunks: Sender<Result<Bytes, Error>>,
    patience: Duration,
}

/// Makes a pipe. Must be called inside a runtime; the writing end goes to a blocking thread.
pub(super) fn pipe() -> (PipeWriter, impl Stream<Item = Result<Bytes, Error>>) {
    patient(STALLED)
}

fn patient(patience: Duration) -> (PipeWriter, impl Stream<Item = Result<Bytes, Error>>) {
    let (sender, receiver) = channel(CHUNKS);
    let writer = PipeWriter {
        runtime: Handle::current(),
        buffer: BytesMut::new(),
        chunks: sender,
        patience,
    };
    (writer, stream(receiver))
}

fn stream(receiver: Receiver<Result<Bytes, Error>>) -> impl Stream<Item = Result<Bytes, Error>> {
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    })
}

/// Breaks a body off, so that the client sees that it is not whole.
pub(super) struct Breaker {
    chunks: Sender<Result<Bytes, Error>>,
}

impl Breaker {
    /// The body ends with an error.
    pub(super) async fn break_off(self, error: &dyn std::fmt::Display) {
        let error = Err(Error::other(error.to_string()));
        // Where the client has gone or reads nothing, nobody is left to be told.
        let _ = timeout(STALLED, self.chunks.send(error)).await;
    }
}

impl PipeWriter {
    /// What breaks the body off, whoever has the writer then. The body ends when both are dropped.
    pub(super) fn breaker(&self) -> Breaker {
        Breaker {
            chunks: self.chunks.clone(),
        }
    }

    fn send(&self, chunk: Bytes) -> Result<(), Error> {
        let sent = timeout(self.patience, self.chunks.send(Ok(chunk)));
        match self.runtime.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::new(ErrorKind::BrokenPipe, "the client has gone")),
            Err(_) => Err(Error::new(ErrorKind::TimedOut, "the client reads nothing")),
        }
    }
}

impl Write for PipeWriter {
    fn write(&mut self, octets: &[u8]) -> Result<usize, Error> {
        self.buffer.extend_from_slice(octets);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = self.buffer.split().freeze();
        self.send(chunk)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[actix::test]
    async fn what_is_written_comes_out_whole_and_in_order() {
        let (mut writer, body) = pipe();
        let writing = tokio::task::spawn_blocking(move || {
            for number in 0..20_000u32 {
                writer.write_all(&number.to_be_bytes())?;
            }
            writer.flush()
        });
        let mut body = Box::pin(body);
        let mut whole = Vec::new();
        while let Some(chunk) = body.next().await {
            whole.extend_from_slice(&chunk.unwrap());
        }
        writing.await.unwrap().unwrap();
        let want: Vec<u8> = (0..20_000u32).flat_map(u32::to_be_bytes).collect();
        assert!(whole == want);
    }

    #[actix::test]
    async fn a_client_that_has_gone_ends_the_writer() {
        let (mut writer, body) = pipe();
        drop(body);
        let written = tokio::task::spawn_blocking(move || writer.write_all(&[0; CHUNK]));
        let error = written.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    #[actix::test]
    async fn a_client_that_reads_nothing_is_cut_off() {
        let (mut writer, body) = patient(Duration::from_millis(20));
        let written = tokio::task::spawn_blocking(move || {
            writer.write_all(&vec![0; CHUNK * (CHUNKS + 1)])?;
            (0..=CHUNKS).try_for_each(|_| writer.write_all(&[0; CHUNK]))
        });
        let error = written.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(body);
    }

    #[actix::test]
    async fn a_body_that_breaks_off_says_so() {
        let (writer, body) = pipe();
        let breaker = writer.breaker();
        drop(writer);
        breaker.break_off(&"the disk is gone").await;
        let mut body = Box::pin(body);
        assert!(body.next().await.unwrap().is_err());
        assert!(body.next().await.is_none());
    }
}
