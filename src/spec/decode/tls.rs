//! Certificates and keys, by their paths on the proxy's machine.

use crate::model::{DownstreamTls, KeyPair};
use crate::spec::reader::{At, Fields, Reader};
use crate::spec::value;

const PAIR: &str = "write `{certificate: /etc/envoy/tls.crt, key: /etc/envoy/tls.key}`: files of the proxy's machine";
const FILE: &str = "write the path of a file (PEM) on the proxy's machine";

/// A certificate and its key.
pub(super) fn key_pair(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<KeyPair> {
    let mut fields = reader.map(at, PAIR)?;
    let pair = Pair::of(&mut fields);
    fields.finish(reader, &[]);
    pair.read(reader)
}

/// What a listener shows, and asks for.
pub(super) fn downstream(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<DownstreamTls> {
    let mut fields = reader.map(at, PAIR)?;
    let pair = Pair::of(&mut fields);
    let client_ca = fields.optional("clientCA");
    fields.finish(reader, &[]);
    let client_ca = client_ca.and_then(|at| reader.parse(&at, FILE, value::printable));
    Some(DownstreamTls { key_pair: pair.read(reader)?, client_ca })
}

struct Pair<'t> {
    certificate: Option<At<'t>>,
    key: Option<At<'t>>,
}

impl<'t> Pair<'t> {
    fn of(fields: &mut Fields<'t>) -> Self {
        Self { certificate: fields.required("certificate", PAIR), key: fields.required("key", PAIR) }
    }

    fn read(self, reader: &mut Reader<'_, '_>) -> Option<KeyPair> {
        let certificate = self.certificate.and_then(|at| reader.parse(&at, FILE, value::printable));
        let key = self.key.and_then(|at| reader.parse(&at, FILE, value::printable));
        Some(KeyPair { certificate: certificate?, key: key? })
    }
}
