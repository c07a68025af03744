//! The table of measured terminations (Kubernetes 1.32) as the oracle: the same pods, with tiny shell containers.

mod shells;

use super::*;
use serde_json::json;
use shells::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ignores_sigterm_leaves_the_sidecar_two_seconds() {
    let times = deleted(
        &pod(
            3,
            "Always",
            &[sidecar("sidecar", IGNORES, None)],
            &[shell("agent", IGNORES)],
        ),
        None,
    )
    .await;
    about(times.term("agent"), 0.0, &times);
    about(times.killed("agent"), 3.0, &times);
    about(times.term("sidecar"), 3.0, &times);
    about(times.killed("sidecar"), 5.0, &times);
    assert_eq!(times.state.container("sidecar").ended.unwrap().code, 137);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sidecar_gets_the_rest_of_the_grace_after_the_agent() {
    let hook = sidecar("sidecar", IGNORES, Some("true"));
    let times = deleted(&pod(6, "Always", &[hook], &[shell("agent", &lingers(2.0))]), None).await;
    about(times.at("sidecar", |what| *what == What::HookStarted), 0.0, &times);
    about(times.term("sidecar"), 2.3, &times);
    // 6 s minus the 2 whole seconds that it waited for its turn.
    about(times.killed("sidecar"), 6.3, &times);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_takes_too_long_is_cut_off() {
    let hook = sidecar("sidecar", IGNORES, Some("sleep 60"));
    let times = deleted(&pod(3, "Always", &[hook], &[shell("agent", IGNORES)]), None).await;
    about(
        times.at("sidecar", |what| *what == What::HookEnded { cut_off: true }),
        3.0,
        &times,
    );
    about(times.term("sidecar"), 3.0, &times);
    about(times.killed("sidecar"), 5.0, &times);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_exits_in_its_hook_is_not_restarted() {
    let hook = sidecar(
        "sidecar",
        "trap 'exit 0' USR1; while :; do sleep 0.05; done",
        Some("kill -USR1 1"),
    );
    let node = node(Isolation::detect());
    if let Isolation::Rewritten(reason) = node.isolation() {
        panic!("the hook signals PID 1, which needs namespaces: {reason}");
    }
    drop(node);
    let times = deleted(&pod(3, "Always", &[hook], &[shell("agent", IGNORES)]), None).await;
    about(times.end("sidecar"), 0.1, &times);
    assert_eq!(times.starts("sidecar"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_crashes_while_the_pod_ends_is_not_restarted() {
    let crashes = sidecar(
        "sidecar",
        "trap 'exit 0' USR1; while :; do sleep 0.05; done",
        Some("sleep 1; kill -USR1 1"),
    );
    let times = deleted(&pod(10, "Always", &[crashes], &[shell("agent", &lingers(2.0))]), None).await;
    about(times.end("sidecar"), 1.0, &times);
    about(times.end("agent"), 2.0, &times);
    assert_eq!(times.starts("sidecar"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_the_grace_all_sidecars_are_told_at_once() {
    let sidecars = [sidecar("first", IGNORES, None), sidecar("last", IGNORES, None)];
    let times = deleted(&pod(3, "Always", &sidecars, &[shell("agent", IGNORES)]), None).await;
    for name in ["first", "last"] {
        about(times.term(name), 3.0, &times);
        about(times.killed(name), 5.0, &times);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_end_one_after_the_other_from_the_last() {
    let sidecars = [sidecar("first", OBEDIENT, None), sidecar("last", &lingers(1.5), None)];
    let times = deleted(&pod(30, "Always", &sidecars, &[shell("agent", OBEDIENT)]), None).await;
    about(times.term("last"), 0.2, &times);
    about(times.term("first"), times.end("last"), &times);
    assert!(times.end("first") < 6.0, "{}", times.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_agent_ends_the_pod_and_decides_its_phase() {
    let node = node(Isolation::detect());
    for (code, phase) in [(0, Phase::Succeeded), (5, Phase::Failed)] {
        // The sidecar's own code counts for nothing.
        let sidecar = sidecar(
            "sidecar",
            "trap 'sleep 1; echo bye; exit 9' TERM; while :; do sleep 0.05; done",
            None,
        );
        let agent = shell("agent", &format!("sleep 0.5; exit {code}"));
        let pod = node.start(&pod(10, "Never", &[sidecar], &[agent])).unwrap();
        let state = pod.over(PATIENCE).await.unwrap();
        assert_eq!(state.phase, phase);
        assert_eq!(state.container("sidecar").ended.unwrap().code, 9);
        assert!(pod.logs("sidecar").contains("bye"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_deletion_is_a_grace_of_one_second_and_the_floor() {
    let pod = pod(
        30,
        "Always",
        &[sidecar("sidecar", IGNORES, None)],
        &[shell("agent", IGNORES)],
    );
    let times = deleted(&pod, Some(Duration::ZERO)).await;
    about(times.term("agent"), 0.1, &times);
    about(times.term("sidecar"), 1.1, &times);
    about(times.killed("sidecar"), 3.1, &times);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_has_not_started_ends_at_once_with_its_full_grace() {
    let mut waiting = sidecar("sidecar", IGNORES, None);
    waiting["startupProbe"] = json!({ "periodSeconds": 1, "failureThreshold": 3600, "exec": { "command": ["bash", "-c", "echo not yet; exit 1"] } });
    let node = node(Isolation::detect());
    let pod = node
        .start(&pod(3, "Always", &[waiting], &[shell("agent", IGNORES)]))
        .unwrap();
    pod.wait_for("a failed probe", PATIENCE, |state| {
        state.container("sidecar").probe == "not yet"
    })
    .await
    .unwrap();
    pod.delete(None);
    let state = pod.over(PATIENCE).await.unwrap();
    let times = Times {
        state,
        text: pod.describe(),
    };
    about(times.term("sidecar"), 0.2, &times);
    about(times.killed("sidecar"), 3.2, &times);
    assert_eq!((times.starts("agent"), times.state.phase), (0, Phase::Failed));
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_start_in_order_behind_the_probe() {
    let mut sidecar = sidecar("sidecar", "sleep 1.2; touch /work/ready; sleep 60", None);
    sidecar["startupProbe"] =
        json!({ "periodSeconds": 1, "exec": { "command": ["bash", "-c", "test -e /work/ready"] } });
    let node = node(Isolation::detect());
    if let Isolation::Rewritten(reason) = node.isolation() {
        panic!("the script spells a path, which needs namespaces: {reason}");
    }
    let init = shell("init", "sleep 0.3");
    let pod = node
        .start(&pod(1, "Never", &[init, sidecar], &[shell("agent", "true")]))
        .unwrap();
    let state = pod.over(PATIENCE).await.unwrap();
    let at = |name: &str, what: fn(&What) -> bool| state.time_of(name, what).unwrap();
    let started: fn(&What) -> bool = |what| *what == What::Started;
    assert!(at("sidecar", started) > at("init", |what| matches!(what, What::Ended(_))));
    assert!(at("agent", started) >= at("sidecar", |what| *what == What::ProbePassed));
    assert_eq!(state.phase, Phase::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_restarted_in_place_at_once_then_after_doubling_pauses() {
    let node = node(Isolation::detect());
    let pod = node.start(&pod(1, "Always", &[], &[shell("agent", "exit 3")])).unwrap();
    let state = pod
        .wait_for("four restarts", PATIENCE, |state| {
            state.container("agent").restarts == 4
        })
        .await
        .unwrap();
    let pauses: Vec<u128> = state
        .events
        .iter()
        .filter_map(|event| {
            let What::BackOff(pause) = event.what else { return None };
            Some(pause.as_millis())
        })
        .collect();
    assert_eq!(pauses, [0, 200, 400, 800]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_container_is_restarted_or_fails_the_pod_by_policy() {
    let node = node(Isolation::detect());
    let restarted = node.start(&pod(1, "Always", &[], &[shell("agent", IGNORES)])).unwrap();
    let failed = node.start(&pod(1, "Never", &[], &[shell("agent", IGNORES)])).unwrap();
    for pod in [&restarted, &failed] {
        pod.wait_for("its start", PATIENCE, running).await.unwrap();
        pod.kill("agent").unwrap();
    }
    restarted
        .wait_for("a restart", PATIENCE, |state| {
            state.container("agent").restarts == 1 && running(state)
        })
        .await
        .unwrap();
    let state = failed.over(PATIENCE).await.unwrap();
    assert_eq!(
        (state.phase, state.container("agent").ended.unwrap().code),
        (Phase::Failed, 137)
    );
}

/// One pod in each way of keeping containers apart that this machine has.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_sees_its_volumes_its_user_and_its_message_file() {
    for isolation in [Isolation::detect(), Isolation::Rewritten("the test says so".to_owned())] {
        let node = node(isolation.clone());
        let script = "cat \"$TOKEN\" && echo -n $(id -u) > \"$OUT\" && echo -n why > \"$MESSAGE\"";
        let mut agent = shell("agent", script);
        agent["env"] = json!([
            { "name": "TOKEN", "value": "/run/secret/token" },
            { "name": "OUT", "value": "/out/uid" },
            { "name": "MESSAGE", "value": "/dev/termination-log" },
        ]);
        agent["volumeMounts"] = json!([
            { "name": "token", "mountPath": "/run/secret", "readOnly": true },
            { "name": "out", "mountPath": "/out" },
        ]);
        let mut pod = pod(1, "Never", &[], &[agent]);
        pod["spec"]["securityContext"] = json!({ "runAsUser": 1000 });
        pod["spec"]["volumes"] = json!([
            { "name": "out", "emptyDir": {} },
            { "name": "token", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } },
        ]);
        let pod = node.start(&pod).unwrap();
        let state = pod.over(PATIENCE).await.unwrap();
        assert_eq!(state.phase, Phase::Succeeded, "{isolation}\n{}", pod.describe());
        assert_eq!(pod.logs("agent"), "token");
        assert_eq!(state.container("agent").ended.unwrap().message, "why");
        let uid = std::fs::read_to_string(pod.volume("out").join("uid")).unwrap();
        let own = rustix::process::geteuid().as_raw().to_string();
        // Without namespaces only root can be somebody else.
        let switched = own == "0" || isolation == Isolation::Unprivileged;
        assert_eq!(uid, if switched { "1000" } else { &own });
    }
}
