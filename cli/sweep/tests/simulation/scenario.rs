//! What goes wrong, and when.

/// When everything begins.
pub(super) const BEGIN: i64 = 1_000_000;
/// No pod lives longer, in seconds.
pub(super) const LONGEST_LIFE: i64 = 3_000;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Azure DevOps does not answer.
    AzureDevOpsAway,
    /// Lists of agents are not whole, and nothing says so.
    HalfAList,
    /// After a few requests of a round, no more are answered.
    Throttled,
    /// The API server does not answer.
    ApiServerAway,
    /// The API server lists every second pod.
    HalfOfThePods,
    /// The keeper is dead (the first, if there are two).
    KeepDead,
    /// etcd, with pods and ledger, becomes what it was half an hour before.
    EtcdRestored,
    /// Another cluster has our ID and a pod in a namespace of ours.
    Clash,
}

impl Trouble {
    pub(super) const ALL: &'static [Self] = &[
        Self::AzureDevOpsAway,
        Self::HalfAList,
        Self::Throttled,
        Self::ApiServerAway,
        Self::HalfOfThePods,
        Self::KeepDead,
        Self::EtcdRestored,
        Self::Clash,
    ];
}

/// What goes wrong when, in seconds since the beginning.
#[derive(Debug, Clone)]
pub(super) struct Misfortune {
    pub(super) trouble: Trouble,
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Misfortune {
    pub(super) fn new(trouble: Trouble, from: i64, seconds: i64) -> Self {
        Self {
            trouble,
            from: BEGIN + from,
            until: BEGIN + from + seconds,
        }
    }
}

/// A day.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) pods: usize,
    /// In which they come.
    pub(super) seconds: i64,
    pub(super) replicas: usize,
    /// How many pods of a hundred die without a sidecar that cleans up.
    pub(super) violent_percent: u64,
    pub(super) troubles: Vec<Misfortune>,
}

impl Scenario {
    /// When the last misfortune is over and the last pod has died.
    pub(super) fn end(&self) -> i64 {
        let troubles = self.troubles.iter().map(|misfortune| misfortune.until).max();
        (BEGIN + self.seconds + LONGEST_LIFE).max(troubles.unwrap_or_default())
    }
}

/// Chance that can be repeated (SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((number ^ (number >> 31)) % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or_default()
    }
}
