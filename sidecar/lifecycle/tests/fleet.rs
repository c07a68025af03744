//! Hundreds of sidecars share the identity, and so its rate limit: what they ask together, second by second.

use crate::world::plan::Plan;
use crate::world::pod::{Pod, START};
use lifecycle::Jobs;

const SIDECARS: u64 = 500;
/// Azure DevOps' published budget: 200 TSTU in any five minutes for an identity (rate limits, Azure DevOps documentation).
const BUDGET: f64 = 200.0;
/// What a request costs is not published. A TSTU is what a typical user causes in five minutes, by Microsoft's definition;
/// taken here: one small indexed read or write is a fiftieth of it.
const TSTU_PER_REQUEST: f64 = 0.02;

/// The most in any five minutes, of sorted milliseconds.
fn peak(times: &[u64]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, time) in times.iter().enumerate() {
        while times[first] + 300_000 <= *time {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Runs five hundred of these pods, each with a seed of its own.
#[expect(clippy::print_stdout, reason = "the figures of docs/performance.md")]
fn check(what: &str, plan: impl Fn(u64) -> Plan) {
    let (mut start, mut idle, mut terminate, mut entra) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for seed in 0..SIDECARS {
        let pod = Pod::run(&plan(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        for time in pod.ado_requests {
            match time - START {
                0..600_000 => start.push(time),
                600_000..7_200_000 => idle.push(time),
                _ => terminate.push(time),
            }
        }
        entra.extend(pod.entra_requests);
    }
    let mut report = format!("{what}\n");
    for (what, times) in [
        ("starting", &mut start),
        ("idle", &mut idle),
        ("terminating", &mut terminate),
    ] {
        times.sort_unstable();
        let most = peak(times);
        let cost = f64::from(u32::try_from(most).expect("few requests")) * TSTU_PER_REQUEST;
        report.push_str(&format!(
            "{SIDECARS} sidecars {what}: at most {most} requests to Azure DevOps in 5 minutes, {:.1} each; {cost:.0} of {BUDGET:.0} TSTU at {TSTU_PER_REQUEST} TSTU a request\n",
            f64::from(u32::try_from(most).expect("few requests")) / 500.0,
        ));
    }
    entra.sort_unstable();
    report.push_str(&format!(
        "{SIDECARS} sidecars: at most {} exchanges at Entra in 5 minutes\n",
        peak(&entra)
    ));
    println!("{report}");
    assert!(idle.is_empty(), "an idle sidecar asks nothing");
    for times in [&start, &terminate] {
        let cost = f64::from(u32::try_from(peak(times)).expect("few requests")) * TSTU_PER_REQUEST;
        assert!(cost <= BUDGET, "{report}");
    }
    // The refreshes of those that started together drift apart.
    let refreshes: Vec<u64> = entra
        .iter()
        .copied()
        .filter(|time| (600_000..7_200_000).contains(&(time - START)))
        .collect();
    assert!(
        peak(&refreshes) <= 350,
        "{} refreshes in five minutes",
        peak(&refreshes)
    );
}

#[test]
fn five_hundred_sidecars_start_and_terminate_together() {
    check("With the token file:", Plan::quiet);
}

/// Through the gateway the agent's own requests use the sidecar's token, too; those are the same with every handoff.
#[test]
fn five_hundred_sidecars_with_a_gateway_start_and_terminate_together() {
    check("With the gateway:", |seed| Plan {
        gateway: Some(Jobs::Many),
        ..Plan::quiet(seed)
    });
}
