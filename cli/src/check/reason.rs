//! The closed list of reasons that only `check` has.

use crate::problem::words;

words! {
    /// Why something that `check` looks at is not as it should be, where the webhook and the sidecar have no word for it.
    CheckReason {
        /// The API server could not be reached, or answered with a failure of its own.
        ClusterUnreachable = "cluster-unreachable" => "troubleshooting.md#ado-agent-check",
        /// Nobody looked: the API server does not allow it to this user.
        NotPermitted = "not-permitted" => "troubleshooting.md#ado-agent-check",
        /// Nobody looked: what would be needed was not given on the command line and stands nowhere in the cluster.
        NotGiven = "not-given" => "troubleshooting.md#ado-agent-check",
        /// Nodes whose kubelet knows no native sidecars (older than 1.29).
        NodeTooOld = "node-too-old" => "install.md#what-you-need",
        /// Nodes whose kubelet has a known fault that pods with the sidecar meet.
        KubeletFault = "kubelet-fault" => "install.md#kubelets-with-known-faults",
        /// No Linux node is ready and takes pods.
        NoNode = "no-node" => "troubleshooting.md#ado-agent-check",
        /// cert-manager's definitions are not in the cluster.
        CertManagerMissing = "cert-manager-missing" => "install.md#what-you-need",
        /// The webhook is not registered with the API server.
        WebhookMissing = "webhook-missing" => "install.md#install",
        /// The webhook's registration selects other pods than it should, or cannot be dry-run.
        WebhookChanged = "webhook-changed" => "troubleshooting.md#ado-agent-check",
        /// The webhook is called after the Azure Workload Identity webhook (azwi).
        WebhookOrder = "webhook-order" => "what-the-webhook-does.md#alongside-the-azure-workload-identity-webhook-azwi",
        /// Pods of the webhook are missing or not ready.
        WebhookNotReady = "webhook-not-ready" => "troubleshooting.md#the-webhook-cannot-be-reached",
        /// The API server could not call the webhook.
        WebhookUnreachable = "webhook-unreachable" => "troubleshooting.md#the-webhook-cannot-be-reached",
        /// The webhook's registration has no CA bundle, or one that is no certificate.
        CaMissing = "ca-missing" => "troubleshooting.md#the-webhook-cannot-be-reached",
        /// The webhook's certificate is not of the CA in its registration.
        CaMismatch = "ca-mismatch" => "install.md#certificates",
        /// The webhook's certificate has expired or is not valid yet.
        CertificateExpired = "certificate-expired" => "install.md#certificates",
        /// The webhook's certificate ends within two weeks and should have been renewed.
        CertificateEnding = "certificate-ending" => "install.md#certificates",
        /// The webhook's certificate is not for the name that the API server calls.
        CertificateName = "certificate-name" => "install.md#certificates",
        /// The namespace does not exist.
        NamespaceMissing = "namespace-missing" => "troubleshooting.md#ado-agent-check",
        /// The namespace lacks the label, or has one that keeps the webhook away.
        NamespaceNotLabeled = "namespace-not-labeled" => "troubleshooting.md#the-pod-starts-without-a-sidecar",
        /// The API server refused the dry-run pod for another reason than the webhook: Pod Security, a quota, a policy.
        PodRefused = "pod-refused" => "troubleshooting.md#no-pod-appears",
        /// The dry-run pod came back without the sidecar.
        NotInjected = "not-injected" => "troubleshooting.md#the-pod-starts-without-a-sidecar",
        /// The cluster's issuer is not an https URL that Entra could read.
        IssuerPrivate = "issuer-private" => "azure.md#private-clusters-and-issuers",
        /// The document at the issuer's URL is not this cluster's: it names another issuer, or lacks its key.
        IssuerMismatch = "issuer-mismatch" => "azure.md#private-clusters-and-issuers",
        /// The cluster signs with another algorithm than RS256, the only one that Entra takes.
        IssuerAlgorithm = "issuer-algorithm" => "azure.md#private-clusters-and-issuers",
        /// The identity has 20 federated credentials, the most that Entra takes, or nearly so.
        CredentialsFull = "credentials-full" => "azure.md#federated-credential",
        /// KEDA asks Azure DevOps with a personal access token.
        KedaToken = "keda-token" => "keda.md#keda-from-zero",
        /// KEDA's TriggerAuthentication is missing, or is not workload identity with a client ID.
        KedaIdentity = "keda-identity" => "keda.md#keda-from-zero",
        /// KEDA's trigger cannot work as it is written.
        KedaTrigger = "keda-trigger" => "troubleshooting.md#keda-does-not-scale",
        /// KEDA's trigger works, but starts too many or too few agents, or none from zero.
        KedaScaling = "keda-scaling" => "troubleshooting.md#keda-does-not-scale",
    }
}
