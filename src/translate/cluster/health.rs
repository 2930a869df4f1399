//! Active health checks: what a proxy asks of an endpoint by itself. PURE.

use envoy_types::pb::envoy::config::core::v3::{HealthCheck, health_check};
use envoy_types::pb::envoy::r#type::v3::{CodecClientType, Int64Range};

use super::number;
use crate::model::{self, ProbeKind, Protocol, Service};
use crate::translate::duration;

pub(super) fn check(service: &Service, of: &model::HealthCheck) -> HealthCheck {
    HealthCheck {
        timeout: Some(duration(of.timeout)),
        interval: Some(duration(of.interval)),
        // Envoy's own is a minute: a canary without traffic must be found out as soon as any other.
        no_traffic_interval: Some(duration(of.interval)),
        unhealthy_threshold: Some(number(of.unhealthy_threshold)),
        healthy_threshold: Some(number(of.healthy_threshold)),
        health_checker: Some(checker(service, &of.kind)),
        tls_options: alpn(service, &of.kind)
            .map(|protocol| health_check::TlsOptions { alpn_protocols: vec![protocol] }),
        ..Default::default()
    }
}

fn checker(service: &Service, kind: &ProbeKind) -> health_check::HealthChecker {
    match kind {
        ProbeKind::Http { path } => {
            let codec = if is_http2(service) { CodecClientType::Http2 } else { CodecClientType::Http1 };
            health_check::HealthChecker::HttpHealthCheck(health_check::HttpHealthCheck {
                host: host(service),
                path: path.clone(),
                // Envoy's own is 200 alone.
                expected_statuses: vec![Int64Range { start: 200, end: 300 }],
                codec_client_type: codec.into(),
                ..Default::default()
            })
        }
        ProbeKind::Grpc { service: asked } => {
            health_check::HealthChecker::GrpcHealthCheck(health_check::GrpcHealthCheck {
                service_name: asked.clone(),
                authority: host(service),
                ..Default::default()
            })
        }
        // Without bytes to send and to expect: a connection is enough.
        ProbeKind::Tcp => health_check::HealthChecker::TcpHealthCheck(health_check::TcpHealthCheck::default()),
    }
}

fn is_http2(service: &Service) -> bool {
    matches!(service.protocol, Protocol::Http2 | Protocol::Grpc)
}

/// What an endpoint is told that it speaks in the handshake: Envoy does not say it for health checks by itself.
fn alpn(service: &Service, kind: &ProbeKind) -> Option<String> {
    let protocol = match kind {
        ProbeKind::Tcp => return None,
        ProbeKind::Grpc { .. } => "h2",
        ProbeKind::Http { .. } if is_http2(service) => "h2",
        ProbeKind::Http { .. } => "http/1.1",
    };
    service.tls.is_some().then(|| protocol.to_owned())
}

/// The first host that is spelled out. Envoy's own is the name of the cluster, whose `/` is forbidden in a host.
fn host(service: &Service) -> String {
    let spelled_out = service.hosts.iter().find(|host| !host.contains('*'));
    spelled_out.unwrap_or(&service.name).to_ascii_lowercase()
}
