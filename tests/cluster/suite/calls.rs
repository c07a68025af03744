//! Who is asked, and how often: the webhook's counters and the API server's say it.

use crate::case::Case;
use crate::metrics::{Counts, calls, reviews, since, total};
use crate::suite::say;
use crate::usual::{names, would_become};
use crate::workload::{deployment, pod, template};
use anyhow::{Result, ensure};
use contract::{INJECT_LABEL, SIDECAR_CONTAINER};
use serde_json::json;

/// What one pod causes: its reviews as the webhook counts them, and the API server's calls.
async fn asked(case: &Case, cause: impl AsyncFnOnce() -> Result<()>) -> Result<(Counts, f64)> {
    let before = (reviews(case).await?, calls(case, "request_total").await?);
    cause().await?;
    let after = (reviews(case).await?, calls(case, "request_total").await?);
    Ok((since(&before.0, &after.0), total(&since(&before.1, &after.1))))
}

pub(crate) async fn the_webhook_is_not_called_without_both_labels(case: Case) -> Result<()> {
    let labeled = pod("labeled", &template("gen3"));
    let mut declining = labeled.clone();
    declining["metadata"]["labels"][INJECT_LABEL] = json!("false");
    let mut unlabeled = labeled.clone();
    unlabeled["metadata"]["labels"] = json!({});
    let mut gated = template("gen3");
    gated["spec"]["schedulingGates"] = json!([{"name": "example.com/never"}]);

    let label = format!("{INJECT_LABEL}-");
    case.kubectl(&["label", "namespace", &case.namespace, &label])?;
    let (reviews, calls) = asked(&case, async || {
        for pod in [&labeled, &declining, &unlabeled] {
            let (pod, _) = would_become(&case, pod)?;
            ensure!(pod["spec"]["initContainers"].is_null(), "nothing is added: {pod:#}");
        }
        case.apply(&deployment("gated", 1, &gated))?;
        let looked = || async { Ok((!case.pods().await?.is_empty()).then_some(())) };
        case.wait("the ReplicaSet's pod", crate::case::LIMIT, looked).await
    })
    .await?;
    ensure!(
        reviews.is_empty() && calls == 0.0,
        "an unlabeled namespace: {reviews:?}, {calls} calls"
    );

    let label = format!("{INJECT_LABEL}=true");
    case.kubectl(&["label", "namespace", &case.namespace, &label])?;
    let (reviews, calls) = asked(&case, async || {
        for pod in [&declining, &unlabeled] {
            let (pod, _) = would_become(&case, pod)?;
            ensure!(pod["spec"]["initContainers"].is_null(), "nothing is added: {pod:#}");
        }
        Ok(())
    })
    .await?;
    ensure!(
        reviews.is_empty() && calls == 0.0,
        "pods without the label: {reviews:?}, {calls} calls"
    );

    // And the counters count.
    let (reviews, calls) = asked(&case, async || would_become(&case, &labeled).map(drop)).await?;
    ensure!(
        total(&reviews) >= 1.0 && calls == total(&reviews),
        "{reviews:?}, {calls} calls"
    );
    Ok(())
}

pub(crate) async fn a_second_call_changes_nothing(case: Case) -> Result<()> {
    let once = pod("once", &template("gen3"));
    let asked_about = async || {
        let mut sidecars = 0;
        let (reviews, calls) = asked(&case, async || {
            let (pod, _) = would_become(&case, &once)?;
            let all = names(&pod["spec"]["initContainers"]);
            sidecars = all.iter().filter(|name| **name == SIDECAR_CONTAINER).count();
            Ok(())
        })
        .await?;
        ensure!(sidecars == 1, "{sidecars} sidecars");
        ensure!(calls == total(&reviews), "{calls} calls and {reviews:?}");
        say(&format!("one pod: {reviews:?}"));
        let of = |outcome: &str| {
            let outcome = format!("outcome=\"{outcome}\"");
            let found = reviews.iter().filter(|(labels, _)| labels.contains(&outcome));
            found.map(|(_, count)| count).sum::<f64>()
        };
        ensure!(of("injected") == 1.0 && of("denied") == 0.0, "{reviews:?}");
        Ok(of("skipped"))
    };
    let without = asked_about().await?;
    ensure!(without <= 1.0, "asked again {without} times");
    // LimitRanger runs after webhooks, too, and changes our container: the API server asks again.
    case.apply(&json!({
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "range"},
        "spec": {"limits": [{"type": "Container", "defaultRequest": {"ephemeral-storage": "1Mi"}}]},
    }))?;
    let again = asked_about().await?;
    ensure!(again == 1.0, "asked again {again} times");
    Ok(())
}
