//! The fields of an encoded message, one after the other, without copying any. PURE.
//!
//! Reads what the protobuf encoding's specification calls records; groups, which no message of Envoy's has, are refused.

/// Bytes that are no message, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number of variable length.
    Varint(u64),
    /// A text, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four or eight bytes.
    Fixed(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(super) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Bytes(_) | Self::Fixed(_) => Err(Malformed("a number is not encoded as one")),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed(_) => Err(Malformed("a message is not encoded as one")),
        }
    }

    pub(super) fn double(self) -> Result<f64, Malformed> {
        let Self::Fixed(bytes) = self else { return Err(NO_DOUBLE) };
        bytes.try_into().map(f64::from_le_bytes).map_err(|_| NO_DOUBLE)
    }

    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }
}

/// Numbers and values of the fields. Nothing follows an error.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline(always)]
    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = self.varint()?;
        let number = (key >> 3) as u32;
        if !(1 << 3..1 << 32).contains(&key) {
            return Err(Malformed("a field has no number that a field can have"));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.fixed(8)?,
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            5 => self.fixed(4)?,
            _ => return Err(Malformed("a field is of a kind that is not known")),
        };
        Ok((number, value))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        // Nearly all have one byte.
        match self.rest {
            [byte @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for at in 0..self.rest.len().min(10) {
            let byte = self.rest[at];
            if at == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { CUT } else { Malformed("a number has more than 64 bits") })
    }

    #[inline]
    fn fixed(&mut self, length: usize) -> Result<Value<'a>, Malformed> {
        self.take(length).map(Value::Fixed)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT)?;
        self.rest = rest;
        Ok(taken)
    }
}

const CUT: Malformed = Malformed("it ends within a field");
const NO_DOUBLE: Malformed = Malformed("a number is not encoded as one of 64 bits with a point");

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}
