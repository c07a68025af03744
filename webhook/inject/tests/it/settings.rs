//! The operator's settings: what they are by default, and that no setting takes what an annotation refuses.

use crate::case::{CREATE, account, context, settings, settings_with};
use contract::Handoff;
use inject::{Decision, Problem, RunAsUser, SETTINGS, Settings, variable};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What an annotation and a setting have in common: values that both take, and values that both refuse.
struct Twin {
    annotation: &'static str,
    setting: &'static str,
    good: &'static [&'static str],
    bad: &'static [&'static str],
}

const TWINS: &[Twin] = &[
    Twin {
        annotation: contract::URL_ANNOTATION,
        setting: "url",
        good: &["https://dev.azure.com/contoso", "https://contoso.visualstudio.com/"],
        bad: &[
            "contoso",
            "http://dev.azure.com/contoso",
            "https://dev.azure.com",
            "https://ado.example/contoso",
        ],
    },
    Twin {
        annotation: contract::POOL_ANNOTATION,
        setting: "pool",
        good: &["Default", "a b"],
        bad: &["a\nb", "a\u{7f}b"],
    },
    Twin {
        annotation: contract::CLIENT_ID_ANNOTATION,
        setting: "client-id",
        good: &["11111111-2222-3333-4444-555555555555"],
        bad: &[
            "agents",
            "{11111111-2222-3333-4444-555555555555}",
            "11111111222233334444555555555555",
        ],
    },
    Twin {
        annotation: contract::TENANT_ID_ANNOTATION,
        setting: "tenant-id",
        good: &["11111111-2222-3333-4444-555555555555", "contoso.onmicrosoft.com"],
        bad: &["common", "organizations", "contoso"],
    },
    Twin {
        annotation: contract::GRACE_SECONDS_ANNOTATION,
        setting: "grace-period",
        good: &["1", "30", "2592000"],
        bad: &["-1", "1h", "1.5", "2592001", "31536000", "99999999999999999999"],
    },
    Twin {
        annotation: contract::HANDOFF_ANNOTATION,
        setting: "handoff",
        good: &["token-file", "gateway"],
        bad: &["Gateway", "credentials", "token-file,gateway"],
    },
    Twin {
        annotation: contract::FEDERATED_TOKEN_ANNOTATION,
        setting: "federated-token",
        good: &["hide", "keep"],
        bad: &["Hide", "true", "hide,keep"],
    },
    Twin {
        annotation: contract::SIDECAR_IMAGE_ANNOTATION,
        setting: "sidecar-image",
        good: &["registry.example/sidecar:1"],
        bad: &["Sidecar", "a b", "https://registry.example/sidecar:1", "a:"],
    },
    Twin {
        annotation: contract::SIDECAR_CPU_ANNOTATION,
        setting: "sidecar-cpu",
        good: &["1m", "0.1", "2"],
        bad: &["0", "999u", "100mm", "-1", "lots"],
    },
    Twin {
        annotation: contract::SIDECAR_MEMORY_ANNOTATION,
        setting: "sidecar-memory",
        good: &["4Mi", "32Mi", "0.1Gi"],
        // "32m" is 0.032 bytes.
        bad: &["32m", "32", "4095Ki", "32mb", "0"],
    },
    Twin {
        annotation: contract::SIDECAR_EPHEMERAL_STORAGE_ANNOTATION,
        setting: "sidecar-ephemeral-storage",
        good: &["1", "16Mi"],
        bad: &["0", "0Mi", "16MB"],
    },
    Twin {
        annotation: contract::SIDECAR_LOG_LEVEL_ANNOTATION,
        setting: "sidecar-log-level",
        good: &["error", "trace"],
        bad: &["Info", "loud"],
    },
    Twin {
        annotation: contract::SIDECAR_RUN_AS_USER_ANNOTATION,
        setting: "sidecar-run-as-user",
        good: &["1", "2147483647", "none"],
        bad: &["0", "-1", "2147483648", "3000000000", "+1", "root"],
    },
];

fn read(name: &str, value: &str) -> Result<Settings, Vec<Problem>> {
    Settings::read(|asked| match asked {
        asked if asked == name => Some(value.to_owned()),
        "sidecar-image" => Some("sidecar:1".to_owned()),
        _ => None,
    })
}

fn decide(annotation: &str, value: &str) -> Decision {
    let pod = json!({
        "metadata": {
            "labels": { "ado-agent.dev/inject": "true", "azure.workload.identity/use": "true" },
            "annotations": { contract::FEDERATED_TOKEN_ANNOTATION: "hide", annotation: value },
        },
        "spec": { "containers": [{ "name": "agent" }] },
    });
    let settings = settings_with(&json!({ "url": "https://dev.azure.com/contoso" }));
    inject::decide(&pod, &CREATE, &account(None).expect("an account"), context(&settings))
}

#[test]
fn a_value_that_an_annotation_refuses_a_setting_refuses_too() {
    for Twin {
        annotation,
        setting,
        good,
        bad,
    } in TWINS
    {
        for value in *good {
            let decision = decide(annotation, value);
            assert!(
                matches!(decision, Decision::Inject(_)),
                "{annotation} {value}: {decision:?}"
            );
            read(setting, value).unwrap_or_else(|problems| panic!("{setting} {value}: {problems:?}"));
        }
        for value in *bad {
            let Decision::Deny(denial) = decide(annotation, value) else {
                panic!("{annotation} {value} is not denied");
            };
            assert!(denial.message.contains(annotation), "{denial}");
            let problems = read(setting, value).expect_err(value);
            assert_eq!(problems.len(), 1, "{value}: {problems:?}");
            let message = problems[0].to_string();
            assert!(
                message.starts_with(&format!("--{setting} ({}) is ", variable(setting))),
                "{message}"
            );
        }
    }
}

#[test]
fn every_setting_with_an_annotation_is_compared_with_it() {
    let compared: BTreeSet<_> = TWINS.iter().map(|twin| twin.annotation).collect();
    for annotation in contract::POD_ANNOTATIONS {
        let name = annotation.name.trim_start_matches(contract::PREFIX);
        let has_setting = SETTINGS.iter().any(|setting| setting.name == name);
        assert!(
            !has_setting || compared.contains(annotation.name),
            "{} has a setting of the same name, and no row here",
            annotation.name
        );
    }
}

#[test]
fn the_settings_that_are_read_are_those_of_the_table() {
    let asked = RefCell::new(BTreeSet::new());
    let read = Settings::read(|name| {
        asked.borrow_mut().insert(name.to_owned());
        (name == "sidecar-image").then(|| "sidecar:1".to_owned())
    });
    read.expect("the defaults are right");
    let table: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.name.to_owned()).collect();
    assert_eq!(*asked.borrow(), table);
}

#[test]
fn the_image_is_the_only_setting_without_which_there_are_none() {
    let problems = Settings::read(|_| None).expect_err("no image");
    let names: Vec<_> = problems.iter().map(|problem| problem.setting).collect();
    assert_eq!(names, ["sidecar-image"]);
    let shipped = settings();
    assert_eq!(shipped.sidecar_run_as_user, RunAsUser::Id(65532));
    assert_eq!((shipped.url, shipped.pool, shipped.client_id), (None, None, None));
}

#[test]
fn the_handoff_of_pods_that_name_none_is_one_that_they_may_name() {
    let handoff = |handoff: &str, allowed: &str| {
        Settings::read(|name| match name {
            "sidecar-image" => Some("sidecar:1".to_owned()),
            "handoff" => Some(handoff.to_owned()),
            "allowed-handoffs" => Some(allowed.to_owned()),
            _ => None,
        })
        .map(|settings| settings.handoff)
        .map_err(|problems| problems.iter().map(|problem| problem.setting).collect::<Vec<_>>())
    };
    assert_eq!(handoff("", ""), Ok(Handoff::TokenFile));
    assert_eq!(handoff("gateway", ""), Ok(Handoff::Gateway));
    assert_eq!(handoff("", "gateway"), Ok(Handoff::Gateway));
    assert_eq!(handoff("", "gateway, token-file"), Ok(Handoff::TokenFile));
    assert_eq!(handoff("token-file", "gateway"), Err(vec!["handoff"]));
    assert_eq!(handoff("gateway", "env"), Err(vec!["allowed-handoffs"]));
    assert_eq!(handoff("", ","), Err(vec!["allowed-handoffs"]));
}

#[test]
fn every_problem_is_reported_at_once() {
    let wrong = json!({ "sidecar-cpu": "lots", "grace-period": "0", "pool": " ", "url": "x", "allowed-hosts": "dev.azure.com" });
    let problems = Settings::read(|name| wrong[name].as_str().map(str::to_owned)).expect_err("wrong");
    let names: BTreeSet<_> = problems.iter().map(|problem| problem.setting).collect();
    assert_eq!(
        names,
        BTreeSet::from(["sidecar-image", "sidecar-cpu", "grace-period", "url"])
    );
}

#[test]
fn a_config_map_of_variables_can_be_read() {
    let data: Value = json!({
        "ADO_AGENT_WEBHOOK_SIDECAR_IMAGE": "sidecar:1",
        "ADO_AGENT_WEBHOOK_POOL": "shared\n",
        "ADO_AGENT_WEBHOOK_URL": "",
    });
    let settings = Settings::read(|name| data[variable(name)].as_str().map(str::to_owned)).expect("right");
    assert_eq!(settings.pool.as_deref(), Some("shared"));
    assert_eq!(settings.url, None);
}
