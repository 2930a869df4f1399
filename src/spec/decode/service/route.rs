//! Requests of a service that are told apart.

use crate::model::{NamedRoute, Requests};
use crate::spec::decode::amount::exactly_one;
use crate::spec::decode::{doubles, release};
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Reader};
use crate::spec::value::{Refused, web};

const ROUTES: &str =
    "list the routes that are told apart, as in `routes: [{name: pay, prefix: /pay}, {name: cart, path: /cart}]`";
const ROUTE: &str = "a route has a `name`, and `prefix`, `path` or `grpc`, as in `{name: pay, prefix: /pay}`";
const PATH: &str = "write a path, such as `/pay`";

/// Each is a counter of its own for each status, version and proxy.
const MOST: usize = 20;

/// The routes in their order: the first that fits a request is its route.
pub(super) fn decode(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<NamedRoute> {
    let items = reader.list(at, ROUTES).unwrap_or_default();
    if items.len() > MOST {
        let message = format!("{} routes are too many: each is counted apart by every proxy", items.len());
        reader.error(at, message, format!("name at most {MOST}; all other requests are one"));
    }
    let routes: Vec<(NamedRoute, At<'_>)> =
        items.into_iter().filter_map(|at| Some((route(reader, &at)?, at))).collect();
    for ((route, at), (_, first)) in doubles(&routes, |(route, _)| Some(route.name.clone())) {
        let first = reader.at(first);
        let message = format!("two routes are named {}", quoted(&route.name));
        reader.error_with(at, message, "rename one of them", (&first, "the other one"));
    }
    for (index, (route, at)) in routes.iter().enumerate() {
        let before = routes[..index].iter().find(|(other, _)| other.requests.covers(&route.requests));
        if let Some((other, first)) = before {
            let message = format!("route {} gets no request: {} takes them", quoted(&route.name), quoted(&other.name));
            let first = reader.at(first);
            reader.error_with(at, message, "put it first, or remove it", (&first, "the one that takes them"));
        }
    }
    routes.into_iter().map(|(route, _)| route).collect()
}

fn route(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<NamedRoute> {
    let mut fields = reader.map(at, ROUTE)?;
    let name_at = fields.required("name", "name the route, as in `name: pay`");
    let (prefix, path, grpc) = (fields.optional("prefix"), fields.optional("path"), fields.optional("grpc"));
    fields.finish(reader, &[]);
    let given = [("prefix", prefix.as_ref()), ("path", path.as_ref()), ("grpc", grpc.as_ref())];
    let is_one = exactly_one(reader, &fields, &given, "keep one: a route of its own is for each", ROUTE);
    let name = name_at.and_then(|at| reader.parse(&at, "write a name, such as `pay`", name));
    let requests = match (prefix, path, grpc) {
        (Some(at), _, _) => Requests::Prefix(reader.parse(&at, PATH, plain_path)?),
        (_, Some(at), _) => Requests::Path(reader.parse(&at, PATH, plain_path)?),
        (_, _, Some(at)) => Requests::Grpc(release::grpc_method(reader, &at)?),
        (None, None, None) => return None,
    };
    Some(NamedRoute { name: name.filter(|_| is_one)?, requests })
}

/// A path alone: what follows a `?` is no part of it.
fn plain_path(text: &str) -> Result<String, Refused> {
    match text.split_once(['?', '#']) {
        Some((path, _)) => Err(Refused {
            message: format!("path {} has a query", quoted(text)),
            help: format!("routes are told apart by the path alone: write {}", quoted(path)),
        }),
        None => web::path(text),
    }
}

fn name(text: &str) -> Result<String, Refused> {
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits {
        return Ok(text.to_owned());
    }
    Err(Refused {
        message: format!("{} cannot be a route's name", quoted(&text.chars().take(64).collect::<String>())),
        help: "a route's name has 1 to 63 letters, digits or `-`".to_owned(),
    })
}
