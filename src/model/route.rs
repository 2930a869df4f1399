//! Requests of a service that are told apart from its others.

use serde::{Deserialize, Serialize};

use super::GrpcMethod;

/// A route of a service that has a name, so that a defect of it alone is seen. It changes nothing but what is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedRoute {
    /// Unique within the service: letters, digits and `-`.
    pub name: String,
    /// Which requests are on it, unless a route before it has them.
    pub requests: Requests,
}

/// Which requests a route has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Requests {
    /// Those whose path begins so.
    Prefix(String),
    /// Those whose path, without the query, is this.
    Path(String),
    /// Certain gRPC calls.
    Grpc(GrpcMethod),
}

impl Requests {
    /// Whether all of the others are among these, by what is written alone: gRPC calls are not compared with paths.
    pub fn covers(&self, others: &Requests) -> bool {
        match (self, others) {
            (Requests::Prefix(of), Requests::Prefix(text) | Requests::Path(text)) => text.starts_with(of.as_str()),
            (Requests::Path(of), Requests::Path(text)) => of == text,
            (Requests::Grpc(of), Requests::Grpc(other)) => {
                of.service == other.service && (of.method.is_none() || of.method == other.method)
            }
            (Requests::Path(_) | Requests::Grpc(_), _) | (Requests::Prefix(_), Requests::Grpc(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_covers_what() {
        let prefix = |text: &str| Requests::Prefix(text.into());
        let path = |text: &str| Requests::Path(text.into());
        let grpc = |method: Option<&str>| {
            Requests::Grpc(GrpcMethod { service: "shop.Orders".into(), method: method.map(Into::into) })
        };
        for (of, other, covers) in [
            (prefix("/pay"), prefix("/pay"), true),
            (prefix("/pay"), prefix("/pay/v2"), true),
            (prefix("/pay"), path("/payments"), true),
            (prefix("/pay/v2"), prefix("/pay"), false),
            (path("/pay"), path("/pay"), true),
            (path("/pay"), path("/pay/"), false),
            (path("/pay"), prefix("/pay"), false),
            (grpc(None), grpc(Some("Pay")), true),
            (grpc(Some("Pay")), grpc(Some("Pay")), true),
            (grpc(Some("Pay")), grpc(None), false),
            (prefix("/"), grpc(None), false),
        ] {
            assert_eq!(of.covers(&other), covers, "{of:?} {other:?}");
        }
    }
}
