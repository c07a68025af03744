//! The happy path, and what the program says on its command line.

use crate::pod::{NAME, Pod, SOON, register};
use azure_emulators::world::World;
use contract::Reason;
use std::process::Command;
use tests::programs::program;

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_token_to_the_removed_agent() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    assert!(!pod.probe().0, "nobody runs yet");
    let mut sidecar = pod.start();
    let ready = sidecar.says(Reason::Ready).await;
    assert_eq!(pod.probe(), (true, ready), "probe and termination message agree");
    let token = pod.token().expect("a token file");
    assert!(!token.is_empty() && token.trim() == token, "the token alone");

    let agent = register(&world);
    let (told, _) = pod.pre_stop();
    assert!(told);
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", pod.log());
    assert!(pod.message().starts_with("removed: "), "{}", pod.message());
    assert!(world.pool.agent(NAME).is_none(), "agent {agent} is gone");
    assert!(
        world.ado.view().requests.len() <= 10,
        "at most 10 requests in a pod's life"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_agent_never_came_ends_clean() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world);
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0);
    assert!(pod.message().starts_with("never-seen: "), "{}", pod.message());
}

#[test]
fn the_command_line_is_small() {
    let run = |arguments: &[&str]| {
        let output = Command::new(program("ado-agent-sidecar").expect("built"))
            .args(arguments)
            .env_clear()
            .output();
        let output = output.expect("it starts");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
        (output.status.code(), text)
    };
    let (code, text) = run(&["--version"]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("ado-agent-sidecar "), "{text}");
    let (code, text) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("pre-stop"), "{text}");
    for wrong in [&["--verbose"][..], &["run", "twice"], &["token"]] {
        let (code, text) = run(wrong);
        assert_eq!(code, Some(64), "{wrong:?}");
        assert!(text.contains("Usage"), "{text}");
    }
    for command in ["probe", "pre-stop"] {
        let (code, text) = run(&[command]);
        assert_eq!(code, Some(1), "no sidecar runs");
        assert!(text.contains("does not answer"), "{text}");
    }
}
