//! The little of gRPC and protobuf that a cheap client needs: it writes fields, and reads a response's version and nonce
//! as the bytes go by, without keeping the rest.

use anyhow::{Result, bail, ensure};

/// Bytes before each gRPC message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// `version_info` of a DiscoveryResponse, `system_version_info` of a DeltaDiscoveryResponse.
const VERSION: u64 = 1;
/// `nonce` of both.
const NONCE: u64 = 5;
/// Wire types.
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// Appends a length-delimited field: a string, or a message.
pub(super) fn put(into: &mut Vec<u8>, field: u8, value: &[u8]) {
    put_head(into, field, value.len());
    into.extend_from_slice(value);
}

/// Appends all of a length-delimited field but its value.
pub(super) fn put_head(into: &mut Vec<u8>, field: u8, length: usize) {
    into.push(field << 3 | LENGTH_DELIMITED as u8);
    let mut rest = length;
    while rest >= 0x80 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

/// What precedes an uncompressed gRPC message of this length.
pub(super) fn prefix(length: usize) -> [u8; PREFIX] {
    let [a, b, c, d] = u32::try_from(length).expect("a message is shorter than 4 GB").to_be_bytes();
    [0, a, b, c, d]
}

/// What an acknowledgement needs of a response.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) version: Vec<u8>,
    pub(super) nonce: Vec<u8>,
    /// Length of the whole message, in bytes.
    pub(super) length: usize,
}

/// Reads responses from a stream of chunks that are cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Reader {
    at: At,
    /// Bytes of the message that have not come yet.
    left: usize,
    response: Response,
}

#[derive(Debug)]
enum At {
    Prefix(usize, [u8; PREFIX]),
    Key(Varint),
    /// The length of this field.
    Length(u64, Varint),
    /// The bytes of this field, and how many are still to come.
    Value(u64, usize),
    /// A number, which is of no interest.
    Number,
}

impl Default for At {
    fn default() -> Self {
        Self::Prefix(0, [0; PREFIX])
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Varint {
    value: u64,
    bits: u32,
}

impl Varint {
    /// The number, when this was its last byte.
    fn push(&mut self, byte: u8) -> Option<u64> {
        self.value |= u64::from(byte & 0x7f).checked_shl(self.bits).unwrap_or_default();
        self.bits += 7;
        (byte & 0x80 == 0).then_some(self.value)
    }
}

impl Reader {
    /// Reads to the end of the chunk, or to that of the response in it; call again with what is left of the chunk.
    ///
    /// # Errors
    /// When it is compressed, or no protobuf.
    pub(super) fn read(&mut self, chunk: &mut &[u8]) -> Result<Option<Response>> {
        while let Some((&byte, rest)) = chunk.split_first() {
            if let At::Prefix(had, prefix) = &mut self.at {
                *chunk = rest;
                prefix[*had] = byte;
                *had += 1;
                if *had < PREFIX {
                    continue;
                }
                let [compressed, a, b, c, d] = *prefix;
                ensure!(compressed == 0, "a compressed response, which the client did not offer to take");
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                self.response.length = self.left;
                self.at = At::Key(Varint::default());
            } else {
                let taken = self.step(chunk)?;
                ensure!(taken <= self.left, "a field is longer than its message");
                self.left -= taken;
                *chunk = &chunk[taken..];
            }
            if self.left == 0 {
                self.at = At::default();
                return Ok(Some(std::mem::take(&mut self.response)));
            }
        }
        Ok(None)
    }

    /// Takes some bytes of a message; how many.
    fn step(&mut self, chunk: &[u8]) -> Result<usize> {
        let byte = chunk[0];
        match &mut self.at {
            At::Prefix(..) => bail!("the prefix is no part of a message"),
            At::Key(key) => {
                if let Some(key) = key.push(byte) {
                    self.at = match (key >> 3, key & 7) {
                        (field, LENGTH_DELIMITED) => At::Length(field, Varint::default()),
                        (_, VARINT) => At::Number,
                        (field, wire_type) => bail!("field {field} of a response has the wire type {wire_type}"),
                    };
                }
                Ok(1)
            }
            At::Number => {
                if byte & 0x80 == 0 {
                    self.at = At::Key(Varint::default());
                }
                Ok(1)
            }
            At::Length(field, length) => {
                let field = *field;
                if let Some(length) = length.push(byte) {
                    self.at = Self::value(field, usize::try_from(length)?);
                }
                Ok(1)
            }
            At::Value(field, left) => {
                let (field, taken) = (*field, chunk.len().min(*left));
                match field {
                    VERSION => self.response.version.extend_from_slice(&chunk[..taken]),
                    NONCE => self.response.nonce.extend_from_slice(&chunk[..taken]),
                    _ => {}
                }
                self.at = Self::value(field, *left - taken);
                Ok(taken)
            }
        }
    }

    fn value(field: u64, left: usize) -> At {
        if left == 0 { At::Key(Varint::default()) } else { At::Value(field, left) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(version: &str, resource: &[u8], nonce: &str) -> Vec<u8> {
        let mut message = Vec::new();
        put(&mut message, 1, version.as_bytes());
        put(&mut message, 2, resource);
        message.extend_from_slice(&[3 << 3, 0x81, 0x01]);
        put(&mut message, 4, b"");
        put(&mut message, 5, nonce.as_bytes());
        message
    }

    fn read(bytes: &[u8], chunk: usize) -> Result<Vec<Response>> {
        let (mut reader, mut found) = (Reader::default(), Vec::new());
        for mut chunk in bytes.chunks(chunk) {
            while let Some(response) = reader.read(&mut chunk)? {
                found.push(response);
            }
        }
        Ok(found)
    }

    #[test]
    fn responses_are_read_however_they_are_cut() {
        let messages = [response("v1", &[7; 300], "n1"), response("", &[], "n2"), Vec::new()];
        let bytes: Vec<u8> = messages.iter().flat_map(|m| [prefix(m.len()).to_vec(), m.clone()].concat()).collect();
        let expected: Vec<Response> = [("v1", "n1"), ("", "n2"), ("", "")]
            .iter()
            .zip(&messages)
            .map(|((v, n), m)| Response { version: (*v).into(), nonce: (*n).into(), length: m.len() })
            .collect();
        for chunk in [1, 2, 7, 100, 10_000] {
            assert_eq!(read(&bytes, chunk).expect("responses"), expected, "chunks of {chunk}");
        }
        assert_eq!(read(&bytes[..bytes.len() - 6], 3).expect("responses").len(), 1, "an unfinished one is none");
    }

    #[test]
    fn what_is_no_response_is_refused() {
        for (bytes, word) in [
            (&[1, 0, 0, 0, 1, 0][..], "compressed"),
            (&[0, 0, 0, 0, 2, 2 << 3 | 1, 0], "wire type 1"),
            (&[0, 0, 0, 0, 3, 2 << 3 | 2, 9, 0, 0, 0], "longer than its message"),
        ] {
            let text = read(bytes, 100).expect_err("no response").to_string();
            assert!(text.contains(word), "{text}");
        }
    }
}
