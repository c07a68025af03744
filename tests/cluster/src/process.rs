//! A process of ours, told from a later one that got the same number.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fs;

/// A process by its number and the moment it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number on the machine.
    pub pid: i32,
    /// Clock ticks since the machine's start, field 22 of `/proc/PID/stat` (proc(5)).
    started: u64,
}

impl Process {
    /// The process that has this number now.
    pub fn of(pid: i32) -> Result<Self> {
        let (_, started) = stat(pid).with_context(|| format!("process {pid} is gone"))?;
        Ok(Self { pid, started })
    }

    /// The first process of a container, which the engine numbers so. It may do that otherwise than the machine, if it has process
    /// numbers of its own.
    pub(crate) fn first_of_container(id: &str, number: i32) -> Result<Self> {
        let processes = fs::read_dir("/proc").context("cannot read /proc")?.flatten();
        let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_it = |pid: &i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            numbers_of(&status).ends_with(&[number, 1]) && groups.contains(id)
        };
        let pid = numbers.find(is_it);
        Self::of(pid.with_context(|| format!("process {number} of container {id} is not on this machine"))?)
    }

    /// The only child of a process that forks once, such as `unshare` and `nsenter`.
    pub fn only_child(&self) -> Option<Self> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).ok()?;
        Self::of(children.split_whitespace().next()?.parse().ok()?).ok()
    }

    /// Whether it still runs: it is there, it is the same, and it is not a zombie, which its parent has yet to read.
    pub fn runs(&self) -> bool {
        stat(self.pid).is_some_and(|(state, started)| started == self.started && state != 'Z')
    }

    /// Whether the kernel is done with it. A zombie may have threads that still end and hold its sockets.
    pub fn is_gone(&self) -> bool {
        stat(self.pid).is_none_or(|(_, started)| started != self.started)
    }

    /// Sends a signal if it still runs.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if !self.runs() {
            return Ok(());
        }
        let pid = Pid::from_raw(self.pid).context("process number 0")?;
        match kill_process(pid, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            result => result.with_context(|| format!("cannot signal process {pid:?}")),
        }
    }
}

/// State letter and start time.
fn stat(pid: i32) -> Option<(char, u64)> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The numbers of a process in every namespace that it is in, the innermost last (proc(5), `NSpid`).
fn numbers_of(status: &str) -> Vec<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let numbers = line.unwrap_or_default().split_whitespace();
    numbers.filter_map(|number| number.parse().ok()).collect()
}

fn parse(stat: &str) -> Option<(char, u64)> {
    // The name, in parentheses, may hold spaces and parentheses itself.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Process, numbers_of, parse};
    use rustix::process::Signal;
    use std::process::Command;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(parse(stat), Some(('S', 4711)));
    }

    #[test]
    fn a_process_has_a_number_in_each_namespace() {
        let status = "Name:\tsystemd\nNSpid:\t3907\t112\t1\nNSpgid:\t3907\t112\t1\n";
        assert_eq!(numbers_of(status), [3907, 112, 1]);
        assert!(numbers_of("Name:\tsystemd\n").is_empty());
    }

    #[test]
    fn a_process_runs_until_it_is_killed_and_another_start_time_is_another_process() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(child.id().cast_signed()).unwrap();
        let other = Process {
            started: process.started + 1,
            ..process
        };
        assert!(process.runs());
        assert!(!other.runs());
        other.signal(Signal::KILL).unwrap();
        assert!(process.runs(), "a signal for another process is not delivered");
        process.signal(Signal::KILL).unwrap();
        assert!(!process.is_gone(), "until its parent has read how it ended");
        child.wait().unwrap();
        assert!(!process.runs() && process.is_gone());
    }
}
