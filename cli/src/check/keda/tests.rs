use super::*;
use crate::problem::Level;
use serde_json::json;

/// Namespace, KEDA and ScaledJob as in the example.
fn example() -> Facts {
    Facts {
        jobs: Looked::Found(vec![json!({
            "kind": "ScaledJob", "metadata": {"name": "azp-agent"},
            "spec": {
                "minReplicaCount": 0,
                "scalingStrategy": {"strategy": "default"},
                "triggers": [{
                    "type": "azure-pipelines",
                    "metadata": {"poolName": "kubernetes", "organizationURLFromEnv": "AZP_URL", "parent": "placeholder"},
                    "authenticationRef": {"name": "azp-agent"},
                }],
                "jobTargetRef": {"template": {"spec": {"containers": [{"name": "agent", "env": [{"name": "AZP_URL"}]}]}}},
            },
        })]),
        objects: Looked::Found(vec![]),
        authentications: Looked::Found(vec![json!({
            "metadata": {"name": "azp-agent"},
            "spec": {"podIdentity": {"provider": "azure-workload", "identityId": "id"}},
        })]),
        operator: Looked::Found(vec!["ghcr.io/kedacore/keda:2.21.0".into()]),
    }
}

fn change(facts: &mut Facts, path: &str, value: Value) {
    let Looked::Found(jobs) = &mut facts.jobs else {
        panic!("jobs")
    };
    *jobs[0].pointer_mut(path).expect("the path exists") = value;
}

fn words(facts: &Facts) -> Vec<(Level, Option<&'static str>)> {
    findings(facts)
        .into_iter()
        .map(|finding| (finding.level, finding.problem.map(|problem| problem.reason)))
        .collect()
}

#[test]
fn the_example_is_good_and_each_mistake_is_named() {
    assert_eq!(words(&example()), [(Level::Good, None)]);
    let trigger = "/spec/triggers/0/metadata";
    for (path, value, level, word) in [
        (
            trigger,
            json!({"poolName": "p", "personalAccessTokenFromEnv": "AZP_TOKEN", "organizationURLFromEnv": "AZP_URL", "parent": "x"}),
            Level::Bad,
            "keda-token",
        ),
        (
            trigger,
            json!({"organizationURLFromEnv": "AZP_URL", "parent": "x"}),
            Level::Bad,
            "keda-trigger",
        ),
        (
            trigger,
            json!({"poolName": "p", "organizationURL": "https://dev.azure.com/o/", "parent": "x"}),
            Level::Bad,
            "keda-trigger",
        ),
        (
            trigger,
            json!({"poolName": "p", "parent": "x"}),
            Level::Bad,
            "keda-trigger",
        ),
        (
            trigger,
            json!({"poolName": "p", "organizationURLFromEnv": "OTHER", "parent": "x"}),
            Level::Bad,
            "keda-trigger",
        ),
        (
            trigger,
            json!({"poolName": "p", "organizationURLFromEnv": "AZP_URL"}),
            Level::Warning,
            "keda-scaling",
        ),
        (
            "/spec/triggers/0/authenticationRef/name",
            json!("other"),
            Level::Bad,
            "keda-identity",
        ),
        (
            "/spec/scalingStrategy/strategy",
            json!("accurate"),
            Level::Warning,
            "keda-scaling",
        ),
    ] {
        let mut facts = example();
        change(&mut facts, path, value.clone());
        assert_eq!(words(&facts), [(level, Some(word))], "{value}");
    }
}

#[test]
fn keda_has_an_identity_of_its_own() {
    for (spec, level, word) in [
        (
            json!({"podIdentity": {"provider": "azure"}}),
            Level::Bad,
            "keda-identity",
        ),
        (
            json!({"podIdentity": {"provider": "azure-workload"}}),
            Level::Warning,
            "keda-identity",
        ),
        (
            json!({"secretTargetRef": [{"parameter": "personalAccessToken"}]}),
            Level::Bad,
            "keda-token",
        ),
    ] {
        let mut facts = example();
        facts.authentications = Looked::Found(vec![json!({"metadata": {"name": "azp-agent"}, "spec": spec})]);
        assert_eq!(words(&facts), [(level, Some(word))]);
    }
    let mut facts = example();
    facts.operator = Looked::Found(vec!["ghcr.io/kedacore/keda:2.20.1@sha256:00".into()]);
    assert_eq!(words(&facts), [(Level::Warning, Some("keda-scaling"))]);
}

#[test]
fn without_keda_nothing_is_wrong() {
    let mut facts = example();
    facts.jobs = Looked::Missing;
    facts.objects = Looked::Missing;
    assert_eq!(words(&facts), [(Level::Good, None)]);
    facts.jobs = Looked::Found(vec![]);
    facts.objects = Looked::Found(vec![]);
    assert_eq!(words(&facts), [(Level::Good, None)]);
}
