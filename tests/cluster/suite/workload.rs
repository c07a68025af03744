//! Workloads of agents as users write them. Tests change what they are about.

use crate::case::AGENT;
use cluster::agent_image;
use serde_json::{Value, json};

/// Name of the agent's container.
pub(crate) const CONTAINER: &str = "agent";

/// The pod template of an agent with a start script of `tests/agent/start`: what the example Deployment has, but for its
/// size, which fits many times on a small machine.
pub(crate) fn template(script: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": AGENT, "ado-agent.dev/inject": "true"}, "annotations": {}},
        "spec": {
            "serviceAccountName": AGENT,
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": CONTAINER,
                "image": agent_image::name(script),
                "envFrom": [{"configMapRef": {"name": AGENT}}],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

/// An annotation on a template.
pub(crate) fn annotate(template: &mut Value, key: &str, value: &str) {
    template["metadata"]["annotations"][key] = json!(value);
}

/// The agent's container of a template.
pub(crate) fn agent(template: &mut Value) -> &mut Value {
    &mut template["spec"]["containers"][0]
}

/// The template as it would be without us: not injected, with the personal access token of [`Case::add_access_token`] from its
/// Secret.
///
/// [`Case::add_access_token`]: crate::case::Case::add_access_token
pub(crate) fn with_access_token(mut template: Value) -> Value {
    template["metadata"]["labels"]["ado-agent.dev/inject"] = json!("false");
    agent(&mut template)["env"] =
        json!([{"name": "AZP_TOKEN", "valueFrom": {"secretKeyRef": {"name": AGENT, "key": "token"}}}]);
    template
}

/// A Deployment.
pub(crate) fn deployment(name: &str, replicas: u32, template: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": AGENT}}, "template": template},
    })
}

/// A Job of one pod that is not tried again.
pub(crate) fn job(name: &str, template: &Value) -> Value {
    let mut template = template.clone();
    template["spec"]["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template},
    })
}

/// A bare pod, which is not started again.
pub(crate) fn pod(name: &str, template: &Value) -> Value {
    let mut pod = template.clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(name);
    pod["spec"]["restartPolicy"] = json!("Never");
    pod
}
