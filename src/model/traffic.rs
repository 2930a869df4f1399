//! What a service's traffic is to do: the one thing `rollout` tells `translate`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EndpointStates, Rule, Sticky, Weight};

/// A version and its share of a service's traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The version's name in the service.
    pub version: String,
    /// Its share.
    pub weight: Weight,
}

/// Where the requests of a service go, at some of the proxies. What comes first decides: previews, then the rules in
/// their order, then the shares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Routing {
    /// They sum to [`Weight::FULL`]; canaries come first, the stable version last, so that a hash nests the canary's
    /// users as it grows; or in the middle, before the [`Routing::baseline`], whose users are nested at the other end.
    pub shares: Vec<Share>,
    /// By what a user keeps their place among the shares; at random when absent.
    pub sticky: Option<Sticky>,
    /// Chosen requests.
    pub rules: Vec<Targeted>,
    /// What is copied, and to whom.
    pub mirror: Option<Mirrored>,
    /// Where the preview's hosts and listeners lead; like everything else when absent.
    pub preview: Option<String>,
    /// Further hosts, whose requests go where the preview leads, or to the stable version.
    pub preview_hosts: Vec<String>,
    /// The version of the last share, where that is there to be compared with and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
}

/// Requests that were chosen, and the version that gets its [`Rule::strength`] of them. The last share gets the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targeted {
    /// Which.
    pub rule: Rule,
    /// The version.
    pub version: String,
}

/// A version that gets copies of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirrored {
    /// The version.
    pub version: String,
    /// The share that is copied.
    pub percent: Weight,
}

/// How a service's traffic is shared out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficPlan {
    /// The service's name.
    pub service: String,
    #[serde(flatten)]
    routing: Routing,
    /// What else the proxies of some regions do: the first entry that names a region.
    #[serde(default)]
    regions: Vec<(Vec<String>, Routing)>,
    /// By version: its endpoints that do not serve, and what they do instead.
    #[serde(default)]
    pub endpoints: BTreeMap<String, EndpointStates>,
}

/// Why shares make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The shares do not sum to 100 %.
    #[error("the shares of service {service} sum to {hundredths} hundredths of a percent, not 10000")]
    Sum {
        /// The service.
        service: String,
        /// What they sum to.
        hundredths: u32,
    },
    /// A version stands there twice.
    #[error("version {version} has two shares of service {service}")]
    Twice {
        /// The service.
        service: String,
        /// The version.
        version: String,
    },
}

impl Routing {
    /// Everything to one version.
    pub fn all_to(version: impl Into<String>) -> Self {
        Self { shares: vec![Share { version: version.into(), weight: Weight::FULL }], ..Self::default() }
    }

    /// `weight` to the canary, the rest to the stable version. Both are named even at 0 %.
    pub fn split(canary: &str, weight: Weight, stable: &str) -> Self {
        if canary == stable {
            return Self::all_to(stable);
        }
        let share = |version: &str, weight| Share { version: version.into(), weight };
        Self { shares: vec![share(canary, weight), share(stable, weight.rest())], ..Self::default() }
    }

    /// The share of a version; nothing when it has no place here.
    pub fn weight_of(&self, version: &str) -> Weight {
        self.shares.iter().find(|s| s.version == version).map_or(Weight::ZERO, |s| s.weight)
    }

    /// The version that gets what is left for it: the last share's that is not the [`Routing::baseline`]'s.
    pub fn stable(&self) -> Option<&str> {
        let mut versions = self.shares.iter().rev().map(|share| share.version.as_str());
        versions.find(|version| self.baseline.as_deref() != Some(*version))
    }

    /// The same with a share beside the canary's, to compare it with: as much as the canary has, and at most half of the
    /// rest. Named even where that is nothing.
    #[must_use]
    pub fn with_baseline(mut self, baseline: &str) -> Self {
        let [canary, stable] = self.shares.as_mut_slice() else { return self };
        let weight = canary.weight.min(Weight::from_hundredths(stable.weight.hundredths() / 2));
        stable.weight = Weight::from_hundredths(stable.weight.hundredths() - weight.hundredths());
        self.shares.push(Share { version: baseline.into(), weight });
        self.baseline = Some(baseline.into());
        self
    }

    /// Who is given which version, in words: one line for each thing that decides, what decides first first.
    ///
    /// ```text
    /// preview hosts preview.shop.example.com: v2
    /// header x-internal exact "true": v2
    /// rest: v2 5%, v1 95%, by cookie uid
    /// copied: 1% of the rest to v2
    /// ```
    pub fn precedence(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let stable = self.stable().unwrap_or("nobody");
        let shown = self.preview.as_deref().unwrap_or(stable);
        if !self.preview_hosts.is_empty() {
            lines.push(format!("preview hosts {}: {shown}", self.preview_hosts.join(", ")));
        }
        for Targeted { rule, version } in &self.rules {
            let part = rule.strength.max(self.weight_of(version));
            let requests = Rule { strength: Weight::FULL, ..rule.clone() };
            lines.push(match part {
                Weight::FULL => format!("{requests}: {version}"),
                _ if version == stable => format!("{requests}: {version}"),
                part => format!("{requests}: {version} {part}, {stable} {}{}", part.rest(), self.decided_for(rule)),
            });
        }
        if let Some(preview) = &self.preview {
            lines.push(format!("preview listeners: {preview}"));
        }
        let served: Vec<&Share> = self.shares.iter().filter(|share| share.weight > Weight::ZERO).collect();
        lines.push(match served.as_slice() {
            [] => "rest: nobody".to_owned(),
            [one] => format!("rest: {}", one.version),
            several => {
                let parts: Vec<String> =
                    several.iter().map(|share| format!("{} {}", share.version, share.weight)).collect();
                let by = self.sticky.as_ref().map(|sticky| format!(", by {sticky}")).unwrap_or_default();
                format!("rest: {}{by}", parts.join(", "))
            }
        });
        if let Some(Mirrored { version, percent }) = self.mirror.as_ref().filter(|of| of.percent > Weight::ZERO) {
            lines.push(format!("copied: {percent} of the rest to {version}"));
        }
        lines
    }

    /// By what chosen requests are shared out.
    fn decided_for(&self, rule: &Rule) -> String {
        match (&rule.users, &self.sticky) {
            (Some(users), _) => format!(", by {}", users.key),
            (None, Some(sticky)) => format!(", by {sticky}"),
            (None, None) => String::new(),
        }
    }

    /// Every version that may get a request, each once.
    pub fn versions(&self) -> Vec<&str> {
        let served = self.shares.iter().filter(|share| share.weight > Weight::ZERO).map(|share| share.version.as_str());
        let chosen = self.rules.iter().map(|targeted| targeted.version.as_str());
        let copied = self.mirror.iter().map(|mirrored| mirrored.version.as_str());
        let mut versions: Vec<&str> = served.chain(chosen).chain(copied).chain(self.preview.as_deref()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    fn check(&self, service: &str) -> Result<(), PlanError> {
        let hundredths: u32 = self.shares.iter().map(|s| s.weight.hundredths()).sum();
        if hundredths != Weight::FULL.hundredths() {
            return Err(PlanError::Sum { service: service.into(), hundredths });
        }
        for (at, share) in self.shares.iter().enumerate() {
            if self.shares[..at].iter().any(|s| s.version == share.version) {
                return Err(PlanError::Twice { service: service.into(), version: share.version.clone() });
            }
        }
        Ok(())
    }
}

impl TrafficPlan {
    /// A plan from shares, canary first.
    ///
    /// # Errors
    /// When they do not sum to 100 %, or name a version twice.
    pub fn new(service: impl Into<String>, shares: Vec<Share>) -> Result<Self, PlanError> {
        Self::routed(service, Routing { shares, ..Routing::default() }, Vec::new())
    }

    /// A plan of one routing for everybody but the proxies of some regions.
    ///
    /// # Errors
    /// When the shares of one of them do not sum to 100 %, or name a version twice.
    pub fn routed(
        service: impl Into<String>,
        routing: Routing,
        regions: Vec<(Vec<String>, Routing)>,
    ) -> Result<Self, PlanError> {
        let service = service.into();
        routing.check(&service)?;
        regions.iter().try_for_each(|(_, routing)| routing.check(&service))?;
        Ok(Self { service, routing, regions, endpoints: BTreeMap::new() })
    }

    /// Everything to one version.
    pub fn all_to(service: impl Into<String>, version: impl Into<String>) -> Self {
        Self::of(service.into(), Routing::all_to(version))
    }

    /// `weight` to the canary, the rest to the stable version. Both are named even at 0 %, so that both clusters stay.
    pub fn split(service: impl Into<String>, canary: &str, weight: Weight, stable: &str) -> Self {
        Self::of(service.into(), Routing::split(canary, weight, stable))
    }

    fn of(service: String, routing: Routing) -> Self {
        Self { service, routing, regions: Vec::new(), endpoints: BTreeMap::new() }
    }

    /// What proxies do of which no region is told.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// What the proxies of a region do.
    pub fn routing_in(&self, region: &str) -> &Routing {
        let told = self.regions.iter().find(|(regions, _)| regions.iter().any(|one| one == region));
        told.map_or(&self.routing, |(_, routing)| routing)
    }

    /// Everything that some proxies do.
    pub fn routings(&self) -> impl Iterator<Item = &Routing> {
        std::iter::once(&self.routing).chain(self.regions.iter().map(|(_, routing)| routing))
    }

    /// The regions that something else is told of.
    pub fn regions(&self) -> impl Iterator<Item = &str> {
        self.regions.iter().flat_map(|(regions, _)| regions).map(String::as_str)
    }

    /// Who is given which version, in words, as [`Routing::precedence`]: first what proxies of some regions do, then what
    /// all others do.
    pub fn precedence(&self) -> Vec<String> {
        let told = self.regions.iter().map(|(regions, routing)| (regions.join(", "), routing));
        let lines_in = |(place, routing): (String, &Routing)| {
            routing.precedence().into_iter().map(move |line| (place.clone(), line))
        };
        let mut lines: Vec<String> =
            told.flat_map(lines_in).map(|(place, line)| format!("in {place}: {line}")).collect();
        let elsewhere = if lines.is_empty() { "" } else { "elsewhere: " };
        lines.extend(self.routing.precedence().into_iter().map(|line| format!("{elsewhere}{line}")));
        lines
    }

    /// The shares of those of which no region is told, canary first.
    pub fn shares(&self) -> &[Share] {
        &self.routing.shares
    }

    /// The largest share of a version anywhere; nothing when it has no place in the plan.
    pub fn weight_of(&self, version: &str) -> Weight {
        self.routings().map(|routing| routing.weight_of(version)).max().unwrap_or_default()
    }

    /// Every version that may get a request, each once, sorted.
    pub fn versions(&self) -> Vec<&str> {
        let mut versions: Vec<&str> = self.routings().flat_map(Routing::versions).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }
}

#[cfg(test)]
mod tests;
