//! Which version answers which request: `serin::translate` and `serin::xds` with a real Envoy between, and a small model of
//! what comes before what.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use serin::model::{
    Endpoint, Fleet, GrpcMethod, Listener, Mirrored, NodeSelector, PatchTarget, Patches, Routing, Rule, Service,
    Sticky, StickyCookie, Targeted, TextMatch, TrafficPlan, UserKey, Users, Version, Weight,
};
use serin::translate::bootstrap::{BootstrapOptions, NodeId, bootstrap};
use serin::translate::{Dialect, snapshot};
use serin::xds::{Cache, Grouping, Node, Options, Proxies, ResourceType, Server, Snapshot};
use serin_testbed::envoy::EnvoyProcess;
use serin_testbed::{http, ports, wait};
use tokio::sync::watch;

use crate::scene::DEADLINE;

const HOST: &str = "shop.test";
const PREVIEW_HOST: &str = "preview.shop.test";

/// Everybody is of one group.
struct Everybody;

impl Grouping for Everybody {
    fn group_of(&self, _: &Node) -> Option<Arc<str>> {
        Some("all".into())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

/// A version: it answers with its name, and with what it was asked, each header in a line.
async fn upstream(version: &'static str) -> Result<(SocketAddr, Arc<Mutex<Vec<String>>>)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let hosts = Arc::clone(&asked);
    let app = axum::Router::new().fallback(move |headers: axum::http::HeaderMap| async move {
        let line = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            format!("{name}: {}\n", value.to_str().unwrap_or_default())
        };
        let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        hosts.lock().expect("no panic").push(host.to_owned());
        ([("x-version", version)], headers.iter().map(line).collect::<String>())
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((address, asked))
}

/// A control plane, an Envoy with an ordinary and a preview listener, and three versions.
struct Shop {
    cache: Cache,
    proxies: Proxies,
    service: Service,
    envoy: EnvoyProcess,
    listen: [SocketAddr; 2],
    /// By version: the hosts that it was asked for.
    asked: BTreeMap<&'static str, Arc<Mutex<Vec<String>>>>,
}

impl Shop {
    async fn open(routing: &Routing) -> Result<Self> {
        let listen: [SocketAddr; 2] = ports::free()?;
        let mut service = Service { hosts: vec![HOST.into()], ..Service::named("checkout") };
        let mut asked = BTreeMap::new();
        for (version, flags) in [("v1", &[][..]), ("v2", &[("dark", "50%")]), ("v3", &[("dark", ""), ("fast", "yes")])]
        {
            let (address, hosts) = upstream(version).await?;
            asked.insert(version, hosts);
            let feature_flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let version_spec = Version { endpoints: vec![Endpoint::at(address)], feature_flags, ..Version::default() };
            service.versions.insert(version.into(), version_spec);
        }
        let cache = Cache::new();
        let proxies = Proxies::default();
        let server = Server::new(cache.clone(), proxies.clone(), Arc::new(Everybody), Options::default());
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let port = socket.local_addr()?.port();
        tokio::spawn(server.serve(socket));
        let options = BootstrapOptions {
            node_id: NodeId::Fixed("one".into()),
            node_cluster: Some("all".into()),
            dialect: Dialect::PLAIN,
            metrics_sink: false,
            admin: "127.0.0.1:0".parse()?,
            ..BootstrapOptions::new("127.0.0.1", port)
        };
        let envoy = EnvoyProcess::start("one", &bootstrap(&options)).await?;
        let mut shop = Self { cache, proxies, service, envoy, listen, asked };
        shop.publish(routing)?;
        shop.cache.ready();
        shop.envoy.ready(DEADLINE).await?;
        for name in ["http", "preview"] {
            shop.envoy.listener(name, DEADLINE).await.with_context(|| shop.rejections())?;
        }
        Ok(shop)
    }

    /// What the proxy said no to.
    fn rejections(&self) -> String {
        let types = self.proxies.get("one").map(|proxy| proxy.types).unwrap_or_default();
        types.values().filter_map(|of| of.rejection.as_ref()).map(|of| format!("{of:?}\n")).collect()
    }

    fn publish(&self, routing: &Routing) -> Result<Arc<Snapshot>> {
        let listener = |name: &str, bind, preview| Listener {
            name: name.into(),
            bind,
            services: vec!["checkout".into()],
            tls: None,
            trusted_hops: 0,
            preview,
            envoy: Patches::from([(PatchTarget::ConnectionManager, json!({"xff_num_trusted_hops": 1}))]),
        };
        let fleet = Fleet {
            name: "all".into(),
            nodes: NodeSelector::default(),
            listeners: vec![listener("http", self.listen[0], false), listener("preview", self.listen[1], true)],
            route_configs: Vec::new(),
            config_canary: None,
            poll: None,
        };
        let plan = TrafficPlan::routed("checkout", routing.clone(), Vec::new())?;
        let services = BTreeMap::from([("checkout".to_owned(), self.service.clone())]);
        let plans = BTreeMap::from([("checkout".to_owned(), plan)]);
        let snapshot = Arc::new(snapshot(&fleet, &services, &plans, Dialect::PLAIN)?);
        self.cache.publish("all", Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// Publishes, and waits until the proxy has it in force.
    async fn turn(&self, routing: &Routing) -> Result<()> {
        let snapshot = self.publish(routing)?;
        wait::until("the routes to be in force", DEADLINE, || async {
            let proxy = self.proxies.get("one").context("not there")?;
            let routes = snapshot.version_of(ResourceType::Route);
            ensure!(proxy.in_force_since(ResourceType::Route, routes).is_some(), "{:?}", proxy.types);
            Ok(())
        })
        .await
    }

    async fn ask(&self, of: &Ask) -> Result<http::Answer> {
        let headers: Vec<(&str, &str)> =
            of.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer =
            http::request(of.method.parse()?, self.listen[usize::from(of.preview)], &of.path, &headers).await?;
        ensure!(answer.status == 200, "{of:?}: {answer:?}");
        Ok(answer)
    }
}

/// A request.
#[derive(Debug, Clone, Default)]
struct Ask {
    preview: bool,
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
}

impl Ask {
    fn of(path: &str, headers: &[(&str, &str)]) -> Self {
        let headers = [("host", HOST)].iter().chain(headers);
        let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { preview: false, method: "GET", path: path.into(), headers }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.header("cookie")?.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    fn query(&self, name: &str) -> Option<&str> {
        let pairs = self.path.split_once('?')?.1.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.into_iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Whom the listener, which trusts one proxy before it, takes for the caller.
    fn caller(&self) -> std::net::IpAddr {
        let told = self.header("x-forwarded-for").and_then(|told| told.rsplit(',').next());
        told.and_then(|told| told.trim().parse().ok()).unwrap_or([127, 0, 0, 1].into())
    }
}

/// The model: whether a request fits a rule.
fn fits(rule: &Rule, ask: &Ask) -> bool {
    let text = |of: &TextMatch, value: Option<&str>| match (of, value) {
        (TextMatch::Present(present), value) => value.is_some() == *present,
        (_, None) => false,
        (TextMatch::Exact(text), Some(value)) => value == text,
        (TextMatch::Prefix(text), Some(value)) => value.starts_with(text.as_str()),
        (TextMatch::Suffix(text), Some(value)) => value.ends_with(text.as_str()),
        (TextMatch::Contains(text), Some(value)) => value.contains(text.as_str()),
        // The only one here.
        (TextMatch::Regex(_), Some(value)) => {
            value.strip_prefix("beta-").is_some_and(|n| !n.is_empty() && n.bytes().all(|of| of.is_ascii_digit()))
        }
    };
    let path = ask.path.split('?').next();
    let called = |grpc: &GrpcMethod| {
        let start = format!("/{}/", grpc.service);
        let method = path.and_then(|path| path.strip_prefix(&start));
        ask.header("content-type") == Some("application/grpc")
            && method.is_some_and(|method| grpc.method.as_deref().is_none_or(|wanted| wanted == method))
    };
    let user = |users: &Users| {
        let id = match &users.key {
            UserKey::Header(name) => ask.header(name),
            UserKey::Cookie(name) => ask.cookie(name),
        };
        id.is_some_and(|id| !id.is_empty() && (users.ids.is_empty() || users.ids.iter().any(|wanted| wanted == id)))
    };
    rule.headers.iter().all(|(name, of)| text(of, ask.header(name)))
        && rule.cookies.iter().all(|(name, of)| text(of, ask.cookie(name)))
        && rule.query.iter().all(|(name, of)| text(of, ask.query(name)))
        && rule.path.iter().all(|of| text(of, path))
        && (rule.methods.is_empty() || rule.methods.iter().any(|method| method == ask.method))
        && rule.grpc.iter().all(called)
        && rule.users.iter().all(user)
        && (rule.source_ip.is_empty() || rule.source_ip.iter().any(|range| range.contains(&ask.caller())))
}

/// The model: who may answer.
fn expected<'a>(routing: &'a Routing, ask: &Ask) -> Vec<&'a str> {
    let shown = routing.preview.as_deref().or(routing.stable()).into_iter().collect();
    if ask.header("host") == Some(PREVIEW_HOST) {
        return shown;
    }
    match routing.rules.iter().find(|targeted| fits(&targeted.rule, ask)) {
        Some(targeted) => vec![&targeted.version],
        None if ask.preview => shown,
        None => routing.shares.iter().filter(|s| s.weight > Weight::ZERO).map(|s| s.version.as_str()).collect(),
    }
}

fn one(name: &str, text: TextMatch) -> BTreeMap<String, TextMatch> {
    [(name.to_owned(), text)].into()
}

/// A rule of each kind; later ones fit some of what earlier ones fit.
fn rules() -> Vec<Targeted> {
    let exact = |text: &str| TextMatch::Exact(text.into());
    let ranges = |all: &[&str]| all.iter().map(|range| range.parse().expect("a range")).collect();
    let users = |key, ids: &[String]| Some(Users { key, ids: ids.to_vec() });
    // More than a small pattern.
    let many: Vec<String> = (0..500).map(|n| format!("user.{n}")).collect();
    let any = Rule::default;
    let grpc = GrpcMethod { service: "shop.v1.Cart".into(), method: None };
    let both = Rule { source_ip: ranges(&["10.8.0.0/16", "fd00::/8"]), ..any() };
    [
        ("v2", Rule { headers: one("x-internal", exact("true")), ..any() }),
        ("v3", Rule { cookies: one("group", TextMatch::Regex("beta-[0-9]+".into())), ..any() }),
        ("v2", Rule { query: one("debug", TextMatch::Present(true)), ..any() }),
        (
            "v3",
            Rule { path: Some(TextMatch::Prefix("/new".into())), methods: vec!["GET".into(), "PUT".into()], ..any() },
        ),
        ("v2", Rule { headers: one("x-office", TextMatch::Present(false)), ..both }),
        ("v3", Rule { source_ip: ranges(&["10.8.7.0/24", "10.9.0.0/16"]), ..any() }),
        (
            "v1",
            Rule {
                path: Some(TextMatch::Suffix(".css".into())),
                cookies: one("uid", TextMatch::Present(false)),
                ..any()
            },
        ),
        ("v3", Rule { users: users(UserKey::Header("x-user".into()), &many), ..any() }),
        ("v2", Rule { users: users(UserKey::Cookie("beta".into()), &[]), ..any() }),
        ("v3", Rule { grpc: Some(grpc), ..any() }),
    ]
    .map(|(version, rule)| Targeted { rule: Rule { strength: Weight::FULL, ..rule }, version: version.into() })
    .into()
}

/// Each of the first few with each of the others.
fn asks() -> Vec<Ask> {
    let paths = ["/", "/new/x", "/a.css", "/?debug", "/new?x=1&debug=0", "/shop.v1.Cart/Add", "/x?debugs"];
    let headers: [&[(&str, &str)]; 9] = [
        &[],
        &[("x-internal", "true"), ("x-user", "user.7")],
        &[("x-internal", "untrue"), ("cookie", "a=1; group=beta-77; uid=9")],
        &[("cookie", "group=beta-; uid=9; beta=")],
        &[("cookie", "xgroup=beta-1; beta=me")],
        &[("x-user", "user.499")],
        &[("x-user", "user-499"), ("x-office", "1")],
        &[("content-type", "application/grpc")],
        &[("x-envoy-external-address", "10.8.1.1"), ("x-feature-dark", "mine"), ("x-feature-fast", "mine")],
    ];
    let callers =
        [None, Some("10.8.1.1"), Some("10.8.7.1"), Some("10.9.1.1"), Some("10.8.1.1, 10.10.1.1"), Some("fd00::1")];
    let mut asks = Vec::new();
    for path in paths {
        for headers in headers {
            for caller in callers {
                let mut ask = Ask::of(path, headers);
                ask.headers.extend(caller.map(|caller| ("x-forwarded-for".to_owned(), caller.to_owned())));
                let turn = asks.len();
                ask.method = if turn % 5 == 4 { "DELETE" } else { "GET" };
                ask.preview = turn % 3 == 2;
                if turn % 7 == 6 {
                    ask.headers[0].1 = PREVIEW_HOST.to_owned();
                }
                asks.push(ask);
            }
        }
    }
    asks
}

fn weight(percent: u32) -> Weight {
    Weight::from_hundredths(percent * 100)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_first_decides_and_nobody_sets_a_feature_for_themselves() -> Result<()> {
    let hosts = vec![PREVIEW_HOST.to_owned()];
    let busy = Routing {
        rules: rules(),
        preview: Some("v3".into()),
        preview_hosts: hosts.clone(),
        ..Routing::split("v2", weight(50), "v1")
    };
    let shop = Shop::open(&busy).await?;
    // Without any release the preview's hosts are there all the same.
    let resting = Routing { preview_hosts: hosts, ..Routing::all_to("v1") };
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for routing in [&busy, &resting] {
        shop.turn(routing).await?;
        for ask in asks() {
            let answer = shop.ask(&ask).await?;
            let version = answer.header("x-version").context("no version")?;
            ensure!(
                expected(routing, &ask).contains(&version),
                "{ask:?}: {version}, not {:?}",
                expected(routing, &ask)
            );
            *seen.entry(version.to_owned()).or_default() += 1;
            let got: BTreeMap<&str, &str> = answer
                .body
                .lines()
                .filter_map(|line| line.strip_prefix("x-feature-")?.split_once(':'))
                .map(|(name, value)| (name, value.trim()))
                .collect();
            let flags = &shop.service.versions[version].feature_flags;
            let wanted: BTreeMap<&str, &str> =
                flags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            ensure!(got == wanted, "{ask:?}: {version} was told {got:?}");
        }
    }
    ensure!(seen.len() == 3 && seen.values().all(|count| *count > 50), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn users_stay_with_what_they_were_given_and_copies_go_to_the_mirror() -> Result<()> {
    let cookie = StickyCookie {
        name: "uid".into(),
        ttl: Some(Duration::from_secs(3600)),
        path: Some("/".into()),
        attributes: [("SameSite".to_owned(), "Lax".to_owned())].into(),
    };
    let users = Users { key: UserKey::Cookie("uid".into()), ids: Vec::new() };
    let beta = Rule {
        headers: one("x-beta", TextMatch::Present(true)),
        users: Some(users),
        strength: weight(30),
        ..Rule::default()
    };
    let at = |percent| Routing {
        sticky: Some(Sticky::Cookie(cookie.clone())),
        rules: vec![Targeted { rule: beta.clone(), version: "v2".into() }],
        ..Routing::split("v2", weight(percent), "v1")
    };
    let shop = Shop::open(&at(10)).await?;
    let by_user = |beta: bool| {
        let shop = &shop;
        async move {
            let mut answered = Vec::new();
            for user in 0..300 {
                let cookie = format!("a=1; uid=user-{user}");
                let mut ask = Ask::of("/", &[("cookie", cookie.as_str())]);
                ask.headers.extend(beta.then(|| ("x-beta".to_owned(), "1".to_owned())));
                let answer = shop.ask(&ask).await?;
                ensure!(answer.header("set-cookie").is_none(), "it has one already: {answer:?}");
                answered.push(answer.header("x-version") == Some("v2"));
            }
            anyhow::Ok(answered)
        }
    };
    let count = |all: &[bool]| all.iter().filter(|is_new| **is_new).count();
    let nested = |small: &[bool], large: &[bool]| small.iter().zip(large).all(|(small, large)| *large || !small);
    shop.turn(&at(10)).await?;
    let (ten, again, chosen) = (by_user(false).await?, by_user(false).await?, by_user(true).await?);
    ensure!(ten == again, "a user was moved");
    shop.turn(&at(50)).await?;
    let (fifty, more) = (by_user(false).await?, by_user(true).await?);
    // Ten standard deviations of a binomial(300, p), at most.
    ensure!((5..82).contains(&count(&ten)) && (65..236).contains(&count(&fifty)), "{} {}", count(&ten), count(&fifty));
    ensure!(nested(&ten, &chosen) && nested(&chosen, &fifty) && nested(&ten, &fifty), "a user flipped back");
    ensure!(count(&chosen) > count(&ten) && more == fifty, "chosen ones get no less than all others");

    // A caller without a cookie is issued one, and stays by it.
    for _ in 0..20 {
        let answer = shop.ask(&Ask::of("/", &[])).await?;
        let issued = answer.header("set-cookie").context("no cookie")?;
        ensure!(issued.contains("SameSite=Lax") && issued.contains("Max-Age=3600"), "{issued}");
        let cookie = issued.split(';').next().context("no cookie")?;
        let back = shop.ask(&Ask::of("/", &[("cookie", cookie)])).await?;
        ensure!(back.header("x-version") == answer.header("x-version"), "{issued}");
    }

    let copied = Routing { mirror: Some(Mirrored { version: "v3".into(), percent: Weight::FULL }), ..at(0) };
    shop.turn(&copied).await?;
    for _ in 0..10 {
        let answer = shop.ask(&Ask::of("/", &[])).await?;
        ensure!(answer.header("x-version") == Some("v1"), "{answer:?}");
        ensure!(answer.header("set-cookie").is_none(), "nobody is shared out: {answer:?}");
    }
    wait::until("ten copies", DEADLINE, || async {
        let hosts = shop.asked["v3"].lock().expect("no panic").clone();
        ensure!(hosts == [HOST; 10], "{hosts:?}");
        Ok(())
    })
    .await
}
