//! Whether anything moves on a connection.
//!
//! In HTTP/2 a client that takes nothing need not be silent: it may hold its windows at zero and answer every PING. So
//! what counts is not octets on the wire but requests that come and pieces of answers that are taken.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

/// Of one connection.
#[derive(Clone)]
pub struct Pulse(Arc<Mutex<Beat>>);

struct Beat {
    /// Requests that have come and are not answered to the end.
    answering: usize,
    moved: Instant,
}

/// How long nothing may move.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// While there is nothing to answer.
    pub idle: Duration,
    /// While there is.
    pub stalled: Duration,
}

/// What a connection does when nothing has moved for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Its client asks for nothing.
    Idle,
    /// Its client asked and does not take.
    Stalled,
}

impl Pulse {
    /// It begins to beat now.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Beat { answering: 0, moved: Instant::now() })))
    }

    /// Something moved.
    pub fn beat(&self) {
        self.lock().moved = Instant::now();
    }

    /// A request has come.
    pub fn answer(&self) -> Answering {
        let mut beat = self.lock();
        beat.answering += 1;
        beat.moved = Instant::now();
        drop(beat);
        Answering(self.clone())
    }

    /// Waits until nothing has moved for too long.
    pub async fn rests(&self, patience: Patience) -> Rest {
        loop {
            let (rest, until) = self.ends(patience);
            if until <= Instant::now() {
                return rest;
            }
            sleep_until(until).await;
        }
    }

    fn ends(&self, patience: Patience) -> (Rest, Instant) {
        let beat = self.lock();
        match beat.answering {
            0 => (Rest::Idle, beat.moved + patience.idle),
            _ => (Rest::Stalled, beat.moved + patience.stalled),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
pub struct Answering(Pulse);

impl Answering {
    /// The answer's body, each piece of which is noticed when it is taken.
    pub fn watch(self, body: Body) -> Body {
        Body::new(Watched { body, piece: Bytes::new(), answering: self })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut beat = self.0.lock();
        beat.answering = beat.answering.saturating_sub(1);
        beat.moved = Instant::now();
    }
}

struct Watched {
    body: Body,
    piece: Bytes,
    answering: Answering,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.piece.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => self.piece = piece,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        self.answering.0.beat();
        let octets = PIECE.min(self.piece.len());
        Poll::Ready(Some(Ok(Frame::data(self.piece.split_to(octets)))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, waiting) = (self.body.size_hint(), self.piece.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(waiting));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(waiting));
        }
        hint
    }
}

/// A client that takes less than this in the time that it has is one that stalls. Also what a stalled
/// answer has in the buffers at most.
const PIECE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const PATIENCE: Patience = Patience { idle: Duration::from_millis(50), stalled: Duration::from_millis(400) };

    #[tokio::test]
    async fn who_asks_nothing_is_idle_and_who_takes_nothing_stalls() {
        let (pulse, began) = (Pulse::new(), Instant::now());
        assert_eq!(pulse.rests(PATIENCE).await, Rest::Idle);
        assert!(began.elapsed() >= PATIENCE.idle);
        let (answering, began) = (pulse.answer(), Instant::now());
        assert_eq!(pulse.rests(PATIENCE).await, Rest::Stalled);
        assert!(began.elapsed() >= PATIENCE.stalled);
        drop(answering);
        assert_eq!(pulse.rests(PATIENCE).await, Rest::Idle);
    }

    #[tokio::test]
    async fn a_slow_reader_lives_as_long_as_it_takes_pieces() {
        let (pulse, began) = (Pulse::new(), Instant::now());
        let mut body = pulse.answer().watch(Body::from(vec![7; 9 * PIECE]));
        let reading = async {
            let mut octets = 0;
            while let Some(frame) = body.frame().await {
                octets += frame.unwrap().into_data().unwrap().len();
                tokio::time::sleep(PATIENCE.stalled / 8).await;
            }
            octets
        };
        tokio::select! {
            rest = pulse.rests(PATIENCE) => panic!("{rest:?} after {:?}", began.elapsed()),
            octets = reading => assert_eq!(octets, 9 * PIECE),
        }
        assert!(began.elapsed() > PATIENCE.stalled);
    }

    #[tokio::test]
    async fn a_body_is_the_same_octets_and_the_same_length() {
        for length in [0, 1, PIECE, PIECE + 1, 100_000] {
            let octets: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let body = Pulse::new().answer().watch(Body::from(octets.clone()));
            assert_eq!(body.size_hint().exact(), Some(length as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes(), octets);
        }
    }
}
