//! Compiles the admin API (without `protoc`), the xDS services over this crate's own lean messages, and a slim copy
//! of Envoy's descriptor set, which lets any resource be printed as JSON.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    admin_api(&out)?;
    xds_services();
    envoy_descriptors(&out)
}

fn admin_api(out: &Path) -> Result<()> {
    println!("cargo:rerun-if-changed=proto");
    let files =
        ["release", "snapshot", "proxy", "quarantine", "spec", "endpoint"].map(|name| format!("serin/v1/{name}.proto"));
    let set = protox::compile(files, ["proto"])?;
    fs::write(out.join("serin_v1.bin"), prost::Message::encode_to_vec(&set))?;
    tonic_prost_build::configure()
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::envoy_types::pb::google::protobuf")
        .compile_fds(set)?;
    Ok(())
}

/// The service that proxies call first, with messages that decode only what is used: `xds/wire.rs`.
fn xds_services() {
    use tonic_build::manual::{Method, Service};
    let method = |name: &str, route: &str, module: &str, request: &str, response: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::{module}::wire::{request}"))
            .output_type(format!("crate::{module}::wire::{response}"))
            .codec_path("::tonic_prost::ProstCodec")
            .client_streaming()
    };
    let discovery = Service::builder()
        .name("AggregatedDiscoveryService")
        .package("envoy.service.discovery.v3")
        .method(
            method(
                "stream_aggregated_resources",
                "StreamAggregatedResources",
                "xds",
                "DiscoveryRequest",
                "DiscoveryResponse",
            )
            .server_streaming()
            .build(),
        )
        .method(
            method(
                "delta_aggregated_resources",
                "DeltaAggregatedResources",
                "xds",
                "DeltaDiscoveryRequest",
                "DeltaDiscoveryResponse",
            )
            .server_streaming()
            .build(),
        )
        .build();
    tonic_build::manual::Builder::new().compile(&[discovery]);
}

/// `envoy-types` ships the descriptor set it was generated from without exposing it: find it and drop the comments.
fn envoy_descriptors(out: &Path) -> Result<()> {
    let metadata = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform"])
        .arg(env::var("TARGET")?)
        .arg("--manifest-path")
        .arg(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        .output()?;
    if !metadata.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr)).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|p| p["name"] == "envoy-types")
        .and_then(|p| p["manifest_path"].as_str())
        .ok_or("cargo metadata does not list envoy-types")?;
    let set = fs::read(Path::new(manifest).with_file_name("src").join("generated/types.bin"))?;
    let slim = without_source_info(&set)?;
    let mut gzip =
        flate2::write::GzEncoder::new(fs::File::create(out.join("envoy_types.bin.gz"))?, flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &slim)?;
    gzip.finish()?;
    Ok(())
}

/// Drops `FileDescriptorProto.source_code_info` (field 9) from every `FileDescriptorSet.file` (field 1), byte for byte
/// keeping the rest: decoding and encoding with `prost` would lose the `validate.rules` extensions.
fn without_source_info(set: &[u8]) -> Result<Vec<u8>> {
    let mut slim = Vec::new();
    for (tag, _, file) in fields(set)? {
        if tag != 1 {
            continue;
        }
        let kept: Vec<u8> =
            fields(file)?.into_iter().filter(|(tag, ..)| *tag != 9).flat_map(|(_, raw, _)| raw).copied().collect();
        prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut slim);
        prost::encoding::encode_varint(kept.len() as u64, &mut slim);
        slim.extend(kept);
    }
    Ok(slim)
}

/// A field of an encoded message: its number, all of its bytes, and the payload if it is length-delimited.
type Field<'a> = (u32, &'a [u8], &'a [u8]);

fn fields(message: &[u8]) -> Result<Vec<Field<'_>>> {
    use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
    let mut found = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let start = rest;
        let (tag, wire_type) = decode_key(&mut rest)?;
        let payload = if wire_type == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut rest)?)?;
            let (payload, after) = rest.split_at_checked(length).ok_or("truncated")?;
            rest = after;
            payload
        } else {
            skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
            &[]
        };
        found.push((tag, &start[..start.len() - rest.len()], payload));
    }
    Ok(found)
}
