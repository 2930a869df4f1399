//! Who makes a request: what it bears, which target it goes to and which address it comes from.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::pool::Pool;
use super::{LoadConfig, Population};

/// The callers of one load. What cannot stand in a request is left out of it, and shows in the answers.
#[derive(Debug)]
pub(super) struct Callers {
    /// By target, then by source.
    pools: Vec<Vec<Pool>>,
    hosts: Vec<HeaderValue>,
    headers: HeaderMap,
    uri: Uri,
    users: Option<Population>,
    jar: Jar,
}

/// By user: what was issued to them, by name. Only of those to whom something was, or will be.
#[derive(Debug, Default)]
struct Jar(Mutex<HashMap<u32, Cookies>>);

#[derive(Debug, Default)]
struct Cookies {
    issued: Vec<(String, String)>,
    /// Held by the first visit until it is answered.
    visit: Arc<AsyncMutex<()>>,
}

/// One request, not sent yet.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) user: Option<u32>,
    pub(super) target: usize,
    number: u64,
}

impl Callers {
    pub(super) fn new(config: &LoadConfig) -> Self {
        let sources: Vec<Option<IpAddr>> =
            if config.sources.is_empty() { vec![None] } else { config.sources.iter().copied().map(Some).collect() };
        let pools = |target: &SocketAddr| {
            sources.iter().map(|source| Pool::new(*target, *source, config.connections)).collect::<Vec<_>>()
        };
        let headers = config
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?)));
        Self {
            pools: config.targets.iter().map(pools).collect(),
            hosts: config.hosts.iter().filter_map(|host| HeaderValue::from_str(host).ok()).collect(),
            headers: headers.collect(),
            uri: config.path.parse().unwrap_or(PathAndQuery::from_static("/")).into(),
            users: config.users.clone(),
            jar: Jar::default(),
        }
    }

    /// Whose the `number`-th request is. Users come in turn, and each time to the next target, so that a user sees all of
    /// them.
    pub(super) fn caller(&self, number: u64) -> Caller {
        let targets = self.pools.len() as u64;
        let Some(users) = self.users.as_ref().map(|users| u64::from(users.count.max(1))) else {
            return Caller { user: None, target: (number % targets) as usize, number };
        };
        let (user, round) = (number % users, number / users);
        Caller { user: u32::try_from(user).ok(), target: ((user + round) % targets) as usize, number }
    }

    /// The connections that it may use. A user always comes from the same address.
    pub(super) fn pool(&self, caller: &Caller) -> &Pool {
        let pools = &self.pools[caller.target];
        let who = caller.user.map_or(caller.number / self.pools.len() as u64, u64::from);
        &pools[(who % pools.len() as u64) as usize]
    }

    pub(super) fn request(&self, caller: &Caller) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        // An empty host is refused by whoever is asked.
        let host = self.hosts.get((caller.number % self.hosts.len().max(1) as u64) as usize);
        headers.insert(HOST, host.cloned().unwrap_or(HeaderValue::from_static("")));
        let (Some(users), Some(user)) = (&self.users, caller.user) else { return request };
        if let Some(name) = users.header.as_ref().and_then(|name| name.parse::<HeaderName>().ok()) {
            headers.insert(name, HeaderValue::from(user));
        }
        let mut cookies: Vec<String> = users.cookie.iter().map(|name| format!("{name}={user}")).collect();
        if users.keep_cookies {
            cookies.extend(self.jar.of(user));
        }
        if let Ok(value) = HeaderValue::from_str(&cookies.join("; "))
            && !value.is_empty()
        {
            headers.insert(COOKIE, value);
        }
        request
    }

    /// Takes note of the cookies that an answer issues.
    pub(super) fn answered(&self, caller: &Caller, set_cookies: &[String]) {
        if let (Some(user), true) = (caller.user, self.users.as_ref().is_some_and(|users| users.keep_cookies)) {
            set_cookies
                .iter()
                .filter_map(|text| cookie(text))
                .for_each(|(name, value)| self.jar.keep(user, name, value));
        }
    }
}

/// The name and the value of a `set-cookie`; when and where it holds is the browser's to know.
fn cookie(text: &str) -> Option<(&str, &str)> {
    text.split(';').next()?.trim().split_once('=')
}

impl Jar {
    fn with<T>(&self, change: impl FnOnce(&mut HashMap<u32, Cookies>) -> T) -> T {
        // A panic elsewhere leaves at worst a cookie unkept.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn of(&self, user: u32) -> Vec<String> {
        let text = |(name, value): &(String, String)| format!("{name}={value}");
        self.with(|kept| kept.get(&user).into_iter().flat_map(|of| &of.issued).map(text).collect())
    }

    fn keep(&self, user: u32, name: &str, value: &str) {
        self.with(|kept| {
            let cookies = &mut kept.entry(user).or_default().issued;
            match cookies.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => value.clone_into(known),
                None => cookies.push((name.to_owned(), value.to_owned())),
            }
        });
    }

    /// Somebody's first visit; nothing for those who were issued something. Who comes again before the first visit was
    /// answered waits for what that brings: whoever asked twice at once would be two newcomers.
    async fn first_visit(&self, user: u32) -> Option<OwnedMutexGuard<()>> {
        let visit = self.with(|kept| Arc::clone(&kept.entry(user).or_default().visit)).lock_owned().await;
        self.of(user).is_empty().then_some(visit)
    }
}

/// Sends a request and reads its whole answer.
pub(super) async fn send(callers: Arc<Callers>, caller: &Caller) -> super::Outcome {
    let keeps = callers.users.as_ref().is_some_and(|users| users.keep_cookies);
    let _visit = match caller.user.filter(|_| keeps) {
        Some(user) => callers.jar.first_visit(user).await,
        None => None,
    };
    let (outcome, set_cookies) = callers.pool(caller).send(callers.request(caller)).await;
    callers.answered(caller, &set_cookies);
    outcome
}
