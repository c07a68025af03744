//! Where a program runs: a network of its own, with nothing but a loopback, on which Azure's host names lead to the emulators.
//! Names, port 443 and certificates are as in Azure, so the clients need no setting that a pod in production would not have.

use super::install::output;
use anyhow::{Context, Result, bail, ensure};
use azure_emulators::ado::{JobState, Role};
use azure_emulators::cluster_issuer::Mint;
use azure_emulators::entra::{Identity, Kind};
use azure_emulators::http::Listen;
use azure_emulators::world::{NAMESPACE, ORGANIZATION, POOL, Settings, World};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::lone_sidecar;

/// First argument of this program when it is started again in namespaces of its own.
pub(crate) const INSIDE: &str = "inside-the-namespaces";

/// A program that hangs is ended after this time.
const LIMIT: Duration = Duration::from_secs(120);

const ENTRA: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ADO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// Azure DevOps' hosts that every program has to ask.
const ASKED: [&str; 4] = [
    "contoso.visualstudio.com",
    "contoso.vssps.visualstudio.com",
    "dev.azure.com",
    "vsaex.dev.azure.com",
];
/// Those that an answer may send it to.
const MORE: [&str; 3] = [
    "vssps.dev.azure.com",
    "contoso.vssps.visualstudio.com",
    "contoso.vsaex.visualstudio.com",
];

/// Where the sidecar's program is, for this program when it is started again.
const SIDECAR: &str = "CLIENTS_SIDECAR";

/// The command that runs this program again, in there, with a program of a client.
pub(crate) fn command(program: &[OsString]) -> Result<Command> {
    let this = std::env::current_exe().context("this program has no path")?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation=private"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    // It has to be built where there is a network.
    command.env(SIDECAR, tests::programs::program("ado-agent-sidecar")?);
    command.arg("--").arg(this).arg(INSIDE).args(program);
    Ok(command)
}

/// In there: starts the emulators, runs the program, and compares what it left with what it said.
pub(crate) fn inside(program: &[OsString]) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    output(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, hosts_file()).context("cannot write the hosts file")?;
    output(Command::new("mount").arg("--bind").arg(&hosts).arg("/etc/hosts"))?;
    tokio::runtime::Runtime::new()
        .context("cannot start a runtime")?
        .block_on(run(program, folder.path()))
}

fn hosts_file() -> String {
    let mut lines = format!("127.0.0.1 localhost\n{ENTRA} login.microsoftonline.com\n");
    for host in ASKED.iter().chain(&MORE) {
        lines.push_str(&format!("{ADO} {host}\n"));
    }
    lines
}

async fn run(program: &[OsString], folder: &Path) -> Result<()> {
    let at = |address: Ipv4Addr| Listen {
        address: SocketAddr::new(IpAddr::V4(address), 443),
        names: Vec::new(),
    };
    let world = World::with(Settings {
        entra: at(ENTRA),
        ado: at(ADO),
        ..Settings::default()
    })
    .await
    .context("the emulators cannot be started")?;
    let second = world.ado.add_pool(ORGANIZATION, "second");
    second.set_role(&world.agents, Some(Role::Reader));
    let newcomer = world
        .entra
        .add_identity(&world.settings.tenant, Kind::Application, "newcomer");
    let control = world.serve_control(Listen::default().address).await?;

    let pod = folder.join("pod");
    fs::create_dir(&pod).context("cannot make a folder")?;
    let _sidecar = gateway(&world, &pod).await?;

    let variables = variables(&world, &newcomer, control.address(), folder)?;
    let mut child = tokio::process::Command::new(&program[0])
        .args(&program[1..])
        .env_clear()
        .envs(variables)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", program[0].display()))?;
    let status = tokio::time::timeout(LIMIT, child.wait())
        .await
        .with_context(|| format!("it does not end within {LIMIT:?}"))??;
    if !status.success() {
        let last = world.ado.view().requests.pop();
        let last = last.map(|last| format!("{} {}, answered with {}", last.method, last.path, last.status));
        bail!(
            "it ended with {status}, after {}",
            last.as_deref().unwrap_or("no request")
        );
    }
    compare(&world)
}

/// Starts a sidecar that is a gateway, and waits until an agent may start beside it.
async fn gateway(world: &World, folder: &Path) -> Result<tokio::process::Child> {
    let sidecar = std::env::var_os(SIDECAR).context("nobody said where the sidecar is")?;
    let mut environment = lone_sidecar::prepare(world, "client-0", folder)?;
    environment.extend([
        (
            contract::HANDOFF_VARIABLE,
            contract::Handoff::Gateway.as_str().to_owned(),
        ),
        (
            contract::GATEWAY_PORT_VARIABLE,
            contract::DEFAULT_GATEWAY_PORT.to_string(),
        ),
        (contract::URL_VARIABLE, format!("https://dev.azure.com/{ORGANIZATION}")),
        (
            contract::ALLOWED_HOSTS_VARIABLE,
            contract::DEFAULT_ALLOWED_HOSTS.to_owned(),
        ),
        (
            contract::ALLOWED_AUTHORITIES_VARIABLE,
            contract::DEFAULT_ALLOWED_AUTHORITIES.to_owned(),
        ),
        (
            contract::AZURE_AUTHORITY_HOST_VARIABLE,
            contract::DEFAULT_AUTHORITY.to_owned(),
        ),
    ]);
    fs::write(folder.join("assertion/assertion"), world.assertion())?;
    let command = |word: &str| {
        let mut command = tokio::process::Command::new(&sidecar);
        command.arg(word).env_clear().envs(&environment).stdin(Stdio::null());
        command
    };
    let child = command("run").stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    let started = async {
        while !command("probe").stdout(Stdio::null()).status().await?.success() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, std::io::Error>(())
    };
    tokio::time::timeout(LIMIT, started)
        .await
        .with_context(|| fs::read_to_string(folder.join("termination-log")).unwrap_or_default())??;
    Ok(child)
}

/// What the program finds in its environment, and nothing else.
fn variables(
    world: &World,
    newcomer: &Identity,
    control: SocketAddr,
    folder: &Path,
) -> Result<Vec<(&'static str, OsString)>> {
    let file = |name: &str, content: &str| -> Result<OsString> {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.into())
    };
    let authority = file("ca.pem", world.authority.pem())?;
    let stranger = Mint::new(NAMESPACE, "stranger").lifetime(Duration::from_secs(3600));
    Ok(vec![
        ("PATH", std::env::var_os("PATH").unwrap_or_default()),
        ("HOME", folder.into()),
        // How each of the languages is told whom to trust.
        ("SSL_CERT_FILE", authority.clone()),
        ("SSL_CERT_DIR", folder.join("none").into()),
        ("REQUESTS_CA_BUNDLE", authority.clone()),
        ("NODE_EXTRA_CA_CERTS", authority),
        // As Azure Workload Identity sets them.
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/".into()),
        ("AZURE_TENANT_ID", world.settings.tenant.clone().into()),
        ("AZURE_CLIENT_ID", world.agents.client_id.clone().into()),
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            file("azure-identity-token", &world.assertion())?,
        ),
        // As agents' images have them.
        ("AZP_URL", format!("https://dev.azure.com/{ORGANIZATION}").into()),
        ("AZP_POOL", POOL.into()),
        // As the webhook sets them with the handoff `gateway`, under names of these programs' own.
        (
            "GATEWAY_URL",
            contract::gateway_url(contract::DEFAULT_GATEWAY_PORT).into(),
        ),
        ("TICKET", contract::TICKET.into()),
        // For the programs themselves.
        ("LEGACY_URL", format!("https://{ORGANIZATION}.visualstudio.com").into()),
        (
            "STRANGERS_TOKEN_FILE",
            file("strangers-token", &world.issuer.mint(&stranger))?,
        ),
        ("ADMINISTRATORS_TOKEN", world.admin_token().into()),
        ("NEWCOMERS_OBJECT_ID", newcomer.object_id.clone().into()),
        ("CONTROL", format!("http://{control}").into()),
    ])
}

/// What the program did is what the emulators saw.
fn compare(world: &World) -> Result<()> {
    let view = world.ado.view();
    let pool = view.pool(POOL).context("the pool is gone")?;
    ensure!(pool.agents.is_empty(), "agents are left: {:?}", pool.agents);
    ensure!(!pool.roles.contains_key("newcomer"), "a role is left: {:?}", pool.roles);
    let jobs: Vec<_> = pool.jobs.iter().map(|job| (job.state, job.result.as_deref())).collect();
    ensure!(jobs == [(JobState::Finished, Some("succeeded")); 2], "jobs: {jobs:?}");
    // The last operation of each program: a wrong token.
    let last = view.requests.last().map(|request| request.status);
    ensure!(last == Some(401), "the last answer was {last:?}");
    let asked: BTreeSet<&str> = view.requests.iter().map(|request| request.host.as_str()).collect();
    ensure!(asked.is_superset(&BTreeSet::from(ASKED)), "it asked {asked:?} only");
    Ok(())
}
