//! The kubelet dies in the middle of a grace period and comes back.

use crate::case::Case;
use crate::ending::after;
use crate::life::{Life, obedient, with_grace};
use crate::recovery::SHORT_LIFE;
use crate::suite::say;
use crate::workload::template;
use anyhow::{Result, ensure};
use azure_emulators::clock::Clock;

const GRACE: u32 = 8;

/// The assertions with which a pod's identity came to Entra so far.
fn assertions(life: &Life) -> Vec<String> {
    let exchanges = life.exchanges().into_iter();
    exchanges.filter_map(|exchange| exchange.assertion).collect()
}

pub(crate) async fn a_restarted_kubelet_starts_the_grace_period_over(case: Case) -> Result<()> {
    let idle = Life::begin(&case, "idle", &with_grace(obedient(":", "exit"), GRACE))?;
    let busy = Life::begin(&case, "busy", &with_grace(obedient(":", "exit"), GRACE))?;
    // Its sidecar asks for a token once a minute.
    let stays = Life::prepare(&case, "stays")?;
    case.suite
        .world
        .entra
        .set_token_lifetime(&stays.identity.client_id, Some(SHORT_LIFE));
    stays.create(&with_grace(template("gen3"), GRACE))?;
    idle.online().await?;
    let job = busy.busy().await?;
    stays.online().await?;

    idle.delete(&[])?;
    busy.delete(&[])?;
    idle.until("its agent is removed", |life| life.agent().is_none().then_some(()))
        .await?;
    busy.disabled().await?;
    case.blocking(|| case.suite.node.kill("kubelet"))?;
    let before = assertions(&stays);
    let back = Clock::new().now();
    case.blocking(|| case.suite.node.start_again("kubelet", |_| ()))?;
    case.pool.finish_job(job, "succeeded");
    for life in [&idle, &busy] {
        let ending = life.ended().await?;
        ending.must_be("removed")?;
        life.removed_once(&ending)?;
        let again = ending
            .sidecar
            .told
            .is_some_and(|told| told.0 - back.0 > i64::from(GRACE - 1) * 1000);
        ensure!(again, "the grace starts over with the kubelet\n{}", ending.explain());
        say(&format!(
            "c1 {}: seconds after the kubelet came back: SIGTERM {}, sidecar's end {}",
            life.name,
            after(Some(back), ending.sidecar.told),
            after(Some(back), ending.sidecar.ended)
        ));
    }

    // A kubelet that has forgotten the pod's token asks for another and swaps it into the volume, as it does in time anyhow.
    stays
        .until("the sidecar comes with the swapped assertion", |life| {
            assertions(life)
                .iter()
                .any(|assertion| !before.contains(assertion))
                .then_some(())
        })
        .await?;
    ensure!(
        stays.online().await?.enabled,
        "the other pod was not concerned\n{}",
        stays.explain()
    );
    stays.delete(&[])?;
    stays.ended().await?;
    ensure!(stays.agent().is_none(), "the agent stays\n{}", stays.explain());
    Ok(())
}
