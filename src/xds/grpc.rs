//! SHELL: gRPC over an HTTP/2 body, for streams that live long, say little, and are many.
//!
//! tonic's generated services keep each stream's encode buffer at its largest and encode every message once a stream.
//! Here a message may end in bytes that all streams share, and an idle stream holds no buffer at all: [`Inbound`] frees
//! its own with each message, [`Message`]s are handed to HTTP/2 in pieces that are dropped once they are written.
//!
//! Knows framing only: what the messages mean, and who may say them, is decided by the service that is [`mount`]ed.

mod inbound;
mod outbound;

use std::convert::Infallible;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Service, ServiceExt};

pub use inbound::Inbound;
pub use outbound::{Message, streaming, unary};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Serves all methods of several gRPC services (by their full names) with one service of raw requests, beside whatever
/// `routes` has already. The last part of the path is the method. Give the result to `tonic::transport::Server`'s
/// `add_routes`: all of its settings are in force, `grpc-timeout` too.
pub fn mount<S>(routes: Routes, services: &[&str], service: S) -> Routes
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let service = service.map_request(|request: Request<axum::body::Body>| request.map(Body::new));
    let router = services.iter().fold(routes.into_axum_router(), |router, name| {
        router.route_service(&format!("/{name}/{{method}}"), service.clone())
    });
    router.into()
}

/// Whether this is a call that can be understood: POST, protobuf in gRPC, not compressed.
///
/// # Errors
/// The answer to give otherwise: HTTP's own where the caller does not speak gRPC (as its specification, "gRPC over
/// HTTP2", wants it), else `unimplemented`.
pub fn check<B>(request: &Request<B>) -> Result<(), Box<Response<Body>>> {
    if request.method() != Method::POST {
        let mut answer = http_error(StatusCode::METHOD_NOT_ALLOWED);
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(answer);
    }
    let content = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_grpc = content
        .strip_prefix("application/grpc")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("+proto") || rest.starts_with(';'));
    if !is_grpc {
        return Err(http_error(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    match request.headers().get(ENCODING) {
        Some(encoding) if encoding != IDENTITY => {
            let status = Status::unimplemented(format!("messages in {encoding:?} are not understood: send identity"));
            let mut answer = refused(status);
            answer.headers_mut().insert(ACCEPT_ENCODING, IDENTITY);
            Err(Box::new(answer))
        }
        Some(_) | None => Ok(()),
    }
}

/// An answer without a message: nothing but the status, in the headers.
pub fn refused(status: Status) -> Response<Body> {
    status.into_http()
}

fn http_error(code: StatusCode) -> Box<Response<Body>> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = code;
    Box::new(answer)
}

#[cfg(test)]
mod tests;
