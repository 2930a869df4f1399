//! PURE: how whoever is called can tell that it was this server, and when.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header that a signature is sent in.
pub const HEADER: &str = "serin-signature";

/// `t=<seconds>,v1=<hex>`, where hex is the HMAC-SHA256 of `<seconds>.<body>`. That is Stripe's scheme (signature
/// verification in <https://docs.stripe.com/webhooks>): the time is signed too, so that an old request cannot be sent
/// again, and libraries that check it are everywhere.
pub fn sign(secret: &[u8], unix_seconds: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(format!("{unix_seconds}.").as_bytes());
    mac.update(body);
    let mut header = format!("t={unix_seconds},v1=");
    for byte in mac.finalize().into_bytes() {
        write!(header, "{byte:02x}").expect("a string takes all");
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python: `hmac.new(b"whsec", b'1700000000.{"release":"checkout"}', "sha256").hexdigest()`.
    #[test]
    fn it_is_what_others_compute() {
        let signed = sign(b"whsec", 1_700_000_000, br#"{"release":"checkout"}"#);
        assert_eq!(signed, "t=1700000000,v1=d89724113ffcf59aa30db919e403b93be7febcf1fb7988b2ff4b01c5cea976ce");
    }
}
