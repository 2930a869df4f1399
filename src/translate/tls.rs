//! TLS on both sides of a proxy, with files of the proxy's own machine. PURE.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::{DataSource, TransportSocket, data_source, transport_socket};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SubjectAltNameMatcher, TlsCertificate,
    UpstreamTlsContext, common_tls_context::ValidationContextType, subject_alt_name_matcher::SanType,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use envoy_types::pb::google::protobuf::BoolValue;
use prost::Name;

use super::packed;
use crate::model::{DownstreamTls, KeyPair, UpstreamTls};

/// To endpoints. What protocol is spoken, Envoy says by itself (ALPN), as the cluster's options have it.
pub(super) fn upstream(of: &UpstreamTls) -> TransportSocket {
    // An address is no name to ask for (RFC 6066, 3).
    let sni = of.server_name.clone().filter(|name| name.parse::<IpAddr>().is_err()).unwrap_or_default();
    let validation = of.ca.as_deref().map(|ca| CertificateValidationContext {
        match_typed_subject_alt_names: of.server_name.as_deref().map(named).into_iter().collect(),
        ..signed_by(ca)
    });
    let common = CommonTlsContext {
        tls_certificates: of.client.iter().map(certificate).collect(),
        validation_context_type: validation.map(ValidationContextType::ValidationContext),
        ..Default::default()
    };
    socket(&UpstreamTlsContext { common_tls_context: Some(common), sni, ..Default::default() })
}

/// From callers, who may choose among these protocols (ALPN); none for bytes.
pub(super) fn downstream(of: &DownstreamTls, protocols: &[&str]) -> TransportSocket {
    let common = CommonTlsContext {
        tls_certificates: vec![certificate(&of.key_pair)],
        validation_context_type: of.client_ca.as_deref().map(signed_by).map(ValidationContextType::ValidationContext),
        alpn_protocols: protocols.iter().map(|protocol| (*protocol).to_owned()).collect(),
        ..Default::default()
    };
    let is_required = of.client_ca.is_some().then_some(BoolValue { value: true });
    socket(&DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: is_required,
        ..Default::default()
    })
}

fn socket<M: Name>(context: &M) -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(packed(context))),
    }
}

fn signed_by(ca: &str) -> CertificateValidationContext {
    CertificateValidationContext { trusted_ca: Some(file(ca)), ..Default::default() }
}

fn named(name: &str) -> SubjectAltNameMatcher {
    let kind = if name.parse::<IpAddr>().is_ok() { SanType::IpAddress } else { SanType::Dns };
    SubjectAltNameMatcher {
        san_type: kind.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(name.to_owned())),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn certificate(of: &KeyPair) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: Some(file(&of.certificate)),
        private_key: Some(file(&of.key)),
        ..Default::default()
    }
}

fn file(path: &str) -> DataSource {
    DataSource { specifier: Some(data_source::Specifier::Filename(path.to_owned())), ..Default::default() }
}
