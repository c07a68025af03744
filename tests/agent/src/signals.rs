//! What signals do to the listener, which depends on its .NET and on who started it.

use crate::{AgentVersion, Code, say};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells the listener to end, with this exit code.
pub(crate) type Stop = watch::Receiver<Option<Code>>;

/// SIGINT ends the listener in order. SIGTERM does so on .NET 8; on .NET 10 nobody handles it, so it ends the process at once,
/// or does nothing to process 1.
///
/// A signal that was ignored when the process started stays ignored: that is how shells start background commands of scripts.
pub(crate) fn listen(version: AgentVersion) -> std::io::Result<Stop> {
    let (tell, stop) = watch::channel(None);
    let ignored = ignored();
    let mut handled = vec![(SignalKind::interrupt(), Code::Success)];
    if version == AgentVersion::V4 {
        handled.push((SignalKind::terminate(), Code::Terminated));
    }
    for (kind, code) in handled {
        if ignored & (1 << (kind.as_raw_value() - 1)) != 0 {
            continue;
        }
        let mut received = signal(kind)?;
        let tell = tell.clone();
        tokio::spawn(async move {
            received.recv().await;
            say("Exiting...");
            let _ = tell.send(Some(code));
        });
    }
    Ok(stop)
}

/// Resolves when the listener has to end; never, where no signal can tell it to.
pub(crate) async fn stopped(stop: &mut Stop) -> Code {
    match stop.wait_for(Option::is_some).await.map(|code| *code) {
        Ok(Some(code)) => code,
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

/// The signals that this process ignores, as a mask (proc(5)).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}
