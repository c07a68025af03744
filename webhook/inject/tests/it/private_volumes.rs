//! The volumes that the webhook adds are mounted by whom the webhook says, and by nobody else.

use crate::case::{CREATE, account, context, settings};
use inject::Decision;
use serde_json::{Value, json};

#[test]
fn no_container_of_a_pod_mounts_a_volume_that_the_webhook_adds() {
    let volumes = [
        contract::ASSERTION_VOLUME,
        contract::HANDOFF_VOLUME,
        contract::STATE_VOLUME,
        contract::NO_API_TOKEN_VOLUME,
        contract::CA_VOLUME,
    ];
    let mounts = |name: &str| {
        [
            ("volumeMounts", json!([{ "name": name, "mountPath": "/x" }])),
            (
                "volumeMounts",
                json!([{ "name": "work", "mountPath": "/w" }, { "name": name, "mountPath": "/x", "subPath": "token", "readOnly": true }]),
            ),
            ("volumeDevices", json!([{ "name": name, "devicePath": "/dev/x" }])),
        ]
    };
    for volume in volumes {
        for (list, mounts) in mounts(volume) {
            for (place, position) in [
                ("containers", 0),
                ("containers", 1),
                ("initContainers", 0),
                ("ephemeralContainers", 0),
            ] {
                let mut pod = pod();
                let container = &mut pod["spec"][place][position];
                container[list] = mounts.clone();
                let name = container["name"].as_str().expect("a name").to_owned();
                let Decision::Deny(denial) = decide(&pod) else {
                    panic!("{volume} in {place}[{position}].{list} was not denied");
                };
                assert_eq!(denial.reason, contract::DenyReason::NameClash);
                for part in [
                    volume,
                    &name,
                    "remove the mount",
                    &format!("spec.{place}[{position}].{list}["),
                ] {
                    assert!(denial.message.contains(part), "{part}: {}", denial.message);
                }
            }
        }
    }
    assert!(matches!(decide(&pod()), Decision::Inject(_)));
}

fn decide(pod: &Value) -> Decision {
    inject::decide(pod, &CREATE, &account(None).expect("an account"), context(&settings()))
}

fn pod() -> Value {
    json!({
        "metadata": { "labels": { "ado-agent.dev/inject": "true" } },
        "spec": {
            "containers": [
                { "name": "agent", "env": [{ "name": "AZP_URL", "value": "https://dev.azure.com/contoso" }] },
                { "name": "helper" },
            ],
            "initContainers": [{ "name": "prepare" }],
            "ephemeralContainers": [{ "name": "debug" }],
        },
    })
}
