//! What GitOps tools compare: an object as it stands in Git, and as it reads back. docs/gitops.md.

use crate::case::{Case, LIMIT};
use crate::usual::short_grace;
use crate::webhook::Webhook;
use crate::workload::{annotate, deployment, template};
use anyhow::{Context, Result, ensure};
use tests::programs::repository;

/// The installation of the suite, which is the base with a private CA.
const INSTALLATION: &str = "tests/cluster/manifests/private-ca";
/// As Flux applies: on the server, under its own name, over whoever else owned a field.
const FLUX: [&str; 3] = [
    "--server-side",
    "--force-conflicts",
    "--field-manager=kustomize-controller",
];

pub(crate) async fn applied_manifests_read_back_unchanged(case: Case) -> Result<()> {
    let mut template = template("gen3");
    short_grace(&mut template);
    annotate(&mut template, contract::HANDOFF_ANNOTATION, "gateway");
    let agents = deployment("agent", 1, &template);
    case.apply(&agents)?;
    case.wait_for_agents(1).await?;

    let folder = repository().join(INSTALLATION);
    let folder = folder.to_str().context("the repository's path is UTF-8")?;
    let bundle = Webhook::of(&case).bundle().await?;
    let installation = |verb: &str, options: &[&str]| {
        let line = [&[verb, "-k", folder], options].concat();
        case.blocking(|| case.suite.node.kubectl_within(&line, LIMIT))
    };
    let workload = |verb: &str, options: &[&str]| {
        let line = [&[verb, "--filename=-"], options].concat();
        case.kubectl_fed(&line, &agents.to_string()).map(|said| said.output)
    };
    // kubectl ends with 1 where it finds a difference, and shows it.
    for options in [&[][..], &FLUX] {
        if !options.is_empty() {
            installation("apply", options)?;
            workload("apply", options)?;
        }
        for differences in [installation("diff", options)?, workload("diff", options)?] {
            ensure!(differences.is_empty(), "{options:?}: {differences}");
        }
    }
    ensure!(
        Webhook::of(&case).bundle().await? == bundle,
        "whoever applies leaves the CA bundle as it is"
    );
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}
