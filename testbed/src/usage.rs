//! What the calling process has used and may use, and a clock that two processes on one machine can compare.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// File descriptors beyond one for each connection: the runtime's, the listener, the standard streams.
const SPARE: u64 = 64;

/// The system's monotonic clock (CLOCK_MONOTONIC): the same for all processes.
pub fn monotonic() -> Duration {
    clock(ClockId::Monotonic)
}

/// Processor time of all of this process's threads so far, its own and the kernel's on its behalf.
pub fn processor_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// Processor time of the calling thread so far: unlike the time that passes, the same on a busy machine and on an idle
/// one.
pub fn thread_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    // Neither clock begins below zero, and nanoseconds are below a thousand million.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Resident memory of this process, in bytes.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/self/status")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS")?;
    Ok(kilobytes << 10)
}

/// What all processors of the machine have done since it was started, in clock ticks: work for anybody (or for another
/// machine on the same hardware), and all.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn machine() -> Result<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat begins with cpu")?;
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in user already.
    let ticks: Vec<u64> =
        line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().context("/proc/stat")?;
    let all: u64 = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}

/// Makes room for this many connections: raises the soft limit of open files to the hard one.
///
/// # Errors
/// When the hard limit is too low, with what to do.
pub fn allow_connections(connections: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let needed = connections as u64 + SPARE;
    // None: no limit.
    let hard = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        needed <= hard,
        "{connections} connections need {needed} file descriptors, and this process may have {hard}: \
         raise the hard limit (ulimit -Hn {needed}) or ask for fewer streams"
    );
    allow_most_connections()
}

/// Makes room for as many connections as the system lets this process have: raises the soft limit of open files to the
/// hard one.
///
/// # Errors
/// When the system refuses.
pub fn allow_most_connections() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("raise the limit of open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_memory_are_this_processes_own() {
        let (clock, used, here) = (monotonic(), processor_time(), thread_time());
        let memory = vec![1_u8; 32 << 20];
        assert!(memory.iter().map(|byte| u64::from(*byte)).sum::<u64>() > 0);
        assert!(monotonic() > clock && processor_time() > used && thread_time() > here);
        let (busy, all) = machine().expect("/proc");
        assert!(0 < busy && busy < all);
        assert!(resident().expect("/proc") > 32 << 20);
    }

    #[test]
    fn too_many_connections_are_refused_with_the_limit() {
        allow_connections(1).expect("one is always allowed");
        if let Some(hard) = getrlimit(Resource::Nofile).maximum {
            let text = allow_connections(hard as usize).expect_err("more than the limit").to_string();
            assert!(text.contains(&format!("may have {hard}")) && text.contains("ulimit -Hn"), "{text}");
        }
    }
}
