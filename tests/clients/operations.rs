//! What the programs have to print: every client, and what it did, in this order.

/// A client package and the operations that its program shows.
pub(crate) struct Client {
    /// Name in its registry.
    pub(crate) package: &'static str,
    /// In the order in which they are done.
    pub(crate) operations: &'static [&'static str],
}

const STRANGER: &str = "another service account is refused: AADSTS700213";

const CREDENTIALS: &[&str] = &[
    "WorkloadIdentityCredential",
    "ClientAssertionCredential",
    "DefaultAzureCredential",
    STRANGER,
];

const MSAL: &[&str] = &[
    "client assertion as text",
    "client assertion from a function",
    "token from the cache",
    STRANGER,
];

const AZURE_DEVOPS: &[&str] = &[
    "pools: list",
    "pools: by name",
    "pools: by id",
    "pools: by ids",
    "pools: permissions",
    "pools: an unknown one is refused",
    "agents: add",
    "agents: the same name again is refused",
    "agents: find by name with capabilities",
    "agents: disable",
    "agents: enable",
    "agents: replace",
    "session: a token of the agent's own",
    "session: create",
    "session: a second one is refused",
    "session: get the message with a job",
    "session: delete the message",
    "session: renew the job",
    "agents: a busy one cannot be deleted",
    "session: the worker finishes the job",
    "session: a finished job cannot be renewed",
    "session: the listener finishes a job",
    "session: delete",
    "entitlement: add",
    "entitlement: get",
    "role: assign and list",
    "role: an unknown identity is left out",
    "role: remove",
    "entitlement: delete",
    "agents: delete",
    "agents: a deleted one is refused",
    "ORGANIZATION.visualstudio.com: add and delete an agent",
    "gateway: the ticket is for this pod's agent and for nothing else",
    "gateway: another credential works as without it",
    "a wrong token is refused",
];

/// Python's.
pub(crate) const PYTHON: &[Client] = &[
    client("azure-identity", CREDENTIALS),
    client("msal", MSAL),
    client("azure-devops", AZURE_DEVOPS),
];

/// Node's.
pub(crate) const NODE: &[Client] = &[
    client("@azure/identity", CREDENTIALS),
    client("azure-devops-node-api", AZURE_DEVOPS),
];

/// Go's.
pub(crate) const GO: &[Client] = &[
    client("azidentity", CREDENTIALS),
    client("azure-devops-go-api", AZURE_DEVOPS),
];

const fn client(package: &'static str, operations: &'static [&'static str]) -> Client {
    Client { package, operations }
}
