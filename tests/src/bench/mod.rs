//! Measures the programs against their goals: `cargo run --release --bin bench`, described in `docs/performance.md`.
//!
//! Times mean something only beside another time of the same run, so whatever has a time is measured in rounds, in turn
//! with the least that could do the same ([`floor`], [`round_trip`]), and the ratio is what counts. All servers are
//! processes of their own.

pub mod attack;
pub mod attack_sidecar;
pub mod decision;
pub mod floor;
pub mod gateway;
pub mod load;
pub mod machine;
pub mod memory;
pub mod neighbor;
pub mod older;
pub mod pod;
pub mod process;
pub mod report;
pub mod reviews;
pub mod round_trip;
pub mod sidecar;
pub mod sizes;

use std::time::Duration;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds of reviews; each calls every server at every number of connections.
    pub rounds: usize,
    /// Reviews of a server in a round, at each number of connections.
    pub reviews: usize,
    /// Reviews before memory is looked at, and again before it is looked at a second time.
    pub soak: usize,
    /// ServiceAccounts in the large cluster.
    pub accounts: usize,
    /// Starts of a sidecar.
    pub starts: usize,
    /// Probes of each started sidecar.
    pub probes: usize,
    /// From the registered agent to the beginning of the idle time. The sidecar looks once whether its agent registered,
    /// 60 to 72 seconds after it may start, and is idle from then on.
    pub settle: Duration,
    /// How long an idle sidecar is watched.
    pub idle: Duration,
    /// How long each attack lasts.
    pub attack: Duration,
}

impl Effort {
    /// What the published figures are made with.
    pub const FULL: Self = Self {
        rounds: 11,
        reviews: 3000,
        soak: 10_000,
        accounts: 20_000,
        starts: 25,
        probes: 10,
        settle: Duration::from_secs(80),
        idle: Duration::from_secs(60),
        attack: Duration::from_secs(30),
    };
    /// Whether everything works; the figures say little.
    pub const QUICK: Self = Self {
        rounds: 3,
        reviews: 200,
        soak: 500,
        accounts: 2000,
        starts: 3,
        probes: 2,
        settle: Duration::from_secs(2),
        idle: Duration::from_secs(5),
        attack: Duration::from_secs(2),
    };
}
