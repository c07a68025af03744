//! The phases, in their order.

/// One part of what has to exist in Entra, Azure DevOps and the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Phase {
    /// Managed identities of the agents and of KEDA, by your own `az`.
    Identity,
    /// Their federated credentials: trust in this cluster's ServiceAccounts, by your own `az`.
    Credential,
    /// The identities as users of the organization, with the license Basic.
    User,
    /// The agent pool.
    Pool,
    /// The agents' role Administrator and KEDA's role Reader on the pool.
    Role,
    /// The agent that is only a row, so that an empty pool takes jobs.
    Placeholder,
    /// KEDA's TriggerAuthentication, printed.
    Keda,
}

impl Phase {
    /// All, in the order in which they depend on each other.
    pub const ALL: [Self; 7] = [
        Self::Identity,
        Self::Credential,
        Self::User,
        Self::Pool,
        Self::Role,
        Self::Placeholder,
        Self::Keda,
    ];

    /// The word that is typed and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Credential => "credential",
            Self::User => "user",
            Self::Pool => "pool",
            Self::Role => "role",
            Self::Placeholder => "placeholder",
            Self::Keda => "keda",
        }
    }

    /// Whether it asks Azure DevOps.
    pub(crate) fn asks_azure_devops(self) -> bool {
        match self {
            Self::User | Self::Pool | Self::Role | Self::Placeholder => true,
            Self::Identity | Self::Credential | Self::Keda => false,
        }
    }
}

/// Whether KEDA is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keda {
    /// It gets an identity, a role, a placeholder and a TriggerAuthentication.
    Served,
    /// It is not there.
    Absent,
}

/// The phases that are run: those that were named, else all that make sense.
pub(crate) fn selected(named: &[Phase], keda: Keda) -> Vec<Phase> {
    Phase::ALL
        .into_iter()
        .filter(|phase| match (named.is_empty(), keda) {
            (false, Keda::Served | Keda::Absent) => named.contains(phase),
            (true, Keda::Served) => true,
            (true, Keda::Absent) => ![Phase::Placeholder, Phase::Keda].contains(phase),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_run_in_their_own_order_whatever_was_typed() {
        use Phase::{Identity, Keda as KedaPhase, Pool, Role};
        assert_eq!(selected(&[Role, Pool], Keda::Served), [Pool, Role]);
        assert_eq!(selected(&[], Keda::Served), Phase::ALL);
        let without = selected(&[], Keda::Absent);
        assert_eq!(without.first(), Some(&Identity));
        assert_eq!(without.last(), Some(&Role), "nothing of KEDA's");
        // Who names a phase gets it.
        assert_eq!(selected(&[KedaPhase], Keda::Absent), [KedaPhase]);
    }
}
