//! Kubelets and their known faults, as docs/install.md lists them.

/// A version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    /// 1.
    pub(crate) major: u32,
    /// 33 of 1.33.
    pub(crate) minor: u32,
    /// 4 of 1.33.4.
    pub(crate) patch: u32,
    /// As the server writes it.
    pub(crate) text: String,
}

impl Version {
    /// Reads `v1.33.4` and what vendors make of it (`v1.33.4-gke.1134000`, `v1.33.4+k3s1`).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix('v').unwrap_or(text);
        let mut parts = numbers.splitn(3, '.');
        let mut number = || {
            let part = parts.next()?;
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().ok()
        };
        Some(Self {
            major: number()?,
            minor: number()?,
            patch: number()?,
            text: text.to_owned(),
        })
    }

    /// Whether native sidecars are on by default.
    pub(crate) fn knows_native_sidecars(&self) -> bool {
        (self.major, self.minor) >= (1, 29)
    }
}

/// A fault of some kubelets.
struct Fault {
    /// What happens.
    what: &'static str,
    /// Number of the issue at kubernetes/kubernetes.
    issue: u32,
    /// Minor versions that have it, and the patch release that does not any more, if there is one.
    versions: &'static [(u32, Option<u32>)],
}

/// The patch releases of November 2025 are 1.34.2 and 1.33.6, those of March 2026 1.35.3, those of August 2024 1.30.4 and 1.29.8.
const FAULTS: &[Fault] = &[
    Fault {
        what: "a Job's pod hangs in Init if its sidecar ends once before the first probe has passed",
        issue: 132_826,
        versions: &[
            (29, None),
            (30, None),
            (31, None),
            (32, None),
            (33, Some(6)),
            (34, Some(2)),
        ],
    },
    Fault {
        what: "after a restart of the kubelet an agent container that ends is not started again",
        issue: 136_910,
        versions: &[(35, Some(3))],
    },
    Fault {
        what: "a pod that is deleted while it starts waits for its whole grace period",
        issue: 125_880,
        versions: &[(29, Some(8)), (30, Some(4))],
    },
];

/// What is known to go wrong with a kubelet of this version, as clauses.
pub(crate) fn faults(version: &Version) -> Vec<String> {
    let has = |fault: &&Fault| {
        fault
            .versions
            .iter()
            .any(|(minor, fixed)| *minor == version.minor && fixed.is_none_or(|fixed| version.patch < fixed))
    };
    FAULTS
        .iter()
        .filter(has)
        .map(|fault| format!("{} (kubernetes/kubernetes#{})", fault.what, fault.issue))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_vendors_are_read() {
        for (text, expected) in [
            ("v1.33.4", Some((1, 33, 4))),
            ("v1.33.4-gke.1134000", Some((1, 33, 4))),
            ("v1.29.15+k3s1", Some((1, 29, 15))),
            ("1.34.0-rc.1", Some((1, 34, 0))),
            ("v1.34", None),
            ("next", None),
            ("", None),
        ] {
            let version = Version::parse(text).map(|version| (version.major, version.minor, version.patch));
            assert_eq!(version, expected, "{text}");
        }
    }

    #[test]
    fn each_fault_ends_with_its_patch_release() {
        for (text, count) in [
            ("v1.29.7", 2),
            ("v1.29.8", 1),
            ("v1.30.3", 2),
            ("v1.31.14", 1),
            ("v1.32.13", 1),
            ("v1.33.5", 1),
            ("v1.33.6", 0),
            ("v1.34.1", 1),
            ("v1.34.2", 0),
            ("v1.35.2", 1),
            ("v1.35.3", 0),
            ("v1.37.2", 0),
        ] {
            let version = Version::parse(text).expect("a version");
            assert_eq!(faults(&version).len(), count, "{text}");
        }
    }
}
