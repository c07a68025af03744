//! `cargo run --release --bin bench`: the programs against their goals. See docs/performance.md.

use clap::{Parser, Subcommand};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use tests::bench::floor::Log;
use tests::bench::machine::{Machine, load};
use tests::bench::report::{Row, table};
use tests::bench::{Effort, floor, memory, reviews, round_trip, sidecar, sizes};
use tests::programs::program;

/// Measures webhook and sidecar against their goals: time of a review beside the least that could answer it, memory, wakeups,
/// start, sizes. Takes minutes, needs nothing beyond the loopback. Let the machine do nothing else meanwhile.
#[derive(Parser)]
#[command(name = "bench", max_term_width = 100, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Small numbers: shows that everything works, the figures say little
    #[arg(long)]
    quick: bool,
    /// One JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// What this program is as its own child.
#[derive(Subcommand)]
enum Role {
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
        None => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(measure(&arguments)),
    }
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    say("building the programs");
    tokio::task::spawn_blocking(|| program("ado-agent-webhook")).await??;
    let machine = Machine::here();
    let mut rows: Vec<Row> = Vec::new();
    say("measuring reviews");
    rows.extend(reviews::measure(&effort).await?);
    say("measuring the webhook's memory");
    rows.extend(memory::measure(&effort).await?);
    say("measuring the sidecar");
    rows.extend(sidecar::measure(&effort).await?);
    rows.extend(sizes::measure()?);
    let load_after = load();
    let text = if arguments.json {
        let result = json!({"machine": machine, "load_after": load_after, "quick": arguments.quick, "rows": rows});
        format!("{result}\n")
    } else {
        format!("{}, {load_after:.2} at the end\n\n{}", machine.line(), table(&rows))
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Says on the standard error what goes on, so that the standard output holds the result only.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what} ...");
}
