//! One agent, one difference at a time.

use super::scene::{
    CREATED, NOW, OFFLINE, agent, answer, decide, gone, ledger, listing, marker, online, pod, settings,
};
use azure_protocol::{AgentId, ServerTime};
use contract::Foreign;
use sweep::{Decision, DeleteAnswer, Kept, Ledger, Life, Listed, Mode, Pod, PodAnswer, Run, Settings};

#[test]
fn an_agent_whose_pod_is_gone_is_removed() {
    let agent = agent(1, "a");
    assert_eq!(
        decide(&agent, &agent, &gone, &settings()),
        (Some(Decision::Removed), true)
    );
    let successor = |_: &str| PodAnswer::Present(pod("b"));
    assert_eq!(
        decide(&agent, &agent, &successor, &settings()),
        (Some(Decision::Removed), true),
        "another pod of its name"
    );
    let ended = |_: &str| {
        PodAnswer::Present(Pod {
            life: Life::Ended,
            ..pod("a")
        })
    };
    assert_eq!(
        decide(&agent, &agent, &ended, &settings()),
        (Some(Decision::Removed), true),
        "nothing of it runs"
    );
}

/// What is true, the agent as it was listed and as it is read freshly, what the API server says of the pod, the settings, and why
/// the agent stays.
type Case<'a> = (
    &'a str,
    Listed,
    Listed,
    Box<dyn Fn(&str) -> PodAnswer>,
    &'a Settings,
    Option<Kept>,
);

#[test]
fn each_rule_keeps_an_agent() {
    let good = agent(1, "a");
    let plain = settings();
    let listed_name = Settings {
        placeholders: vec!["AGENT-1".to_owned()],
        ..settings()
    };
    let cases: Vec<Case<'_>> = vec![
        (
            "it is online",
            online(good.clone()),
            good.clone(),
            Box::new(gone),
            &plain,
            None,
        ),
        (
            "it came online",
            good.clone(),
            online(good.clone()),
            Box::new(gone),
            &plain,
            Some(Kept::Online),
        ),
        (
            "it is busy",
            Listed {
                busy: true,
                ..good.clone()
            },
            good.clone(),
            Box::new(gone),
            &plain,
            Some(Kept::Busy),
        ),
        (
            "it got a job",
            good.clone(),
            Listed {
                busy: true,
                ..good.clone()
            },
            Box::new(gone),
            &plain,
            Some(Kept::Busy),
        ),
        (
            "another agent has its ID",
            Listed {
                created: Some(ServerTime(CREATED.0 + 1)),
                ..good.clone()
            },
            good.clone(),
            Box::new(gone),
            &plain,
            Some(Kept::Replaced),
        ),
        (
            "it was made anew",
            good.clone(),
            Listed {
                created: Some(ServerTime(CREATED.0 + 1)),
                ..good.clone()
            },
            Box::new(gone),
            &plain,
            Some(Kept::Replaced),
        ),
        (
            "it is another pod's now",
            good.clone(),
            Listed {
                marker: Some(Ok(marker("b"))),
                ..good.clone()
            },
            Box::new(gone),
            &plain,
            Some(Kept::Replaced),
        ),
        (
            "its marker is gone",
            good.clone(),
            Listed {
                marker: Some(Err(Foreign)),
                ..good.clone()
            },
            Box::new(gone),
            &plain,
            Some(Kept::Replaced),
        ),
        (
            "it is not offline for long",
            Listed {
                status_changed: Some(ServerTime(NOW.0 - 599)),
                ..good.clone()
            },
            good.clone(),
            Box::new(gone),
            &plain,
            Some(Kept::Young),
        ),
        (
            "nobody knows for how long",
            Listed {
                status_changed: None,
                ..good.clone()
            },
            good.clone(),
            Box::new(gone),
            &plain,
            Some(Kept::NoTime),
        ),
        (
            "it went and came meanwhile",
            Listed {
                status_changed: Some(ServerTime(OFFLINE.0 + 1)),
                ..good.clone()
            },
            good.clone(),
            Box::new(gone),
            &plain,
            Some(Kept::SeenOnce),
        ),
        (
            "its pod is there",
            good.clone(),
            good.clone(),
            Box::new(|_| PodAnswer::Present(pod("a"))),
            &plain,
            Some(Kept::PodExists),
        ),
        (
            "its pod lost our annotation",
            good.clone(),
            good.clone(),
            Box::new(|_| PodAnswer::Foreign { uid: "a".to_owned() }),
            &plain,
            Some(Kept::PodExists),
        ),
        (
            "the API server fails",
            good.clone(),
            good.clone(),
            Box::new(|_| PodAnswer::Unreadable("500".to_owned())),
            &plain,
            Some(Kept::Stopped),
        ),
        (
            "it is listed",
            good.clone(),
            good.clone(),
            Box::new(gone),
            &listed_name,
            Some(Kept::Placeholder),
        ),
    ];
    for (what, listed, fresh, pods, settings, expected) in cases {
        let decided = decide(&listed, &fresh, &*pods, settings);
        assert_eq!(decided, (expected.map(Decision::Kept), false), "{what}");
    }
}

#[test]
fn a_placeholders_pod_keeps_its_agent() {
    let mut ledger = Ledger::new("o");
    let settings = settings();
    let placeholder = Pod {
        placeholder: true,
        ..pod("a")
    };
    drop(Run::new(
        &mut ledger,
        &listing(CREATED, &[online(agent(1, "a"))]),
        &[placeholder],
        &settings,
        Mode::Remove,
    ));
    for date in [NOW, ServerTime(NOW.0 + 60), ServerTime(NOW.0 + 90_000)] {
        let mut run = Run::new(
            &mut ledger,
            &listing(date, &[agent(1, "a")]),
            &[],
            &settings,
            Mode::Remove,
        );
        assert_eq!(answer(&mut run, &gone, &agent(1, "a"), &DeleteAnswer::Removed), []);
        let (verdicts, _) = run.finish();
        assert_eq!(verdicts[0].decision, Decision::Kept(Kept::Placeholder));
    }
}

#[test]
fn an_agent_is_seen_twice_first() {
    let mut ledger = Ledger::new("o");
    let settings = settings();
    drop(Run::new(
        &mut ledger,
        &listing(CREATED, &[online(agent(1, "a"))]),
        &[pod("a")],
        &settings,
        Mode::Remove,
    ));
    // What an old copy of the ledger says does not count, nor what a clock says that went back.
    for (date, expected) in [
        (NOW, false),
        (ServerTime(NOW.0 + 29), false),
        (ServerTime(NOW.0 + 9_000), false),
        (ServerTime(NOW.0 + 8_000), false),
        (ServerTime(NOW.0 + 8_030), true),
    ] {
        let mut run = Run::new(
            &mut ledger,
            &listing(date, &[agent(1, "a")]),
            &[],
            &settings,
            Mode::DryRun,
        );
        let removals = answer(&mut run, &gone, &agent(1, "a"), &DeleteAnswer::Removed);
        assert_eq!(removals, [], "a dry run removes nothing");
        let (verdicts, _) = run.finish();
        assert_eq!(
            verdicts[0].decision == Decision::WouldRemove,
            expected,
            "{date:?}: {verdicts:?}"
        );
    }
}

#[test]
fn a_run_says_the_same_with_and_without_removing() {
    for mode in [Mode::Remove, Mode::DryRun] {
        let mut ledger = ledger();
        let settings = settings();
        let mut run = Run::new(&mut ledger, &listing(NOW, &[agent(1, "a")]), &[], &settings, mode);
        let removals = answer(&mut run, &gone, &agent(1, "a"), &DeleteAnswer::Removed);
        let (verdicts, stopped) = run.finish();
        assert_eq!((verdicts.len(), verdicts[0].agent, stopped), (1, AgentId(1), None));
        assert_eq!(removals.len(), usize::from(mode == Mode::Remove));
    }
}
