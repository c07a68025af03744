//! A fleet, simulated: pods come, end gracefully or not, agents are left behind, and whoever sweeps meets every misfortune at random
//! times. Whatever happens, no agent is removed that is not a dead pod's; in the end no agent is left that could be known.

mod agent;
mod fleet;
mod keeper;
mod scenario;

use fleet::Fleet;
use keeper::Keeper;
use proptest::prelude::*;
use scenario::{Misfortune, Scenario, Trouble};

/// Seconds between two looks at the pods; a keeper has a round at every second one.
const TICK: i64 = 60;
/// After the last misfortune, sessions, locks and patience have to run out: two hours are ample.
const AFTERMATH: i64 = 7_200;

/// Runs a scenario to its end. Says how many agents were left behind by their pods, and how many were removed from outside.
fn run(scenario: &Scenario) -> Result<(usize, usize), TestCaseError> {
    let mut fleet = Fleet::new(scenario);
    let mut keepers: Vec<Keeper> = (0..scenario.replicas).map(|_| Keeper::default()).collect();
    let mut tick = 0;
    while fleet.now < scenario.end() + AFTERMATH {
        fleet.advance(TICK);
        for (number, keeper) in keepers.iter_mut().enumerate() {
            if fleet.suffers(Trouble::KeepDead) && (number == 0 || scenario.replicas == 1) {
                *keeper = Keeper::default();
                continue;
            }
            keeper.watch(&fleet);
            if (tick + number) % 2 == 0 {
                keeper.round(&mut fleet)?;
            }
        }
        // Two that begin at the same time.
        if let [first, second] = keepers.as_mut_slice()
            && tick % 7 == 0
        {
            keeper::at_once(first, second, &mut fleet)?;
        }
        tick += 1;
    }
    fleet.nothing_is_left()?;
    Ok((fleet.left_behind, fleet.removed))
}

#[test]
fn ten_thousand_pods_in_a_day_with_an_outage_leave_nothing_behind() {
    let minutes = |minutes: i64| minutes * 60;
    let scenario = Scenario {
        seed: 1,
        pods: 10_000,
        seconds: minutes(26 * 60),
        replicas: 1,
        violent_percent: 10,
        troubles: vec![
            Misfortune::new(Trouble::AzureDevOpsAway, minutes(300), minutes(30)),
            Misfortune::new(Trouble::KeepDead, minutes(600), minutes(10)),
            Misfortune::new(Trouble::ApiServerAway, minutes(700), minutes(5)),
            Misfortune::new(Trouble::HalfAList, minutes(800), minutes(30)),
            Misfortune::new(Trouble::HalfOfThePods, minutes(900), minutes(30)),
            Misfortune::new(Trouble::Throttled, minutes(1_000), minutes(30)),
            Misfortune::new(Trouble::EtcdRestored, minutes(1_200), minutes(1)),
        ],
    };
    let (left_behind, removed) = run(&scenario).expect("nothing goes wrong");
    assert!(left_behind > 900, "one in ten dies violently: {left_behind}");
    assert!(
        removed * 100 > left_behind * 95,
        "{removed} of {left_behind} were removed from outside"
    );
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop::sample::select(Trouble::ALL)
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let seconds = 3_600_i64..14_400;
    let troubles = prop::collection::vec((trouble(), 0_i64..14_400, 60_i64..3_600), 0..6);
    (any::<u64>(), 1_usize..60, seconds, 1_usize..=2, 0_u64..=100, troubles).prop_map(
        |(seed, pods, seconds, replicas, violent_percent, troubles)| Scenario {
            seed,
            pods,
            seconds,
            replicas,
            violent_percent,
            troubles: troubles
                .into_iter()
                .map(|(trouble, from, seconds)| Misfortune::new(trouble, from, seconds))
                .collect(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_agent_is_removed_but_a_dead_pods_and_none_is_left(scenario in scenarios()) {
        run(&scenario)?;
    }
}
