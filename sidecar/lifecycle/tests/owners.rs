//! Whose agent is it, behind the gateway? Every order of what two pods of one name, a person, a sweep and Azure DevOps can do, to
//! a stated depth, from each state that matters.
//!
//! Nothing is drawn: from each beginning every possible action is tried, then every action after it, and so on; in the end both
//! pods are deleted. Requests to Azure DevOps take effect when their turn comes, so that others act between question and effect.

mod world;

use lifecycle::Jobs;
use world::{Action, Before, Pod, World};

/// How many actions follow the beginning. `OWNERS_DEPTH` says another number.
const DEPTH: usize = 4;

fn depth() -> usize {
    match option_env!("OWNERS_DEPTH") {
        Some(depth) => depth.parse().expect("OWNERS_DEPTH is a number"),
        None => DEPTH,
    }
}

/// Tries every action in this world, `depth` deep; counts the worlds.
fn explore(world: &World, depth: usize, way: &mut Vec<Action>) -> usize {
    let mut worlds = 1;
    for action in if depth == 0 { Vec::new() } else { world.possible() } {
        let mut next = world.clone();
        way.push(action);
        next.act(action);
        assert!(
            next.violations.is_empty(),
            "{:#?}\nafter {way:?}\n{next:#?}",
            next.violations
        );
        worlds += explore(&next, depth - 1, way);
        way.pop();
    }
    if depth == 0 {
        let mut last = world.clone();
        last.end();
        assert!(
            last.violations.is_empty(),
            "{:#?}\nat the end, after {way:?}\n{last:#?}",
            last.violations
        );
    }
    worlds
}

/// Explores from this beginning; says how much that was.
fn explore_from(jobs: Jobs, beginning: &[Action], before: Before) -> String {
    let mut world = World::new(jobs, before);
    for action in beginning {
        assert!(
            world.possible().contains(action),
            "{action:?} is not possible in {world:#?}"
        );
        world.act(*action);
    }
    let worlds = explore(&world, depth(), &mut beginning.to_vec());
    assert!(worlds > 1_000, "{worlds} worlds");
    format!("{worlds} worlds, {} actions deep", depth())
}

const A: Pod = Pod::A;
const LISTENING: [Action; 5] = [
    Action::Asks(A),
    Action::Answers(A),
    Action::Begins(A),
    Action::Posts(A),
    Action::Listens(A),
];

#[test]
fn ownership_is_respected_from_nothing() {
    println!("nothing: {}", explore_from(Jobs::Many, &[], Before::Nothing));
}

#[test]
fn ownership_is_respected_from_a_leftover() {
    println!(
        "left over: {}",
        explore_from(Jobs::Many, &[Action::Asks(A), Action::Answers(A)], Before::Leftover)
    );
}

#[test]
fn ownership_is_respected_from_a_listening_agent() {
    println!("listening: {}", explore_from(Jobs::Many, &LISTENING, Before::Nothing));
}

#[test]
fn ownership_is_respected_from_a_killed_agent() {
    let killed = [
        LISTENING.as_slice(),
        &[Action::Dies(A), Action::Waits, Action::Begins(A)],
    ]
    .concat();
    println!("killed: {}", explore_from(Jobs::Many, &killed, Before::Nothing));
}

#[test]
fn ownership_is_respected_from_an_unanswered_registration() {
    let unanswered = [Action::Begins(A), Action::Answers(A), Action::PostsInVain(A)];
    println!("unanswered: {}", explore_from(Jobs::Many, &unanswered, Before::Nothing));
}

#[test]
fn ownership_is_respected_from_a_busy_terminating_pod() {
    let terminating = [
        LISTENING.as_slice(),
        &[Action::GetsJob(A), Action::BeginsToTerminate(A), Action::Answers(A)],
    ]
    .concat();
    println!(
        "terminating: {}",
        explore_from(Jobs::Many, &terminating, Before::Nothing)
    );
}

#[test]
fn ownership_is_respected_from_an_agent_with_one_job() {
    let working = [LISTENING.as_slice(), &[Action::GetsJob(A), Action::Answers(A)]].concat();
    println!("one job: {}", explore_from(Jobs::One, &working, Before::Nothing));
}
