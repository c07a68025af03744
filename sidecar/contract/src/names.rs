//! The names themselves, in tables from which the reference is rendered.

use crate::Entry;

/// Declares constants and the table that lists them with their documentation.
macro_rules! names {
    ($(#[doc = $table_doc:literal])+ $table:ident: $($(#[doc = $doc:literal])+ $name:ident = $value:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $value;)+

        $(#[doc = $table_doc])+
        pub const $table: &[Entry] = &[$(Entry { name: $name, docs: &[$($doc),+] },)+];
    };
}

/// Prefix of all labels and annotations of this project.
pub const PREFIX: &str = "ado-agent.dev/";

names! {
    /// Labels.
    LABELS:
    /// On a namespace, `"true"` opts the namespace in. On a pod, `"true"` asks for the sidecar, `"false"` declines it, and
    /// any other value is denied. Both labels are needed: the API server sends us no other pod.
    INJECT_LABEL = "ado-agent.dev/inject";
}

names! {
    /// Annotations that a person puts on a pod (template).
    POD_ANNOTATIONS:
    /// Organization URL, `https://dev.azure.com/ORGANIZATION` or `https://ORGANIZATION.visualstudio.com`. Default: the agent container's `AZP_URL`, else the operator's.
    URL_ANNOTATION = "ado-agent.dev/url";
    /// Agent pool, by name. Default: the agent container's `AZP_POOL`, else the operator's, else `Default`.
    POOL_ANNOTATION = "ado-agent.dev/pool";
    /// Client ID (a GUID) of the application or managed identity. Default: the ServiceAccount's annotation `azure.workload.identity/client-id`, else the operator's.
    CLIENT_ID_ANNOTATION = "ado-agent.dev/client-id";
    /// Entra tenant (a GUID or a domain). Default: the ServiceAccount's annotation `azure.workload.identity/tenant-id`, else the operator's, else what the organization says.
    TENANT_ID_ANNOTATION = "ado-agent.dev/tenant-id";
    /// Name of the container that is the agent. Needed where a pod has several containers and none has a documented name.
    AGENT_CONTAINER_ANNOTATION = "ado-agent.dev/agent-container";
    /// How the agent container gets what it needs: `token-file`, or `gateway`, with which no job can take the pool's token. Default: the operator's, else `token-file`.
    HANDOFF_ANNOTATION = "ado-agent.dev/handoff";
    /// Port on which the gateway listens for the pod's own containers. Default: 7649.
    GATEWAY_PORT_ANNOTATION = "ado-agent.dev/gateway-port";
    /// `"true"`, with `gateway`: the agent does one job and is removed at its end; nothing in the pod can register another one.
    ONCE_ANNOTATION = "ado-agent.dev/once";
    /// `"true"`, with `gateway`: the start script exchanges a federated token itself, with curl; it gets a file and an authority that lead to the gateway.
    OWN_EXCHANGE_ANNOTATION = "ado-agent.dev/own-exchange";
    /// With `gateway`: further variables in which the image expects its token, separated by commas, for instance `AGENT_TOKEN`. A name that ends in `_FILE` gets the path of a file with what the token's place holds.
    TOKEN_VARIABLES_ANNOTATION = "ado-agent.dev/token-variables";
    /// With `gateway`: further variables in which the image expects the organization URL, separated by commas.
    URL_VARIABLES_ANNOTATION = "ado-agent.dev/url-variables";
    /// Needed where the pod also carries the label of the Azure Workload Identity webhook (azwi): `hide` keeps the federated token out of the agent container, `keep` leaves it there for scripts that do their own exchange.
    FEDERATED_TOKEN_ANNOTATION = "ado-agent.dev/federated-token";
    /// Termination grace period of the pod in seconds. Default: the operator's where the pod has none of its own or the API's 30; a running job may finish within it.
    GRACE_SECONDS_ANNOTATION = "ado-agent.dev/grace-seconds";
    /// `"true"`: the agent only holds a place in the pool (for KEDA) and stays there, offline, when the pod ends; it is not removed.
    PLACEHOLDER_ANNOTATION = "ado-agent.dev/placeholder";
    /// ConfigMap in the pod's namespace with a private CA bundle, `NAME` or `NAME/KEY` (key `ca.crt` by default), if the operator allows it.
    CA_CONFIG_MAP_ANNOTATION = "ado-agent.dev/ca-config-map";
    /// Image of the sidecar instead of the operator's.
    SIDECAR_IMAGE_ANNOTATION = "ado-agent.dev/sidecar-image";
    /// CPU request and limit of the sidecar, a Kubernetes quantity.
    SIDECAR_CPU_ANNOTATION = "ado-agent.dev/sidecar-cpu";
    /// Memory request and limit of the sidecar, a Kubernetes quantity.
    SIDECAR_MEMORY_ANNOTATION = "ado-agent.dev/sidecar-memory";
    /// Request and limit of the sidecar for ephemeral storage, a Kubernetes quantity: for a LimitRange or a policy that asks for one. The sidecar writes to memory volumes only.
    SIDECAR_EPHEMERAL_STORAGE_ANNOTATION = "ado-agent.dev/sidecar-ephemeral-storage";
    /// Log level of the sidecar: `error`, `warn`, `info`, `debug` or `trace`.
    SIDECAR_LOG_LEVEL_ANNOTATION = "ado-agent.dev/sidecar-log-level";
    /// User ID of the sidecar, or `none` to leave it to the platform (OpenShift).
    SIDECAR_RUN_AS_USER_ANNOTATION = "ado-agent.dev/sidecar-run-as-user";
}

names! {
    /// Annotations that the webhook writes.
    WRITTEN_ANNOTATIONS:
    /// What the webhook did to the pod, as JSON: contract version, what was added, removed and changed, warnings.
    STATUS_ANNOTATION = "ado-agent.dev/status";
    /// Set to `"false"` unless present, so that the cluster autoscaler does not remove the node under a running job.
    SAFE_TO_EVICT_ANNOTATION = "cluster-autoscaler.kubernetes.io/safe-to-evict";
}

names! {
    /// First words of the entries of `notIsolated` in the status annotation: why jobs may reach the sidecar's memory, state or
    /// service-account token, the node, or another identity. A container next to the agent counts if it runs at the same time.
    NOT_ISOLATED:
    /// The agent container, or one next to it, is privileged.
    NOT_ISOLATED_PRIVILEGED = "privileged";
    /// It has a capability that leads out of a container: `ALL`, `BPF`, `DAC_READ_SEARCH`, `PERFMON`, `SYS_ADMIN`, `SYS_BOOT`, `SYS_MODULE`, `SYS_PTRACE` or `SYS_RAWIO`. In a pod with `hostUsers: false` it does not.
    NOT_ISOLATED_CAPABILITY = "capability";
    /// Its `/proc` is unmasked. With `hostUsers: false` that does not count either.
    NOT_ISOLATED_PROC_MOUNT = "procMount";
    /// All containers see each other's processes.
    NOT_ISOLATED_SHARED_PROCESSES = "shareProcessNamespace";
    /// The pod sees the node's processes.
    NOT_ISOLATED_HOST_PID = "hostPID";
    /// The pod shares memory with the node's processes.
    NOT_ISOLATED_HOST_IPC = "hostIPC";
    /// The pod is in the node's network: its loopback, and the metadata address with the node's identity.
    NOT_ISOLATED_HOST_NETWORK = "hostNetwork";
    /// The agent container, or one next to it, mounts a path of the node.
    NOT_ISOLATED_HOST_PATH = "hostPath";
    /// It mounts a service-account token of its own; the entry says for whom. For the Kubernetes API: set `automountServiceAccountToken: false`.
    NOT_ISOLATED_ACCOUNT_TOKEN = "serviceAccountToken";
    /// The agent container keeps the token that the Azure Workload Identity webhook gives it, or a container next to it gets one.
    NOT_ISOLATED_FEDERATED_TOKEN = "federatedToken";
    /// The agent container, or one next to it, mounts a volume of a kind that can hold more than data, such as `csi`.
    NOT_ISOLATED_VOLUME = "volume";
}

names! {
    /// Members of what `ado-agent-sidecar probe --json` prints. Where there is nothing to say, a member is `null`.
    PROBE_MEMBERS:
    /// Version of the sidecar.
    PROBE_VERSION = "version";
    /// What the sidecar says of itself and of its agent, one word of the list of reasons.
    PROBE_REASON = "reason";
    /// The same as a sentence, with what to do where something is wrong.
    PROBE_SENTENCE = "sentence";
    /// Whether the agent may start: the sidecar has a token, and has checked pool and role. With `false` the exit code is 1.
    PROBE_AGENT_MAY_START = "agentMayStart";
    /// Whether the sidecar's container is ready: with the gateway as long as the agent is online, else once the agent may run. `false` from the pod's end on.
    PROBE_READY = "ready";
    /// URL of the organization; `null`, as `pool` and `agent`, where the sidecar's configuration is refused.
    PROBE_ORGANIZATION = "organization";
    /// Name of the agent pool.
    PROBE_POOL = "pool";
    /// Name under which the agent is expected to register.
    PROBE_AGENT = "agent";
    /// The token for Azure DevOps: an object with the two members below; `null` as long as there is none.
    PROBE_TOKEN = "token";
    /// In `token`: how long ago Entra issued it.
    PROBE_TOKEN_AGE = "ageSeconds";
    /// In `token`: how long it is still valid.
    PROBE_TOKEN_REMAINING = "expiresInSeconds";
}

names! {
    /// Names of the Azure Workload Identity webhook (azwi) that we read; their meaning is theirs.
    AZWI_NAMES:
    /// Pod label that makes azwi mutate the pod.
    AZWI_USE_LABEL = "azure.workload.identity/use";
    /// ServiceAccount annotation with the client ID.
    AZWI_CLIENT_ID_ANNOTATION = "azure.workload.identity/client-id";
    /// ServiceAccount annotation with the tenant ID.
    AZWI_TENANT_ID_ANNOTATION = "azure.workload.identity/tenant-id";
    /// Pod annotation: containers that azwi leaves alone, separated by `;`.
    AZWI_SKIP_CONTAINERS_ANNOTATION = "azure.workload.identity/skip-containers";
    /// Pod annotation whose presence makes azwi add its migration proxy.
    AZWI_PROXY_ANNOTATION = "azure.workload.identity/inject-proxy-sidecar";
    /// Pod annotation: AKS identity binding; the identity is left to azwi.
    AZWI_BINDING_ANNOTATION = "azure.workload.identity/use-identity-binding";
}

names! {
    /// Containers and volumes that the webhook adds; a pod's own of these names is a clash and is denied.
    OBJECTS:
    /// The native sidecar, last of the init containers.
    SIDECAR_CONTAINER = "ado-agent-sidecar";
    /// Projected service-account token for Entra; mounted into the sidecar only.
    ASSERTION_VOLUME = "ado-agent-assertion";
    /// Memory volume with the token file (with `gateway`, the ticket); mounted into the sidecar and the agent container.
    HANDOFF_VOLUME = "ado-agent-handoff";
    /// Memory volume with the sidecar's socket and state; mounted into the sidecar only.
    STATE_VOLUME = "ado-agent-state";
    /// Empty memory volume over the Kubernetes API token's place in the sidecar.
    NO_API_TOKEN_VOLUME = "ado-agent-no-api-token";
    /// ConfigMap volume with the private CA bundle of the annotation.
    CA_VOLUME = "ado-agent-ca";
}

names! {
    /// Paths in the containers.
    PATHS:
    /// Where the sidecar's program is in its image.
    SIDECAR_PROGRAM = "/ado-agent-sidecar";
    /// Mount path of the assertion volume.
    ASSERTION_DIR = "/run/ado-agent/assertion";
    /// The service-account token.
    ASSERTION_FILE = "/run/ado-agent/assertion/assertion";
    /// Mount path of the handoff volume, in the sidecar and in the agent container.
    HANDOFF_DIR = "/run/ado-agent/handoff";
    /// The token file that the agent's start script reads, in a directory that the sidecar makes: writable for every user, since some images delete the file.
    TOKEN_FILE = "/run/ado-agent/handoff/token/token";
    /// Where the sidecar says whether the agent container's `preStop` hook may return.
    DRAIN_FILE = "/run/ado-agent/handoff/drain";
    /// Mount path of the state volume.
    STATE_DIR = "/run/ado-agent/state";
    /// Mount path of the CA volume.
    CA_DIR = "/run/ado-agent/ca";
    /// Where the API server mounts the Kubernetes API token unless something is mounted there already.
    API_TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";
    /// Where the sidecar says what is wrong, for `kubectl describe pod`.
    TERMINATION_LOG = "/dev/termination-log";
}

/// Directory below the handoff volume and file in it, of which [`TOKEN_FILE`] is made.
pub const TOKEN_SUBDIRECTORY: &str = "token";
/// See [`TOKEN_SUBDIRECTORY`].
pub const TOKEN_FILE_NAME: &str = "token";
/// Name of [`DRAIN_FILE`] in the handoff volume.
pub const DRAIN_FILE_NAME: &str = "drain";
/// Key of the CA bundle in a ConfigMap where the annotation names none.
pub const CA_DEFAULT_KEY: &str = "ca.crt";

names! {
    /// Variables that the webhook sets on the agent container. The agent publishes its environment as capabilities, so none holds a secret.
    AGENT_VARIABLES:
    /// Path of the token file, as Microsoft's start script reads it. With `gateway` only where the container has it, with the ticket in the file.
    AZP_TOKEN_FILE_VARIABLE = "AZP_TOKEN_FILE";
    /// The same path, for images of the older recipe.
    VSTS_TOKEN_FILE_VARIABLE = "VSTS_TOKEN_FILE";
    /// The same path, for images that use this name.
    AZDO_TOKEN_FILE_VARIABLE = "AZDO_TOKEN_FILE";
    /// Organization URL; set where the container has none, with `gateway` always: the gateway's.
    AZP_URL_VARIABLE = "AZP_URL";
    /// Pool; set where the container has none.
    AZP_POOL_VARIABLE = "AZP_POOL";
    /// Agent name; the pod's name where the container sets none.
    AZP_AGENT_NAME_VARIABLE = "AZP_AGENT_NAME";
    /// The ownership marker: who owns the agent that this container registers. Also given to the sidecar.
    OWNER_VARIABLE = "ADO_AGENT_OWNER";
    /// The pod's name, part of the marker. Also given to the sidecar.
    POD_NAME_VARIABLE = "ADO_AGENT_POD_NAME";
    /// The pod's UID, part of the marker. Also given to the sidecar.
    POD_UID_VARIABLE = "ADO_AGENT_POD_UID";
}

names! {
    /// Variables that the webhook sets on the agent container with the handoff `gateway`. None holds a secret either.
    GATEWAY_VARIABLES:
    /// The ticket: a fixed word, which the gateway accepts for the pod's own registration and for nothing else.
    AZP_TOKEN_VARIABLE = "AZP_TOKEN";
    /// The ticket, for images of the older recipe.
    VSTS_TOKEN_VARIABLE = "VSTS_TOKEN";
    /// The ticket, for images that use this name.
    AZDO_TOKEN_VARIABLE = "AZDO_TOKEN";
    /// The ticket, as the agent's own option `--token`.
    TOKEN_INPUT_VARIABLE = "VSTS_AGENT_INPUT_TOKEN";
    /// `PAT`, for start scripts that do not say how the agent signs in: its default for a plain URL is another one.
    AUTH_INPUT_VARIABLE = "VSTS_AGENT_INPUT_AUTH";
    /// The gateway's URL, as the agent's own option `--url`; set where the container sets it.
    URL_INPUT_VARIABLE = "VSTS_AGENT_INPUT_URL";
    /// `true`: the agent's library may sign in to the gateway, which is plain HTTP on the pod's own loopback.
    UNSAFE_BASIC_AUTH_VARIABLE = "VSS_ALLOW_UNSAFE_BASICAUTH";
    /// `true` with annotation `once`: the agent ends after one job.
    ONCE_INPUT_VARIABLE = "VSTS_AGENT_INPUT_ONCE";
}

names! {
    /// Variables of older recipes that the webhook reads where the agent container does not set the newer one; `AZP_` wins, then `VSTS_`, then `AZDO_`.
    OLDER_VARIABLES:
    /// Name of the organization; the start script makes `https://NAME.visualstudio.com` of it.
    VSTS_ACCOUNT_VARIABLE = "VSTS_ACCOUNT";
    /// Pool.
    VSTS_POOL_VARIABLE = "VSTS_POOL";
    /// Agent name.
    VSTS_AGENT_VARIABLE = "VSTS_AGENT";
    /// Organization URL.
    AZDO_URL_VARIABLE = "AZDO_URL";
    /// Pool.
    AZDO_POOL_VARIABLE = "AZDO_POOL";
    /// Agent name.
    AZDO_AGENT_VARIABLE = "AZDO_AGENT";
}

/// The organization URL that the start script of the oldest recipe makes of `VSTS_ACCOUNT` (microsoft/vsts-agent-docker).
pub fn account_url(account: &str) -> String {
    format!("https://{account}.visualstudio.com")
}

/// Variables with secrets that the webhook removes from the agent container and sets to the empty string, whatever `envFrom`
/// or the image's own environment brings: the secrets and settings of the start scripts that would win over the token file
/// (Microsoft's recipe, vsts-agent, azdo, and the env-only images).
pub const SECRET_VARIABLES: &[&str] = &[
    "AZP_TOKEN",
    "AZP_CLIENTID",
    "AZP_CLIENTSECRET",
    "AZP_TENANTID",
    "VSTS_TOKEN",
    "AZDO_TOKEN",
    "VSTS_AGENT_INPUT_TOKEN",
    "VSTS_AGENT_INPUT_PASSWORD",
    "VSTS_AGENT_INPUT_CLIENTSECRET",
];

/// Token file variables; a value of the user's own is replaced.
pub const TOKEN_FILE_VARIABLES: &[&str] = &[
    AZP_TOKEN_FILE_VARIABLE,
    VSTS_TOKEN_FILE_VARIABLE,
    AZDO_TOKEN_FILE_VARIABLE,
];

/// Variables that hold the ticket with the handoff `gateway`.
pub const TICKET_VARIABLES: &[&str] = &[
    AZP_TOKEN_VARIABLE,
    VSTS_TOKEN_VARIABLE,
    AZDO_TOKEN_VARIABLE,
    TOKEN_INPUT_VARIABLE,
];

/// Variables from which start scripts and the agent itself take the organization URL.
pub const GATEWAY_URL_VARIABLES: &[&str] = &[AZP_URL_VARIABLE, AZDO_URL_VARIABLE, URL_INPUT_VARIABLE];

/// Variables that name a proxy for https: the first that is set counts.
pub const HTTPS_PROXY_VARIABLES: &[&str] = &["https_proxy", "HTTPS_PROXY", PROXY_URL_INPUT, AGENT_PROXY_VARIABLE];
/// Variables with the hosts that are reached without it, likewise.
pub const NO_PROXY_VARIABLES: &[&str] = &["no_proxy", "NO_PROXY"];
/// The agent's own variable for its proxy (microsoft/azure-pipelines-agent, `AgentKnobs.cs`).
pub const AGENT_PROXY_VARIABLE: &str = "VSTS_HTTP_PROXY";
/// The agent's option `--proxyurl` as a variable (microsoft/azure-pipelines-agent, `CommandSettings.cs`).
pub const PROXY_URL_INPUT: &str = "VSTS_AGENT_INPUT_PROXYURL";
/// The user and the password that belong to a proxy of the agent's own variables.
pub const PROXY_CREDENTIALS: &[(&str, [&str; 2])] = &[
    (
        PROXY_URL_INPUT,
        ["VSTS_AGENT_INPUT_PROXYUSERNAME", "VSTS_AGENT_INPUT_PROXYPASSWORD"],
    ),
    (
        AGENT_PROXY_VARIABLE,
        ["VSTS_HTTP_PROXY_USERNAME", "VSTS_HTTP_PROXY_PASSWORD"],
    ),
];

/// Proxy variables that the sidecar gets from the agent container.
pub const PROXY_VARIABLES: &[&str] = &[
    "HTTPS_PROXY",
    "NO_PROXY",
    "https_proxy",
    "no_proxy",
    AGENT_PROXY_VARIABLE,
    "VSTS_HTTP_PROXY_USERNAME",
    "VSTS_HTTP_PROXY_PASSWORD",
    PROXY_URL_INPUT,
    "VSTS_AGENT_INPUT_PROXYUSERNAME",
    "VSTS_AGENT_INPUT_PROXYPASSWORD",
];

/// Containers that are taken for the agent where a pod has several and no annotation, in this order.
pub const AGENT_CONTAINER_NAMES: &[&str] = &["azp-agent", "azure-pipelines-agent", "azdo-agent", "ado-agent", "agent"];

names! {
    /// Variables that the webhook sets on the sidecar. No one types them.
    SIDECAR_VARIABLES:
    /// Contract version.
    CONTRACT_VARIABLE = "ADO_AGENT_CONTRACT";
    /// The handoff.
    HANDOFF_VARIABLE = "ADO_AGENT_HANDOFF";
    /// Port of the gateway.
    GATEWAY_PORT_VARIABLE = "ADO_AGENT_GATEWAY_PORT";
    /// `true` where the agent does one job only (`gateway`).
    ONCE_VARIABLE = "ADO_AGENT_ONCE";
    /// Client ID.
    AZURE_CLIENT_ID_VARIABLE = "AZURE_CLIENT_ID";
    /// Tenant; absent: the organization is asked.
    AZURE_TENANT_ID_VARIABLE = "AZURE_TENANT_ID";
    /// The service-account token's file.
    AZURE_FEDERATED_TOKEN_FILE_VARIABLE = "AZURE_FEDERATED_TOKEN_FILE";
    /// Entra's authority.
    AZURE_AUTHORITY_HOST_VARIABLE = "AZURE_AUTHORITY_HOST";
    /// Identity binding, set by the Azure Workload Identity webhook (azwi): the cluster's token proxy.
    AZURE_TOKEN_PROXY_VARIABLE = "AZURE_KUBERNETES_TOKEN_PROXY";
    /// Identity binding, set by azwi: the proxy's server name.
    AZURE_SNI_NAME_VARIABLE = "AZURE_KUBERNETES_SNI_NAME";
    /// Identity binding, set by azwi: file with the proxy's CA.
    AZURE_CA_FILE_VARIABLE = "AZURE_KUBERNETES_CA_FILE";
    /// Identity binding, set by azwi: the proxy's CA itself.
    AZURE_CA_DATA_VARIABLE = "AZURE_KUBERNETES_CA_DATA";
    /// `true` where the identity is left to the Azure Workload Identity webhook (identity binding), which then sets the `AZURE_…` variables.
    AZWI_IDENTITY_VARIABLE = "ADO_AGENT_AZWI_IDENTITY";
    /// Scope of the access token.
    SCOPE_VARIABLE = "ADO_AGENT_SCOPE";
    /// Organization URL that wins: the annotation's, or the agent container's own entry.
    URL_VARIABLE = "ADO_AGENT_URL";
    /// Organization URL from the n-th `envFrom` source of the agent container, `…_0`, `…_1` and so on; the last non-empty one counts, below `ADO_AGENT_URL`.
    URL_FROM_VARIABLE = "ADO_AGENT_URL_FROM";
    /// The operator's organization URL, where nothing else is set.
    URL_DEFAULT_VARIABLE = "ADO_AGENT_URL_DEFAULT";
    /// Pool that wins.
    POOL_VARIABLE = "ADO_AGENT_POOL";
    /// Pool from the n-th `envFrom` source, as with the URL.
    POOL_FROM_VARIABLE = "ADO_AGENT_POOL_FROM";
    /// The operator's pool.
    POOL_DEFAULT_VARIABLE = "ADO_AGENT_POOL_DEFAULT";
    /// The name under which the agent is expected to register.
    AGENT_NAME_VARIABLE = "ADO_AGENT_NAME";
    /// Expected name from the n-th `envFrom` source, as with the URL.
    AGENT_NAME_FROM_VARIABLE = "ADO_AGENT_NAME_FROM";
    /// Followed by the number of an `envFrom` source of the agent container and the name that it may bring there: the names of older recipes, and proxies. The last non-empty one of a name counts.
    ENV_FROM_VARIABLE_PREFIX = "ADO_AGENT_FROM_";
    /// The operator's proxy, where the agent container names none.
    HTTPS_PROXY_DEFAULT_VARIABLE = "ADO_AGENT_HTTPS_PROXY_DEFAULT";
    /// The operator's hosts that are reached without it, where the agent container names none.
    NO_PROXY_DEFAULT_VARIABLE = "ADO_AGENT_NO_PROXY_DEFAULT";
    /// `true` where the agent stays in the pool when the pod ends.
    PLACEHOLDER_VARIABLE = "ADO_AGENT_PLACEHOLDER";
    /// The pod's termination grace period in seconds.
    GRACE_SECONDS_VARIABLE = "ADO_AGENT_GRACE_SECONDS";
    /// Hosts that may get the Azure DevOps token, separated by `,`; a leading `*.` stands for exactly one label.
    ALLOWED_HOSTS_VARIABLE = "ADO_AGENT_ALLOWED_HOSTS";
    /// Hosts that may get the service-account token, separated by `,`.
    ALLOWED_AUTHORITIES_VARIABLE = "ADO_AGENT_ALLOWED_AUTHORITIES";
    /// The operator's private CA bundle, PEM, in addition to the public roots.
    CA_PEM_VARIABLE = "ADO_AGENT_CA_PEM";
    /// File with the CA bundle of the annotation.
    CA_FILE_VARIABLE = "ADO_AGENT_CA_FILE";
    /// Directory of the handoff volume.
    HANDOFF_DIR_VARIABLE = "ADO_AGENT_HANDOFF_DIR";
    /// Mode of the token file in octal: `0640` where the pod has an fsGroup, else `0644`; `0666` with `gateway`, where it holds the ticket.
    TOKEN_FILE_MODE_VARIABLE = "ADO_AGENT_TOKEN_FILE_MODE";
    /// Directory of the state volume.
    STATE_DIR_VARIABLE = "ADO_AGENT_STATE_DIR";
    /// File for the termination message.
    TERMINATION_LOG_VARIABLE = "ADO_AGENT_TERMINATION_LOG";
    /// Log level.
    LOG_LEVEL_VARIABLE = "ADO_AGENT_LOG_LEVEL";
    /// Followed by a name: what a value that comes from the agent container refers to as `$(NAME)`. The reference is then `$(ADO_AGENT_REF_NAME)`, so that a pod cannot set `SSL_CERT_FILE` or `LD_PRELOAD` on the sidecar.
    REFERENCE_VARIABLE_PREFIX = "ADO_AGENT_REF_";
}

/// Maximum of `envFrom` sources of an agent container that the webhook reads: the numbered variables end in `_0` to
/// `_63`, with gaps where a source cannot bring the name or lacks the key.
pub const ENV_FROM_SOURCES_MAX: usize = 64;

/// Whether the webhook may set a variable of this name on the sidecar; it sets no other, whatever the pod says.
pub fn is_sidecar_variable(name: &str) -> bool {
    let is_numbered = |from: &&str| {
        name.strip_prefix(*from)
            .and_then(|rest| rest.strip_prefix('_')?.parse().ok())
            .is_some_and(|number: usize| number < ENV_FROM_SOURCES_MAX)
    };
    let is_brought = || {
        let (number, name) = name.strip_prefix(ENV_FROM_VARIABLE_PREFIX)?.split_once('_')?;
        let number: usize = number.parse().ok()?;
        let is_known = PROXY_VARIABLES.contains(&name) || OLDER_VARIABLES.iter().any(|entry| entry.name == name);
        Some(is_known && number < ENV_FROM_SOURCES_MAX)
    };
    name.starts_with(REFERENCE_VARIABLE_PREFIX)
        || is_brought() == Some(true)
        || SIDECAR_VARIABLES.iter().any(|entry| entry.name == name)
        || [OWNER_VARIABLE, POD_NAME_VARIABLE, POD_UID_VARIABLE].contains(&name)
        || PROXY_VARIABLES.contains(&name)
        || [URL_FROM_VARIABLE, POOL_FROM_VARIABLE, AGENT_NAME_FROM_VARIABLE]
            .iter()
            .any(is_numbered)
}

/// Audience of the projected service-account token, as Entra expects it (Microsoft Entra, workload identity federation).
pub const DEFAULT_AUDIENCE: &str = "api://AzureADTokenExchange";
/// Lifetime of the projected service-account token in seconds: the longest that fits below Entra's limit of 25 hours, since
/// the kubelet stops refreshing it when the pod terminates (kubernetes/kubernetes#116481).
pub const ASSERTION_SECONDS: i64 = 86_400;
/// Entra's authority in the public cloud.
pub const DEFAULT_AUTHORITY: &str = "https://login.microsoftonline.com/";
/// Scope of an access token for Azure DevOps Services; the GUID is the service's application ID.
pub const DEFAULT_SCOPE: &str = "499b84ac-1321-427f-aa17-267ca6975798/.default";
/// Hosts that may get the Azure DevOps token unless the operator says otherwise.
pub const DEFAULT_ALLOWED_HOSTS: &str = "dev.azure.com,*.visualstudio.com";
/// Hosts that may get the service-account token unless the operator says otherwise: Entra's public cloud, US government and China.
pub const DEFAULT_ALLOWED_AUTHORITIES: &str =
    "login.microsoftonline.com,login.microsoftonline.us,login.partner.microsoftonline.cn,login.chinacloudapi.cn";
/// Pool where nothing names one, as in Microsoft's start script.
pub const DEFAULT_POOL: &str = "Default";
/// Namespace of the webhook.
pub const SYSTEM_NAMESPACE: &str = "ado-agent-system";
/// Name of the webhook configuration. It has to sort before `azure-wi-…`, so that azwi sees what we add.
pub const WEBHOOK_CONFIGURATION: &str = "ado-agent-injector";
