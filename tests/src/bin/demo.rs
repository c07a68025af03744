//! `cargo run --bin demo`: one agent from `kubectl apply` to removed, without a secret.

use clap::Parser;
use contract::Handoff;
use std::ffi::OsString;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tests::agent_package::AgentChoice;
use tests::demo::script::{self, Options, Script};
use tests::demo::stage::Stage;
use tests::demo::{Format, Story, TOOLS, Teller};
use tests::kubelet::{Isolation, find_tool};
use tests::programs::program;

/// Shows one agent from `kubectl apply` to removed, without a secret. Needs no root, no cluster, and no network beyond the
/// loopback. Azure, the API server and the kubelet are imitated; webhook, sidecar and start script are real.
#[derive(Parser)]
#[command(name = "demo")]
struct Args {
    /// Which story; `all` tells one after the other
    #[arg(long, value_name = "NAME", default_value = "deployment")]
    story: String,
    /// List the stories
    #[arg(long)]
    list: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: AgentChoice,
    /// Leave emulators and webhook running at the end, and say how to talk to them
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    own: Own,
}

/// A script of the person's own.
#[derive(clap::Args)]
struct Own {
    /// Try this start script of an agent image, unmodified, in a sandbox: registers, runs a job, is deleted idle, busy and
    /// early. Exit code 0: all well; 1: something bad; 2: it could not be tried
    #[arg(long, value_name = "PATH", conflicts_with_all = ["story", "list", "keep"])]
    script: Option<PathBuf>,
    /// The user that the script runs as, by number; 0 is root
    #[arg(long, value_name = "UID", default_value_t = 1000, requires = "script")]
    user: u32,
    /// A variable of the image or of the pod; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, requires = "script")]
    env: Vec<(String, String)>,
    /// How the agent container gets what it needs: token-file or gateway
    #[arg(long, value_name = "HANDOFF", default_value = "token-file", value_parser = handoff, requires = "script")]
    handoff: Handoff,
    /// Also run it with --once in a Job
    #[arg(long, requires = "script")]
    once: bool,
    /// Grace period of the pods in seconds; in a cluster the webhook's default is an hour
    #[arg(long, value_name = "SECONDS", default_value_t = 40, value_parser = clap::value_parser!(u64).range(10..=3600), requires = "script")]
    grace: u64,
    /// This is the process in the sandbox.
    #[arg(long, hide = true, requires = "script")]
    inside: bool,
}

fn handoff(argument: &str) -> Result<Handoff, String> {
    Handoff::parse(argument).ok_or_else(|| "this is neither token-file nor gateway".to_owned())
}

/// Splits `NAME=VALUE`.
fn variable(argument: &str) -> Result<(String, String), String> {
    match argument.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("this is not NAME=VALUE".to_owned()),
    }
}

const BUILDING: &str = "Building webhook, sidecar and stub agent (the first time takes minutes) …";

impl Args {
    fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let teller = Teller::new(std::io::stdout(), args.format());
    if args.list {
        for story in Story::ALL {
            teller.entry(story.name(), story.title());
        }
        return ExitCode::SUCCESS;
    }
    if let Some(path) = &args.own.script {
        return own_script(path, &args, &teller).await;
    }
    let stories = match (args.story.as_str(), Story::parse(&args.story)) {
        ("all", _) => Story::ALL.to_vec(),
        (_, Some(story)) => vec![story],
        (name, None) => {
            let names: Vec<&str> = Story::ALL.into_iter().map(Story::name).collect();
            complain(&format!(
                "there is no story {name}; there are {}, and all (--list says what each shows)",
                names.join(", ")
            ));
            return ExitCode::from(2);
        }
    };
    if let Err(sentence) = tools() {
        complain(&sentence);
        return ExitCode::from(2);
    }
    teller.head("isolation", &format!("Containers: {}.", Isolation::detect()));
    teller.head("agent", &format!("Agent: {}.", args.agent));
    teller.head("building", BUILDING);
    let built = tokio::task::spawn_blocking(|| program("ado-agent-webhook")).await;
    if let Err(error) = built.map_err(anyhow::Error::from).flatten() {
        complain(&format!("they could not be built: {error:#}"));
        return ExitCode::FAILURE;
    }
    let has_more = stories.len() == 1 && !args.json;
    for story in stories {
        if let Err(error) = tell(story, &args).await {
            complain(&format!(
                "the story {} did not end as it should: {error:#}",
                story.name()
            ));
            return ExitCode::FAILURE;
        }
    }
    if has_more {
        teller.head("more", "Other stories: cargo run --bin demo -- --list");
    }
    ExitCode::SUCCESS
}

/// Tries a script of the person's own: outside, opens the sandbox and starts this program in it again.
async fn own_script(path: &Path, args: &Args, teller: &Teller) -> ExitCode {
    let own = &args.own;
    let read = if own.inside {
        Script::read_inside()
    } else {
        Script::read(path)
    };
    let script = match read {
        Ok(script) => script,
        Err(error) => {
            complain(&format!("{error:#}"));
            return ExitCode::from(2);
        }
    };
    let options = Options {
        script,
        agent: args.agent.clone(),
        user: own.user,
        env: own.env.clone(),
        handoff: own.handoff,
        once: own.once,
        grace: Duration::from_secs(own.grace),
    };
    let tried = if own.inside {
        script::run_inside(&options, teller).await
    } else {
        if let Err(sentence) = tools().and_then(|()| script::check()) {
            complain(&sentence);
            return ExitCode::from(2);
        }
        teller.head("agent", &format!("Agent: {}.", args.agent));
        teller.head("building", BUILDING);
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        script::run(&options, &arguments).await
    };
    match tried {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            complain(&format!("The script could not be tried: {error:#}"));
            ExitCode::from(2)
        }
    }
}

async fn tell(story: Story, args: &Args) -> anyhow::Result<()> {
    let teller = Teller::new(std::io::stdout(), args.format());
    teller.head("story", &format!("\n{}", story.title()));
    let stage = story.stage(args.agent.clone()).await?;
    story.tell(&stage, &teller).await?;
    teller.head("end", "The story ended as it should.");
    if args.keep {
        keep(&stage, &teller).await?;
    }
    Ok(())
}

/// Leaves everything up until Ctrl-C.
async fn keep(stage: &Stage, teller: &Teller) -> anyhow::Result<()> {
    let control = stage
        .world
        .serve_control(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await?;
    let ca = stage.ca_file();
    let ca = ca.display();
    let (organization, entra) = (stage.world.organization_url(), stage.world.authority_url());
    let lines = [
        "Everything is still up. Ctrl-C ends it.".to_owned(),
        format!(
            "What the emulators can do, and how to break them: curl http://{}/",
            control.address()
        ),
        format!(
            "Azure DevOps: curl --cacert {ca} -u :$(curl -sX POST http://{}/tokens/azp-agents -d '{{}}') {organization}/_apis/distributedtask/pools",
            control.address()
        ),
        format!(
            "Entra: curl --cacert {ca} {entra}/{}/v2.0/.well-known/openid-configuration",
            stage.world.settings.tenant
        ),
        format!(
            "The webhook: curl http://{}/readyz and /metrics; reviews go to https://{}/mutate",
            stage.webhook.plain_address(),
            stage.webhook.tls_address()
        ),
    ];
    for line in lines {
        teller.head("keep", &line);
    }
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// Names every program that is missing, and how to get it.
fn tools() -> Result<(), String> {
    let missing: Vec<(&str, &str)> = TOOLS
        .into_iter()
        .filter(|(tool, _)| find_tool(tool).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(tool, _)| *tool).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let packages = packages.join(" ");
    Err(format!(
        "The start scripts of agent images need {}, which this machine does not have.\n  Debian, Ubuntu: sudo apt-get install {packages}\n  Fedora:         sudo dnf install {packages}\n  Alpine:         sudo apk add {packages}",
        names.join(" and ")
    ))
}

fn complain(sentence: &str) {
    // Nothing can be done where the standard error is gone.
    let _ = writeln!(std::io::stderr(), "{sentence}");
}
