//! `ado-agent-webhook`: crypto provider, configuration, logging, signals, run.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use webhook::config::{Config, Error, LogFormat};

/// `EX_USAGE` of sysexits.h: the configuration is wrong, a restart does not help.
const WRONG_CONFIGURATION: u8 = 64;

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = match Config::read(std::env::args(), |name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(Error::Usage(usage)) => {
            // Nobody reads it if stdout or stderr is closed.
            let _ = usage.print();
            return if usage.use_stderr() {
                ExitCode::from(WRONG_CONFIGURATION)
            } else {
                ExitCode::SUCCESS
            };
        }
        Err(Error::Values(problems)) => {
            log(tracing::Level::INFO, problems.log_format);
            tracing::error!("{problems}");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    log(config.log_level, config.log_format);
    start(config).unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        ExitCode::FAILURE
    })
}

fn start(config: Config) -> anyhow::Result<ExitCode> {
    // One thread, since a review takes microseconds and handing it to another thread costs as much; and one for large reviews.
    // Each further thread would cost an arena of the C library.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        // Between two looks at what has come. Under a flood every step may cost a system call, and reviews wait behind all of them.
        .event_interval(16)
        .enable_all()
        .build()?;
    let code = runtime.block_on(serve(config));
    runtime.shutdown_background();
    code
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (first, shutdown) = tokio::sync::oneshot::channel::<()>();
    let signals = async {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        let _ = first.send(());
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::warn!("second signal: exiting at once");
    };
    let served = async {
        let listeners = webhook::Listeners::bind(&config)?;
        webhook::run(config, listeners, async { drop(shutdown.await) }).await
    };
    tokio::select! {
        result = served => result?,
        () = signals => return Ok(ExitCode::FAILURE),
    }
    Ok(ExitCode::SUCCESS)
}

fn log(level: tracing::Level, format: LogFormat) {
    // kube's client and watcher log every failed request; the webhook logs failures itself, once.
    let clients = if level >= tracing::Level::DEBUG {
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
