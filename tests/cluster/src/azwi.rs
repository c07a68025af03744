//! The Azure Workload Identity webhook (azwi): its own manifest and program, in an image of the name that the manifest uses.
//! It is installed on a running node for those who ask for it.

use crate::components::Built;
use crate::layout::Layout;
use crate::node::Node;
use crate::product::image_name;
use anyhow::{Context, Result, ensure};
use azure_emulators::token_proxy;
use azure_emulators::world::TENANT;
use oci_image::product::USER;
use oci_image::{Entry, Image, Layer, archive};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Namespace of its own.
pub const NAMESPACE: &str = "azure-workload-identity-system";
/// Its configuration in the API server.
pub const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";
/// Where it tells clients that the token proxy of identity bindings is; on AKS that is the API server itself. Nobody listens
/// there unless a test does.
pub const TOKEN_PROXY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
/// ConfigMap of a pod's namespace with the token proxy's CA in `ca.crt`; on AKS that is `kube-root-ca.crt`.
pub const TOKEN_PROXY_CA: &str = "token-proxy-ca";

/// A pod that azwi is asked about, in a namespace that everybody has.
const PROBE: &str = r#"{
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "azwi-answers", "namespace": "default", "labels": {"azure.workload.identity/use": "true"}},
    "spec": {"containers": [{"name": "pause", "image": "pause"}]}
}"#;
const DEPLOYMENT: &str = "deployment/azure-wi-webhook-controller-manager";
const SECRET: &str = "secret/azure-wi-webhook-server-cert";
/// Its pods may take 100m of a processor each, of which they make RSA keys.
const LIMIT: Duration = Duration::from_secs(180);
/// What kubectl needs beyond the time that it waits.
const MARGIN: Duration = Duration::from_secs(10);

/// Installs it with the imitated Azure's tenant and with identity bindings switched on as on AKS, and waits until it answers.
/// Once more does no harm.
pub fn install(node: &Node, layout: &Layout, built: &Built, report: &dyn Fn(&str)) -> Result<()> {
    report(&format!("azwi {}: installing", built.version));
    let manifest = manifest(built)?;
    let image = Image {
        name: image_name(&manifest, "webhook")?.to_owned(),
        layers: vec![Layer::Files(vec![Entry::program(
            "/manager",
            &built.program("webhook"),
        )?])],
        entrypoint: vec!["/manager".to_owned()],
        user: USER,
        ..Image::default()
    };
    let archive = layout.images().join("azwi.tar");
    archive::write(&archive, &[image])?;
    node.load(&archive)?;
    node.kubectl_fed(&["apply", "--filename=-"], &manifest, LIMIT)?;
    report("azwi: waiting for its certificate");
    wait(node, r"--for=jsonpath={.data.tls\.crt}", SECRET)?;
    // It makes the certificate itself and waits for the kubelet to bring it into its pods, which takes a minute or two. A
    // changed annotation makes the kubelet look at once (Kubernetes documentation, "ConfigMaps: mounted ConfigMaps are
    // updated automatically").
    let touch = format!("looked-at={}", azure_emulators::guid::random());
    let namespace = format!("--namespace={NAMESPACE}");
    node.kubectl_output(&[&namespace, "annotate", "pods", "--all", "--overwrite", &touch])?;
    wait(
        node,
        "--for=jsonpath={.webhooks[0].clientConfig.caBundle}",
        &format!("mutatingwebhookconfiguration/{CONFIGURATION}"),
    )?;
    report("azwi: waiting until it is ready");
    let timeout = format!("--timeout={}s", LIMIT.as_secs());
    node.kubectl_within(&[&namespace, "rollout", "status", DEPLOYMENT, &timeout], LIMIT + MARGIN)?;
    // Ready pods are not yet what the API server reaches: kube-proxy hears of them later, and refuses connections to the
    // Service until then.
    node.until("azwi", LIMIT, |node| {
        node.kubectl_fed(&["create", "--dry-run=server", "--filename=-"], PROBE, MARGIN)
            .map(Some)
    })
    .map(drop)
}

/// Removes it and waits until it is gone.
pub fn uninstall(node: &Node, built: &Built) -> Result<()> {
    let delete = ["delete", "--ignore-not-found", "--filename=-"];
    node.kubectl_fed(&delete, &manifest(built)?, LIMIT).map(drop)
}

fn wait(node: &Node, condition: &str, object: &str) -> Result<()> {
    let namespace = format!("--namespace={NAMESPACE}");
    let timeout = format!("--timeout={}s", LIMIT.as_secs());
    node.kubectl_within(&[&namespace, "wait", condition, object, &timeout], LIMIT + MARGIN)
        .map(drop)
}

/// The manifest that its project publishes, filled in as its installation guide does with envsubst, and with the flags and
/// settings that AKS gives it for identity bindings (azure-workload-identity `scripts/ci-e2e.sh`).
fn manifest(built: &Built) -> Result<String> {
    let file = built.share().join("azure-wi-webhook.yaml");
    let mut manifest = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let flags = format!(
        "        - --log-level=info\n        - --custom-token-endpoint-annotation-suffix=identity-binding\n        \
         - --custom-token-endpoint-audience={}\n",
        token_proxy::AUDIENCE
    );
    let settings = format!(
        "  AZURE_TENANT_ID: {TENANT}\n  AZURE_KUBERNETES_TOKEN_PROXY: https://{TOKEN_PROXY}\n  \
         AZURE_KUBERNETES_SNI_NAME: {}\n  AZURE_KUBERNETES_CA_CONFIGMAP_NAME: {TOKEN_PROXY_CA}\n",
        token_proxy::SERVER_NAME
    );
    for (published, filled) in [
        ("${AZURE_ENVIRONMENT:-AzurePublicCloud}", "AzurePublicCloud"),
        ("  AZURE_TENANT_ID: ${AZURE_TENANT_ID}\n", &settings),
        ("        - --log-level=info\n", &flags),
    ] {
        ensure!(
            manifest.matches(published).count() == 1,
            "{} should have one {published:?}",
            file.display()
        );
        manifest = manifest.replace(published, filled);
    }
    Ok(manifest)
}
