//! Whom a client trusts.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use rustls::crypto::ring;
use rustls::{RootCertStore, ServerConfig};
use serin::http::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn only_those_with_a_certificate_that_is_trusted_are_told_anything() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], signing_key.into())
        .expect("a key that fits");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free address");
    let port = socket.local_addr().expect("bound").port();
    let server = tokio::spawn(async move {
        loop {
            let (connection, _) = socket.accept().await.expect("a caller");
            let Ok(mut connection) = acceptor.accept(connection).await else { continue };
            let _ = connection.read(&mut [0; 4096]).await.expect("a request");
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes").await.expect("read");
        }
    });
    let url = format!("https://localhost:{port}/");
    let post = async |client: &Client| client.post(&url, HeaderMap::new(), "{}".into(), Duration::from_secs(60)).await;

    let said = post(&Client::new()).await.expect_err("nobody has signed it");
    assert!(said.starts_with("its certificate is not one that we trust: "), "{said}");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a certificate");
    assert_eq!(post(&Client::trusting(roots)).await, Ok("yes".into()));
    server.abort();
}
