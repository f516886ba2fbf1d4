//! A stream with its two buffers: what came and is not read, what is said and not sent.
//!
//! Replies gather until nothing more can be read without waiting, so a pipelined batch is
//! answered with one write (RFC 2920 §3.2). Going over to TLS consumes the plain wire, and only
//! one with nothing in its buffer can be consumed.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// One side's end of a conversation.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    /// What came and is not read.
    pub input: BytesMut,
    /// What is said and not sent.
    pub output: Vec<u8>,
}

/// There was input where there may be none.
#[derive(Debug)]
pub struct Pipelined<S>(pub Wire<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A wire with empty buffers.
    pub fn new(stream: S) -> Self {
        Self { stream, input: BytesMut::new(), output: Vec::new() }
    }

    /// Waits for more input, up to `size` octets; the end of the stream is an error.
    pub async fn fill(&mut self, size: usize) -> io::Result<()> {
        if self.input.is_empty() && self.input.capacity() > 2 * size {
            // A connection that waits for a command keeps no buffer of a message.
            self.input = BytesMut::new();
        }
        self.input.reserve(size);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Sends what is said, in one write.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        self.stream.write_all(&output).await?;
        self.stream.flush().await
    }

    /// Tells the peer that nothing more comes.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// The stream itself, if the peer has waited for us. RFC 3207 §4.2.
    pub fn into_bare(self) -> Result<S, Pipelined<S>> {
        if self.input.is_empty() && self.output.is_empty() { Ok(self.stream) } else { Err(Pipelined(self)) }
    }

    /// The stream, to look at.
    pub const fn stream(&self) -> &S {
        &self.stream
    }
}
