//! Starts the emulators of Entra and Azure DevOps with a cluster's token issuer, says where they are, and stays until it
//! is told to end.

use azure_emulators::entra::Kind;
use azure_emulators::http::Listen;
use azure_emulators::world::{NAMESPACE, ORGANIZATION, POOL, SERVICE_ACCOUNT, Settings, TENANT, World};
use clap::Parser;
use serde_json::{Value, json};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Emulators of Entra and Azure DevOps, over TLS, with one organization, one pool and the identities to use them.
#[derive(Parser)]
struct Arguments {
    /// Address on which everything listens.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Address of Entra, if another: with one address a service, all can have port 443, as clients of Azure expect.
    #[arg(long)]
    entra_address: Option<IpAddr>,
    /// Address of Azure DevOps, if another.
    #[arg(long)]
    ado_address: Option<IpAddr>,
    /// Port of Entra; 0 is any free port.
    #[arg(long, default_value_t = 0)]
    entra_port: u16,
    /// Port of Azure DevOps; 0 is any free port.
    #[arg(long, default_value_t = 0)]
    ado_port: u16,
    /// Port of the imaginary cluster's token issuer; 0 is any free port.
    #[arg(long, default_value_t = 0)]
    issuer_port: u16,
    /// Port of the control routes, in plain HTTP; 0 is any free port. Whoever reaches it may do everything.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// Host name or IP address for the certificates, beside Azure's own and the loopback's. May come several times.
    #[arg(long = "name")]
    names: Vec<String>,
    /// Where to write the certificate authority, as PEM. Clients have to trust it.
    #[arg(long, default_value = "emulators-ca.pem")]
    ca_file: PathBuf,
    /// Tenant id.
    #[arg(long, default_value = TENANT)]
    tenant: String,
    /// Organization.
    #[arg(long, default_value = ORGANIZATION)]
    organization: String,
    /// Pool.
    #[arg(long, default_value = POOL)]
    pool: String,
    /// Namespace of the agents' pods.
    #[arg(long, default_value = NAMESPACE)]
    namespace: String,
    /// Service account of the agents' pods.
    #[arg(long, default_value = SERVICE_ACCOUNT)]
    service_account: String,
    /// Client id of the agents' identity; random by default.
    #[arg(long)]
    client_id: Option<String>,
    /// The agents' identity is a managed identity, whose tokens live 24 hours.
    #[arg(long)]
    managed_identity: bool,
    /// Issuer of a real cluster, which the federated credentials name instead of the imaginary cluster's.
    #[arg(long)]
    issuer: Option<String>,
    /// Key set of that issuer as a file (`kubectl get --raw /openid/v1/jwks`), where it cannot be reached from here.
    #[arg(long, requires = "issuer")]
    issuer_keys: Option<PathBuf>,
    /// PEM bundle that vouches for that issuer's server.
    #[arg(long, requires = "issuer")]
    issuer_ca: Option<PathBuf>,
    /// Archive (tar.gz) that start scripts download as the agent.
    #[arg(long)]
    agent_package: Option<PathBuf>,
    /// Version that the archive claims to be.
    #[arg(long, default_value = "4.255.0")]
    agent_version: String,
    /// Say where everything is as one line of JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started it has to see it, even where standard error is closed.
            let _ = writeln!(std::io::stderr(), "emulators: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listen = |address: Option<IpAddr>, port| Listen {
        address: SocketAddr::new(address.unwrap_or(arguments.address), port),
        names: arguments.names.clone(),
    };
    let at = |port| listen(None, port);
    let world = World::with(Settings {
        entra: listen(arguments.entra_address, arguments.entra_port),
        ado: listen(arguments.ado_address, arguments.ado_port),
        issuer: (at(arguments.issuer_port).address, issuer_host(&arguments)),
        tenant: arguments.tenant.clone(),
        organization: arguments.organization.clone(),
        pool: arguments.pool.clone(),
        namespace: arguments.namespace.clone(),
        service_account: arguments.service_account.clone(),
        kind: if arguments.managed_identity {
            Kind::ManagedIdentity
        } else {
            Kind::Application
        },
        client_id: arguments.client_id.clone(),
        other_issuer: arguments.issuer.clone(),
        ..Settings::default()
    })
    .await?;
    prepare(&world, &arguments)?;
    let control = world.serve_control(at(arguments.control_port).address).await?;
    let told = describe(&world, &arguments, control.address());
    let mut out = std::io::stdout();
    if arguments.json {
        writeln!(out, "{told}")?;
    } else {
        out.write_all(in_words(&told).as_bytes())?;
    }
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}

/// Tokens name the issuer by this host, and Entra asks it there.
fn issuer_host(arguments: &Arguments) -> String {
    match arguments.names.first() {
        Some(name) => name.clone(),
        None if arguments.address.is_unspecified() => "127.0.0.1".to_owned(),
        None => arguments.address.to_string(),
    }
}

fn prepare(world: &World, arguments: &Arguments) -> anyhow::Result<()> {
    use anyhow::Context;
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    world
        .authority
        .write_pem(&arguments.ca_file)
        .with_context(|| format!("cannot write {}", arguments.ca_file.display()))?;
    if let (Some(issuer), Some(path)) = (&arguments.issuer, &arguments.issuer_keys) {
        let keys: Value =
            serde_json::from_slice(&read(path)?).with_context(|| format!("{} is no key set", path.display()))?;
        world.entra.pin_issuer(issuer, &keys);
    }
    if let Some(path) = &arguments.issuer_ca {
        let bundle = String::from_utf8(read(path)?).context("the issuer's CA is no PEM")?;
        world.entra.trust_issuers(&[world.authority.pem(), &bundle])?;
    }
    if let Some(path) = &arguments.agent_package {
        let version: Vec<u32> = arguments
            .agent_version
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .context("--agent-version is MAJOR.MINOR.PATCH")?;
        let version = version.try_into();
        let version = version.map_err(|_| anyhow::anyhow!("--agent-version is MAJOR.MINOR.PATCH"))?;
        world.ado.set_agent_package(version, read(path)?);
    }
    Ok(())
}

fn describe(world: &World, arguments: &Arguments, control: SocketAddr) -> Value {
    json!({
        "organizationUrl": world.organization_url(),
        "authorityUrl": world.authority_url(),
        "issuer": world.settings.other_issuer.as_deref().unwrap_or_else(|| world.issuer.url()),
        "control": format!("http://{control}"),
        "caFile": arguments.ca_file,
        "tenant": world.settings.tenant,
        "pool": world.settings.pool,
        "clientId": world.agents.client_id,
        "objectId": world.agents.object_id,
        "subject": format!("system:serviceaccount:{}:{}", arguments.namespace, arguments.service_account),
    })
}

fn in_words(told: &Value) -> String {
    let word = |name: &str| told[name].as_str().unwrap_or_default();
    format!(
        "\
The emulators are up.

  organization     {}   (AZP_URL)
  pool             {}   (AZP_POOL)
  authority        {}   (AZURE_AUTHORITY_HOST)
  tenant           {}
  client ID        {}   trusts {}
  issuer           {}
  trust            {}   (SSL_CERT_FILE, curl --cacert)
  control          {}

Try:
  curl {control}/                                        what the control port can do
  curl {control}/state                                   pools, agents, jobs
  curl -d '{{\"script\": \"sleep 5\"}}' {control}/jobs             queue a job (the pool needs an agent)
  curl -d '{{\"fault\": \"unauthorized\", \"count\": 3}}' {control}/faults/ado

SIGTERM or Ctrl-C ends them.
",
        word("organizationUrl"),
        word("pool"),
        word("authorityUrl"),
        word("tenant"),
        word("clientId"),
        word("subject"),
        word("issuer"),
        word("caFile"),
        word("control"),
        control = word("control"),
    )
}
