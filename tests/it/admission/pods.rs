//! Pods as a user creates them, through the double and the webhook: what the user sees.

use std::collections::BTreeSet;

use contract::{
    AGENT_CONTAINER_ANNOTATION, CLIENT_ID_ANNOTATION, HANDOFF_ANNOTATION, INJECT_LABEL, SIDECAR_CONTAINER,
    SIDECAR_CPU_ANNOTATION, STATUS_ANNOTATION, URL_ANNOTATION,
};
use serde_json::{Value, json};
use tests::apiserver::admission::Refusal;
use tests::apiserver::webhook::Webhook;

use crate::world::{IMAGE, Running, annotated, api, deployment_pod};

#[tokio::test]
async fn the_program_injects_a_deployments_pod_and_its_second_call_changes_nothing() {
    let api = api().await;
    api.set_limit_range("team", json!({"limits": {"ephemeral-storage": "1Gi"}}));
    let webhook = Webhook::start(&api, &[IMAGE]).await.unwrap();
    let created = webhook.create_pod(&api, "team", &deployment_pod()).await.unwrap();
    assert_eq!(
        created.calls, 2,
        "the LimitRange changed our container, so the webhook is called again"
    );
    let sidecar = &created.pod["spec"]["initContainers"][0];
    assert_eq!(sidecar["name"], SIDECAR_CONTAINER);
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(sidecar["resources"]["limits"]["ephemeral-storage"], "1Gi");
    assert!(created.pod["metadata"]["annotations"][STATUS_ANNOTATION].is_string());
    let name = created.pod["metadata"]["name"].as_str().unwrap();
    assert!(
        name.starts_with("agent-7d9f-") && name.len() == "agent-7d9f-".len() + 5,
        "{name}"
    );

    let line = review_lines(&webhook.log()).remove(0);
    let expected = json!({"level": "INFO", "namespace": "team", "name": "agent-7d9f-", "owner": "ReplicaSet/agent-7d9f",
        "decision": "injected", "reason": "injected"});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key} in {line}");
    }
    assert!(line["uid"].as_str().is_some_and(|uid| uid.len() == 36), "{line}");
    assert!(line["ms"].is_number(), "{line}");
}

fn review_lines(log: &[String]) -> Vec<Value> {
    log.iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "review")
        .collect()
}

#[tokio::test]
async fn a_pod_without_the_label_is_not_sent_to_the_webhook() {
    let api = api().await;
    let webhook = Running::ready(&api, &[]).await;
    let mut pod = deployment_pod();
    for label in [json!({}), json!({INJECT_LABEL: "false"})] {
        pod["metadata"]["labels"] = label;
        assert_eq!(webhook.create_pod(&api, &pod).await.unwrap().calls, 0);
    }
    api.set_namespace("team", &[]);
    assert_eq!(
        webhook.create_pod(&api, &deployment_pod()).await.unwrap().calls,
        0,
        "the namespace has not opted in"
    );
}

#[tokio::test]
async fn bad_input_is_denied_with_key_value_and_what_to_do() {
    let api = api().await;
    let webhook = Running::ready(&api, &[]).await;
    let with = |change: fn(&mut Value)| {
        let mut pod = deployment_pod();
        change(&mut pod);
        pod
    };
    let two = |pod: &mut Value| {
        pod["spec"]["containers"] = json!([{"name": "one", "image": "i:1"}, {"name": "two", "image": "i:1"}]);
    };
    let cases: Vec<(&str, Value, &str, Vec<&str>)> = vec![
        (
            "a typing error in the label",
            with(|pod| pod["metadata"]["labels"][INJECT_LABEL] = json!("ture")),
            "bad-label",
            vec![INJECT_LABEL, "ture", "true"],
        ),
        (
            "a wrong annotation",
            annotated(SIDECAR_CPU_ANNOTATION, "lots"),
            "bad-annotation",
            vec![SIDECAR_CPU_ANNOTATION, "lots", "quantity"],
        ),
        (
            "an unknown handoff",
            annotated(HANDOFF_ANNOTATION, "pigeon"),
            "bad-annotation",
            vec![HANDOFF_ANNOTATION, "pigeon", "token-file"],
        ),
        (
            "an unparsable URL",
            annotated(URL_ANNOTATION, "contoso"),
            "bad-url",
            vec![URL_ANNOTATION, "contoso", "https://dev.azure.com/"],
        ),
        (
            "a client ID that is no GUID",
            annotated(CLIENT_ID_ANNOTATION, "my-app"),
            "bad-annotation",
            vec![CLIENT_ID_ANNOTATION, "my-app", "GUID"],
        ),
        (
            "a Windows pod",
            with(|pod| pod["spec"]["os"] = json!({"name": "windows"})),
            "windows-pod",
            vec!["Linux"],
        ),
        (
            "a name clash",
            with(|pod| pod["spec"]["volumes"] = json!([{"name": "ado-agent-handoff", "emptyDir": {}}])),
            "name-clash",
            vec!["ado-agent-handoff"],
        ),
        (
            "a container of the sidecar's name",
            with(|pod| {
                pod["spec"]["initContainers"] =
                    json!([{"name": "other", "image": "i:1"}, {"name": SIDECAR_CONTAINER, "image": "i:1"}])
            }),
            "half-injected",
            vec![SIDECAR_CONTAINER, STATUS_ANNOTATION],
        ),
        (
            "an ambiguous agent container",
            with(two),
            "agent-container",
            vec![AGENT_CONTAINER_ANNOTATION, "one", "two"],
        ),
    ];
    let mut seen = BTreeSet::new();
    for (what, pod, reason, words) in cases {
        let sentence = webhook.denial(&api, &pod).await;
        assert!(words.iter().all(|word| sentence.contains(word)), "{what}: {sentence}");
        assert!(sentence.len() < 1000, "{what}: {sentence}");
        assert!(sentence.starts_with(&format!("{reason}: ")), "{what}: {sentence}");
        let metric =
            format!("ado_agent_webhook_requests_total{{operation=\"CREATE\",outcome=\"denied\",reason=\"{reason}\"}}");
        assert!(
            webhook.metric(&metric).await >= 1.0,
            "{what}: {}",
            webhook.get("/metrics").await.1
        );
        seen.insert(sentence);
    }
    assert_eq!(seen.len(), 9, "every mistake has a sentence of its own");
}

#[tokio::test]
async fn a_denial_reads_well_in_kubectl_and_events() {
    let api = api().await;
    let webhook = Running::ready(&api, &[]).await;
    let refusal = webhook
        .create_pod(&api, &annotated(HANDOFF_ANNOTATION, "pigeon"))
        .await
        .unwrap_err();
    let Refusal::Denied { code, .. } = &refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!(*code, 403);
    let shown = refusal.to_string();
    assert!(
        shown.starts_with("admission webhook \"inject.ado-agent.dev\" denied the request: bad-annotation: annotation "),
        "{shown}"
    );
}

#[tokio::test]
async fn a_pod_that_has_everything_already_stays_as_it_is() {
    let api = api().await;
    let webhook = Running::ready(&api, &[]).await;
    let mut pod = webhook.create_pod(&api, &deployment_pod()).await.unwrap().pod;
    for volume in pod["spec"]["volumes"].as_array().unwrap() {
        assert!(volume["name"].is_string());
    }
    pod["metadata"]["name"] = json!("a-copy");
    let copy = webhook.create_pod(&api, &pod).await.unwrap();
    assert_eq!(copy.pod["spec"], pod["spec"]);
}

#[tokio::test]
async fn what_was_ignored_or_removed_is_a_warning_for_the_user() {
    let api = api().await;
    let webhook = Running::ready(&api, &[]).await;
    let mut pod = annotated("ado-agent.dev/typo", "x");
    pod["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "AZP_TOKEN", "value": "insecure-test-secret"}));
    let created = webhook.create_pod(&api, &pod).await.unwrap();
    let warnings = created.warnings.join("\n");
    assert!(
        warnings.contains("ado-agent.dev/typo") && warnings.contains("AZP_TOKEN"),
        "{warnings}"
    );
    assert!(!warnings.contains("insecure-test-secret"), "{warnings}");
}

#[tokio::test]
async fn only_names_of_the_pod_are_logged() {
    let api = api().await;
    let webhook = Webhook::start(&api, &[IMAGE]).await.unwrap();
    let mut pod = annotated("example.com/note", "insecure-test-note");
    pod["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "AZP_TOKEN", "value": "insecure-test-secret"}));
    webhook.create_pod(&api, "team", &pod).await.unwrap();
    let mut denied = annotated(HANDOFF_ANNOTATION, "pigeon");
    denied["metadata"]["annotations"]["example.com/note"] = json!("insecure-test-note");
    webhook.create_pod(&api, "team", &denied).await.unwrap_err();
    crate::world::until("both reviews are logged", async || {
        review_lines(&webhook.log()).len() == 2
    })
    .await;
    let log = webhook.log().join("\n");
    assert!(!log.contains("insecure-test"), "{log}");
    let line = review_lines(&webhook.log()).remove(1);
    assert_eq!(
        (&line["decision"], &line["reason"]),
        (&json!("denied"), &json!("bad-annotation"))
    );
    assert!(line["denial"].as_str().unwrap().contains("pigeon"), "{line}");
}
