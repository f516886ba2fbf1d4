//! Octets to a client in constant memory: a piece is read off the I/O threads only when the one before is gone.

use std::io::{self, Read};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

use crate::net::peers::Seat;

/// A body of exactly so many octets, in its place until the end. An error in the middle ends the connection: never a short success.
pub fn body(content: Box<dyn Read + Send>, length: u64, seat: Seat) -> Body {
    Body::from_stream(stream::try_unfold((content, length, FIRST, seat), |(content, left, most, seat)| async move {
        if left == 0 {
            return Ok(None);
        }
        let (piece, content) = tokio::task::spawn_blocking(move || read(content, left.min(most))).await.map_err(io::Error::other)??;
        let left = left - piece.len() as u64;
        Ok::<_, io::Error>(Some((piece, (content, left, PIECE, seat))))
    }))
}

fn read(mut content: Box<dyn Read + Send>, wanted: u64) -> io::Result<(Bytes, Box<dyn Read + Send>)> {
    let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
    content.by_ref().take(wanted).read_to_end(&mut piece)?;
    if piece.len() as u64 != wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((Bytes::from(piece), content))
}

/// Soon there, even where it is made of many small files: a reader who sees nothing presses again.
const FIRST: u64 = 4 << 10;
/// Four chunks of the sealed format.
const PIECE: u64 = 256 << 10;
