//! Pods that nobody honest makes: whatever their size and shape, the decision is linear in them, the patch is small.
//!
//! Work is counted, not timed: bytes that are allocated, and the thread's own processor time for a pod and for one that is
//! sixteen times as large. What grows with the square would need 256 times as much.

use crate::case::{CREATE, account, settings};
use crate::invariants;
use inject::{Decision, Denial, Injection, Settings};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Items in the smaller pod of each kind.
const ITEMS: usize = 1_000;
/// Bytes of the text in the smaller pod of each kind.
const TEXT_BYTES: usize = 15_000;
/// How much larger the other one is.
const LARGER: usize = 16;
/// Linear work is 16 times as much, with what caches and sorting add; the square 256 times.
const MORE_WORK_MAX: u32 = 96;
/// Below this there is nothing to compare.
const NO_WORK: Duration = Duration::from_millis(5);
/// Bytes allocated for each byte of the pod, all together and at one time.
const ALLOCATED_MAX: u64 = 16;
const HELD_MAX: u64 = 8;
/// What any pod may cost, whatever its size.
const ALLOCATED_ANYWAY: u64 = 4 * 1024 * 1024;

/// Operators who set everything that makes a decision longer.
fn generous() -> Settings {
    Settings {
        federated_token: Some(inject::FederatedToken::Hide),
        allow_ca_config_map: true,
        https_proxy: Some("http://proxy.example:3128".to_owned()),
        ..settings()
    }
}

fn decide(pod: &Value) -> Decision {
    inject::decide(pod, &CREATE, &account(None).expect("an account"), &generous())
}

/// A pod that is injected.
fn pod() -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "labels": { "ado-agent.dev/inject": "true", "azure.workload.identity/use": "true" },
            "annotations": {},
        },
        "spec": {
            "volumes": [{ "name": "work", "emptyDir": {} }],
            "initContainers": [{ "name": "mesh", "image": "x", "restartPolicy": "Always" }],
            "containers": [
                {
                    "name": "agent",
                    "image": "x",
                    "env": [
                        { "name": "AZP_URL", "value": "https://dev.azure.com/contoso" },
                        { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/token/file" },
                    ],
                    "envFrom": [],
                    "volumeMounts": [{ "name": "work", "mountPath": "/azp/_work" }],
                    "securityContext": { "capabilities": { "add": [] } },
                },
                { "name": "docker", "image": "x", "volumeMounts": [{ "name": "work", "mountPath": "/azp/_work" }] },
            ],
        },
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut pod = pod();
    *pod.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    pod
}

fn many(n: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..n).map(item).collect()
}

fn keys(n: usize, key: impl Fn(usize) -> String) -> Value {
    (0..n)
        .map(|index| (key(index), json!("x")))
        .collect::<Map<_, _>>()
        .into()
}

/// Adds to a list of the pod.
fn more(pointer: &str, items: Value) -> Value {
    let mut pod = pod();
    let list = pod.pointer_mut(pointer).and_then(Value::as_array_mut).expect("a list");
    list.extend(items.as_array().cloned().unwrap_or_default());
    pod
}

const ENV: &str = "/spec/containers/0/env";
const MOUNTS: &str = "/spec/containers/0/volumeMounts";

/// Pods with many of something.
type Kind = (&'static str, fn(usize) -> Value);
const KINDS: &[Kind] = &[
    ("unknown annotations", |n| {
        with(
            "/metadata/annotations",
            keys(n, |index| format!("ado-agent.dev/{index:06}")),
        )
    }),
    ("misspelled annotations", |n| {
        with(
            "/metadata/annotations",
            keys(n, |index| format!("ado-agent.dev/grace-second{index:06}")),
        )
    }),
    ("annotations of others", |n| {
        with(
            "/metadata/annotations",
            keys(n, |index| format!("example.com/{index:06}")),
        )
    }),
    ("labels", |n| {
        let mut labels = keys(n, |index| format!("ado-agent.dev/{index:06}"));
        labels["ado-agent.dev/inject"] = json!("true");
        with("/metadata/labels", labels)
    }),
    ("one secret, defined often", |n| {
        more(
            ENV,
            many(n, |index| json!({ "name": "AZP_TOKEN", "value": index.to_string() })),
        )
    }),
    ("one secret, often empty", |n| {
        more(ENV, many(n, |_| json!({ "name": "AZP_TOKEN", "value": "" })))
    }),
    ("the token file, defined often", |n| {
        more(
            ENV,
            many(
                n,
                |_| json!({ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/token/file" }),
            ),
        )
    }),
    ("one proxy, defined often", |n| {
        more(
            ENV,
            many(
                n,
                |_| json!({ "name": "HTTPS_PROXY", "value": "http://$(HTTPS_PROXY)" }),
            ),
        )
    }),
    ("variables", |n| {
        more(
            ENV,
            many(
                n,
                |index| json!({ "name": format!("V{index:06}"), "value": "$(AZP_URL)" }),
            ),
        )
    }),
    ("a chain of references", |n| {
        let mut pod = more(
            ENV,
            many(
                n,
                |index| json!({ "name": format!("V{:06}", index + 1), "value": format!("$(V{index:06})") }),
            ),
        );
        let last = json!({ "name": "AZP_POOL", "value": format!("$(V{n:06})") });
        pod["spec"]["containers"][0]["env"]
            .as_array_mut()
            .expect("a list")
            .push(last);
        pod
    }),
    ("sources of variables", |n| {
        more(
            "/spec/containers/0/envFrom",
            many(n, |_| json!({ "prefix": "A", "configMapRef": { "name": "b" } })),
        )
    }),
    ("references to every source", |n| {
        let mut pod = more(
            "/spec/containers/0/envFrom",
            many(64, |_| json!({ "secretRef": { "name": "b".repeat(63) } })),
        );
        let value: String = (0..n).map(|index| format!("$(V{index:06})")).collect();
        pod["spec"]["containers"][0]["env"][0]["value"] = json!(value);
        pod
    }),
    ("containers", |n| {
        more(
            "/spec/containers",
            many(
                n,
                |index| json!({ "name": format!("c{index}"), "securityContext": { "privileged": true } }),
            ),
        )
    }),
    ("native sidecars", |n| {
        more(
            "/spec/initContainers",
            many(
                n,
                |index| json!({ "name": format!("c{index}"), "restartPolicy": "Always" }),
            ),
        )
    }),
    ("volumes", |n| {
        more(
            "/spec/volumes",
            many(n, |index| json!({ "name": format!("v{index}"), "hostPath": {} })),
        )
    }),
    ("mounts of one volume", |n| {
        more(
            MOUNTS,
            many(
                n,
                |index| json!({ "name": "work", "mountPath": format!("/a/../{index}") }),
            ),
        )
    }),
    ("volumes that each container mounts", |n| {
        let n = n.isqrt();
        let mut pod = more(
            "/spec/volumes",
            many(n, |index| json!({ "name": format!("v{index}"), "hostPath": {} })),
        );
        let mounts = many(
            n,
            |index| json!({ "name": format!("v{index}"), "mountPath": format!("/{index}") }),
        );
        let containers = many(
            n,
            |index| json!({ "name": format!("c{index}"), "volumeMounts": mounts }),
        );
        pod["spec"]["containers"]
            .as_array_mut()
            .expect("a list")
            .extend(containers.as_array().cloned().expect("a list"));
        pod
    }),
    ("mounts of many volumes", |n| {
        let mut pod = more(
            MOUNTS,
            many(n, |index| json!({ "name": format!("v{index}"), "mountPath": "/x" })),
        );
        pod["spec"]["volumes"] = many(n, |index| json!({ "name": format!("v{index}"), "csi": {} }));
        pod
    }),
    ("capabilities", |n| {
        with(
            "/spec/containers/0/securityContext/capabilities/add",
            many(n, |index| {
                json!(if index % 2 == 0 { "CAP_SYS_ADMIN" } else { "NET_ADMIN" })
            }),
        )
    }),
    ("sources of a volume", |n| {
        with(
            "/spec/volumes/0",
            json!({ "name": "work", "projected": { "sources": many(n, |_| json!({ "secret": {} })) } }),
        )
    }),
    ("containers that azwi skips", |n| {
        let names: Vec<String> = (0..n).map(|index| format!("c{index}")).collect();
        with(
            "/metadata/annotations",
            json!({ "azure.workload.identity/skip-containers": names.join(";") }),
        )
    }),
];

/// Places of texts.
const TEXTS: &[&str] = &[
    "/metadata/labels/ado-agent.dev~1inject",
    "/metadata/labels/azure.workload.identity~1use",
    "/spec/serviceAccountName",
    "/spec/volumes/0/name",
    "/spec/initContainers/0/name",
    "/spec/initContainers/0/restartPolicy",
    "/spec/containers/0/name",
    "/spec/containers/0/image",
    "/spec/containers/0/env/0/name",
    "/spec/containers/0/env/0/value",
    "/spec/containers/0/env/1/value",
    "/spec/containers/0/volumeMounts/0/name",
    "/spec/containers/0/volumeMounts/0/mountPath",
    "/spec/containers/1/name",
];

/// Texts that are long to read in one way or another, from what they are made of.
const PIECES: &[&str] = &[
    "x", "/", "a/", "../", "$(", "$(A)", "$$", ";", "-", "0", ".", "\u{7f}", "https://", "é",
];

/// Every place with every text.
fn long_texts(bytes: usize) -> impl Iterator<Item = (String, Value)> {
    let annotations = contract::POD_ANNOTATIONS.iter().chain(contract::AZWI_NAMES);
    let annotations = annotations.map(|entry| format!("/metadata/annotations/{}", entry.name.replace('/', "~1")));
    let places = TEXTS.iter().map(|place| (*place).to_owned()).chain(annotations);
    let more = ["AZP_POOL", "AZP_AGENT_NAME", "no_proxy"].map(|name| format!("variable {name}"));
    places.chain(more).flat_map(move |place| {
        PIECES.iter().map(move |piece| {
            let text = json!(piece.repeat(bytes / piece.len()));
            let pod = if let Some(name) = place.strip_prefix("variable ") {
                more_env(name, &text)
            } else if let Some(key) = place.strip_prefix("/metadata/annotations/") {
                with("/metadata/annotations", json!({ key.replace("~1", "/"): text }))
            } else if place.starts_with("/spec/serviceAccountName") {
                let mut pod = pod();
                pod["spec"]["serviceAccountName"] = text;
                pod
            } else {
                with(&place, text)
            };
            (format!("{piece:?} at {place}"), pod)
        })
    })
}

fn more_env(name: &str, text: &Value) -> Value {
    more(ENV, json!([{ "name": name, "value": text }]))
}

/// What an answer may be.
fn check_answer(kind: &str, pod: &Value, decision: &Decision) {
    match decision {
        Decision::Inject(injection) => {
            invariants::check(pod, injection, &generous());
        }
        Decision::Deny(Denial { sentence, .. }) => assert!(sentence.len() < 2000, "{kind}: {sentence}"),
        Decision::Skip(_) => {}
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).expect("less than a second"),
    )
}

fn work(pod: &Value) -> Duration {
    let start = processor_time();
    decide(pod);
    processor_time() - start
}

/// Compares a pod with one that is sixteen times as large.
fn check_growth(kind: &str, small: &Value, large: &Value) {
    let bytes = large.to_string().len() as u64;
    let mut decision = None;
    let mut long = Duration::ZERO;
    let allocated = allocation_counter::measure(|| {
        let start = processor_time();
        decision = Some(decide(large));
        long = processor_time() - start;
    });
    if let Some(decision) = decision {
        check_answer(kind, large, &decision);
    }
    assert!(
        allocated.bytes_total <= ALLOCATED_ANYWAY + ALLOCATED_MAX * bytes
            && allocated.bytes_max <= ALLOCATED_ANYWAY + HELD_MAX * bytes,
        "{kind}: {allocated:?} for {bytes} bytes"
    );
    if long < NO_WORK {
        return;
    }
    // The most that was needed of the small one and the least of the large one: only work that grows too fast fails.
    let short = work(small).max(work(small)).max(work(small));
    let is_linear = |long: Duration| long <= short * MORE_WORK_MAX;
    assert!(
        is_linear(long) || is_linear(work(large)) || is_linear(work(large)),
        "{kind}: {long:?} for {bytes} bytes, {short:?} for a sixteenth of it"
    );
}

#[test]
fn many_of_anything_is_linear_work() {
    for (kind, make) in KINDS {
        check_growth(kind, &make(ITEMS), &make(ITEMS * LARGER));
    }
}

#[test]
fn a_long_text_anywhere_is_linear_work() {
    for ((kind, small), (_, large)) in long_texts(TEXT_BYTES).zip(long_texts(TEXT_BYTES * LARGER)) {
        check_growth(&kind, &small, &large);
    }
}

#[track_caller]
fn denied(pod: &Value, part: &str) {
    let Decision::Deny(denial) = decide(pod) else {
        panic!("not denied");
    };
    assert_eq!(denial.reason, contract::Reason::PatchTooLarge);
    assert!(denial.sentence.contains(part), "{}", denial.sentence);
}

#[test]
fn a_pod_that_needs_too_many_operations_is_denied() {
    let secrets = |n| more(ENV, many(n, |_| json!({ "name": "VSTS_TOKEN", "value": "x" })));
    denied(
        &secrets(60_000),
        "variable VSTS_TOKEN of container \"agent\" is defined 60000 times",
    );
    denied(
        &secrets(101),
        "is defined 101 times, and the webhook removes at most 100 entries",
    );
    let Decision::Inject(Injection { patch, .. }) = decide(&secrets(100)) else {
        panic!("a hundred are removed");
    };
    let patch: Vec<Value> = serde_json::from_slice(&patch).expect("a patch");
    let removals = patch.iter().filter(|operation| operation["op"] == "remove").count();
    assert_eq!(removals, 100);
}

#[test]
fn a_pod_from_which_too_much_would_be_copied_is_denied() {
    let long = json!(format!("$(HOST){}", "x".repeat(70_000)));
    denied(&more_env("AZP_POOL", &long), "more than 64 KiB");
    denied(&more_env("no_proxy", &long), "more than 64 KiB");
    let list = json!({ "azure.workload.identity/skip-containers": "a;".repeat(5000) });
    denied(&with("/metadata/annotations", list), "has 10000 bytes");
}

#[test]
fn of_many_unknown_keys_a_few_are_named_and_the_others_counted() {
    let pod = with(
        "/metadata/annotations",
        keys(100_000, |index| format!("ado-agent.dev/{index:06}")),
    );
    let Decision::Inject(injection) = decide(&pod) else {
        panic!("not injected");
    };
    let last = injection.warnings.last().expect("warnings");
    assert_eq!(last, "99990 more unknown keys under ado-agent.dev/ are ignored");
}
