//! `demo --script`: every start script of this repository through the command, what it says about scripts that lack
//! something, and that it touches nothing and reaches nobody.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is wrong, in its helpers, too"
)]

#[path = "script/run.rs"]
mod run;

use run::{at_once, baked, demo, run, script};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tests::demo::stage::{SCRIPTS, does_own_exchange};
use tests::programs::repository;

#[test]
fn the_findings_of_every_start_script_match_the_exit_code() {
    let runs = SCRIPTS.map(|name| {
        let path = repository().join(format!("tests/agent/start/{name}.sh"));
        move || (name, demo(&path, &["--once"]))
    });
    for (name, said) in at_once(runs) {
        for part in [
            "It registers with",
            "It runs a job.",
            "Deleted while idle: the pool has no agent of it",
        ] {
            said.assert_finding("good", part);
        }
        let about_jobs = said
            .findings
            .iter()
            .filter(|(_, text)| text.starts_with("Deleted under a job of"));
        assert_eq!(about_jobs.count(), 1, "{}", said.all);
        let about_early = said
            .findings
            .iter()
            .any(|(_, text)| text.starts_with("Deleted right after its start"));
        assert!(about_early, "{}", said.all);
        assert!(said.of("missing").is_empty(), "{}", said.all);
        assert_eq!(said.code, i32::from(!said.of("bad").is_empty()), "{}", said.all);

        let trades = does_own_exchange(name);
        assert_eq!(
            said.of("note").iter().any(|note| note.contains("federated token")),
            trades,
            "{}",
            said.all
        );
        // The sidecar is often first: then the listener may end before SIGTERM comes, and the script with it.
        let left_it = said.has("note", "It does not remove its agent itself");
        let removes_it = match name {
            "gen0" | "gen0b" => false,
            "read-once" | "article" => said.has("note", "with a token that it had kept"),
            _ => said.has("good", "It removes its agent itself"),
        };
        assert!(left_it != removes_it, "{}", said.all);
        if name == "gen0" {
            said.assert_finding("bad", "does not hand its arguments to the agent");
        } else {
            said.assert_finding("good", "As a Job with --once: it runs one job");
        }
    }
}

#[test]
fn through_the_gateway_a_script_finds_no_token_and_works() {
    let own = |name: &str| fs::read_to_string(repository().join(format!("tests/agent/start/{name}.sh"))).unwrap();
    // An image that knows its token and its organization under names of its own, and reads no file.
    let env_only = baked(": \"${AGENT_TOKEN:?}\"")
        .replace("$AZP_URL", "$AGENT_URL")
        .replace("$(cat \"$AZP_TOKEN_FILE\")", "$AGENT_TOKEN");
    let runs = [own("gen3"), own("own-exchange"), env_only].map(|text| {
        move || {
            let (_folder, path) = script(&text);
            let url = "--env=AGENT_URL=https://dev.azure.com/contoso";
            demo(&path, &["--handoff=gateway", "--once", url])
        }
    });
    for said in at_once(runs) {
        said.assert_finding("good", "It registers through the gateway");
        said.assert_finding("good", "The agent container holds no token");
        said.assert_finding("good", "Deleted while idle: the pool has no agent of it");
        said.assert_finding("good", "the job succeeded");
        said.assert_finding("good", "As a Job with --once: it runs one job");
        assert_eq!(said.code, 0, "{}", said.all);
    }
}

/// As with `sudo` without `-E`: the agent itself refuses plain HTTP, and says so.
#[test]
fn a_script_that_clears_the_environment_does_not_work_with_the_gateway() {
    let text = baked("")
        .replace("./config.sh", "env -i PATH=\"$PATH\" HOME=\"$HOME\" ./config.sh")
        .replace("$(cat \"$AZP_TOKEN_FILE\")", "$AZP_TOKEN");
    let (_folder, path) = script(&text);
    let said = demo(&path, &["--handoff=gateway"]);
    assert_eq!(said.code, 1, "{}", said.all);
    assert!(said.all.contains("requires a secure connection"), "{}", said.all);
}

#[test]
fn an_agent_in_the_image_and_one_from_a_fixed_address_are_found() {
    let fixed = baked(
        "curl -fsSL https://download.agent.dev.azure.com/agent/4.255.0/vsts-agent-linux-x64-4.255.0.tar.gz | tar -xz",
    );
    let in_opt = baked("cd /opt/agent");
    let in_opt_as_root = in_opt.replace("set -e", "export AGENT_ALLOW_RUNASROOT=1");
    let runs = [(fixed, "1000"), (in_opt, "1000"), (in_opt_as_root, "0")].map(|(text, user)| {
        move || {
            let (_folder, path) = script(&text);
            demo(&path, &["--user", user])
        }
    });
    for said in at_once(runs) {
        said.assert_finding("good", "It registers with");
        said.assert_finding("good", "Deleted while idle");
    }
}

#[test]
fn a_script_that_reads_a_variable_only_is_told_so_and_tried_with_the_command_that_helps() {
    let text = baked("").replace("$(cat \"$AZP_TOKEN_FILE\")", "$AZP_TOKEN");
    let (_folder, path) = script(&text);
    let said = demo(&path, &[]);
    assert_eq!(said.code, 1, "{}", said.all);
    said.assert_finding("bad", "it reads its token from AZP_TOKEN only");
    said.assert_finding("good", "It registers with");
    said.assert_finding("bad", "Jobs find the token in AZP_TOKEN");
}

#[test]
fn the_sandbox_writes_nothing_and_reaches_no_network() {
    let home = tempfile::tempdir().unwrap();
    let here = tempfile::tempdir().unwrap();
    for folder in [&home, &here] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(folder.path().join("canary"), "alive").unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (home_path, here_path) = (home.path().display(), here.path().display());
    let port = listener.local_addr().unwrap().port();
    let text = baked(&format!(
        "for folder in {home_path} {here_path} / /etc /azp /tmp /var/tmp /usr/local/bin /usr/local/share \"$HOME\" /home /root; do\n\
         mkdir -p $folder || true\n: >$folder/demo-script-was-here || true\nrm -f $folder/canary || true\ndone\n\
         hostname changed-by-demo || true\n\
         for address in http://127.0.0.1:{port} http://192.0.2.1 https://example.com; do\n\
         ! curl -sS --max-time 2 $address || exit 99\ndone\n\
         export AGENT_ALLOW_RUNASROOT=1"
    ));
    let (_folder, path) = script(&text);
    let host_name = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let before = host_name();
    let runs = ["0", "1000"].map(|user| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command.env("HOME", home.path()).current_dir(here.path());
        let path = path.clone();
        move || run(command, &path, &["--user", user])
    });
    for said in at_once(runs) {
        said.assert_finding("good", "It registers with");
        said.assert_finding("note", "It asked for example.com");
    }
    for folder in [&home, &here] {
        let left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["canary"]);
        assert_eq!(fs::read_to_string(folder.path().join("canary")).unwrap(), "alive");
    }
    for folder in [
        "/",
        "/etc",
        "/azp",
        "/tmp",
        "/var/tmp",
        "/usr/local/bin",
        "/usr/local/share",
        "/home",
        "/root",
    ] {
        let file = Path::new(folder).join("demo-script-was-here");
        assert!(!file.exists(), "{}", file.display());
    }
    assert_eq!(host_name(), before);
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "somebody was here"
    );
}

#[test]
fn missing_tools_are_named_and_not_blamed_on_the_script() {
    for (line, named) in [
        ("token=$(no-such-cloud-tool login)", "It needs no-such-cloud-tool"),
        (
            "curl -fsSL https://api.github.com/zen",
            "It wants to reach api.github.com",
        ),
    ] {
        let (_folder, path) = script(&baked(line));
        let said = demo(&path, &[]);
        said.assert_finding("missing", named);
        assert_eq!((said.code, said.of("bad").len()), (2, 0), "{}", said.all);
    }
    let (_folder, path) = script("#!/opt/no/such/shell\n");
    let said = demo(&path, &[]);
    said.assert_finding("missing", "It needs /opt/no/such/shell");
    assert_eq!(said.code, 2, "{}", said.all);
}

#[test]
fn without_namespaces_nothing_is_run_and_the_switch_is_named() {
    let (folder, path) = script("#!/bin/sh\necho was run\n");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("demo");
    fs::copy(env!("CARGO_BIN_EXE_demo"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let nobody: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let switch = if rustix::process::geteuid().is_root() {
        nobody
    } else {
        &[]
    };
    // The limit of a user namespace of its own; the machine's stays as it is.
    let output = Command::new("env")
        .args(switch)
        .args(["unshare", "--user", "--map-root-user"])
        .args([
            "sh",
            "-c",
            "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$0\" --script \"$1\"",
        ])
        .args([&program, &path])
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("Nothing was run"), "{said}");
    assert!(said.contains("sysctl user.max_user_namespaces"), "{said}");
    assert!(!said.contains("was run\n"), "{said}");
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_run() {
    let (_folder, path) = script("#!/bin/sh\n");
    let path = path.to_str().unwrap();
    for (arguments, named) in [
        (vec!["--script", "/no/such/script"], "/no/such/script cannot be read"),
        (vec!["--script", path, "--env", "NAME"], "NAME=VALUE"),
        (vec!["--script", path, "--user", "agent"], "--user"),
        (vec!["--script", path, "--grace", "1"], "--grace"),
        (vec!["--script", path, "--keep"], "--keep"),
        (vec!["--once"], "--script"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(&arguments)
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{error}");
        assert!(error.contains(named), "{arguments:?}\n{error}");
    }
}
