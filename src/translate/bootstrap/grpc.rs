//! The file that a gRPC client is pointed to by `GRPC_XDS_BOOTSTRAP`, so that it resolves `xds:///NAME` here.
//!
//! PURE. Its form is of gRFC A27. JSON has no comments, and a client no flags: its node id stands in the file.

use serde_json::{Map, Value, json};

use super::{BootstrapOptions, NodeId};

/// The bootstrap as JSON. Of the options only the node's and the server's count; a node id that is left to a flag is
/// left out, and then this server turns the client away.
pub fn grpc_bootstrap(options: &BootstrapOptions) -> String {
    let mut node = Map::new();
    if let NodeId::Fixed(id) = &options.node_id {
        node.insert("id".into(), json!(id));
    }
    if let Some(cluster) = &options.node_cluster {
        node.insert("cluster".into(), json!(cluster));
    }
    let locality = [("region", &options.region), ("zone", &options.zone)];
    let locality: Map<String, Value> =
        locality.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value.as_ref()?)))).collect();
    // Node's library reads no bootstrap without one.
    node.insert("locality".into(), locality.into());
    if !options.metadata.is_empty() {
        node.insert("metadata".into(), json!(options.metadata));
    }
    let host = options.xds_host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let server = json!({
        "server_uri": format!("{host}:{}", options.xds_port),
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    });
    format!("{:#}\n", json!({"xds_servers": [server], "node": node}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_the_client_is_and_where_to_ask() {
        let bare = BootstrapOptions { node_id: NodeId::Fixed("a-1".into()), ..BootstrapOptions::new("serin", 18_000) };
        let servers =
            |uri| json!([{"server_uri": uri, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}]);
        let whole = BootstrapOptions {
            node_cluster: Some("shop".into()),
            zone: Some("eu-1a".into()),
            metadata: [("tier".to_owned(), "\"gold\"".to_owned())].into(),
            xds_host: "::1".into(),
            ..bare.clone()
        };
        for (options, expected) in [
            (bare, json!({"node": {"id": "a-1", "locality": {}}, "xds_servers": servers("serin:18000")})),
            (
                whole,
                json!({
                    "node": {"id": "a-1", "cluster": "shop", "locality": {"zone": "eu-1a"}, "metadata": {"tier": "\"gold\""}},
                    "xds_servers": servers("[::1]:18000"),
                }),
            ),
        ] {
            let read: Value = serde_json::from_str(&grpc_bootstrap(&options)).expect("JSON");
            assert_eq!(read, expected);
        }
    }
}
