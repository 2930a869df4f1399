//! What was measured, as tables, and the goals.

use std::fmt;
use std::time::Duration;

use super::bench::{Plan, SMALL};
use super::spread::Spread;

/// The goal for a small push, and the number of streams that it is for.
const GOAL_STREAMS: usize = 10_000;
const GOAL_LAST: Duration = Duration::from_millis(500);
/// The goal for resident memory, in bytes for each stream.
const GOAL_MEMORY: f64 = 60_000.0;
/// How much stalled clients may add to the others' 99th percentile.
const GOAL_STALLED: f64 = 0.10;

/// One push.
#[derive(Debug, Clone, Copy)]
pub(super) struct Push {
    /// From its beginning to the receipt by half of the clients…
    pub(super) median: Duration,
    /// …99 of 100…
    pub(super) p99: Duration,
    /// …and all that read.
    pub(super) last: Duration,
    /// Length of the message.
    pub(super) bytes: usize,
    /// The server's processor time, to the end of the acknowledgements.
    pub(super) server: Duration,
    /// The clients'.
    pub(super) clients: Duration,
}

/// All pushes of one size to one number of streams.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// What was asked for.
    pub(super) bytes: usize,
    pub(super) base: Vec<Push>,
    /// With clients that stall, each beside its base.
    pub(super) stalled: Vec<Push>,
    pub(super) floor: Vec<Push>,
    /// The share of the processors that other programs used meanwhile.
    pub(super) others: f64,
}

/// What the clients' coming costs, and the server's resident memory in bytes.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Memory {
    /// Until all clients have the first snapshot.
    pub(super) connecting: Duration,
    /// Before the clients come.
    pub(super) start: u64,
    pub(super) connected: u64,
    pub(super) after_large: u64,
}

/// All of one number of streams.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) streams: usize,
    pub(super) memory: Memory,
    pub(super) series: Vec<Series>,
}

/// All.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The share of clients that stall beside the base.
    pub(super) stalled: f64,
    pub(super) groups: Vec<Group>,
}

impl Series {
    /// All processor time of its pushes.
    pub(super) fn processor_time(&self) -> Duration {
        let pushes = self.base.iter().chain(&self.stalled).chain(&self.floor);
        pushes.map(|push| push.server + push.clients).sum()
    }

    /// How much longer it takes than the floor.
    fn ratio(&self) -> f64 {
        let last = |pushes: &[Push]| milliseconds(pushes, |push| push.last).median;
        last(&self.base) / last(&self.floor)
    }

    /// What stalled clients add to the others' 99th percentile, as a share: each push against the one beside it.
    fn slowdown(&self) -> Spread {
        let pairs = self.base.iter().zip(&self.stalled);
        Spread::of(pairs.map(|(base, stalled)| stalled.p99.as_secs_f64() / base.p99.as_secs_f64() - 1.0))
    }
}

/// Some times of all pushes, in milliseconds.
fn milliseconds(pushes: &[Push], what: impl Fn(&Push) -> Duration) -> Spread {
    Spread::of(pushes.iter().map(|push| what(push).as_secs_f64() * 1e3))
}

impl Group {
    /// Resident bytes for each stream, of all that came since the start.
    fn per_stream(&self, resident: u64) -> f64 {
        resident.saturating_sub(self.memory.start) as f64 / self.streams as f64
    }
}

/// The heading of the rows that a [`Group`] prints.
pub(super) fn heading(plan: &Plan) -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let Plan { runs, protocol, .. } = plan;
    let cells = ["to half, ms", "to 99 of 100, ms", "to the last, ms", "floor: to the last, ms", "ratio"];
    let cpu = ["server CPU, ms", "clients' CPU, ms", "others"];
    format!(
        "{protocol:?}, {runs} pushes of each size: median (min to max); {cores} cores, with a load of {load} before;\n\
         others: the share of the processors that other programs took meanwhile\n\n{}",
        row(["streams", "push"].into_iter().chain(cells).chain(cpu))
    )
}

/// Cells side by side: the first two and the ratio are short.
fn row(cells: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let widths = [7, 7, 22, 22, 22, 22, 6, 22, 22, 6];
    let cells = cells.into_iter().zip(widths).map(|(cell, width)| format!("{:>width$}", cell.to_string()));
    cells.collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.series.iter().map(|series| {
            let of = |what: fn(&Push) -> Duration| milliseconds(&series.base, what).to_string();
            row([
                self.streams.to_string(),
                kilobytes(series.bytes as f64),
                of(|push| push.median),
                of(|push| push.p99),
                of(|push| push.last),
                milliseconds(&series.floor, |push| push.last).to_string(),
                format!("{:.1}", series.ratio()),
                of(|push| push.server),
                of(|push| push.clients),
                format!("{:.0} %", series.others * 1e2),
            ])
        });
        f.write_str(&rows.collect::<Vec<_>>().join("\n"))
    }
}

impl Report {
    /// What is measured against what is wanted.
    fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        for group in self.groups.iter().filter(|group| group.streams == GOAL_STREAMS) {
            for series in group.series.iter().filter(|series| series.bytes == SMALL) {
                let measured = milliseconds(&series.base, |push| push.last);
                goals.push(Goal {
                    wanted: format!("{GOAL_STREAMS} streams: 2 KB at the last client in less than {GOAL_LAST:?}"),
                    measured: format!("{measured} ms"),
                    verdict: Verdict::of(measured.median < GOAL_LAST.as_secs_f64() * 1e3),
                });
            }
        }
        if let Some(group) = self.groups.iter().max_by_key(|group| group.streams) {
            let streams = group.streams;
            let measured = group.per_stream(group.memory.after_large);
            goals.push(Goal {
                wanted: format!("{streams} streams: at most 60 KB of memory each after a push of 100 KB"),
                measured: kilobytes(measured),
                verdict: Verdict::of(measured <= GOAL_MEMORY),
            });
            for series in &group.series {
                let Spread { median: change, confident: (low, high), .. } = series.slowdown();
                let (push, stalled) = (kilobytes(series.bytes as f64), self.stalled * 1e2);
                goals.push(Goal {
                    wanted: format!(
                        "{streams} streams, {push}: {stalled} % that stall add less than 10 % to the others' p99"
                    ),
                    measured: format!("{} ({} to {})", percent(change), percent(low), percent(high)),
                    verdict: match (low >= GOAL_STALLED, high < GOAL_STALLED) {
                        (true, _) => Verdict::NotMet,
                        (_, true) => Verdict::Met,
                        _ => Verdict::Unclear,
                    },
                });
            }
        }
        goals
    }

    /// Whether all goals are met, for certain.
    pub(super) fn met(&self) -> bool {
        self.goals().iter().all(|goal| goal.verdict == Verdict::Met)
    }
}

/// A goal, and what came of it.
struct Goal {
    wanted: String,
    measured: String,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    NotMet,
    /// The spread of what was measured has the goal within it.
    Unclear,
}

impl Verdict {
    fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::NotMet }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Met => "met",
            Self::NotMet => "NOT MET",
            Self::Unclear => "unclear",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{}",
            row(["streams", "", "connecting, s", "server at start", "a stream, connected", "after 100 KB"])
        )?;
        for group in &self.groups {
            let Memory { connecting, start, connected, after_large } = group.memory;
            let cells = [
                group.streams.to_string(),
                String::new(),
                format!("{:.1}", connecting.as_secs_f64()),
                kilobytes(start as f64),
                kilobytes(group.per_stream(connected)),
                kilobytes(group.per_stream(after_large)),
            ];
            writeln!(f, "{}", row(cells))?;
        }
        let stalling = format!("with {} % stalled", self.stalled * 1e2);
        writeln!(f, "\n{}", row(["streams", "push", "to 99 of 100, ms", &stalling, "change", "with 95 % confidence"]))?;
        for group in &self.groups {
            for series in &group.series {
                let p99 = |pushes: &[Push]| milliseconds(pushes, |push| push.p99).to_string();
                let Spread { median: change, confident: (low, high), .. } = series.slowdown();
                let cells = [
                    group.streams.to_string(),
                    kilobytes(series.bytes as f64),
                    p99(&series.base),
                    p99(&series.stalled),
                    percent(change),
                    format!("{} to {}", percent(low), percent(high)),
                ];
                writeln!(f, "{}", row(cells))?;
            }
        }
        writeln!(f, "\ngoals")?;
        for Goal { wanted, measured, verdict } in self.goals() {
            writeln!(f, "  {verdict:<7}  {wanted}: {measured}")?;
        }
        Ok(())
    }
}

/// Thousands of bytes.
fn kilobytes(bytes: f64) -> String {
    format!("{:.0} KB", bytes / 1e3)
}

/// A share as a percentage, with its sign.
fn percent(share: f64) -> String {
    format!("{:+.1} %", share * 1e2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(milliseconds: u64) -> Push {
        let time = Duration::from_millis(milliseconds);
        Push { median: time, p99: time, last: time, bytes: 1, server: time, clients: time }
    }

    fn report(last: u64, stalled: &[u64], resident: u64) -> Report {
        let series = |bytes| Series {
            bytes,
            base: vec![push(last); stalled.len()],
            stalled: stalled.iter().copied().map(push).collect(),
            floor: vec![push(50); stalled.len()],
            others: 0.0,
        };
        let memory = Memory { start: 1_000_000, connected: 0, after_large: 1_000_000 + resident, ..Memory::default() };
        let group = Group { streams: GOAL_STREAMS, memory, series: vec![series(SMALL), series(100_000)] };
        Report { stalled: 0.01, groups: vec![group] }
    }

    #[test]
    fn each_goal_is_met_or_not_by_itself() {
        for (report, verdict, missed) in [
            (report(499, &[540; 10], 600_000_000), Verdict::Met, ""),
            (report(500, &[540; 10], 600_000_000), Verdict::NotMet, "2 KB at the last client"),
            (report(499, &[540; 10], 600_010_000), Verdict::NotMet, "60 KB of memory"),
            (report(400, &[441; 10], 600_000_000), Verdict::NotMet, "stall"),
            // One outlier of ten may be chance, two may not.
            (report(400, &[400, 400, 400, 400, 400, 400, 400, 400, 400, 999], 600_000_000), Verdict::Met, ""),
            (report(400, &[400, 400, 400, 400, 400, 400, 400, 400, 999, 999], 600_000_000), Verdict::Unclear, "stall"),
        ] {
            let missing: Vec<Goal> = report.goals().into_iter().filter(|goal| goal.verdict != Verdict::Met).collect();
            assert_eq!(missing.is_empty(), missed.is_empty(), "{report}");
            assert!(missing.iter().all(|g| g.verdict == verdict && g.wanted.contains(missed)), "{report}");
            assert_eq!(report.met(), missed.is_empty());
            assert!(report.to_string().contains(&format!("  {verdict:<7}  ")), "{report}");
        }
    }
}
