//! Pods of many shapes, which all register, and are removed when they are deleted.

use crate::case::{Case, LIMIT};
use crate::usual::{
    apply_all, delete_all, ensure_says, in_a_folder_of_its_own, named, names, online, short_grace, status, would_become,
};
use crate::workload::{CONTAINER, agent, annotate, deployment, pod, template};
use anyhow::{Context, Result, ensure};
use cluster::agent_image;
use contract::{AGENT_CONTAINER_ANNOTATION, GRACE_SECONDS_ANNOTATION, HANDOFF_DIR, HANDOFF_VOLUME, SIDECAR_CONTAINER};
use serde_json::{Value, json};

/// A pod of the newest script, changed by a test.
fn shaped(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut template = template("gen3");
    short_grace(&mut template);
    change(&mut template);
    pod(name, &template)
}

/// A container that is no agent, and ends when it is told to.
fn helper(name: &str) -> Value {
    json!({
        "name": name,
        "image": agent_image::name("gen3"),
        "command": ["/bin/bash", "-c", "trap 'exit 0' TERM; sleep infinity & wait"],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
    })
}

/// A pod of the namespace that must be there.
async fn get(case: &Case, name: &str) -> Result<Value> {
    case.pod(name)
        .await?
        .with_context(|| format!("pod {name} is not there"))
}

/// Paths under which a container of a pod has something mounted.
fn mounts<'p>(pod: &'p Value, list: &str, container: &str) -> Result<Vec<&'p str>> {
    let mounts = &named(&pod["spec"][list], container)?["volumeMounts"];
    let mounts = mounts.as_array().into_iter().flatten();
    Ok(mounts.filter_map(|mount| mount["mountPath"].as_str()).collect())
}

pub(crate) async fn one_container_of_several_is_the_agent(case: Case) -> Result<()> {
    let by_name = shaped("by-name", |template| {
        let helper = helper("cache");
        template["spec"]["containers"]
            .as_array_mut()
            .expect("a list")
            .insert(0, helper);
    });
    let by_annotation = shaped("by-annotation", |template| {
        agent(template)["name"] = json!("runner");
        template["spec"]["containers"]
            .as_array_mut()
            .expect("a list")
            .push(helper("cache"));
        annotate(template, AGENT_CONTAINER_ANNOTATION, "runner");
    });
    // Whoever mounts the volume, too, could read the token.
    let reader = shaped("reader", |template| {
        let mut reader = helper("cache");
        reader["volumeMounts"] = json!([{"name": HANDOFF_VOLUME, "mountPath": HANDOFF_DIR, "readOnly": true}]);
        template["spec"]["containers"]
            .as_array_mut()
            .expect("a list")
            .push(reader);
    });
    let mut unknown = by_annotation.clone();
    unknown["metadata"]["annotations"][AGENT_CONTAINER_ANNOTATION] = json!("builder");
    let denial = case.apply(&unknown).err().context("an unknown container is denied")?;
    ensure_says(&denial.to_string(), &["agent-container", "builder", "runner", "cache"])?;

    let denial = case
        .apply(&reader)
        .err()
        .context("another mount of the volume is denied")?;
    ensure_says(&denial.to_string(), &["cache", HANDOFF_VOLUME, "remove the mount"])?;

    apply_all(&case, &[by_name, by_annotation])?;
    online(&case, &["by-name", "by-annotation"]).await?;
    for (name, agent) in [("by-name", CONTAINER), ("by-annotation", "runner")] {
        let pod = get(&case, name).await?;
        ensure!(mounts(&pod, "containers", agent)? == [HANDOFF_DIR], "{pod:#}");
        ensure!(mounts(&pod, "containers", "cache")?.is_empty(), "{pod:#}");
    }
    delete_all(&case).await
}

pub(crate) async fn init_containers_stay_as_they_are_and_ours_is_last(case: Case) -> Result<()> {
    let plain = |name: &str| {
        let mut container = helper(name);
        container["command"] = json!(["/bin/true"]);
        container
    };
    let mixed = shaped("mixed", |template| {
        let mut native = helper("logs");
        native["restartPolicy"] = json!("Always");
        template["spec"]["initContainers"] = json!([plain("before"), native, plain("after")]);
    });
    let read_only = shaped("read-only", |template| {
        in_a_folder_of_its_own(template);
        template["spec"]["volumes"] = json!([{"name": "tmp", "emptyDir": {}}]);
        agent(template)["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp"}]);
        agent(template)["securityContext"]["readOnlyRootFilesystem"] = json!(true);
    });
    apply_all(&case, &[mixed, read_only])?;
    online(&case, &["mixed", "read-only"]).await?;
    let pod = get(&case, "mixed").await?;
    let found = &pod["spec"]["initContainers"];
    let expected = ["before", "logs", "after", SIDECAR_CONTAINER];
    ensure!(names(found) == expected, "{:?}", names(found));
    ensure!(named(found, "logs")?["restartPolicy"] == "Always", "{found:#}");
    ensure!(named(found, "before")?["restartPolicy"].is_null(), "{found:#}");
    // The template has no volumes and no token of the Kubernetes API: all of them are ours.
    let volumes = names(&pod["spec"]["volumes"]);
    ensure!(
        !volumes.is_empty() && volumes.iter().all(|name| name.starts_with("ado-agent-")),
        "{volumes:?}"
    );
    delete_all(&case).await
}

pub(crate) async fn shared_namespaces_and_every_restart_policy(case: Case) -> Result<()> {
    let on_the_nodes_network = |name: &str| {
        shaped(name, |template| {
            template["spec"]["hostNetwork"] = json!(true);
            template["spec"]["dnsPolicy"] = json!("ClusterFirstWithHostNet");
            // The host name, which the script would take, is the node's there.
            let name = json!({"fieldRef": {"fieldPath": "metadata.name"}});
            agent(template)["env"] = json!([{"name": "AZP_AGENT_NAME", "valueFrom": name}]);
        })
    };
    let restarting = |name: &str, policy: &str| {
        let mut pod = shaped(name, |_| {});
        pod["spec"]["restartPolicy"] = json!(policy);
        pod
    };
    let pods = [
        on_the_nodes_network("host-network-1"),
        on_the_nodes_network("host-network-2"),
        shaped("host-pid", |template| template["spec"]["hostPID"] = json!(true)),
        shaped("shared-processes", |template| {
            template["spec"]["shareProcessNamespace"] = json!(true);
        }),
        restarting("always", "Always"),
        restarting("on-failure", "OnFailure"),
        restarting("never", "Never"),
    ];
    let said = apply_all(&case, &pods)?;
    let all = pods
        .each_ref()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default());
    ensure_says(&said.error, &["is not isolated", "hostPID", "shareProcessNamespace"])?;
    online(&case, &all).await?;
    for (name, isolated) in [
        ("host-pid", false),
        ("shared-processes", false),
        ("host-network-1", false),
        ("always", true),
    ] {
        let status = status(&get(&case, name).await?)?;
        ensure!(status["isolated"] == isolated, "{name}: {status:#}");
    }
    delete_all(&case).await
}

/// Two pods run; the grace periods are asked of the API server alone.
pub(crate) async fn guaranteed_pods_pods_of_one_node_and_grace_periods(case: Case) -> Result<()> {
    let guaranteed = shaped("guaranteed", |template| {
        let all = json!({"cpu": "200m", "memory": "128Mi"});
        agent(template)["resources"] = json!({"requests": all, "limits": all});
    });
    // As a DaemonSet's controller would place it.
    let placed = shaped("placed", |template| {
        template["spec"]["nodeName"] = json!("node0");
        template["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    });
    apply_all(&case, &[guaranteed, placed])?;
    online(&case, &["guaranteed", "placed"]).await?;
    for (name, class) in [("guaranteed", "Guaranteed"), ("placed", "Burstable")] {
        let pod = get(&case, name).await?;
        ensure!(pod["status"]["qosClass"] == class, "{name}: {:#}", pod["status"]);
    }
    // What the pod says (nothing, or seconds), and what it gets.
    for (given, expected) in [(None, 3600), (Some(0), 0), (Some(1), 1), (Some(86_400), 86_400)] {
        let mut pod = pod("grace", &template("gen3"));
        if let Some(seconds) = given {
            pod["spec"]["terminationGracePeriodSeconds"] = json!(seconds);
        }
        let (pod, said) = would_become(&case, &pod)?;
        ensure!(
            pod["spec"]["terminationGracePeriodSeconds"] == expected,
            "{given:?}: {pod:#}"
        );
        let sidecar = named(&pod["spec"]["initContainers"], SIDECAR_CONTAINER)?;
        let told = &named(&sidecar["env"], "ADO_AGENT_GRACE_SECONDS")?["value"];
        ensure!(told.as_str() == Some(&expected.to_string()), "{given:?}: {told}");
        let warned = said.error.contains("no time to remove the agent");
        ensure!(warned == (given == Some(0)), "{given:?}: {}", said.error);
    }
    delete_all(&case).await
}

pub(crate) async fn a_stateful_set_pod_comes_back_under_its_name(case: Case) -> Result<()> {
    // A script that never removes its agent, so that the pool shows what the sidecar does.
    let mut template = template("gen0b");
    short_grace(&mut template);
    let mut set = deployment("set", 1, &template);
    set["kind"] = json!("StatefulSet");
    set["spec"]["serviceName"] = json!("set");
    case.apply(&set)?;
    online(&case, &["set-0"]).await?;
    let first = case.pool.agents().remove(0);
    case.kubectl(&["delete", "pod", "set-0", "--wait=false"])?;
    case.wait_for_pool(
        "another agent of the same name",
        |agents| matches!(agents, [agent] if agent.name == "set-0" && agent.id != first.id && agent.online),
    )
    .await?;
    let second = get(&case, "set-0").await?;
    ensure!(
        names(&second["spec"]["initContainers"]) == [SIDECAR_CONTAINER],
        "{second:#}"
    );
    case.scale("statefulset/set", 0)?;
    case.wait_for_agents(0).await
}

pub(crate) async fn warnings_and_denials_reach_the_user(case: Case) -> Result<()> {
    let mut typing_error = shaped("bare", |_| {});
    typing_error["metadata"]["annotations"]["ado-agent.dev/graceseconds"] = json!("60");
    let (_, said) = would_become(&case, &typing_error)?;
    ensure_says(&said.error, &["Warning:", "ado-agent.dev/graceseconds"])?;
    typing_error["metadata"]["annotations"][GRACE_SECONDS_ANNOTATION] = json!("-1");
    let denial = would_become(&case, &typing_error).err().context("it is denied")?;
    ensure_says(
        &denial.to_string(),
        &[
            "inject.ado-agent.dev",
            "denied the request",
            GRACE_SECONDS_ANNOTATION,
            "-1",
        ],
    )?;
    // Nobody reads what a controller is told, but for its events.
    let mut template = template("gen3");
    annotate(&mut template, GRACE_SECONDS_ANNOTATION, "soon");
    case.apply(&deployment("denied", 1, &template))?;
    let looked = || async {
        let events = case.kubectl(&["get", "events", "--field-selector=reason=FailedCreate"])?;
        ensure_says(&events, &["denied the request", GRACE_SECONDS_ANNOTATION, "soon"])?;
        Ok(Some(()))
    };
    case.wait("an event with the webhook's sentence", LIMIT, looked).await?;
    // A ReplicaSet's pod has no name when the webhook sees it; the log has what it is made from.
    let log = [
        "--namespace=ado-agent-system",
        "logs",
        "--selector=app.kubernetes.io/name=ado-agent-webhook",
        "--tail=-1",
    ];
    let log = case.blocking(|| case.suite.node.kubectl_output(&log))?;
    let line = log
        .lines()
        .find(|line| line.contains(&case.namespace) && line.contains("denied-"));
    ensure_says(line.unwrap_or_default(), &["bad-annotation"])
}

pub(crate) async fn a_sidecar_that_cannot_be_pulled_holds_the_agent_back(case: Case) -> Result<()> {
    let pod = shaped("unpullable", |template| {
        // Nobody listens there.
        annotate(
            template,
            contract::SIDECAR_IMAGE_ANNOTATION,
            "10.77.0.2:1/ado-agent-sidecar:none",
        );
    });
    case.apply(&pod)?;
    let waits = |pod: &Value| {
        let sidecar = &pod["status"]["initContainerStatuses"][0]["state"]["waiting"]["reason"];
        sidecar == "ErrImagePull" || sidecar == "ImagePullBackOff"
    };
    let pod = case
        .wait_for_pod("unpullable", "the sidecar's image is not there", waits)
        .await?;
    ensure!(pod["status"]["phase"] == "Pending", "{:#}", pod["status"]);
    let agent = &pod["status"]["containerStatuses"][0];
    ensure!(
        agent["started"] == false && agent["state"]["waiting"]["reason"] == "PodInitializing",
        "the agent has not started: {agent:#}"
    );
    let events = case.kubectl(&["get", "events", "--field-selector=involvedObject.name=unpullable"])?;
    ensure_says(&events, &["Failed to pull image", "10.77.0.2:1/ado-agent-sidecar:none"])?;
    ensure!(case.requests().is_empty(), "nobody has asked Azure DevOps for anything");
    delete_all(&case).await
}
