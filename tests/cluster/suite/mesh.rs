//! Beside a mesh. No mesh is installed: a native sidecar that is first in the list and through which everything has to go
//! out stands for `istio-proxy` and `linkerd-proxy`, which put themselves there.

use crate::case::Case;
use crate::usual::{all_succeeded, delete_all, names, online, queue, short_grace};
use crate::workload::{agent, pod, template};
use anyhow::{Context, Result, ensure};
use cluster::agent_image;
use contract::SIDECAR_CONTAINER;
use serde_json::json;

const PROXY: &str = "istio-proxy";

/// The agent is removed through the proxy, so the proxy was there before us and stayed until we had ended.
pub(crate) async fn a_proxy_that_is_first_carries_the_removal(case: Case) -> Result<()> {
    // A script that never removes its agent: the sidecar does, and it knows no other way out.
    let mut template = template("gen0b");
    short_grace(&mut template);
    agent(&mut template)["env"] = json!([{"name": "HTTPS_PROXY", "value": "http://127.0.0.1:3128"}]);
    template["spec"]["initContainers"] = json!([{
        "name": PROXY,
        "image": agent_image::name("gen3"),
        "command": ["/usr/bin/perl", "-e", include_str!("proxy.pl")],
        "restartPolicy": "Always",
        "startupProbe": {
            "exec": {"command": ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3128"]},
            "periodSeconds": 1,
            "failureThreshold": 30,
        },
    }]);
    case.apply(&pod("agent", &template))?;
    online(&case, &["agent"]).await?;
    let pod = case.pod("agent").await?.context("the pod is there")?;
    let order = names(&pod["spec"]["initContainers"]);
    ensure!(order == [PROXY, SIDECAR_CONTAINER], "{order:?}");
    let log = case.log("agent", PROXY)?;
    for host in ["login.microsoftonline.com:443", "dev.azure.com:443"] {
        ensure!(log.contains(host), "the sidecar asks through the proxy: {log}");
    }
    queue(&case, "agent", "true")?;
    all_succeeded(&case).await?;
    delete_all(&case).await
}
