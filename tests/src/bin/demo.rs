//! `cargo run --bin demo`: one agent from `kubectl apply` to removed, without a secret.

use clap::Parser;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use tests::agent_package::AgentChoice;
use tests::demo::stage::Stage;
use tests::demo::{Story, TOOLS, Teller};
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
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let teller = Teller::new(std::io::stdout(), args.json);
    if args.list {
        for story in Story::ALL {
            teller.entry(story.name(), story.title());
        }
        return ExitCode::SUCCESS;
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
    teller.head(
        "building",
        "Building webhook, sidecar and stub agent (the first time takes minutes) …",
    );
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

async fn tell(story: Story, args: &Args) -> anyhow::Result<()> {
    let teller = Teller::new(std::io::stdout(), args.json);
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
    let (organisation, entra) = (stage.world.organisation_url(), stage.world.authority_url());
    let lines = [
        "Everything is still up. Ctrl-C ends it.".to_owned(),
        format!(
            "What the emulators can do, and how to break them: curl http://{}/",
            control.address()
        ),
        format!(
            "Azure DevOps: curl --cacert {ca} -u :$(curl -sX POST http://{}/tokens/azp-agents -d '{{}}') {organisation}/_apis/distributedtask/pools",
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
