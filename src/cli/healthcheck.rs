//! `serin healthcheck`: for containers that hold nothing but this binary.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::failure::Failure;
use super::text::{on_one_line, parse_duration};

/// Ask a server whether it is ready
///
/// Exits with 0 if /readyz answers 200, otherwise with 1 and the reason. Meant for the health check of a container.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example (Dockerfile):\n  HEALTHCHECK CMD [\"serin\", \"healthcheck\"]\n\n\
                        Example:\n  serin healthcheck --http 10.0.0.7:18002")]
pub(super) struct Args {
    /// The server's --http; one that it binds to all addresses is asked on the loopback
    #[arg(long, value_name = "ADDR", env = "SERIN_HTTP", default_value = "127.0.0.1:18002")]
    http: SocketAddr,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    timeout: Duration,
}

/// More than any answer of `/readyz`.
const LONGEST: u64 = 64 * 1024;

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let address = reachable(args.http);
    let answer = tokio::time::timeout(args.timeout, ask(address));
    let answer = answer.await.with_context(|| format!("http://{address}/readyz did not answer in time"))??;
    match status(&answer) {
        Some(200) => Ok(()),
        Some(code) => Err(anyhow::anyhow!("not ready ({code}): {}", on_one_line(body(&answer))).into()),
        None => Err(anyhow::anyhow!("http://{address}/readyz does not speak HTTP").into()),
    }
}

/// Nobody can connect to "all addresses".
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("http://{address}/readyz"))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The code in `HTTP/1.1 200 OK`.
fn status(answer: &str) -> Option<u16> {
    let (version, rest) = answer.lines().next()?.split_once(' ')?;
    version.strip_prefix("HTTP/1.")?;
    rest.split(' ').next()?.parse().ok()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        for (answer, code, text) in [
            ("HTTP/1.1 200 OK\r\n\r\nok", Some(200), "ok"),
            ("HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\nspecs: not read", Some(503), "specs: not read"),
            ("HTTP/1.1 200", Some(200), ""),
            ("SSH-2.0-x", None, ""),
            ("HTTP/1.1 ok\r\n", None, ""),
            ("", None, ""),
        ] {
            assert_eq!((status(answer), body(answer)), (code, text), "{answer}");
        }
    }

    #[test]
    fn all_addresses_are_asked_on_the_loopback() {
        for (bound, asked) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.7:1", "10.0.0.7:1")] {
            assert_eq!(reachable(bound.parse().expect("an address")), asked.parse().expect("an address"));
        }
    }
}
