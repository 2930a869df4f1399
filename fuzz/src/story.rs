//! Target: any sequence of what a client and a server may do, step by step.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use serin::xds::ResourceType;
use serin::xds::wire::{DeltaDiscoveryRequest, DiscoveryRequest, Status};

use crate::client::{Client, Request};
use crate::world::{NAMES, resource_type, snapshot};

#[derive(Debug, Arbitrary)]
enum Step {
    /// A request: about these names (sets of bits), with this nonce.
    Ask { of: u8, names: u16, without: u16, nonce: Nonce, no: No, has: u16 },
    /// The answer to a response, without a change of mind.
    Answer { of: u8, no: No },
    /// The client reads what there is.
    Read,
    /// The server has another snapshot.
    Publish { snapshot: u8 },
    /// Time passes.
    Wait { seconds: u8 },
}

#[derive(Debug, Arbitrary)]
enum Nonce {
    None,
    Newest,
    Stale,
    Odd,
}

#[derive(Debug, Arbitrary)]
enum No {
    Yes,
    /// Names nobody.
    Silent,
    /// Names some.
    Named(u16),
}

impl No {
    fn status(&self) -> Option<Status> {
        let message = match self {
            Self::Yes => return None,
            Self::Silent => String::new(),
            Self::Named(names) => format!("Error adding: {}", list(*names).join(", ")),
        };
        Some(Status { code: 13, message })
    }
}

fn list(bits: u16) -> Vec<String> {
    NAMES.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, name)| (*name).to_owned()).collect()
}

/// Runs the story that these bytes tell.
pub fn run(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok((is_delta, ttl)) = bytes.arbitrary() else { return };
    let mut client = Client::new(is_delta, ttl);
    // So many steps are enough for anything to happen.
    for _ in 0..200 {
        if bytes.is_empty() {
            break;
        }
        let Ok(step) = bytes.arbitrary() else { break };
        happens(&mut client, is_delta, step);
    }
    client.come_to_rest();
}

fn happens(client: &mut Client, is_delta: bool, step: Step) {
    match step {
        Step::Ask { of, names, without, nonce, no, has } => {
            let of = resource_type(of);
            let nonce = match (nonce, client.nonce(of)) {
                (Nonce::None, _) | (Nonce::Newest, None) => String::new(),
                (Nonce::Newest, Some(newest)) => newest.to_string(),
                (Nonce::Stale, newest) => newest.map_or(0, |newest| newest.saturating_sub(1)).to_string(),
                (Nonce::Odd, _) => "no number".to_owned(),
            };
            client.request(of, &request(is_delta, of, [names, without, has], nonce, no.status()));
        }
        Step::Answer { of, no } => {
            let of = resource_type(of);
            if let Some(nonce) = client.nonce(of) {
                let mut answer = client.yes(of, nonce);
                match &mut answer {
                    Request::Sotw(request) => request.error_detail = no.status(),
                    Request::Delta(request) => request.error_detail = no.status(),
                }
                client.request(of, &answer);
            }
        }
        Step::Read => drop(client.read()),
        Step::Publish { snapshot } => client.aim(snapshot),
        Step::Wait { seconds } => client.pass(Duration::from_secs(seconds.into())),
    }
}

fn request(
    is_delta: bool,
    of: ResourceType,
    [names, without, has]: [u16; 3],
    response_nonce: String,
    error_detail: Option<Status>,
) -> Request {
    let type_url = of.type_url().to_owned();
    if !is_delta {
        let version_info = snapshot(has as u8).version_of(of).to_string();
        let resource_names = list(names);
        return Request::Sotw(DiscoveryRequest {
            version_info,
            resource_names,
            type_url,
            response_nonce,
            error_detail,
            node: None,
        });
    }
    let version = |name: String| {
        let version = snapshot(names as u8).get(of, &name).map(serin::xds::Resource::version_text);
        (name, version.unwrap_or_default())
    };
    Request::Delta(DeltaDiscoveryRequest {
        type_url,
        resource_names_subscribe: list(names),
        resource_names_unsubscribe: list(without),
        initial_resource_versions: list(has).into_iter().map(version).collect(),
        response_nonce,
        error_detail,
        node: None,
    })
}
