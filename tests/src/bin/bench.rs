//! `cargo run --release --bin bench`: the programs against their goals. See docs/performance.md.

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tests::bench::floor::Log;
use tests::bench::machine::{Machine, load};
use tests::bench::report::{Row, table};
use tests::bench::{
    Effort, attack, attack_sidecar, floor, gateway, memory, neighbor, older, reviews, round_trip, sidecar, sizes,
};
use tests::programs::program;

/// Measures webhook and sidecar against their goals: time of a review beside the least that could answer it, memory, wakeups,
/// start, sizes. Takes minutes, needs nothing beyond the loopback. Let the machine do nothing else meanwhile.
#[derive(Parser)]
#[command(name = "bench", max_term_width = 100, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    how: How,
}

/// How much is measured, and how it is told.
#[derive(Args)]
struct How {
    /// Small numbers: shows that everything works, the figures say little
    #[arg(long)]
    quick: bool,
    /// One JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// What else there is to measure, and what this program is as its own child.
#[derive(Subcommand)]
enum Role {
    /// The webhook beside the real Azure Workload Identity webhook, which `cluster build` builds. It listens on port 9443 of all
    /// addresses meanwhile, and has no flag for another
    Neighbor {
        #[command(flatten)]
        how: How,
        /// Program of the Azure Workload Identity webhook
        #[arg(value_parser = attack::existing)]
        azwi: PathBuf,
    },
    /// The webhook beside another build of it, for instance of an older commit: both are called in turn, and the ratio counts
    Older {
        #[command(flatten)]
        how: How,
        /// Program of the other webhook
        #[arg(value_parser = attack::existing)]
        webhook: PathBuf,
    },
    /// The webhook under attack, in the memory limit of the Deployment, while an honest client goes on asking. Needs root for
    /// the limit, which is a control group
    Attack {
        #[command(flatten)]
        how: How,
        /// Another webhook than the one of this repository, for instance an older one
        #[arg(long, value_parser = attack::existing)]
        webhook: Option<PathBuf>,
        /// Another memory limit in MiB than the shipped one
        #[arg(long)]
        limit: Option<u64>,
        /// Only attacks whose names contain this
        #[arg(long)]
        only: Option<String>,
    },
    /// Whoever attacks
    #[command(name = attack::COMMAND, hide = true)]
    Attacker {
        name: String,
        tls: SocketAddr,
        plain: SocketAddr,
        milliseconds: u64,
    },
    /// The sidecar under attack, with the processor and memory that it is shipped with: it is never killed, and its agent goes
    /// within the grace period. Needs root for the limits, which are control groups
    AttackSidecar {
        #[command(flatten)]
        how: How,
        /// Another sidecar than the one of this repository, for instance an older one
        #[arg(long)]
        sidecar: Option<PathBuf>,
        /// Only attacks whose names contain this
        #[arg(long)]
        only: Option<String>,
    },
    /// Requests through the gateway beside direct ones, and a sidecar beside an idle agent, with the processor and memory that the
    /// sidecar is shipped with. Needs root for the limits, which are control groups
    Gateway {
        #[command(flatten)]
        how: How,
    },
    /// The least that can answer a review
    #[command(name = floor::COMMAND, hide = true)]
    Floor {
        folder: PathBuf,
        #[arg(long)]
        log: bool,
    },
    /// One HTTPS request
    #[command(name = round_trip::COMMAND, hide = true)]
    RoundTrip {
        address: SocketAddr,
        path: String,
        ca: PathBuf,
        done: PathBuf,
        body: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Floor { folder, log }) => floor::serve(&folder, if log { Log::Reviews } else { Log::Nothing }),
        Some(Role::RoundTrip {
            address,
            path,
            ca,
            done,
            body,
        }) => round_trip::ask(address, &path, &ca, &done, body.as_deref()),
        Some(Role::Neighbor { how, azwi }) => {
            program("ado-agent-webhook")?;
            runtime()?.block_on(how.tell(async |effort| neighbor::measure(effort, &azwi).await))
        }
        Some(Role::Older { how, webhook }) => {
            program("ado-agent-webhook")?;
            runtime()?.block_on(how.tell(async |effort| older::measure(effort, &webhook).await))
        }
        Some(Role::Attack {
            how,
            webhook,
            limit,
            only,
        }) => runtime()?.block_on(how.tell(async |effort| {
            let plan = attack::Plan {
                lasts: effort.attack,
                webhook: webhook.clone(),
                limit,
                only: only.clone(),
            };
            attack::measure(&plan, &say).await
        })),
        Some(Role::Attacker {
            name,
            tls,
            plain,
            milliseconds,
        }) => {
            let lasts = Duration::from_millis(milliseconds);
            let done = runtime()?.block_on(attack::attack(&name, tls, plain, lasts))?;
            writeln!(std::io::stdout(), "{}", json!(done))?;
            Ok(())
        }
        Some(Role::AttackSidecar { how, sidecar, only }) => {
            program("ado-agent-sidecar")?;
            runtime()?.block_on(
                how.tell(async |_| attack_sidecar::rows(sidecar.as_deref(), only.as_deref(), &|what| say(what)).await),
            )
        }
        Some(Role::Gateway { how }) => {
            program("ado-agent-sidecar")?;
            runtime()?.block_on(how.tell(gateway::measure))
        }
        None => {
            say("building the programs");
            program("ado-agent-webhook")?;
            runtime()?.block_on(arguments.how.tell(measure))
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

impl How {
    /// Measures and prints.
    async fn tell(&self, measure: impl AsyncFnOnce(&Effort) -> anyhow::Result<Vec<Row>>) -> anyhow::Result<()> {
        let effort = if self.quick { Effort::QUICK } else { Effort::FULL };
        let machine = Machine::here();
        let rows = measure(&effort).await?;
        let load_after = load();
        let text = if self.json {
            let result = json!({"machine": machine, "load_after": load_after, "quick": self.quick, "rows": rows});
            format!("{result}\n")
        } else {
            format!("{}, {load_after:.2} at the end\n\n{}", machine.line(), table(&rows))
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}

async fn measure(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    say("measuring reviews");
    rows.extend(reviews::measure(effort).await?);
    say("measuring the webhook's memory");
    rows.extend(memory::measure(effort).await?);
    say("measuring the sidecar");
    rows.extend(sidecar::measure(effort).await?);
    rows.extend(sizes::measure()?);
    Ok(rows)
}

/// Says on the standard error what goes on, so that the standard output holds the result only.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what} ...");
}
