//! Azure, imitated inside the node's network under its real host names. What runs on the cluster cannot tell, but for a
//! private CA, which many companies have.

use crate::agent_image;
use crate::command::{Interrupt, until};
use crate::control_plane::issuer;
use crate::layout::{Layout, text};
use crate::node::Node;
use anyhow::{Context, Result};
use azure_emulators::http::Listen;
use azure_emulators::world::{Settings, World};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tests::agent_package::{AgentChoice, AgentPackage};
use tests::programs::repository;

const ENTRA: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const AZURE_DEVOPS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 4);
/// The world comes with an issuer of its own, which nobody needs where there is a real one.
const UNUSED: Ipv4Addr = Ipv4Addr::LOCALHOST;
const HTTPS: u16 = 443;
/// Replicas of the webhook in `manifests/base`.
const REPLICAS: usize = 2;

/// What `manifests/examples` say about organization, pool and identity.
const ORGANIZATION: &str = "example";
const POOL: &str = "kubernetes";
const CLIENT_ID: &str = "00000000-0000-0000-0000-000000000000";
const KEDA_CLIENT_ID: &str = "00000000-0000-0000-0000-000000000001";

/// Host names under which Azure DevOps is asked.
const AZURE_DEVOPS_HOSTS: &[&str] = &[
    "dev.azure.com",
    "vsaex.dev.azure.com",
    "vssps.dev.azure.com",
    "example.visualstudio.com",
    // Where agents get their own tokens, and the sign-in page.
    "example.vssps.visualstudio.com",
    "spsprodweu4.vssps.visualstudio.com",
];

/// What has to be made before a process enters the node's network, which has no way out.
#[derive(Debug)]
pub struct Ingredients {
    root: PathBuf,
    package: AgentPackage,
}

impl Ingredients {
    /// Makes the root file system of the agent images and the package of the agent. A real one gets an image with what its
    /// `config.sh` looks for.
    pub fn make(layout: &Layout, agent: &AgentChoice, interrupt: &Interrupt, report: &dyn Fn(&str)) -> Result<Self> {
        let root = agent_image::root_file_system(layout, agent.is_real(), interrupt, report)?;
        report(&format!("start scripts will download {agent}"));
        let package = agent.package()?;
        Ok(Self { root, package })
    }
}

/// Starts the emulators, as `manifests/examples` need them. The calling thread and all that run the emulators have to be in
/// the node's network ([`Node::enter_network`]).
pub async fn imitate(node: &Node, ingredients: &Ingredients) -> Result<World> {
    let listen = |address: Ipv4Addr| Listen {
        address: SocketAddr::from((address, HTTPS)),
        names: Vec::new(),
    };
    for address in [ENTRA, AZURE_DEVOPS] {
        node.add_address(address)?;
    }
    let world = World::with(Settings {
        entra: listen(ENTRA),
        ado: listen(AZURE_DEVOPS),
        issuer: (SocketAddr::from((UNUSED, 0)), UNUSED.to_string()),
        organization: ORGANIZATION.to_owned(),
        pool: POOL.to_owned(),
        client_id: Some(CLIENT_ID.to_owned()),
        keda_client_id: Some(KEDA_CLIENT_ID.to_owned()),
        other_issuer: Some(issuer()),
        ..Settings::default()
    })
    .await
    .context("the emulators of Azure cannot be started: does another process imitate it already?")?;
    let AgentPackage { version, archive } = ingredients.package.clone();
    world.ado.set_agent_package(version, archive);
    let cluster_authority = std::fs::read_to_string(node.pki().certificate("ca"))?;
    // The second for issuers that tests publish elsewhere.
    world
        .entra
        .trust_issuers(&[&cluster_authority, world.authority.pem()])?;
    let entra = azure_emulators::entra::HOSTS.iter().map(|host| (ENTRA, *host));
    let azure_devops = AZURE_DEVOPS_HOSTS.iter().map(|host| (AZURE_DEVOPS, *host));
    node.set_hosts(entra.chain(azure_devops))?;
    Ok(world)
}

/// Where the private CA lies that vouches for the imitated Azure, once [`prepare`] was called.
pub(crate) fn private_ca(layout: &Layout) -> PathBuf {
    layout.node().join("private-ca.pem")
}

/// What an operator does for a private CA and for Entra to reach the cluster: agent images with the CA, the webhook with a bundle of it, and the issuer's documents for everybody to read.
pub fn prepare(
    node: &Node,
    layout: &Layout,
    ingredients: &Ingredients,
    world: &World,
    report: &dyn Fn(&str),
) -> Result<()> {
    let archive = agent_image::archive(layout, &ingredients.root, world.authority.pem(), report)?;
    node.load(&archive)?;
    node.kubectl_output(&[
        "apply",
        "-f",
        text(&repository().join("tests/cluster/manifests/issuer-discovery.yaml")),
    ])?;
    install(node, layout, world)
}

/// Installs this project with the private CA, over whatever of it is there. Afterwards agent pods get the sidecar.
pub fn install(node: &Node, layout: &Layout, world: &World) -> Result<()> {
    let bundle = private_ca(layout);
    world.authority.write_pem(&bundle)?;
    let configuration = node.kubectl_output(&[
        "create",
        "configmap",
        "private-ca",
        "--namespace=ado-agent-system",
        &format!("--from-file=ca.crt={}", text(&bundle)),
        "--dry-run=client",
        "--output=yaml",
    ])?;
    let file = layout.node().join("private-ca.yaml");
    std::fs::write(&file, configuration).with_context(|| format!("cannot write {}", file.display()))?;
    let overlay = repository().join("tests/cluster/manifests/private-ca");
    node.kubectl_output(&["apply", "-k", text(&overlay)])?;
    node.kubectl_output(&["apply", "-f", text(&file)])?;
    // The webhook reads the bundle at its start.
    node.kubectl_output(&[
        "--namespace=ado-agent-system",
        "rollout",
        "restart",
        "deployment/ado-agent-webhook",
    ])?;
    node.kubectl_within(
        &[
            "--namespace=ado-agent-system",
            "rollout",
            "status",
            "deployment/ado-agent-webhook",
            "--timeout=110s",
        ],
        Duration::from_secs(120),
    )?;
    // Those from before do not know this CA, and answer until they have drained.
    until(
        "the end of the webhook's pods from before",
        Duration::from_secs(120),
        &Interrupt::default(),
        || {
            let pods = node.kubectl_output(&[
                "--namespace=ado-agent-system",
                "get",
                "pods",
                "--selector=app.kubernetes.io/name=ado-agent-webhook",
                "--output=name",
            ])?;
            Ok((pods.lines().count() == REPLICAS).then_some(()))
        },
    )?;
    // Of the CA injector: without it the API server trusts no webhook.
    node.kubectl_within(
        &[
            "wait",
            "--for=jsonpath={.webhooks[0].clientConfig.caBundle}",
            "--timeout=110s",
            "mutatingwebhookconfiguration/ado-agent-injector",
        ],
        Duration::from_secs(120),
    )
    .map(drop)
}
