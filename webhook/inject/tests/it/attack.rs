//! Pods that nobody honest makes: whatever their size and shape, the decision is linear in them, the patch is small.
//!
//! Work is counted, not timed: bytes that are allocated, and the thread's own processor time for a pod and for one that is
//! sixteen times as large. What grows with the square would need 256 times as much.

mod kinds;

use crate::case::{CREATE, account, context, settings};
use crate::invariants;
use inject::{Decision, Denial, Injection, Settings};
use kinds::{ENV, KINDS, keys, long_texts, many, more, more_env, with};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
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
    inject::decide(pod, &CREATE, &account(None).expect("an account"), context(&generous()))
}

/// What an answer may be.
fn check_answer(kind: &str, pod: &Value, decision: &Decision) {
    match decision {
        Decision::Inject(injection) => {
            invariants::check(pod, injection, &generous());
        }
        Decision::Deny(Denial { message, .. }) => assert!(message.len() < 2000, "{kind}: {message}"),
        Decision::Skip { .. } => {}
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
fn many_of_anything_take_linear_time() {
    for (kind, make) in KINDS {
        check_growth(kind, &make(ITEMS), &make(ITEMS * LARGER));
    }
}

#[test]
fn a_long_text_anywhere_takes_linear_time() {
    for ((kind, small), (_, large)) in long_texts(TEXT_BYTES).zip(long_texts(TEXT_BYTES * LARGER)) {
        check_growth(&kind, &small, &large);
    }
}

#[track_caller]
fn denied(pod: &Value, part: &str) {
    let Decision::Deny(denial) = decide(pod) else {
        panic!("not denied");
    };
    assert_eq!(denial.reason, contract::DenyReason::PatchTooLarge);
    assert!(denial.message.contains(part), "{}", denial.message);
}

#[test]
fn a_pod_that_needs_too_many_operations_is_denied() {
    let secrets = |n| more(ENV, many(n, |_| json!({ "name": "VSTS_TOKEN", "value": "x" })));
    denied(
        &secrets(60_000),
        "variable VSTS_TOKEN of container \"agent\" is defined 60000 times",
    );
    denied(
        &secrets(51),
        "is defined 51 times, and the webhook removes at most 50 entries",
    );
    let Decision::Inject(Injection { patch, .. }) = decide(&secrets(50)) else {
        panic!("fifty are removed");
    };
    let patch: Vec<Value> = serde_json::from_slice(&patch).expect("a patch");
    let removals = patch.iter().filter(|operation| operation["op"] == "remove").count();
    assert_eq!(removals, 50);
}

/// Everything at once that the gateway changes, beside as many secrets as are removed.
#[test]
fn the_patch_of_a_pod_that_wants_everything_of_the_gateway_is_bounded() {
    let mut env = many(50, |_| json!({ "name": "VSTS_TOKEN", "value": "x" }))
        .as_array()
        .cloned()
        .unwrap_or_default();
    env.extend([
        json!({ "name": "AZP_URL", "value": "https://dev.azure.com/contoso" }),
        json!({ "name": "http_proxy", "value": "http://proxy.example" }),
    ]);
    let sources = many(
        8,
        |number| json!({ "configMapRef": { "name": format!("azp-{number}") } }),
    );
    let annotations = json!({
        "ado-agent.dev/handoff": "gateway",
        "ado-agent.dev/own-exchange": "true",
        "ado-agent.dev/token-variables": "A, B, C, D, E_FILE",
        "ado-agent.dev/url-variables": "U, V, W, X, Y",
    });
    let mut pod = with("/metadata/annotations", annotations);
    pod["spec"]["containers"][0]["env"] = json!(env);
    pod["spec"]["containers"][0]["envFrom"] = sources;
    let Decision::Inject(injection) = decide(&pod) else {
        panic!("it is injected");
    };
    let patch: Vec<Value> = serde_json::from_slice(&injection.patch).expect("a patch");
    // Twenty probes would come to it.
    assert!((100..=130).contains(&patch.len()), "{} operations", patch.len());
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
