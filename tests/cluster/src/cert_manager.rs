//! cert-manager: its resource definitions in the cluster, its controllers in one process beside it.

use crate::components::Built;
use crate::node::Node;
use crate::service::Program;
use anyhow::Result;
use std::time::Duration;

/// Where it says that it is ready.
const HEALTH: &str = "127.0.0.1:9403";

/// Installs the definitions and starts the controllers. They speak to the API server as an administrator.
pub(crate) fn install(node: &Node, built: &Built) -> Result<()> {
    let definitions = built.share();
    node.kubectl_output(&["create", "namespace", "cert-manager"])?;
    // Some are larger than what `apply` would note in an annotation.
    node.kubectl_output(&["create", "-f", crate::layout::text(&definitions)])?;
    node.kubectl_within(
        &[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            crate::layout::text(&definitions),
        ],
        Duration::from_secs(70),
    )?;
    let kubeconfig = node.pki().kubeconfig("admin");
    node.start(&Program {
        name: "cert-manager".to_owned(),
        program: built.program("certmanager"),
        arguments: vec![format!("--kubeconfig={kubeconfig}"), format!("--health={HEALTH}")],
        environment: Vec::new(),
    })?;
    node.wait_for_answer("cert-manager", &format!("http://{HEALTH}/healthz"))
}
