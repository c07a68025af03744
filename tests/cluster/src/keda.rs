//! KEDA: its own manifests, with what an operator would set, and its programs in images of the names that the manifests use.
//!
//! Its admission webhook is left out; it only validates. The Azure Workload Identity webhook is not needed: what it would add
//! to the operator stands in the patch (`identity`), volume and variables alike.

use crate::azure::private_ca;
use crate::components::Built;
use crate::layout::{Layout, text};
use crate::node::Node;
use anyhow::{Context, Result, ensure};
use azure_emulators::world::TENANT;
use oci_image::{Entry, Image, Layer, archive};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Namespace of KEDA; its operator's ServiceAccount is `keda-operator`.
pub const NAMESPACE: &str = "keda";
/// Deployment, image, program of the component, and where the manifests' command has it.
const PROGRAMS: [[&str; 4]; 2] = [
    ["keda-operator", "ghcr.io/kedacore/keda", "operator", "/keda"],
    [
        "keda-metrics-apiserver",
        "ghcr.io/kedacore/keda-metrics-apiserver",
        "adapter",
        "/keda-adapter",
    ],
];
/// Parts of KEDA's `config` folder: all that its `config/default` has but the admission webhook.
const PARTS: [&str; 6] = ["crd", "general", "rbac", "manager", "metrics-server", "service_account"];
/// The user that KEDA's Dockerfiles name.
const USER: &str = "65532:65532";
/// Where the private CA is in KEDA's pods.
const AUTHORITY: &str = "/private-ca";
/// Where the Azure Workload Identity webhook puts its token.
const TOKEN: &str = "/var/run/secrets/azure/tokens";

/// Installs KEDA and waits until it runs and HPAs get its metrics. Azure has to be imitated already: its CA is needed. Doing
/// it again brings what has changed.
pub fn install(node: &Node, layout: &Layout, built: &Built, report: &dyn Fn(&str)) -> Result<()> {
    let authority = private_ca(layout);
    ensure!(
        authority.exists(),
        "KEDA asks Azure, and nobody has imitated it on this node yet: `cluster azure` does"
    );
    report(&format!("KEDA {}: images", built.version));
    node.load(&archive(layout, built)?)?;
    let folder = layout.node().join("keda");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(&authority, folder.join("ca.crt")).with_context(|| format!("cannot copy {}", authority.display()))?;
    let kustomization = kustomization(built)?.to_string();
    fs::write(folder.join("kustomization.yaml"), kustomization).context("cannot write KEDA's kustomization")?;
    // Its definitions are larger than what `apply` would note in an annotation.
    let apply = ["apply", "--server-side", "--force-conflicts", "-k", text(&folder)];
    node.kubectl_within(&apply, Duration::from_secs(60))?;
    report("KEDA: waiting for its certificate");
    let namespace = format!("--namespace={NAMESPACE}");
    let wait = |arguments: &[&str]| {
        let all = [&[namespace.as_str()], arguments].concat();
        node.kubectl_within(&all, Duration::from_secs(190)).map(drop)
    };
    wait(&["wait", "--for=create", "secret/kedaorg-certs", "--timeout=120s"])?;
    wait(&[
        "wait",
        "--for=jsonpath={.data.tls\\.crt}",
        "secret/kedaorg-certs",
        "--timeout=120s",
    ])?;
    // The operator waits for the Secret that it has made itself to be in its volume. The kubelet looks at a pod every minute or
    // so, and when it has changed.
    wait(&["annotate", "pods", "--all", "--overwrite", "looked-at=once-more"])?;
    report("KEDA: waiting until it is ready");
    for [deployment, ..] in PROGRAMS {
        wait(&[
            "rollout",
            "status",
            &format!("deployment/{deployment}"),
            "--timeout=180s",
        ])?;
    }
    let service = "apiservice/v1beta1.external.metrics.k8s.io";
    wait(&["wait", "--for=condition=Available", service, "--timeout=120s"])
}

/// What KEDA's programs said last.
pub fn log(node: &Node) -> String {
    let logs = PROGRAMS.map(|[deployment, ..]| {
        let selector = format!("--selector=app={deployment}");
        let question = ["--namespace=keda", "logs", &selector, "--prefix", "--tail=40"];
        node.kubectl_output(&question)
            .unwrap_or_else(|error| format!("{error:#}"))
    });
    logs.join("\n")
}

fn archive(layout: &Layout, built: &Built) -> Result<PathBuf> {
    let images = PROGRAMS
        .iter()
        .map(|[_, image, program, inside]| {
            Ok(Image {
                name: format!("{image}:{}", built.version),
                layers: vec![Layer::Files(vec![Entry::program(inside, &built.program(program))?])],
                entrypoint: vec![(*inside).to_owned()],
                user: USER,
                ..Image::default()
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let archive = layout.images().join(format!("keda-{}.tar", built.version));
    archive::write(&archive, &images)?;
    Ok(archive)
}

/// JSON, which is YAML. It lies two folders beside the components, since kustomize takes no absolute path.
fn kustomization(built: &Built) -> Result<Value> {
    let share = built.share();
    let share = share
        .parent()
        .and_then(Path::file_name)
        .context("components have a folder")?;
    let share = format!("../../components/{}/share", share.to_string_lossy());
    let resources: Vec<String> = PARTS.iter().map(|part| format!("{share}/{part}")).collect();
    let images: Vec<Value> = PROGRAMS
        .iter()
        .map(|[_, image, ..]| json!({"name": image, "newTag": built.version}))
        .collect();
    let patches: Vec<Value> = PROGRAMS
        .iter()
        .map(|[deployment, ..]| json!({"patch": patch(deployment).to_string()}))
        .collect();
    Ok(json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
        "images": images,
        "configMapGenerator": [{"name": "private-ca", "namespace": NAMESPACE, "files": ["ca.crt"]}],
        "patches": patches,
    }))
}

/// What an operator sets on both Deployments: the images are loaded and not pulled, and a private CA vouches for Azure, which
/// Go programs take from `SSL_CERT_FILE`. The operator has an identity besides.
fn patch(deployment: &str) -> Value {
    let mut volumes = vec![json!({"name": "private-ca", "configMap": {"name": "private-ca"}})];
    let mut mounts = vec![json!({"name": "private-ca", "mountPath": AUTHORITY, "readOnly": true})];
    let mut variables = vec![json!({"name": "SSL_CERT_FILE", "value": format!("{AUTHORITY}/ca.crt")})];
    if deployment == "keda-operator" {
        let (volume, mount, identity) = identity();
        volumes.push(volume);
        mounts.push(mount);
        variables.extend(identity);
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": deployment, "namespace": NAMESPACE},
        "spec": {"template": {"spec": {
            "containers": [{
                "name": deployment,
                "imagePullPolicy": "IfNotPresent",
                "env": variables,
                "volumeMounts": mounts,
                // Small machines run much else.
                "resources": {"requests": {"cpu": "20m", "memory": "50Mi"}},
            }],
            "volumes": volumes,
        }}},
    })
}

/// Volume, mount and variables that the Azure Workload Identity webhook adds to a container whose pod has its label and whose
/// ServiceAccount names no client (its `pkg/webhook/webhook.go`). The client is named by TriggerAuthentications.
fn identity() -> (Value, Value, Vec<Value>) {
    let volume = json!({"name": "azure-identity-token", "projected": {"defaultMode": 420, "sources": [{
        "serviceAccountToken": {
            "audience": "api://AzureADTokenExchange",
            "expirationSeconds": 3600,
            "path": "azure-identity-token",
        },
    }]}});
    let mount = json!({"name": "azure-identity-token", "mountPath": TOKEN, "readOnly": true});
    let variables = [
        ("AZURE_TENANT_ID", TENANT.to_owned()),
        ("AZURE_FEDERATED_TOKEN_FILE", format!("{TOKEN}/azure-identity-token")),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/".to_owned()),
    ];
    let variables = variables.map(|(name, value)| json!({"name": name, "value": value}));
    (volume, mount, variables.to_vec())
}
