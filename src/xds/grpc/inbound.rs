//! What the peer says: messages out of HTTP/2's data frames.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Buf, Bytes};
use http_body::Body as _;
use tonic::body::Body;
use tonic::{Code, Status};

use super::PREFIX;

/// How many times as large as what came of a message the buffer for it may be: few are then moved while they come.
const TRUSTED: usize = 8;

/// The messages of a request, one after the other. Between two of them it holds no buffer.
#[derive(Debug)]
pub struct Inbound {
    body: Body,
    limit: usize,
    /// What was not looked at yet of the newest data frame. Empty while the next one is waited for.
    frame: Bytes,
    /// A message that has begun, from its prefix on. Empty when there is none. Grows with what came, up to
    /// [`TRUSTED`] times as large, not with what was announced.
    partial: Vec<u8>,
}

impl Inbound {
    /// Reads messages of at most `limit` bytes.
    pub fn new(body: Body, limit: usize) -> Self {
        Self { body, limit, frame: Bytes::new(), partial: Vec::new() }
    }

    /// The next message; `None` when the peer has ended its half of the stream, or cancelled the whole. Nothing is lost
    /// when the future is dropped.
    ///
    /// The message may be a slice of a larger buffer: decode it and let it go.
    ///
    /// # Errors
    /// When the message is compressed or longer than the limit, when the stream ends within one, or breaks. No message
    /// follows an error.
    pub async fn message(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await {
                // Trailers of a request say nothing.
                Some(Ok(frame)) => self.frame = frame.into_data().unwrap_or_default(),
                Some(Err(status)) if status.code() == Code::Cancelled => {
                    (self.body, self.partial) = (Body::empty(), Vec::new());
                }
                Some(Err(status)) => return Err(status),
                None if self.partial.is_empty() => {
                    self.body = Body::empty();
                    return Ok(None);
                }
                None => return Err(self.broken_off()),
            }
        }
    }

    /// A message that is there as a whole. If there is none, all of the frame is in `partial`.
    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        if self.partial.is_empty()
            && let Some(end) = self.end(&self.frame)?
            && end <= self.frame.len()
        {
            return Ok(Some(without_prefix(self.frame.split_to(end))));
        }
        while !self.frame.is_empty() {
            let end = self.end(&self.partial)?.unwrap_or(PREFIX);
            let more = self.frame.split_to(self.frame.len().min(end - self.partial.len()));
            if self.partial.capacity() - self.partial.len() < more.len() {
                let trusted = (self.partial.len() + more.len()).saturating_mul(TRUSTED);
                self.partial.reserve_exact(end.min(trusted) - self.partial.len());
            }
            self.partial.extend_from_slice(&more);
            if self.end(&self.partial)? == Some(self.partial.len()) {
                return Ok(Some(without_prefix(std::mem::take(&mut self.partial).into())));
            }
        }
        Ok(None)
    }

    /// Where the message ends that begins these bytes, once its prefix is there.
    fn end(&self, begun: &[u8]) -> Result<Option<usize>, Status> {
        let Some(&[compressed, a, b, c, d]) = begun.first_chunk::<PREFIX>() else { return Ok(None) };
        if compressed != 0 {
            return Err(Status::unimplemented("a message is compressed: only plain ones are understood"));
        }
        let length = u32::from_be_bytes([a, b, c, d]);
        match usize::try_from(length) {
            Ok(length) if length <= self.limit => Ok(Some(PREFIX + length)),
            Ok(_) | Err(_) => {
                let text = format!("a message of {length} bytes: at most {} are taken", self.limit);
                Err(Status::resource_exhausted(text))
            }
        }
    }

    fn broken_off(&self) -> Status {
        let has = self.partial.len();
        let of = match self.end(&self.partial) {
            Ok(Some(end)) => format!("{} of {} bytes came", has - PREFIX, end - PREFIX),
            Ok(None) | Err(_) => format!("{has} bytes of its prefix came"),
        };
        Status::internal(format!("the stream ended in the middle of a message: {of}"))
    }
}

fn without_prefix(mut framed: Bytes) -> Bytes {
    framed.advance(PREFIX);
    framed
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, Status>>;

    fn inbound(limit: usize) -> (Frames, Inbound) {
        let (frames, body) = mpsc::unbounded_channel();
        (frames, Inbound::new(Body::new(StreamBody::new(UnboundedReceiverStream::new(body))), limit))
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("a short message");
        [&[0][..], &length.to_be_bytes(), message].concat()
    }

    fn data(frames: &Frames, bytes: &[u8]) {
        frames.send(Ok(Frame::data(Bytes::copy_from_slice(bytes)))).expect("the body is there");
    }

    /// What there is without waiting.
    fn ready(inbound: &mut Inbound) -> Option<Result<Option<Bytes>, Status>> {
        // A future per question, dropped if it waits: what `select!` does.
        match std::pin::pin!(inbound.message()).poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(message) => Some(message),
            std::task::Poll::Pending => None,
        }
    }

    fn held(inbound: &Inbound) -> (usize, usize) {
        (inbound.frame.len(), inbound.partial.capacity())
    }

    proptest! {
        #[test]
        fn messages_are_the_same_however_they_are_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(0_usize..30, 1..40),
        ) {
            let (frames, mut inbound) = inbound(40);
            let wire: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
            let mut rest = &wire[..];
            let mut read = Vec::new();
            for cut in cuts.iter().cycle().take(wire.len() + cuts.len()) {
                let (frame, after) = rest.split_at((*cut).min(rest.len()));
                rest = after;
                data(&frames, frame);
                while let Some(message) = ready(&mut inbound) {
                    read.push(message.expect("sound").expect("not at its end").to_vec());
                }
                prop_assert!(inbound.frame.is_empty(), "a frame is held while the next is waited for");
            }
            data(&frames, rest);
            frames.send(Ok(Frame::trailers(HeaderMap::new()))).expect("the body is there");
            drop(frames);
            while let Some(message) = ready(&mut inbound).expect("all is there").expect("sound") {
                read.push(message.to_vec());
            }
            prop_assert_eq!(read, messages);
            prop_assert_eq!(held(&inbound), (0, 0));
            prop_assert!(matches!(ready(&mut inbound), Some(Ok(None))), "the end is the end");
        }
    }

    #[test]
    fn a_message_in_one_frame_is_not_copied_and_one_in_several_is_not_kept() {
        let (frames, mut inbound) = inbound(1 << 20);
        let wire = Bytes::from(framed(&[7; 60_000]));
        frames.send(Ok(Frame::data(wire.clone()))).expect("the body is there");
        let message = ready(&mut inbound).expect("there").expect("sound").expect("a message");
        assert_eq!(message.as_ptr(), wire[PREFIX..].as_ptr());
        drop(message);
        assert!(wire.is_unique(), "the frame is kept");

        for part in wire.chunks(16_384) {
            assert!(held(&inbound).1 <= wire.len(), "more is held than the message needs");
            data(&frames, part);
            if part.len() == 16_384 {
                assert!(ready(&mut inbound).is_none());
            }
        }
        assert_eq!(ready(&mut inbound).expect("there").expect("sound").expect("a message"), [7; 60_000][..]);
        assert!(ready(&mut inbound).is_none());
        assert_eq!(held(&inbound), (0, 0));
    }

    #[test]
    fn what_cannot_be_understood_is_said() {
        for (bytes, ends, code, text) in [
            (vec![1, 0, 0, 0, 0], false, Code::Unimplemented, "compressed"),
            (
                framed(&[0; 101])[..PREFIX].to_vec(),
                false,
                Code::ResourceExhausted,
                "a message of 101 bytes: at most 100",
            ),
            (framed(&[0; 9])[..8].to_vec(), true, Code::Internal, "3 of 9 bytes came"),
            (vec![0, 0], true, Code::Internal, "2 bytes of its prefix"),
        ] {
            let (frames, mut inbound) = inbound(100);
            data(&frames, &bytes);
            if ends {
                drop(frames);
            }
            let status = ready(&mut inbound).expect("an answer").expect_err("an error");
            assert_eq!(status.code(), code, "{status}");
            assert!(status.message().contains(text), "{status}");
        }
    }

    #[test]
    fn a_cancelled_stream_is_at_its_end_and_a_broken_one_is_not() {
        for (status, expected) in
            [(Status::cancelled("gone"), Ok(None)), (Status::unknown("broken"), Err(Code::Unknown))]
        {
            let (frames, mut inbound) = inbound(100);
            data(&frames, &framed(b"begun")[..7]);
            frames.send(Err(status)).expect("the body is there");
            assert_eq!(ready(&mut inbound).expect("an answer").map_err(|status| status.code()), expected);
        }
    }
}
