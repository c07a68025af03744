//! Everything that the emulators do without proof: what no source says, or says only weakly. Nothing was tried against a
//! real organisation or tenant. `docs/emulators.md` shows the table; a test keeps it up to date.

use std::fmt::Write;

/// One behaviour without proof.
#[derive(Debug, Clone, Copy)]
pub struct Assumption {
    /// Which service.
    pub service: &'static str,
    /// What the emulator does.
    pub behaviour: &'static str,
    /// What is known, and what a wrong guess would change.
    pub basis: &'static str,
}

const fn entra(behaviour: &'static str, basis: &'static str) -> Assumption {
    Assumption {
        service: "Entra",
        behaviour,
        basis,
    }
}

const fn ado(behaviour: &'static str, basis: &'static str) -> Assumption {
    Assumption {
        service: "Azure DevOps",
        behaviour,
        basis,
    }
}

/// All of them.
pub const ASSUMPTIONS: &[Assumption] = &[
    entra(
        "Order of checks: method, tenant, parameters, client, resource, federated credential (issuer, subject, audience), signature, time, conditional access.",
        "Only the single codes are known. Where two things are wrong at once, the real service may name the other.",
    ),
    entra(
        "An identity without any visible federated credential gets 70021; otherwise 700211, 700213, 700212 by what differs first.",
        "All four codes are reported for new credentials; their order is not documented.",
    ),
    entra(
        "70021 and 70021x come with status 400 and `invalid_request`.",
        "As in the sample of the Azure Workload Identity documentation; `invalid_client` has been reported from memory.",
    ),
    entra(
        "Status and `error` of codes without a published sample (50027, 50166, 53003, 70003, 7000218, 900382, …).",
        "Clients are told to react to neither code nor text; ours takes every code as a pace, never as final.",
    ),
    entra(
        "50166: the issuer cannot be reached or answers with an error; 90061: it answers with what is no key set of its own.",
        "Both are reported for unreachable issuers, without the difference.",
    ),
    entra(
        "Issuers' keys are kept for an hour and fetched again for an unknown key id.",
        "That it caches is known, for how long is not.",
    ),
    entra(
        "Assertions may be off by five minutes.",
        "The usual leeway of Microsoft's token checks.",
    ),
    entra(
        "A multipart or JSON body counts as a form without parameters: 900144.",
        "Inferred; not tried against the real endpoint.",
    ),
    entra(
        "White space around the assertion makes it malformed (50027).",
        "The strict reading; clients should trim.",
    ),
    entra(
        "A managed identity with a federated credential gets a token of 24 hours with `refresh_in`; an application 60 to 90 minutes without.",
        "24 hours are reported for managed identities on virtual machines, not for the federated way.",
    ),
    entra(
        "A federated credential that was removed is unknown at once.",
        "Propagation is documented for new ones only.",
    ),
    ado(
        "404 for unknown pool and agent; a pool without the right to view it is unknown, too.",
        "Type keys are known, the status is inferred.",
    ),
    ado("404 for an ended session.", "The type key is known, the status is not."),
    ado(
        "DELETE of agents, sessions, messages and pools answers 204.",
        "200 and 204 are both documented.",
    ),
    ado(
        "Deleting an idle agent that is online is allowed.",
        "Maintainers' advice is about offline agents.",
    ),
    ado(
        "After the deletion of an agent its running poll gets 404 `TaskAgentNotFoundException`, its old token is good for nothing else, and its client is unknown (400 `invalid_client`).",
        "That its polls fail is known, with what is not.",
    ),
    ado(
        "PUT (replace) keeps id, name, `enabled`, `createdOn`, user capabilities where the body has none, and `clientId`; it ends the session.",
        "Id, name and `enabled` are known; the rest is open. The agent takes the client id from the answer.",
    ),
    ado(
        "A new session of the same owner takes over at once; of another owner it conflicts until five minutes have passed without a poll.",
        "The conflict is known; five minutes come from an old issue of the agent's predecessor.",
    ),
    ado(
        "Capabilities sent with a new session replace the system capabilities.",
        "Inferred from their purpose.",
    ),
    ado(
        "`receiveTime` is set when the agent polls the message or renews the lock.",
        "KEDA counts jobs without it; when exactly it is set is inferred.",
    ),
    ado(
        "A job whose message was not deleted goes back to the queue when its agent ends the session.",
        "The agent leaves a second message undeleted for this purpose; when the service acts is not known.",
    ),
    ado(
        "A job whose lock ran out ends as `abandoned`, and its agent can be deleted then.",
        "The lock of about five minutes is known, the result is the enumeration's word for it.",
    ),
    ado(
        "Disabled and offline agents count as matching, so that jobs are accepted and KEDA's `parent` works.",
        "Offline is known; disabled is one user's report.",
    ),
    ado(
        "An expired Entra token gets 203 with the sign-in page on GET and POST, 401 on others, and always 401 with `X-TFS-FedAuthRedirect: Suppress`.",
        "203 and 401 by method are reported; what the header changes is open. `set_expired_token` sets it either way.",
    ),
    ado(
        "302 only for requests that accept `text/html` and carry no credential.",
        "Browser-like is not defined anywhere; clients must take 302, 203 and 401 alike.",
    ),
    ado(
        "Any other unusable token gets 401, a token of another tenant included.",
        "Reported with `X-VSS-ResourceTenant`, not for every kind of token.",
    ),
    ado(
        "TF401444 comes as 401 `UnauthorizedRequestException`.",
        "As in reports of KEDA users.",
    ),
    ado(
        "A stakeholder may only view pools, whatever its role.",
        "Documents ask for at least Basic; what happens otherwise is not said.",
    ),
    ado(
        "Service Account may view, listen and use, not manage.",
        "Documents say that it does not suffice to register.",
    ),
    ado(
        "`permissions/{bits}` answers a naked boolean, `false` for a pool that the caller may not view.",
        "Documented as \"Has Pool Permissions\", not tried.",
    ),
    ado(
        "Adding an entitlement again succeeds with the same identity id.",
        "Not documented; a script may not rely on it.",
    ),
    ado(
        "An entitlement for an object id that is no service principal of the organisation's tenant: 200, `isSuccess: false`, VS403283.",
        "That a 2xx may say no is known; the text belongs to this case by general knowledge only.",
    ),
    ado(
        "A message is plain text (no `encryptionKey` in the session), and holds only the members that a stub agent needs.",
        "The real agent accepts plain text by its source; job plan, timeline and log routes are not there.",
    ),
    ado(
        "The rate limit counts requests, and a blocked request costs nothing.",
        "The real one counts consumption (200 units in five minutes), whose price per request is not published.",
    ),
    ado(
        "The text of `Current server time is` in a refused agent assertion.",
        "The agent looks for these words; the rest of the sentence is ours.",
    ),
    ado("An unknown organisation answers 404 with HTML.", "Not documented."),
];

/// The table of the documentation.
pub fn table() -> String {
    let mut table = String::from("| service | the emulator | what is known |\n|---|---|---|\n");
    for Assumption {
        service,
        behaviour,
        basis,
    } in ASSUMPTIONS
    {
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(table, "| {service} | {} | {} |", cell(behaviour), cell(basis)).expect("a string takes everything");
    }
    table
}
