//! The whole world for one story: emulators, API-server double, the real webhook, a kubelet double, and the objects of
//! `manifests/examples`, so that the demo shows what the documentation shows.

mod gateway;
mod image;

use crate::agent_package::AgentChoice;
use crate::apiserver::ApiServer;
use crate::apiserver::webhook::Webhook;
use crate::kubelet::{self, Image, Images, Isolation, Kubelet, Objects, Pod};
use crate::kustomize;
use crate::programs::program;
use anyhow::{Context, anyhow};
use azure_emulators::entra::{FederatedCredential, Kind};
use azure_emulators::http::Listen;
use azure_emulators::tls::install_provider;
use azure_emulators::world::{self, World};
use contract::{AZWI_USE_LABEL, FEDERATED_TOKEN_ANNOTATION, HANDOFF_ANNOTATION, Handoff};
pub use gateway::through_gateway;
pub use image::{AgentImage, SCRIPTS, does_own_exchange};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Name of the sidecar's image, as the webhook is told.
const SIDECAR_IMAGE: &str = "registry.example.com/ado-agent-sidecar:1";
/// The agent container of the examples.
pub const AGENT: &str = "agent";

/// Which example a pod is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// `deployment.yaml`.
    Deployment,
    /// `job.yaml`: `--once`, never restarted.
    Job,
}

/// How a stage is set up.
pub struct Plan {
    /// What start scripts download.
    pub agent: AgentChoice,
    /// Whether the federated credential is there.
    pub federated: bool,
    /// The kubelet's first restart pause.
    pub back_off: Duration,
    /// Where Azure is found; by address and port if absent.
    pub azure: Option<Azure>,
    /// An image of the agent container beside those of [`SCRIPTS`], with its name.
    pub image: Option<(String, Image)>,
    /// How containers are kept apart; found out if absent.
    pub isolation: Option<Isolation>,
}

impl Plan {
    /// The usual stage: with the federated credential, Azure by address and port, and the images of [`SCRIPTS`].
    pub fn new(agent: AgentChoice, back_off: Duration) -> Self {
        Self {
            agent,
            federated: true,
            back_off,
            azure: None,
            image: None,
            isolation: None,
        }
    }
}

/// Azure under its own host names, which have to resolve to these addresses.
pub struct Azure {
    /// Where Azure DevOps listens.
    pub ado: Listen,
    /// Where Entra listens.
    pub entra: Listen,
    /// URL of the organization, as for `AZP_URL`.
    pub url: String,
    /// The organization's name.
    pub organization: String,
    /// The pool, if it is not the example's.
    pub pool: Option<String>,
}

/// Everything that a story needs. Dropping it ends everything.
pub struct Stage {
    /// Entra, Azure DevOps and the cluster's issuer.
    pub world: World,
    /// The API server.
    pub api: ApiServer,
    /// The real webhook.
    pub webhook: Webhook,
    /// The node.
    pub kubelet: Kubelet,
    /// ConfigMaps and Secrets.
    pub objects: Objects,
    /// The namespace of the examples.
    pub namespace: String,
    /// The ServiceAccount of the examples.
    pub account: String,
    /// URL of the organization, for pods.
    url: String,
    /// URL of Entra's authority, for pods.
    authority: String,
    examples: Vec<Value>,
    /// Holds the private CA.
    folder: tempfile::TempDir,
}

impl Stage {
    /// Sets everything up as an administrator does (docs/azure.md), with the agent that the environment chooses. `back_off` is
    /// the kubelet's first restart pause.
    pub async fn set_up(back_off: Duration) -> anyhow::Result<Self> {
        Self::with_agent(AgentChoice::from_environment()?, back_off).await
    }

    /// The same with this agent.
    pub async fn with_agent(agent: AgentChoice, back_off: Duration) -> anyhow::Result<Self> {
        Self::with(Plan::new(agent, back_off)).await
    }

    /// Sets everything up as planned.
    pub async fn with(plan: Plan) -> anyhow::Result<Self> {
        install_provider();
        let mut examples = kustomize::documents("manifests/examples/deployment.yaml")?;
        examples.extend(kustomize::documents("manifests/examples/job.yaml")?);
        let config = of_kind(&examples, "ConfigMap")?;
        let text = |object: &Value, pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (namespace, account) = (
            text(of_kind(&examples, "Namespace")?, "/metadata/name"),
            text(of_kind(&examples, "ServiceAccount")?, "/metadata/name"),
        );
        let mut settings = world::Settings {
            pool: text(config, "/data/AZP_POOL"),
            namespace: namespace.clone(),
            service_account: account.clone(),
            kind: Kind::ManagedIdentity,
            federated: plan.federated,
            ..world::Settings::default()
        };
        let mut public_url = None;
        if let Some(azure) = plan.azure {
            settings.ado = azure.ado;
            settings.entra = azure.entra;
            settings.organization = azure.organization;
            settings.pool = azure.pool.unwrap_or(settings.pool);
            public_url = Some(azure.url);
        }
        let world = World::with(settings).await?;
        let folder = tempfile::tempdir()?;
        let ca = folder.path().join("ca.pem");
        world.authority.write_pem(&ca)?;
        // Containers of other users read it.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        std::fs::set_permissions(&ca, std::fs::Permissions::from_mode(0o644))?;
        let (package, sidecar) =
            tokio::task::spawn_blocking(move || anyhow::Ok((plan.agent.package()?, program("ado-agent-sidecar")?)))
                .await??;
        world.ado.set_agent_package(package.version, package.archive);

        let api = ApiServer::start().await?;
        apply(&api, &examples, &world)?;
        let mut flags = vec![
            format!("--sidecar-image={SIDECAR_IMAGE}"),
            format!("--ca-file={}", ca.display()),
        ];
        let (url, authority) = match public_url {
            // The webhook's own defaults are Azure's own names.
            Some(url) => (url, contract::DEFAULT_AUTHORITY.to_owned()),
            None => (world.organization_url(), format!("{}/", world.authority_url())),
        };
        if authority != contract::DEFAULT_AUTHORITY {
            flags.push(format!("--authority={authority}"));
            flags.push("--allowed-hosts=127.0.0.1".to_owned());
            flags.push("--allowed-authorities=127.0.0.1".to_owned());
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let webhook = Webhook::start(&api, &flags).await?;
        let objects = Objects::of(&world.issuer);
        let mut images = images(&ca, &sidecar);
        if let Some((name, image)) = plan.image {
            images = images.with(&name, image);
        }
        let settings = kubelet::Settings {
            images,
            back_off: plan.back_off,
        };
        let isolation = plan.isolation.unwrap_or_else(Isolation::detect);
        let stage = Self {
            kubelet: Kubelet::isolated(settings, &objects, isolation)?,
            world,
            api,
            webhook,
            objects,
            namespace,
            account,
            url,
            authority,
            examples,
            folder,
        };
        stage.set_config();
        Ok(stage)
    }

    /// Creates the federated credential for the examples' ServiceAccount; Entra knows it after `propagation`.
    pub fn trust(&self, propagation: Duration) -> anyhow::Result<()> {
        let world = &self.world;
        world.entra.set_propagation(propagation);
        let credential = FederatedCredential::for_service_account(world.issuer.url(), &self.namespace, &self.account);
        world
            .entra
            .add_federated_credential(&world.agents.client_id, credential)
            .map_err(|refused| anyhow!("the federated credential was not added: {refused:?}"))
    }

    /// Applies the examples' ConfigMap with the emulator's URL and the pool.
    fn set_config(&self) {
        self.objects.set_config_map(
            &self.namespace,
            &self.config_name(),
            &[("AZP_URL", &self.url), ("AZP_POOL", self.world.pool.name())],
        );
    }

    fn config_name(&self) -> String {
        let config = of_kind(&self.examples, "ConfigMap").map(|config| config["metadata"]["name"].clone());
        config
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// The pod that a controller would create, with this image.
    pub fn template(&self, workload: Workload, image: AgentImage) -> anyhow::Result<Value> {
        let kind = match workload {
            Workload::Deployment => "Deployment",
            Workload::Job => "Job",
        };
        let object = of_kind(&self.examples, kind)?;
        let mut pod = object["spec"]["template"].clone();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        pod["metadata"]["generateName"] = match workload {
            Workload::Deployment => format!("{name}-5d4f8c7b9-").into(),
            Workload::Job => format!("{name}-").into(),
        };
        if pod["metadata"]["annotations"][HANDOFF_ANNOTATION] == Handoff::Gateway.as_str() {
            through_gateway(&mut pod);
        }
        pod["spec"]["containers"][0]["image"] = image.name().into();
        if image.is_root {
            // What the example says about images that need more than a user of their own.
            if let Some(spec) = pod["spec"].as_object_mut() {
                spec.remove("securityContext");
            }
            if let Some(container) = pod["spec"]["containers"][0].as_object_mut() {
                container.remove("securityContext");
            }
        }
        Ok(pod)
    }

    /// Adds what the Azure Workload Identity webhook adds to a pod, the example's identity for the agent container itself,
    /// and the annotation that keeps it there.
    pub fn as_azwi_does(&self, pod: &mut Value) {
        let folder = "/var/run/secrets/azure/tokens";
        pod["metadata"]["labels"][AZWI_USE_LABEL] = "true".into();
        pod["metadata"]["annotations"][FEDERATED_TOKEN_ANNOTATION] = "keep".into();
        let container = &mut pod["spec"]["containers"][0];
        container["env"] = json!([
            { "name": "AZURE_CLIENT_ID", "value": self.world.agents.client_id },
            { "name": "AZURE_TENANT_ID", "value": self.world.settings.tenant },
            { "name": "AZURE_AUTHORITY_HOST", "value": self.authority },
            { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": format!("{folder}/azure-identity-token") },
        ]);
        container["volumeMounts"] = json!([{ "name": "azure-identity-token", "mountPath": folder, "readOnly": true }]);
        pod["spec"]["volumes"] = json!([{ "name": "azure-identity-token", "projected": { "sources": [{ "serviceAccountToken": {
            "path": "azure-identity-token", "audience": contract::DEFAULT_AUDIENCE, "expirationSeconds": 3600,
        } }] } }]);
    }

    /// Creates a pod through the webhook and starts it.
    pub async fn create(&self, pod: &Value) -> anyhow::Result<Pod> {
        let created = self.webhook.create_pod(&self.api, &self.namespace, pod).await?;
        self.kubelet.start(&created.pod)
    }

    /// Creates the example pod with this image and starts it.
    pub async fn start(&self, workload: Workload, image: AgentImage) -> anyhow::Result<Pod> {
        self.create(&self.template(workload, image)?).await
    }

    /// The file with the private CA that emulators and images share.
    pub fn ca_file(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// Creates namespace and ServiceAccount of the examples.
fn apply(api: &ApiServer, examples: &[Value], world: &World) -> anyhow::Result<()> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let namespace = of_kind(examples, "Namespace")?;
    let labels: Vec<(&str, &str)> = namespace["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    api.set_namespace(&name(namespace), &labels);
    let account = of_kind(examples, "ServiceAccount")?;
    // The example's annotation, with the identity that this Entra has.
    let annotations: Vec<(&str, &str)> = account["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| (key.as_str(), world.agents.client_id.as_str()))
        .collect();
    api.set_account(&name(namespace), &name(account), &annotations);
    Ok(())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> anyhow::Result<&'a Value> {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found.with_context(|| format!("manifests/examples has no {kind}"))
}

fn images(ca: &Path, sidecar: &Path) -> Images {
    let sidecar = Image {
        programs: vec![(sidecar.to_owned(), contract::SIDECAR_PROGRAM.to_owned())],
        entrypoint: vec![contract::SIDECAR_PROGRAM.to_owned()],
        user: (65532, 65532),
        ..Image::default()
    };
    let mut images = Images::default().with(SIDECAR_IMAGE, sidecar);
    for script in SCRIPTS {
        for is_root in [false, true] {
            let image = AgentImage { script, is_root };
            images = images.with(&image.name(), image.image(ca));
        }
    }
    images
}
