//! Everything that the emulators do without proof: what no source says, or where sources contradict each other. Nothing was
//! tried against a real organization or tenant. What is settled has its source beside the code that does it.
//! `docs/emulators.md` shows the table; a test keeps it up to date.

use std::fmt::Write;

/// One behavior without proof.
#[derive(Debug, Clone, Copy)]
pub struct Assumption {
    /// Which service.
    pub service: &'static str,
    /// What the emulator does.
    pub behavior: &'static str,
    /// What is known.
    pub basis: &'static str,
    /// What, tried once against the real service, would settle it.
    pub settled_by: &'static str,
}

const fn entra(behavior: &'static str, basis: &'static str, settled_by: &'static str) -> Assumption {
    Assumption {
        service: "Entra",
        behavior,
        basis,
        settled_by,
    }
}

const fn ado(behavior: &'static str, basis: &'static str, settled_by: &'static str) -> Assumption {
    Assumption {
        service: "Azure DevOps",
        ..entra(behavior, basis, settled_by)
    }
}

/// All of them.
pub const ASSUMPTIONS: &[Assumption] = &[
    entra(
        "Order of checks: method, tenant, parameters, client, resource, federated credential (issuer, subject, audience), signature, time, conditional access.",
        "Only the single codes are known.",
        "Requests with two mistakes at once.",
    ),
    entra(
        "An identity without any visible federated credential gets 70021; otherwise 700211, 700213 or 7002138, 700212 by what differs first. 7002137 never comes by itself.",
        "All are reported; 70021 and 700211 both for new credentials.",
        "One request without any credential, one with each value wrong.",
    ),
    entra(
        "Status and `error` of codes without a published sample (50027, 50166, 53003, 70003, 7000218, 900382, …).",
        "Clients are told to react to neither; ours takes every code as a pace, never as final.",
        "One refusal of each kind.",
    ),
    entra(
        "50166: the issuer cannot be reached or answers with an error; 90061: it answers with what is no key set of its own.",
        "Both are reported for unreachable issuers, without the difference.",
        "An issuer that is down, and one that serves garbage.",
    ),
    entra(
        "Issuers' keys are kept for an hour and fetched again for an unknown key id.",
        "That it caches is known, for how long is not.",
        "A rotation of the issuer's key, watched in its access log.",
    ),
    entra(
        "Assertions may be off by five minutes.",
        "The usual leeway of Microsoft's token checks.",
        "Assertions four and six minutes old beyond their end.",
    ),
    entra(
        "GET with a form in its body is answered as POST; GET without one gets 900561.",
        "Five published scripts do it, the article's among them, and no report of 900561 for it was found. Multipart with POST is certain.",
        "The article's curl, once.",
    ),
    entra(
        "White space around the assertion makes it malformed (50027).",
        "The strict reading; clients should trim.",
        "One request with a newline at its end.",
    ),
    entra(
        "A managed identity's answer has `refresh_in`, an application's has not.",
        "24 hours for managed identities are confirmed (Azure/login#180, Azure/azure-cli#28915); the member is documented for long lives only.",
        "One exchange as a managed identity.",
    ),
    entra(
        "A federated credential that was removed is unknown at once.",
        "Propagation is documented for new ones only.",
        "Requests during the minutes after a removal.",
    ),
    entra(
        "Azure DevOps goes by its id only; the scope `https://app.vssps.visualstudio.com/.default` gets 500011.",
        "The address is among the names of Azure DevOps' service principal in public listings.",
        "One request with this scope.",
    ),
    ado(
        "404 for an unknown pool, agent, session or user; a pool without the right to view it is unknown, too.",
        "Type keys and texts are confirmed (azure-pipelines-agent#489), clients go by them; the status is inferred.",
        "One request for each.",
    ),
    ado(
        "DELETE of messages and of entitlements, and PATCH of role assignments, answer 204.",
        "204 is confirmed for agents, pools and sessions.",
        "One request of each.",
    ),
    ado(
        "After the deletion of an agent its running poll gets 404 `TaskAgentNotFoundException`; the switch `deleted_agent` makes its token and its client invalid instead, forever.",
        "Both ends are reported (azure-pipelines-agent#126, #374); which a running listener meets first is open.",
        "A listener's log while its agent is deleted.",
    ),
    ado(
        "PUT (replace) keeps id, name, `enabled`, `createdOn`, user capabilities where the body has none, and `clientId`.",
        "Id, name and `enabled` are known; the agent takes the client ID from the answer.",
        "Two registrations of one agent, compared.",
    ),
    ado(
        "PUT does not end the agent's session; the switch `replace_ends_session` makes it.",
        "Sources contradict each other: `config.sh --help`, against azure-devops-docs#12215 and actions/runner#3624.",
        "`config.sh --replace` alongside a listener that runs.",
    ),
    ado(
        "A session ends five minutes after its last poll.",
        "microsoft/vso-agent#202, of 2016; reports since then say \"some minutes\".",
        "A listener killed with SIGKILL, then `POST sessions` until it is let in.",
    ),
    ado(
        "Capabilities sent with a new session replace the system capabilities.",
        "Inferred from their purpose; the agent always sends all of them.",
        "A session with fewer capabilities.",
    ),
    ado(
        "`receiveTime` is set when the agent polls the message or renews the lock.",
        "KEDA counts jobs without it; when exactly it is set is inferred.",
        "The job request, read while a message waits.",
    ),
    ado(
        "A job whose message was not deleted goes back to the queue when its agent ends the session.",
        "The agent leaves a second message undeleted for this purpose; when the service acts is not known.",
        "A `--once` agent with two jobs in the queue.",
    ),
    ado(
        "A job whose lock ran out ends as `abandoned`, and its agent can be deleted then.",
        "Ten minutes are confirmed, the result is the enumeration's word for it.",
        "An agent killed with a job, watched for a quarter of an hour.",
    ),
    ado(
        "A listener may finish a job also where the plan leaves that to the worker; `JobCompleted` for another job, or twice, gets 404.",
        "The agent of today does neither.",
        "Both requests by hand.",
    ),
    ado(
        "Disabled and offline agents count as matching, so that jobs are accepted and KEDA's `parent` works.",
        "Offline is known; disabled is one user's report.",
        "A job for a pool whose only agent is disabled and offline.",
    ),
    ado(
        "Every unusable credential but an expired Entra token is redirected (302) without `X-TFS-FedAuthRedirect: Suppress` and gets 401 with it, whatever the method; so is a request without any.",
        "302 is reported for wrong credentials of several kinds, 401 without the header for an expired personal access token (kedacore/keda#3159); clients must take 302, 203 and 401 alike.",
        "A request of each kind with and without the header.",
    ),
    ado(
        "The api-version is checked after the identity and before the resource; the query goes before `Accept`, that before `Content-Type`.",
        "Microsoft's clients send it in `Accept`, some in `Content-Type`, too; the service's refusal names query and `Accept`.",
        "Requests with different versions in two places, and one with `Content-Type` only.",
    ),
    ado(
        "Pools and agents are released (7.1), everything else is under preview; every resource but entitlements exists since 1.0.",
        "By Microsoft's released client for Python, and by refusals of single resources.",
        "`OPTIONS _apis` of an organization, compared with `locations.rs`.",
    ),
    ado(
        "`ResourceAreas/{id}` answers `null` for an unknown area; `OPTIONS` needs a credential.",
        "Not documented.",
        "Both requests.",
    ),
    ado(
        "Access mappings, definitions and change numbers of `connectionData`.",
        "Owner and monikers are known from clients' source and from a public comparison of a sibling service; the rest was made by hand.",
        "One `connectionData?connectOptions=1` of an organization.",
    ),
    ado(
        "Agents get their tokens at `ORGANIZATION.vssps.visualstudio.com`, also of an organization at `dev.azure.com`; `properties.ServerUrl`, where it comes (a switch), names `DefaultCollection`.",
        "The host stands in logs (azure-pipelines-agent#1775, #2171); the property is read by the agent's source.",
        "The answer to one registration.",
    ),
    ado(
        "A stakeholder, and a user without a license, may only view pools, whatever the role.",
        "Documents ask for at least Basic; what happens otherwise is not said.",
        "An agent's registration with such a user.",
    ),
    ado(
        "`permissions/{bits}` answers `false` for a pool that the caller may not view; giving roles needs AdministerPermissions.",
        "That it answers a boolean is in Microsoft's client (`hasPoolPermissions`); the bits are known from role definitions.",
        "Both requests without the right.",
    ),
    ado(
        "Adding an entitlement again succeeds with the same identity id; one for an object id that is not a service principal of the organization's tenant gets 200, `isSuccess: false`, VS403283.",
        "The shape of such a refusal is in Microsoft's Terraform provider; the text belongs to this case by general knowledge only.",
        "Both requests.",
    ),
    ado(
        "`GET memberentitlements` answers `items` of `id`, `accessLevel` and `member`, a hundred to a page, and `continuationToken`; without a `$filter` of `userType eq 'application'` people are listed, too.",
        "The route is published without its response; a public script reads `items`, `id` and `member` with this filter. The size of a page is that of the sibling resource.",
        "The request, in an organization of more than a hundred users.",
    ),
    ado(
        "The rate limit counts requests, and a blocked request costs nothing.",
        "The real one counts consumption (200 units in five minutes), whose price per request is not published.",
        "`X-RateLimit-*` of a busy identity.",
    ),
    ado(
        "The sentence around `Current server time is` in a refused agent assertion.",
        "The agent looks for these words.",
        "A listener with a wrong clock.",
    ),
    ado(
        "An unknown organization answers 404 with HTML.",
        "One public write-up of a live probe.",
        "One request.",
    ),
    ado(
        "The agent's own client library finds services as its open relative does: an empty service owner keeps it below the address that it was given, and a hosted one leads it away.",
        "Read in actions/runner's `Sdk`, and run with the real listener of 2019; the library of today's agents is not public.",
        "A current agent that registers and runs a job through the gateway.",
    ),
    ado(
        "Requests are served whatever `User-Agent` they have, and whoever opened the connection.",
        "The gateway sends the organization's own `Host`; nothing says that the service compares clients.",
        "The same registration, direct and through the gateway.",
    ),
    ado(
        "Only an agent ends its session; an administrator of the pool does not.",
        "No documented request does it, and no public report tells of one.",
        "`DELETE sessions/{id}` of another agent with an administrator's token.",
    ),
];

/// The table of the documentation.
pub fn table() -> String {
    let mut table =
        String::from("| service | the emulator | what is known | what would settle it |\n|---|---|---|---|\n");
    for Assumption {
        service,
        behavior,
        basis,
        settled_by,
    } in ASSUMPTIONS
    {
        let cell = |text: &str| text.replace('|', "\\|");
        let (behavior, basis, settled_by) = (cell(behavior), cell(basis), cell(settled_by));
        writeln!(table, "| {service} | {behavior} | {basis} | {settled_by} |").expect("a string takes everything");
    }
    table
}
