//! PURE: how far the proxies are with what is published for a service, and what is in its way.

/// How far the connected proxies are with what is published for a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FleetState {
    /// Connected proxies that route the service.
    pub proxies: usize,
    /// How many of them have the published routes in force.
    pub in_force: usize,
    /// How many of them can be sent routes to the version on its way: they have its cluster as it is published, or do
    /// not ask for clusters before a route names them.
    pub ready: usize,
    /// What one of them said when it rejected something that the release needs, if that still stands.
    pub rejection: Option<String>,
    /// What the release needs and no proxy is sent any more, because one rejected it.
    pub refusal: Option<Refusal>,
    /// How far what is published was given out.
    pub spread: Spread,
    /// The control plane has just been restarted: there may be more proxies than have come back yet.
    pub returning: bool,
}

/// Something that a release needs and that is withheld from all proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it is to the release.
    pub part: Part,
    /// As `cluster checkout/v2 was rejected by edge-3: no such thing`.
    pub text: String,
}

/// What a resource is to a release. In order of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The cluster or the endpoints of the version on its way.
    Canary,
    /// The routes, which carry other releases, too.
    Routes,
    /// The listener, or what belongs to the stable version: going back would change nothing about it.
    Surroundings,
}

/// Who was given what is published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Spread {
    /// All proxies.
    #[default]
    Everywhere,
    /// So many proxies first, by the fleet's `configCanary`.
    First(usize),
    /// It made trouble at the first ones, in these words, and the rest are not given it.
    Stopped(String),
}

impl Refusal {
    /// Whether going back would mend it. Routes that were rejected are a release's own only while it is `moving` traffic:
    /// at other times another release has changed them.
    pub fn is_own(&self, moving: bool) -> bool {
        match self.part {
            Part::Canary => true,
            Part::Routes => moving,
            Part::Surroundings => false,
        }
    }
}

impl Spread {
    /// Of these and others.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Stopped(reason), _) | (_, Self::Stopped(reason)) => Self::Stopped(reason.clone()),
            (Self::First(some), Self::First(others)) => Self::First(some + others),
            (Self::First(some), Self::Everywhere) | (Self::Everywhere, Self::First(some)) => Self::First(*some),
            (Self::Everywhere, Self::Everywhere) => Self::Everywhere,
        }
    }
}

impl FleetState {
    /// Whether there is a proxy and every one has the published routes, as far as they are known.
    pub fn is_settled(&self) -> bool {
        self.proxies > 0 && self.in_force == self.proxies && !self.returning
    }

    /// Whether every proxy could be sent routes to the version on its way.
    pub fn is_ready(&self) -> bool {
        self.is_settled() && self.ready == self.proxies
    }

    /// Whether the release may go on as far as rejections are concerned.
    pub fn is_unhindered(&self) -> bool {
        self.rejection.is_none() && self.obstacle().is_none()
    }

    /// What keeps the release from going on for the whole fleet, in words: not the trouble of a single proxy.
    pub fn obstacle(&self) -> Option<String> {
        match (&self.refusal, &self.spread) {
            (Some(refusal), _) => Some(refusal.text.clone()),
            (None, Spread::Stopped(reason)) => Some(format!("the first proxies had trouble with it: {reason}")),
            (None, Spread::Everywhere | Spread::First(_)) => None,
        }
    }
}
