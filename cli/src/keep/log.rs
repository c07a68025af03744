//! The log, as the webhook writes it: to stderr, for people or as one JSON object a line.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

pub(super) fn start(level: Level, format: LogFormat) {
    // kube's client and watcher log every failed request; we log failures ourselves, once.
    let clients = if level >= Level::DEBUG {
        level.into()
    } else {
        LevelFilter::OFF
    };
    let levels = Targets::new()
        .with_default(level)
        .with_target("kube_client", clients)
        .with_target("kube_runtime", clients);
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false);
    match format {
        LogFormat::Text => builder.with_ansi(false).finish().with(levels).init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().with(levels).init(),
    }
}
