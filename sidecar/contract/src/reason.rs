//! The closed list of reasons, in families: who matches on a family has to consider each of its members.

/// Declares the families of reasons, and [`Reason`] as their union, with words and documentation in one table. A family may
/// share reasons with another one, which declares them.
macro_rules! reasons {
    ($(
        $(#[doc = $family_doc:literal])+
        $family:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ $(shares $($shared:ident)+)? }
    )+) => {
        /// Why something was refused, failed or ended the way it did: a reason of any family.
        ///
        /// The same words appear in log lines (`reason=`), in denials, in the sidecar's termination message and probe output and
        /// in metric labels. A reason that was released is never renamed and never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($($(#[doc = $doc])+ $variant,)+)+
        }

        impl Reason {
            /// Every reason, in the order of the reference.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)+)+];

            /// The word that stands in logs, messages and labels.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$variant => $word,)+)+ }
            }

            /// What it means, as lines of prose for a user.
            pub const fn docs(self) -> &'static [&'static str] {
                match self { $($(Self::$variant => &[$($doc),+],)+)+ }
            }

            /// Reads a word back, for instance from persisted state.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }
        }

        $(
            $(#[doc = $family_doc])+
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum $family {
                $($(#[doc = $doc])+ $variant,)+
                $($(#[doc = concat!("See [`Reason::", stringify!($shared), "`].")] $shared,)+)?
            }

            impl $family {
                /// Every reason of this family.
                pub const ALL: &'static [Self] = &[$(Self::$variant,)+ $($(Self::$shared,)+)?];

                /// The word that stands in logs, messages and labels.
                pub fn as_str(self) -> &'static str {
                    Reason::from(self).as_str()
                }
            }

            impl From<$family> for Reason {
                fn from(reason: $family) -> Self {
                    match reason {
                        $($family::$variant => Self::$variant,)+
                        $($($family::$shared => Self::$shared,)+)?
                    }
                }
            }

            impl std::fmt::Display for $family {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.pad(self.as_str())
                }
            }
        )+
    };
}

reasons! {
    /// Why the webhook left a pod alone.
    SkipReason {
        /// The webhook left the pod alone: its label says `"false"`.
        OptedOut = "opted-out",
        /// The webhook left the pod alone: it does not carry our label.
        NotLabeled = "not-labeled",
        /// The webhook left the pod alone: it already has our container and our status annotation.
        AlreadyInjected = "already-injected",
        /// The webhook left the object alone: it is not a pod, or the request does not create one.
        NotAPodCreation = "not-a-pod-creation",
        /// The webhook left the pod alone: it is the mirror of a static pod, which no admission can change.
        MirrorPod = "mirror-pod",
    }
    /// Why the webhook denied a pod.
    DenyReason {
        /// Denied: the pod is not shaped like a pod (for instance `containers` is not a list).
        MalformedPod = "malformed-pod",
        /// Denied: the pod consists of more JSON values than the webhook reads.
        PodTooLarge = "pod-too-large",
        /// Denied: the pod's label is neither `"true"` nor `"false"`.
        BadLabel = "bad-label",
        /// Denied: the value of one of our annotations cannot be understood; the message names key, value and form.
        BadAnnotation = "bad-annotation",
        /// Denied: the annotation asks for something that the operator's settings do not allow.
        NotAllowed = "not-allowed",
        /// Denied: the value of an identity annotation on the ServiceAccount cannot be understood.
        BadIdentity = "bad-identity",
        /// Denied: no client ID on the pod, on its ServiceAccount or in the operator's defaults.
        NoIdentity = "no-identity",
        /// Denied: the pod's ServiceAccount does not exist.
        AccountMissing = "account-missing",
        /// Denied: the webhook could not read the pod's ServiceAccount.
        AccountUnreadable = "account-unreadable",
        /// Denied: several containers could be the agent, or the named one does not exist.
        AgentContainer = "agent-container",
        /// Denied: no organization URL on the pod, in the agent container's environment or in the operator's defaults.
        NoUrl = "no-url",
        /// Denied: the agent container already sets a different organization URL or pool than the annotation.
        Conflict = "conflict",
        /// Denied: a container, volume, mount path or variable of the pod has one of our names, or a container mounts a volume of
        /// such a name.
        NameClash = "name-clash",
        /// Denied: the webhook would have to remove more entries of the pod, or to copy longer ones, than it does.
        PatchTooLarge = "patch-too-large",
        /// Denied: the pod has our container or our status annotation, but not both.
        HalfInjected = "half-injected",
        /// Denied: the pod has our container without `restartPolicy: Always`; another webhook, too old for native sidecars, dropped it.
        RestartPolicyDropped = "restart-policy-dropped",
        /// Denied: the pod carries the label of the Azure Workload Identity webhook, and neither pod nor operator say what happens to the federated token in its agent container.
        FederatedTokenChoice = "federated-token-choice",
        /// Denied: a Windows pod; the sidecar is a Linux program.
        WindowsPod = "windows-pod",
        /// Denied: the pod asks for the gateway and has what the gateway cannot work with: the node's network, a port of its own with
        /// the gateway's number, `once` with restartPolicy `Always`, or an image that knows its organization only by name.
        GatewayImpossible = "gateway-impossible",
        /// Denied: the API server does not keep an init container's `restartPolicy` (older than Kubernetes 1.29).
        NoNativeSidecars = "no-native-sidecars",
        shares BadUrl WhiteSpace
    }
    /// Why nothing works until somebody changes the pod or the webhook's settings: the sidecar sends no requests.
    RefusalReason {
        /// The sidecar does not know the contract version that it was given; no agent starts.
        ContractUnknown = "contract-unknown",
        /// The sidecar's environment is incomplete or wrong; the message names every variable.
        BadConfiguration = "bad-configuration",
        /// The organization URL is not a URL of an organization of Azure DevOps Services, or (denied) its host is not on the operator's list. What the webhook can see is denied, what comes from a Secret or a ConfigMap the sidecar says.
        BadUrl = "bad-url",
        /// Organization, pool or agent name begins or ends with white space, which start scripts take as it is. Denied, or said by the sidecar where the value comes from a Secret or a ConfigMap.
        WhiteSpace = "white-space",
        /// The URL is one of Azure DevOps Server.
        NotServices = "not-services",
        /// The URL's host is not on the operator's list, so no token goes there.
        HostNotAllowed = "host-not-allowed",
    }
    /// Why there is no token from Entra.
    EntraReason {
        /// The projected service-account token is missing or empty.
        AssertionMissing = "assertion-missing",
        /// Entra says that the service-account token is expired or not yet valid (AADSTS700024): no rotation, or a wrong clock.
        AssertionExpired = "assertion-expired",
        /// Entra does not accept the service-account token's signature or shape (AADSTS7000272, 700027, 700025).
        AssertionRejected = "assertion-rejected",
        /// The service-account token lives longer than Entra accepts (AADSTS70023).
        AssertionTooLong = "assertion-too-long",
        /// Entra knows no federated credential for this issuer, subject and audience, or not yet (AADSTS70021, 700211, 700212, 700213, 7002137), or they differ in letter case (7002138).
        CredentialMissing = "credential-missing",
        /// Entra cannot read the cluster's issuer document or keys (AADSTS50166, 90061).
        IssuerUnreachable = "issuer-unreachable",
        /// Entra does not know the application, or it is disabled, or not in this tenant (AADSTS700016, 7000112 and similar).
        ApplicationUnknown = "application-unknown",
        /// Entra does not know the tenant, or it is of another cloud (AADSTS90002, 900023, 900382 and similar).
        TenantUnknown = "tenant-unknown",
        /// Entra does not know Azure DevOps as a resource of this tenant, or refuses the scope (AADSTS500011, 650052, 650057, 70011).
        ResourceUnknown = "resource-unknown",
        /// A conditional access policy refuses the identity (AADSTS53003, 530032).
        ConditionalAccess = "conditional-access",
        /// Entra refuses for another reason; the message carries its code.
        EntraRefused = "entra-refused",
        /// Entra could not be reached: name, connection, TLS, timeout, or an answer that is not Entra's.
        EntraUnreachable = "entra-unreachable",
        /// Entra answered with a failure of its own.
        EntraUnavailable = "entra-unavailable",
        /// Entra asks for a pause (429, AADSTS90055, AADSTS50196).
        EntraThrottled = "entra-throttled",
        /// Identity binding: the cluster's token proxy refuses; the ServiceAccount may lack the ClusterRole.
        BindingRefused = "binding-refused",
    }
    /// Why Azure DevOps does not do what the sidecar asks for.
    AdoReason {
        /// Azure DevOps could not be reached: name, connection, TLS, timeout, or an answer that is not Azure DevOps'.
        AdoUnreachable = "ado-unreachable",
        /// Azure DevOps answered with a failure of its own (5xx).
        AdoUnavailable = "ado-unavailable",
        /// Azure DevOps asks for a pause (429).
        AdoThrottled = "ado-throttled",
        /// Azure DevOps refuses for another reason (4xx); the message carries its answer.
        AdoRefused = "ado-refused",
        /// Azure DevOps does not accept the token (401, 203 or 302 with a sign-in page).
        TokenRefused = "token-refused",
        /// The identity is not a user of the organization (TF401444 and similar).
        IdentityUnknown = "identity-unknown",
        /// The identity, and so its token, is of another tenant than the one that the organization trusts.
        TenantMismatch = "tenant-mismatch",
        /// The organization does not exist.
        OrganizationMissing = "organization-missing",
        /// The pool does not exist, or the identity may not see it.
        PoolMissing = "pool-missing",
        /// The identity is not Administrator of the pool.
        RoleMissing = "role-missing",
        /// The pool has an agent of this name that is not ours.
        NameTaken = "name-taken",
        shares JobStillAssigned
    }
    /// What a running sidecar says of itself and of its agent.
    StateReason {
        /// The token file could not be written.
        TokenFileFailed = "token-file-failed",
        /// The gateway cannot listen: another program of the pod has its port.
        GatewayFailed = "gateway-failed",
        /// The sidecar is getting its first token and checking pool and role.
        Starting = "starting",
        /// The token file is there and everything was checked: the agent may start.
        Ready = "ready",
        /// The agent may run, but none of this pod was seen in the pool within some minutes: it failed, has a name of the image's own, or is in another pool.
        NotSeen = "not-seen",
        /// The agent carries no marker (a start script that uses `sudo` drops it); by name and age it was taken as this pod's.
        Adopted = "adopted",
        /// The agent is registered through the gateway and has a session: it can be given jobs.
        Online = "online",
        /// The agent is registered through the gateway and has no session now, for instance between two starts of its container.
        Offline = "offline",
        /// The agent has had its one job (`once`): it is disabled, and no other agent can register.
        Used = "used",
        /// The pod is terminating: the agent is being removed.
        Draining = "draining",
    }
    /// What became of the pod's agent in the end.
    OutcomeReason {
        /// Outcome: the agent was removed from the pool.
        Removed = "removed",
        /// Outcome: the agent of a placeholder pod stays in the pool.
        Kept = "kept",
        /// Outcome: the pool had no agent of this pod any more; the image had removed it itself.
        AlreadyGone = "already-gone",
        /// Outcome: no agent of this pod was seen in the pool, and it ended before the sidecar looked: it never registered, or the image had removed it.
        NeverSeen = "never-seen",
        /// Outcome: an agent of this name stayed because it is not ours (it was there before this pod).
        NotOurs = "not-ours",
        /// Outcome: the agent stayed because Azure DevOps still has a job assigned to it.
        JobStillAssigned = "job-still-assigned",
        /// Outcome: no agent of this pod was seen, neither while it ran nor at the end; one may have stayed in another pool.
        LeftUnseen = "left-unseen",
        /// Outcome: the agent may have stayed because Azure DevOps could not be reached until the end.
        LeftUnreachable = "left-unreachable",
        /// Outcome: the agent may have stayed because Azure DevOps refused its removal until the end.
        LeftRefused = "left-refused",
        /// Outcome: an agent may have stayed because nothing proves which one is this pod's, or no longer does.
        LeftUnproven = "left-unproven",
        /// Outcome: the agent may have stayed because no valid token could be obtained until the end.
        LeftWithoutToken = "left-without-token",
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_word_is_unique_and_reads_back() {
        let words: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert!(
                reason
                    .as_str()
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{reason}"
            );
        }
    }
}
