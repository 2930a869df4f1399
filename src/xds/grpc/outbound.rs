//! What the server says: messages into HTTP/2's data frames, and the status into trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body::Frame;
use tokio_stream::Stream;
use tonic::Status;
use tonic::body::Body;

use super::super::connection::Reader;
use super::{GRPC, PREFIX, refused};

/// Messages up to this size go out in one frame of their own, copied; beyond it, what is shared stays shared.
const SMALL: usize = 4 << 10;
/// What is shared is handed to HTTP/2 in pieces of this size, so that a slow reader is seen to read.
const PIECE: usize = 64 << 10;

/// A protobuf message whose bytes are `head` and then `shared`: its fields may come in any order, so what is the same on
/// all streams is encoded once and what is each stream's own stands before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// This stream's own fields.
    pub head: Bytes,
    /// The fields that many streams share. Not copied when it is large.
    pub shared: Bytes,
}

impl Message {
    /// The first data frame, and what is to follow it.
    fn frames(self) -> Result<(Bytes, Bytes), Status> {
        let Self { head, shared } = self;
        let length = u32::try_from(head.len() + shared.len())
            .map_err(|_| Status::out_of_range("a message is longer than gRPC can say"))?;
        let (own, rest) =
            if head.len() + shared.len() <= SMALL { (&shared[..], Bytes::new()) } else { (&[][..], shared.clone()) };
        let mut first = Vec::with_capacity(PREFIX + head.len() + own.len());
        first.push(0);
        first.extend_from_slice(&length.to_be_bytes());
        first.extend_from_slice(&head);
        first.extend_from_slice(own);
        Ok((first.into(), rest))
    }
}

/// The answer that these messages make; ends with `ok`, or after an error with that status. The messages are asked for
/// one at a time, when HTTP/2 has room. The `reader` is watched for taking them; without one nobody is.
pub fn streaming<S>(messages: S, reader: Option<Reader>) -> Response<Body>
where
    S: Stream<Item = Result<Message, Status>> + Send + 'static,
{
    let outbound = Outbound { messages: Box::pin(messages), reader, rest: Bytes::new(), is_done: false };
    let mut response = Response::new(Body::new(outbound));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// The answer of one message, or of a status alone.
pub fn unary(answer: Result<Message, Status>, reader: Option<Reader>) -> Response<Body> {
    match answer {
        Ok(message) => streaming(tokio_stream::once(Ok(message)), reader),
        Err(status) => refused(status),
    }
}

struct Outbound<S> {
    messages: Pin<Box<S>>,
    reader: Option<Reader>,
    /// What is still to be handed out of the newest message.
    rest: Bytes,
    is_done: bool,
}

impl<S: Stream<Item = Result<Message, Status>>> http_body::Body for Outbound<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        if !self.rest.is_empty() {
            let size = self.rest.len().min(PIECE);
            let piece = self.rest.split_to(size);
            return Poll::Ready(Some(Ok(self.data(piece))));
        }
        let message = ready!(self.messages.as_mut().poll_next(cx)).transpose();
        match message.and_then(|message| message.map(Message::frames).transpose()) {
            Ok(Some((first, rest))) => {
                self.rest = rest;
                Poll::Ready(Some(Ok(self.data(first))))
            }
            Ok(None) => Poll::Ready(Some(Ok(self.end(&Status::ok(""))))),
            Err(status) => Poll::Ready(Some(Ok(self.end(&status)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_done
    }
}

impl<S> Outbound<S> {
    fn data(&mut self, bytes: Bytes) -> Frame<Bytes> {
        Frame::data(match &mut self.reader {
            Some(reader) => reader.hand_out(bytes),
            None => bytes,
        })
    }

    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.is_done = true;
        let mut trailers = HeaderMap::new();
        if let Err(error) = status.add_header(&mut trailers) {
            // The code is among them, for it is written first.
            tracing::debug!(%error, "a status that trailers cannot bear");
        }
        Frame::trailers(trailers)
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;
    use tonic::Code;

    use super::*;

    fn message(head: &[u8], shared: &Bytes) -> Message {
        Message { head: Bytes::copy_from_slice(head), shared: shared.clone() }
    }

    /// All data frames, and the trailers.
    async fn read(mut response: Response<Body>) -> (Vec<Bytes>, HeaderMap) {
        let mut data = Vec::new();
        while let Some(frame) = response.body_mut().frame().await {
            match frame.expect("no frame fails").into_data() {
                Ok(bytes) => data.push(bytes),
                Err(frame) => {
                    assert!(response.body().is_end_stream());
                    return (data, frame.into_trailers().expect("data or trailers"));
                }
            }
        }
        panic!("no trailers came");
    }

    fn concat(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[tokio::test]
    async fn small_messages_are_one_frame_and_large_ones_are_shared() {
        let small = Bytes::from_static(b"shared");
        let large = Bytes::from(vec![9; 100_000]);
        let messages = [message(b"own ", &small), message(b"nonce", &large), message(b"", &Bytes::new())];
        let response = streaming(tokio_stream::iter(messages.map(Ok)), None);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
        let (frames, trailers) = read(response).await;

        assert_eq!(frames[0], concat(&[&[0, 0, 0, 0, 10], b"own shared"]));
        // Of the large one nothing is copied but what is the stream's own.
        assert_eq!(frames[1], concat(&[&[0, 0, 1, 0x86, 0xa5], b"nonce"]));
        assert_eq!(frames[2].as_ptr(), large.as_ptr());
        assert_eq!(frames[3].as_ptr(), large[PIECE..].as_ptr());
        assert_eq!([&frames[2][..], &frames[3][..]].concat(), large);
        assert_eq!(frames[4], [0; PREFIX][..]);
        assert_eq!(frames.len(), 5);
        assert_eq!(trailers["grpc-status"], "0");
    }

    #[tokio::test]
    async fn the_end_is_a_status_that_every_client_can_read() {
        let small = Bytes::from_static(b"x");
        let messages = [Ok(message(b"", &small)), Err(Status::unavailable("böse: 100%")), Ok(message(b"", &small))];
        let (frames, trailers) = read(streaming(tokio_stream::iter(messages), None)).await;
        assert_eq!(frames.len(), 1, "nothing follows an error");
        assert_eq!(trailers["grpc-message"], "b%C3%B6se:%20100%25");
        let status = Status::from_header_map(&trailers).expect("a status");
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "böse: 100%"));
    }

    #[tokio::test]
    async fn one_answer_is_a_message_or_a_status() {
        let (frames, trailers) = read(unary(Ok(message(b"a", &Bytes::from_static(b"b"))), None)).await;
        assert_eq!(frames, [concat(&[&[0, 0, 0, 0, 2], b"ab"])]);
        assert_eq!(trailers["grpc-status"], "0");

        let refusal = unary(Err(Status::not_found("nothing")), None);
        assert_eq!(refusal.headers()["grpc-status"], "5");
        assert_eq!(refusal.headers()[CONTENT_TYPE], "application/grpc");
        assert!(refusal.body().is_end_stream());
    }
}
