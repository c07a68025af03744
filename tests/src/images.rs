//! Images of agents that people use, and what they need with the gateway: the table of `docs/gateway.md`. Their start scripts were
//! read, or stand-ins with the same behavior are in `tests/agent/start`.

use contract::{TOKEN_VARIABLES_ANNOTATION, URL_VARIABLES_ANNOTATION};

/// An image, or several that behave alike.
#[derive(Debug)]
pub struct Image {
    /// What it is called.
    pub name: &'static str,
    /// The script of `tests/agent/start` that behaves like its own.
    pub stand_in: Option<&'static str>,
    /// Where its start script looks for the organization.
    pub url: Place,
    /// The variable in which its start script expects the token, if it reads one.
    pub token: Option<&'static str>,
    /// Annotations that its pods need besides the handoff.
    pub annotations: &'static [(&'static str, &'static str)],
    /// What becomes of it.
    pub verdict: Verdict,
}

/// Where a start script looks for the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A variable with the URL.
    Url(&'static str),
    /// A variable with the name, of which the script makes an address.
    Name(&'static str),
    /// None that a pod could set.
    Nowhere,
}

/// What becomes of an image with the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works; the text is what else is to be known.
    Works(&'static str),
    /// It does not; the text says why.
    Not(&'static str),
}

/// An image of Microsoft's recipe.
const fn recipe(name: &'static str, stand_in: &'static str, note: &'static str) -> Image {
    Image {
        name,
        stand_in: Some(stand_in),
        url: Place::Url("AZP_URL"),
        token: Some("AZP_TOKEN"),
        annotations: &[],
        verdict: Verdict::Works(note),
    }
}

/// An image whose script reads `AZP_URL` and `AZP_TOKEN` and nothing else.
const fn env_only(name: &'static str, note: &'static str) -> Image {
    Image {
        name,
        stand_in: None,
        url: Place::Url("AZP_URL"),
        token: Some("AZP_TOKEN"),
        annotations: &[],
        verdict: Verdict::Works(note),
    }
}

/// An image with names of its own.
const fn named(
    name: &'static str,
    url: &'static str,
    token: &'static str,
    annotations: &'static [(&'static str, &'static str)],
    note: &'static str,
) -> Image {
    Image {
        name,
        stand_in: None,
        url: Place::Url(url),
        token: Some(token),
        annotations,
        verdict: Verdict::Works(note),
    }
}

/// An image that cannot.
const fn not(name: &'static str, url: Place, why: &'static str) -> Image {
    Image {
        name,
        stand_in: None,
        url,
        token: None,
        annotations: &[],
        verdict: Verdict::Not(why),
    }
}

/// Every image of the catalog.
pub const IMAGES: &[Image] = &[
    recipe("Microsoft's recipe, 2026", "gen4", ""),
    recipe(
        "Microsoft's recipe, 2024 (cad4devops, jansouza, trevorbox ubi9, amaanx86, Simplifi)",
        "gen3",
        "",
    ),
    recipe(
        "Microsoft's recipe, 2021 to 2023 (0GiS0, Carlos-ZRM, rudesome, Think-Cube, Bane-NOR, getupcloud, emberstack, byroncollins)",
        "gen2",
        "",
    ),
    recipe(
        "Microsoft's recipe, 2020 (kedacore, cloudoven, steffbeckers, SkillsFundingAgency)",
        "gen1",
        "",
    ),
    recipe(
        "Microsoft's recipe, 2019 (ogmaresca, segraef, tomkerkhove, notder, coderpatros, FredHutch, bbtsoftware, hmcts/vsts-agent, jmerle)",
        "gen0",
        "",
    ),
    recipe(
        "those that delete their token file (XenitAB, hitachienergy, daoye, jmferrer, totosan, cloudelementsca, mathieu-benoit, AVM for Container Instances)",
        "gen0b",
        "They make a file of their own of the ticket.",
    ),
    recipe(
        "those that run the agent in the foreground (dogukancagatay, fok666, pauldotyu, tonyskidmore)",
        "foreground",
        "The listener ends by itself once its agent is removed, and the script with it.",
    ),
    recipe(
        "pipelinekit, which reads the token once",
        "read-once",
        "A ticket does not expire.",
    ),
    recipe(
        "AVM for Container Apps, Azure-Samples' tutorial, btungut, MShekow, launchbynttdata",
        "gen3",
        "",
    ),
    recipe(
        "libre-devops, which gives its agent a name of its own",
        "gen3",
        "The gateway sees the name.",
    ),
    env_only(
        "blue-agent (clemlesne)",
        "It always runs with `--once`: in a Job or ScaledJob add `ado-agent.dev/once`.",
    ),
    env_only("hypolas, bRANC9, breento, YonierGomez", ""),
    env_only(
        "MichelPoppema (OpenShift)",
        "It disables its agent by REST before it removes it, which the gateway lets pass.",
    ),
    named("codez-one, Ineaweb", "AZDO_URL", "AZDO_TOKEN", &[], ""),
    named(
        "andreswebs",
        "AGENT_URL",
        "AGENT_TOKEN",
        &[
            (TOKEN_VARIABLES_ANNOTATION, "AGENT_TOKEN"),
            (URL_VARIABLES_ANNOTATION, "AGENT_URL"),
        ],
        "Pool and organization by annotation, too.",
    ),
    named(
        "ppodgorsek",
        "AZURE_DEVOPS_URL",
        "AZURE_DEVOPS_TOKEN",
        &[
            (TOKEN_VARIABLES_ANNOTATION, "AZURE_DEVOPS_TOKEN"),
            (URL_VARIABLES_ANNOTATION, "AZURE_DEVOPS_URL"),
        ],
        "Pool and organization by annotation, too.",
    ),
    named(
        "sengokyu",
        "URL",
        "TOKEN",
        &[(TOKEN_VARIABLES_ANNOTATION, "TOKEN"), (URL_VARIABLES_ANNOTATION, "URL")],
        "With `URL`, not with `ORG`. Pool and organization by annotation, too.",
    ),
    Image {
        name: "scripts that exchange the federated token with curl, as the article of this project's origin does",
        stand_in: Some("article"),
        url: Place::Url("AZP_URL"),
        token: None,
        annotations: &[(contract::OWN_EXCHANGE_ANNOTATION, "true")],
        verdict: Verdict::Works("Without the label of Azure Workload Identity."),
    },
    not(
        "scripts that sign in with `az login` or one of Microsoft's libraries",
        Place::Url("AZP_URL"),
        "These accept no authority that is plain HTTP. They stay with `token-file` and `ado-agent.dev/federated-token: keep`.",
    ),
    not(
        "hmcts/azure-devops-agent",
        Place::Url("AZP_URL"),
        "It signs in with a secret of its own, whatever `AZP_TOKEN` says.",
    ),
    not(
        "microsoft/vsts-agent, boxrick",
        Place::Name("VSTS_ACCOUNT"),
        "It knows its organization by name only and makes an https address of it. Denied with that sentence.",
    ),
    not(
        "Lambda3, hez2010, lincolnzocateli",
        Place::Name("VS_TENANT"),
        "The same, under another name.",
    ),
    not(
        "scripts that start `config.sh` with a `sudo` that clears the environment",
        Place::Url("AZP_URL"),
        "The agent refuses plain HTTP without `VSS_ALLOW_UNSAFE_BASICAUTH`, and says so: use `sudo -E`, or `env_keep` in the image.",
    ),
    not("Windows images", Place::Nowhere, "There is no sidecar for Windows."),
    not(
        "devizervlad (systemd), ethomson (the host's Docker)",
        Place::Nowhere,
        "They do not run as a pod's container.",
    ),
];

/// The table, as it stands in the page.
pub fn table() -> String {
    let mut table = "| image | finds the gateway in | besides `handoff: gateway` |\n| --- | --- | --- |\n".to_owned();
    for image in IMAGES {
        let code = |text: &str| format!("`{text}`");
        let url = match image.url {
            Place::Url(name) | Place::Name(name) => Some(name),
            Place::Nowhere => None,
        };
        let places: Vec<String> = url.into_iter().chain(image.token).map(code).collect();
        let annotations = image
            .annotations
            .iter()
            .map(|(key, value)| code(&format!("{key}: {value:?}")));
        let (places, rest) = match image.verdict {
            Verdict::Works(note) => (places.join(", "), note.to_owned()),
            Verdict::Not(why) => (String::new(), format!("**does not work.** {why}")),
        };
        let mut needs: Vec<String> = annotations.collect();
        needs.extend(Some(rest).filter(|rest| !rest.is_empty()));
        let needs = if needs.is_empty() {
            "nothing".to_owned()
        } else {
            needs.join(" ")
        };
        table.push_str(&format!("| {} | {places} | {needs} |\n", image.name));
    }
    table
}
