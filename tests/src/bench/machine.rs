//! What the figures were taken on.

use serde::Serialize;

/// A machine and its build.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Model of the processor, as `/proc/cpuinfo` tells it.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Memory in MiB.
    pub memory: u64,
    /// Kernel release.
    pub kernel: String,
    /// `release` or `debug`; figures of a debug build say nothing.
    pub build: &'static str,
    /// Processes that wanted to run in the last minute, on average: more than a fraction of one, and times are not to be trusted.
    pub load: f64,
}

impl Machine {
    /// This one, now.
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| {
                Some(
                    line.strip_prefix("model name")?
                        .trim_start_matches([' ', '\t', ':'])
                        .to_owned(),
                )
            })
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let memory = read("/proc/meminfo").lines().find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim_end_matches("kB")
                .trim()
                .parse()
                .ok()
        });
        Self {
            processor,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory.unwrap_or(0_u64) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            load: load(),
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        let Self {
            processor,
            processors,
            memory,
            kernel,
            build,
            load,
        } = self;
        format!("{processors} x {processor}, {memory} MiB, Linux {kernel}, {build} build, load {load:.2} at the start")
    }
}

/// The load average of the last minute, 0 where the kernel does not tell.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|load| load.parse().ok());
    first.unwrap_or_default()
}
