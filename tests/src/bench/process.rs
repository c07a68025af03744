//! What Linux tells of a process: processor time, memory, wakeups (proc(5)).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;

/// `USER_HZ` is 100 on every architecture that the programs are built for, whatever the kernel's own rate is.
const TICK: Duration = Duration::from_millis(10);

/// A running process.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

/// Memory of a process in MiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// `VmRSS`: everything that is in memory.
    pub resident: f64,
    /// `RssAnon`: the part that is its own, not pages of the program's file or of shared libraries.
    pub anonymous: f64,
    /// `VmHWM`: the most that was ever resident.
    pub peak: f64,
}

impl Process {
    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has the process ended?"))
    }

    /// Processor time of all threads, in the kernel and out of it. It is told in ticks of 10 ms.
    ///
    /// # Errors
    /// The process has ended.
    pub fn processor_time(self) -> anyhow::Result<Duration> {
        let stat = self.read("stat")?;
        // The second field is the program's name in brackets, with any character in it.
        let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no program name")?;
        let mut ticks = 0;
        // utime and stime, the fields 14 and 15.
        for field in fields.split_ascii_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>().context("/proc/PID/stat has no times")?;
        }
        Ok(TICK * u32::try_from(ticks)?)
    }

    /// Memory now, and the most that there was.
    ///
    /// # Errors
    /// The process has ended.
    pub fn memory(self) -> anyhow::Result<Memory> {
        let status = self.read("status")?;
        let mebibytes = |key: &str| -> anyhow::Result<f64> {
            let kibibytes = field(&status, key).with_context(|| format!("/proc/PID/status has no {key}"))?;
            Ok(kibibytes.trim_end_matches(" kB").parse::<f64>()? / 1024.0)
        };
        Ok(Memory {
            resident: mebibytes("VmRSS:")?,
            anonymous: mebibytes("RssAnon:")?,
            peak: mebibytes("VmHWM:")?,
        })
    }

    /// How many files, sockets and pipes are open.
    ///
    /// # Errors
    /// The process has ended.
    pub fn descriptors(self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.0))?.count())
    }

    /// How often each thread slept and was woken, by thread id: voluntary context switches.
    ///
    /// # Errors
    /// The process has ended.
    pub fn wakeups(self) -> anyhow::Result<BTreeMap<u32, u64>> {
        let mut wakeups = BTreeMap::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.0))? {
            let thread: u32 = thread?.file_name().to_string_lossy().parse()?;
            // A thread may end while we look.
            let Ok(status) = self.read(&format!("task/{thread}/status")) else {
                continue;
            };
            let switches = field(&status, "voluntary_ctxt_switches:").context("no voluntary_ctxt_switches")?;
            wakeups.insert(thread, switches.parse()?);
        }
        Ok(wakeups)
    }
}

/// Wakeups between two looks. A thread that came or went counts as at least one.
pub fn wakeups_between(before: &BTreeMap<u32, u64>, after: &BTreeMap<u32, u64>) -> u64 {
    let stayed_or_came = after.iter().map(|(thread, now)| match before.get(thread) {
        Some(then) => now.saturating_sub(*then),
        None => (*now).max(1),
    });
    let went = before.keys().filter(|thread| !after.contains_key(thread)).map(|_| 1);
    stayed_or_came.chain(went).sum()
}

fn field<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_look_at_itself() {
        let me = Process(std::process::id());
        let memory = me.memory().unwrap();
        assert!(
            memory.anonymous <= memory.resident && memory.resident <= memory.peak,
            "{memory:?}"
        );
        assert!(me.processor_time().unwrap() < Duration::from_secs(3600));
        let before = me.wakeups().unwrap();
        std::thread::sleep(Duration::from_millis(1));
        assert!(wakeups_between(&before, &me.wakeups().unwrap()) >= 1);
    }

    #[test]
    fn threads_that_come_and_go_count() {
        let (before, after) = ([(1, 5), (2, 7)].into(), [(1, 8), (3, 0)].into());
        assert_eq!(wakeups_between(&before, &after), 3 + 1 + 1);
    }
}
