use super::*;
use crate::analysis::{Judge, Verdict, Window};
use crate::model::{AnalysisPolicy, ClusterSize};

fn metric() -> ErrorsMetric {
    ErrorsMetric { cluster_size: ClusterSize::Given(1.0), ..ErrorsMetric::default() }
}

fn percent(percent: f64) -> Weight {
    Weight::from_percent(percent).unwrap()
}

fn pace(metric: &ErrorsMetric, requests_per_second: f64, error_rate: f64) -> Pace<'_> {
    Pace {
        requests_per_second,
        baseline: Counts { requests: 1_000_000, errors: (error_rate * 1e6) as u64 },
        metric,
        risk: AnalysisPolicy::default().risk,
        cluster_size: 1.0,
        cluster_size_of_few: 1.0,
        to: percent(50.0),
        max: Duration::from_secs(600),
        left: None,
    }
}

fn ladder(pace: &Pace<'_>, from: Weight) -> Vec<f64> {
    let next = |present: &Weight| (*present < pace.to).then(|| pace.next(*present));
    std::iter::successors(Some(from), next).map(Weight::percent).collect()
}

#[test]
fn the_times_are_about_those_of_the_reference() {
    let metric = ErrorsMetric { tolerate_ratio: 1.0, ..metric() };
    let pace = pace(&metric, 1000.0, 0.005);
    let medians = [
        (5.0, [210.0, 58.0, 18.0, 7.0, 2.0]),
        (10.0, [111.0, 32.0, 11.0, 4.0, 2.0]),
        (50.0, [43.0, 13.0, 5.0, 2.0, 1.0]),
    ];
    for (weight, medians) in medians {
        for (ratio, median) in RATIOS.into_iter().zip(medians) {
            let told = pace.detection(percent(weight), 0.005 * ratio);
            assert!(
                (median / 2.0 - 1.0..median * 1.6 + 1.0).contains(&told),
                "x{ratio} at {weight}%: {told} s, {median} s"
            );
        }
    }
    // The reference's median is 23 s for the ratio test alone: the mixture with the absolute one takes longer.
    let proof = pace.passing(percent(10.0), 0.005);
    assert!((20.0..60.0).contains(&proof), "{proof} s");
}

#[test]
fn it_goes_up_within_its_limits_and_to_the_end() {
    let metric = metric();
    for rate in [0.01, 1.0, 20.0, 500.0, 20_000.0] {
        for errors in [0.0, 0.001, 0.02, 0.5, 1.0] {
            for from in [0.01, 1.0, 3.0, 33.0] {
                let pace = Pace { to: percent(40.0), ..pace(&metric, rate, errors) };
                let ladder = ladder(&pace, percent(from));
                assert!(ladder.len() < 16 && ladder.last() == Some(&40.0), "{rate}/s, {errors}: {ladder:?}");
                let grows = |pair: &[f64]| pair[0] < pair[1] && pair[1] <= pair[0] * f64::from(GROWTH) + 1e-9;
                assert!(ladder.windows(2).all(grows), "{rate}/s, {errors}: {ladder:?}");
            }
        }
    }
}

#[test]
fn without_anything_known_it_doubles() {
    let metric = metric();
    let unknown = Pace { baseline: Counts::default(), ..pace(&metric, 0.0, 0.0) };
    assert_eq!(ladder(&unknown, percent(1.0)), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 50.0]);
    assert_eq!((unknown.first(), unknown.proof(percent(1.0))), (percent(1.0), None));
    for nonsense in [f64::NAN, f64::INFINITY, -1.0] {
        let pace = Pace { requests_per_second: nonsense, ..pace(&metric, 1.0, 0.0) };
        assert_eq!(pace.next(percent(8.0)), percent(16.0));
    }
}

#[test]
fn much_traffic_begins_low_and_little_traffic_where_it_can_be_proven() {
    let metric = metric();
    assert_eq!(pace(&metric, 5_000.0, 0.005).first(), percent(1.0));
    let little = pace(&metric, 20.0, 0.02).first();
    assert!(little > percent(1.0) && little <= percent(8.0), "{little}");
    // Where nothing could be proven in time it takes the nearest, and says how long that is.
    let least = pace(&metric, 1.0, 0.005);
    assert_eq!(least.first(), percent(8.0));
    assert!(least.proof(percent(1.0)).unwrap() > Duration::from_secs(24 * 3600));
}

#[test]
fn a_limit_to_the_whole_time_takes_fewer_weights() {
    let metric = metric();
    let slow = pace(&metric, 20_000.0, 0.005);
    let free = ladder(&slow, percent(1.0));
    let hasty = Pace { left: Some(Duration::from_secs(8)), ..slow };
    assert!(ladder(&hasty, percent(1.0)).len() <= free.len());
    let late = Pace { left: Some(Duration::ZERO), ..slow };
    assert_eq!(late.next(percent(20.0)), percent(50.0));
}

/// Pseudo-random numbers in (0, 1), the same each time.
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Of a Poisson distribution: by its definition where the mean is small, else by the normal one.
    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 30.0 {
            let normal = (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos();
            return (mean + mean.sqrt() * normal).round().max(0.0) as u64;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0);
        while product > limit {
            product *= self.uniform();
            count += 1;
        }
        count
    }
}

/// A release in virtual time.
struct Trial {
    requests_per_second: f64,
    baseline: f64,
    canary: f64,
}

/// What became of it: the bad requests that it cost, whether it was promoted, after how many seconds.
type End = (f64, bool, f64);

impl Trial {
    /// Goes up the weights that `next` tells: of the present one, the requests a second, and the baseline's counts.
    fn run(&self, chance: &mut Chance, next: &dyn Fn(Option<Weight>, Counts) -> Option<Weight>) -> End {
        let policy = AnalysisPolicy { errors: Some(metric()), ejections: None, ..AnalysisPolicy::default() };
        let (mut judge, mut cost, mut seconds, mut known) = (Judge::default(), 0.0, 0.0, Counts::default());
        let mut present = next(None, known);
        let bad = |share: f64, seconds: f64| self.requests_per_second * share * (self.canary - self.baseline) * seconds;
        while let Some(weight) = present {
            judge.begin_step();
            let w = share(weight);
            let mut passed = false;
            for _ in 0..600 {
                let arm = |chance: &mut Chance, share: f64, rate: f64| {
                    let requests = chance.poisson(self.requests_per_second * share);
                    Counts { requests, errors: chance.poisson(requests as f64 * rate).min(requests) }
                };
                let (canary, baseline) = (arm(chance, w, self.canary), arm(chance, 1.0 - w, self.baseline));
                known = known.plus(baseline);
                let length = Duration::from_secs(1);
                let window = Window {
                    canary: canary.into(),
                    baseline: baseline.into(),
                    proxies: 1,
                    length,
                    ..Window::default()
                };
                judge.observe(&window, &policy);
                (cost, seconds) = (cost + bad(w, 1.0), seconds + 1.0);
                match judge.verdict(&policy) {
                    Verdict::Fail { .. } => return (cost + bad(w, REACTION), false, seconds),
                    Verdict::Pass { .. } => {
                        passed = true;
                        break;
                    }
                    _ => {}
                }
            }
            (cost, seconds) = (cost + bad(w, REACTION), seconds + REACTION);
            if !passed {
                // Nobody proves it: a person takes it back.
                return (cost, false, seconds);
            }
            present = next(Some(weight), known);
        }
        (cost + bad(1.0, PROMOTED), true, seconds)
    }
}

fn fixed(weights: &'static [f64]) -> impl Fn(Option<Weight>, Counts) -> Option<Weight> {
    move |present, _| weights.iter().map(|one| percent(*one)).find(|one| present.is_none_or(|present| *one > present))
}

/// The ladders by their mean cost over bad releases (`r` from 1.5 to 10, all alike), and the seconds of good ones.
#[test]
fn it_costs_at_most_what_doubling_and_fixed_weights_cost() {
    let metric = metric();
    let (mut sums, mut times, mut runs) = ([0.0; 3], [0.0; 3], 0.0);
    for (at, (rate, p)) in
        [(200.0, 0.02), (1_000.0, 0.005), (5_000.0, 0.005), (20_000.0, 0.001)].into_iter().enumerate()
    {
        let auto = |present: Option<Weight>, known: Counts| {
            let pace = Pace { baseline: known, ..pace(&metric, rate, p) };
            let next = present.map_or(percent(1.0), |present| pace.next(present));
            present.is_none_or(|present| present < pace.to).then_some(next)
        };
        let ladders: [&dyn Fn(Option<Weight>, Counts) -> Option<Weight>; 3] =
            [&auto, &fixed(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 50.0]), &fixed(&[5.0, 25.0, 50.0])];
        let (mut costs, mut good) = ([0.0; 3], [0.0; 3]);
        for run in 0..RUNS {
            for (ladder, next) in ladders.into_iter().enumerate() {
                for (of, ratio) in RATIOS.into_iter().enumerate() {
                    let trial = Trial { requests_per_second: rate, baseline: p, canary: p * ratio };
                    // Of how many bad requests at a second of all the traffic: what weighs is the way, not the traffic.
                    let unit = rate * p;
                    let mut chance = Chance(1 + (at * 1_000_000 + of * 10_000 + run) as u64);
                    costs[ladder] += trial.run(&mut chance, next).0 / unit;
                }
                let trial = Trial { requests_per_second: rate, baseline: p, canary: p };
                let mut chance = Chance(7 + (at * 1_000_000 + run) as u64);
                good[ladder] += trial.run(&mut chance, next).2;
            }
        }
        runs += RUNS as f64;
        let mean = |sums: [f64; 3]| sums.map(|sum| sum / RUNS as f64);
        eprintln!(
            "{rate}/s at {p}: cost {:.2?}, a good one takes {:.0?} s (auto, doubling, 5/25/50)",
            mean(costs),
            mean(good)
        );
        (0..3).for_each(|at| (sums[at], times[at]) = (sums[at] + costs[at], times[at] + good[at]));
    }
    let [auto, doubling, fixed] = sums.map(|sum| sum / runs);
    eprintln!("together: {auto:.2}, {doubling:.2}, {fixed:.2}; {:.0?} s", times.map(|time| time / runs));
    assert!(auto <= doubling && auto <= fixed, "auto {auto}, doubling {doubling}, 5/25/50 {fixed}");
}

/// Of each ratio at each traffic.
const RUNS: usize = 40;
