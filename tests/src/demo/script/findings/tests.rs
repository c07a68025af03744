//! Each sentence with the smallest difference that brings it about.

use super::super::observed::Start;
use super::*;

/// What differs from a script that does everything well.
type Change<T = Observed> = fn(&mut T);

const SECOND: Duration = Duration::from_secs(1);

fn end() -> End {
    End {
        pool_empty: Some(SECOND),
        over: 2 * SECOND,
        code: Some(143),
        ..End::default()
    }
}

/// A script that does everything well.
fn all_well() -> Observed {
    Observed {
        start: Start {
            online: Some(SECOND),
            agent: "pod-0".to_owned(),
            wanted: "pod-0".to_owned(),
            is_marked: true,
            is_registered: true,
            ..Start::default()
        },
        idle: Some(Idle {
            result: Some("succeeded".to_owned()),
            secrets: Vec::new(),
            own_removal: Some(OwnRemoval::WithANewToken),
            tokens: Vec::new(),
            end: end(),
        }),
        busy: Some(Busy {
            agent: "pod-1".to_owned(),
            takes: SECOND,
            result: Some("succeeded".to_owned()),
            finished: Some(SECOND),
            end: end(),
        }),
        early: Some(Early {
            open_for_jobs: Duration::ZERO,
            end: end(),
        }),
        once: Some(Once {
            is_online: true,
            result: Some("succeeded".to_owned()),
            over: Some(SECOND),
            code: Some(0),
            pool_empty: true,
        }),
        user: 1000,
        grace: 40 * SECOND,
        ..Observed::default()
    }
}

/// What is not good of a script that differs so from one that does everything well.
fn complaints(change: impl FnOnce(&mut Observed)) -> Vec<(Kind, String)> {
    let mut seen = all_well();
    change(&mut seen);
    let found = findings(&seen).into_iter().filter(|finding| finding.kind != Kind::Good);
    found.map(|finding| (finding.kind, finding.sentence)).collect()
}

/// The same of a script whose agent does not come online.
fn complaints_without_agent(change: impl FnOnce(&mut Observed)) -> Vec<(Kind, String)> {
    complaints(|seen| {
        *seen = Observed {
            user: seen.user,
            grace: seen.grace,
            start: Start {
                code: Some(1),
                ..Start::default()
            },
            ..Observed::default()
        };
        change(seen);
    })
}

#[track_caller]
fn assert_only(found: &[(Kind, String)], kind: Kind, part: &str) {
    assert!(
        matches!(found, [(found, sentence)] if *found == kind && sentence.contains(part)),
        "{kind:?} {part}: {found:?}"
    );
}

fn token() -> String {
    format!("eyJ{}.b.c", "x".repeat(200))
}

#[test]
fn of_a_script_that_does_everything_well_nothing_bad_is_said() {
    assert_eq!(complaints(|_| {}), []);
    assert_eq!(findings(&all_well()).len(), 7);
}

#[test]
fn each_weakness_gives_its_own_sentence() {
    let stays = |end: &mut End| (end.pool_empty, end.last_words) = (None, "left-unreachable: x".to_owned());
    let cases: [(Kind, &str, Change); 18] = [
        (Kind::Note, "has no #! line", |seen| {
            seen.obstacle = Some(Obstacle::NoInterpreter)
        }),
        (Kind::Note, "not executable", |seen| {
            seen.obstacle = Some(Obstacle::NotExecutable)
        }),
        (Kind::Bad, "as on Windows", |seen| {
            seen.obstacle = Some(Obstacle::WindowsLines)
        }),
        (Kind::Note, "warns: careful", |seen| {
            seen.warnings.push("careful".to_owned())
        }),
        (Kind::Note, "federated token", |seen| {
            seen.trades_the_federated_token = true
        }),
        (Kind::Bad, "from AZP_TOKEN only", |seen| {
            seen.command = Some(("AZP_TOKEN", "exec".to_owned()))
        }),
        (Kind::Note, "asked for github.com", |seen| {
            seen.reached.extend(["github.com".to_owned()])
        }),
        (Kind::Note, "went on without az", |seen| {
            seen.log = "./start.sh: line 3: az: command not found".to_owned()
        }),
        (Kind::Note, "registers as mine", |seen| {
            seen.start.agent = "mine".to_owned()
        }),
        (Kind::Note, "lacks the marker", |seen| seen.start.is_marked = false),
        (Kind::Bad, "in TOKEN, which", |seen| {
            seen.start.published.push("TOKEN".to_owned())
        }),
        (Kind::Bad, "Jobs find the token in PAT", |seen| {
            seen.idle.as_mut().unwrap().secrets.push("PAT".to_owned());
        }),
        (Kind::Note, "token that it had kept", |seen| {
            seen.idle.as_mut().unwrap().own_removal = Some(OwnRemoval::WithAnOldToken);
        }),
        (Kind::Note, "the sidecar does", |seen| {
            seen.idle.as_mut().unwrap().own_removal = Some(OwnRemoval::None)
        }),
        (Kind::Bad, "until SIGKILL", |seen| {
            seen.early.as_mut().unwrap().end.killed = true
        }),
        (
            Kind::Note,
            "could be given jobs for 5.0 s, before it was taken out",
            |seen| {
                seen.early.as_mut().unwrap().open_for_jobs = 5 * SECOND;
            },
        ),
        (Kind::Bad, "the job is lost", |seen| {
            seen.busy.as_mut().unwrap().result = None
        }),
        (Kind::Bad, "ended as canceled 1.0 s after", |seen| {
            seen.busy.as_mut().unwrap().result = Some("canceled".to_owned());
        }),
    ];
    for (kind, part, change) in cases {
        assert_only(&complaints(change), kind, part);
    }
    for found in [
        complaints(|seen| stays(&mut seen.idle.as_mut().unwrap().end)),
        complaints(|seen| stays(&mut seen.busy.as_mut().unwrap().end)),
        complaints(|seen| stays(&mut seen.early.as_mut().unwrap().end)),
    ] {
        assert_only(
            &found,
            Kind::Bad,
            "stays in the pool. The sidecar's last words: left-unreachable: x",
        );
    }
    let held_to_the_end = complaints(|seen| {
        let early = seen.early.as_mut().unwrap();
        (early.open_for_jobs, early.end.killed) = (5 * SECOND, true);
        early.end.pool_empty = Some(early.end.over);
    });
    assert_only(&held_to_the_end[..1], Kind::Bad, "until SIGKILL");
    assert_only(&held_to_the_end[1..], Kind::Bad, "for 5.0 s, which die with the pod");
    let same_name = complaints(|seen| {
        seen.start.agent = "mine".to_owned();
        seen.busy.as_mut().unwrap().agent = "mine".to_owned();
    });
    assert_only(&same_name, Kind::Bad, "the same in every pod");
}

#[test]
fn a_job_pod_that_does_not_end_well_gives_its_own_sentence() {
    let cases: [(&str, Change<Once>); 5] = [
        ("does not come online", |once| once.is_online = false),
        ("ends with code 1", |once| once.code = Some(1)),
        ("does not hand its arguments", |once| once.over = None),
        ("ended as failed", |once| once.result = Some("failed".to_owned())),
        ("stays in the pool", |once| once.pool_empty = false),
    ];
    for (part, change) in cases {
        assert_only(&complaints(|seen| change(seen.once.as_mut().unwrap())), Kind::Bad, part);
    }
}

#[test]
fn what_is_missing_here_is_named_and_not_called_bad() {
    let cases: [(&str, Change); 4] = [
        ("needs az, jq,", |seen| {
            seen.log = "x: line 2: az: command not found\nx: 3: jq: not found".to_owned()
        }),
        ("reach github.com", |seen| {
            seen.reached.extend(["github.com".to_owned()])
        }),
        ("needs sudo", |seen| {
            seen.log = "sudo: must be owned by uid 0".to_owned()
        }),
        ("169.254.169.254", |seen| seen.asks_the_machine = true),
    ];
    for (part, change) in cases {
        let found = complaints_without_agent(change);
        assert!(found.iter().all(|(kind, _)| *kind != Kind::Bad), "{found:?}");
        assert_only(&found[..1], Kind::Missing, part);
    }
    let no_interpreter = complaints(|seen| seen.no_interpreter = Some("pwsh".to_owned()));
    assert_only(&no_interpreter, Kind::Missing, "needs pwsh");
}

#[test]
fn a_script_that_does_not_start_is_bad_and_its_last_words_are_shown_without_a_token() {
    let found = complaints_without_agent(|seen| seen.log = format!("first\ntoken={}\nlast\n", token()));
    let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert!(texts[0].contains("ends with code 1"), "{texts:?}");
    assert!(
        texts[1].contains("first") && texts[1].contains("(a line with a token)"),
        "{texts:?}"
    );
    assert!(texts[2].contains("writes the token to its log"), "{texts:?}");
    assert!(!texts.concat().contains("eyJ"), "{texts:?}");
    let root = complaints_without_agent(|seen| (seen.user, seen.log) = (0, "Must not run with sudo".to_owned()));
    assert_only(&root[..1], Kind::Bad, "refuses");
    let denied = complaints(|seen| seen.denied = Some("no pool".to_owned()));
    assert_only(&denied, Kind::Bad, "no pool");
}

#[test]
fn missing_programs_are_read_of_what_shells_say() {
    let said = "/azp/start.sh: line 3: az: command not found\n./start.sh: 5: unzip: not found\n\
                /usr/bin/env: 'pwsh': No such file or directory\nenv: ‘node’: No such file or directory\n\
                sh: exec: line 1: gosu: not found\n./a: /bin/zsh: bad interpreter: No such file or directory\n\
                ./start.sh: line 9: ./run-docker.sh: command not found\nerror: agent not found: x\nPool x: not found here";
    let found: Vec<String> = missing_tools(said).into_iter().collect();
    assert_eq!(found, ["/bin/zsh", "az", "gosu", "node", "pwsh", "unzip"]);
}
