//! A browser's socket: its peer must take what is sent to it, and may not send more than browsers do.
//!
//! A flood of frames that ask for nothing (PING, SETTINGS, CVE-2019-9512 and -9515) is cheap to send and dear to read. So each connection
//! has an allowance of octets, which grows with time and with what is sent to it: who downloads at a gigabyte a second
//! may say so as often as he needs.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// A socket with its patience and its allowance.
pub struct Socket {
    stream: TcpStream,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    allowance: Allowance,
}

impl Socket {
    /// Over a stream whose peer has to take something within `patience`.
    pub fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, patience, stalled: None, allowance: Allowance::new() }
    }

    /// Lets a write that waits run out of time.
    fn watch(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = polled {
            self.stalled = None;
            self.allowance.earn(*written.as_ref().unwrap_or(&0));
            return Poll::Ready(written);
        }
        let patience = self.patience;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.allowance.poll(cx));
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.allowance.spend(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.watch(cx, polled)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.watch(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // A TCP socket has nothing to flush, and shuts down without waiting.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What may still be read; below nothing after a large read.
struct Allowance {
    octets: i64,
    counted: Instant,
    waits: Option<Pin<Box<Sleep>>>,
}

impl Allowance {
    fn new() -> Self {
        Self { octets: MOST, counted: Instant::now(), waits: None }
    }

    /// Whether something may be read now.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(waits) = &mut self.waits {
                ready!(waits.as_mut().poll(cx));
                self.waits = None;
            }
            let milliseconds = i64::try_from(self.counted.elapsed().as_millis()).unwrap_or(i64::MAX);
            if milliseconds > 0 {
                self.counted = Instant::now();
                self.octets = self.octets.saturating_add(milliseconds.saturating_mul(A_MILLISECOND)).min(MOST);
            }
            if self.octets > 0 {
                return Poll::Ready(());
            }
            self.waits = Some(Box::pin(sleep(PAUSE)));
        }
    }

    fn spend(&mut self, octets: usize) {
        self.octets = self.octets.saturating_sub(i64::try_from(octets).unwrap_or(i64::MAX));
    }

    fn earn(&mut self, written: usize) {
        self.octets = self.octets.saturating_add(i64::try_from(written / WRITTEN_FOR_ONE).unwrap_or_default()).min(MOST);
    }
}

/// Octets: the largest form with its header, and a handshake.
const MOST: i64 = 128 << 10;
/// Octets: 64 KiB a second, of which a person uses a hundredth.
const A_MILLISECOND: i64 = 64;
/// A client says with 13 octets that it took 4 KiB or more.
const WRITTEN_FOR_ONE: usize = 64;
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (Socket::new(accepted.unwrap().0, Duration::from_millis(200)), client.unwrap())
    }

    #[tokio::test]
    async fn a_flood_is_read_no_faster_than_forms_come() {
        let (mut socket, mut client) = pair().await;
        tokio::spawn(async move { while client.write_all(&[0; 65_536]).await.is_ok() {} });
        let (began, mut read, mut buffer) = (Instant::now(), 0, [0; 4096]);
        while began.elapsed() < Duration::from_millis(600) {
            read += tokio::time::timeout(Duration::from_secs(1), socket.read(&mut buffer)).await.unwrap().unwrap();
        }
        let allowed = MOST + (began.elapsed().as_millis() as i64 + 50) * A_MILLISECOND + 4096;
        assert!(read as i64 <= allowed && read as i64 >= MOST, "{read} of {allowed}");
    }

    #[tokio::test]
    async fn who_is_sent_much_may_say_much() {
        let (mut socket, mut client) = pair().await;
        let (mut ours, mut theirs) = (vec![7; 1 << 20], vec![0; 1 << 20]);
        let began = Instant::now();
        for _ in 0..32 {
            // 16 KiB of acknowledgements for a megabyte, four times what the clock alone would give.
            let (sent, _) = tokio::join!(socket.write_all(&ours), client.read_exact(&mut theirs));
            sent.unwrap();
            client.write_all(&[0; 16 << 10]).await.unwrap();
            socket.read_exact(&mut ours[..16 << 10]).await.unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn who_takes_nothing_is_left() {
        let (mut socket, _client) = pair().await;
        let octets = vec![7; 64 << 20];
        assert_eq!(socket.write_all(&octets).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
