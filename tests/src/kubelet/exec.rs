//! Commands that the kubelet runs inside a container: startup and readiness probe and the `preStop` hook.

use super::container::{Container, Shared};
use super::environment::{list, text};
use super::sandbox::{Process, Sandbox};
use super::state::What;
use serde_json::Value;
use std::time::Duration;

/// How often a readiness probe is asked, whatever the pod says: the real kubelet's ten seconds would be waited for in every test.
const READINESS_PERIOD: Duration = Duration::from_millis(500);

/// What an `exec` action runs; empty where there is none.
fn command(exec: &Value) -> Vec<String> {
    list(exec, "command")
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

impl Container {
    /// Asks the readiness probe once the container has started, and for as long as it runs.
    pub(super) async fn probe_readiness(&self, sandbox: &Sandbox, process: Process) {
        let probe = &self.spec["readinessProbe"];
        let command = command(&probe["exec"]);
        if command.is_empty() {
            return std::future::pending().await;
        }
        let timeout = Duration::from_secs(probe["timeoutSeconds"].as_u64().unwrap_or(1));
        loop {
            tokio::time::sleep(READINESS_PERIOD).await;
            let (was_started, was_ready) = {
                let container = self.pod.state.borrow().container(self.name());
                (container.started, container.ready)
            };
            if !was_started {
                continue;
            }
            let (passed, output) = ask(sandbox, process, &command, timeout).await;
            if was_ready != Some(passed) {
                self.change(|state, name| {
                    state.of(name).ready = Some(passed);
                    state.record(name, if passed { What::Ready } else { What::NotReady(output) });
                });
            }
        }
    }

    /// Asks the startup probe until it passes, then waits forever; returns where it failed too often.
    pub(super) async fn probe_until_started(&self, sandbox: &Sandbox, process: Process) {
        let probe = &self.spec["startupProbe"];
        let command = command(&probe["exec"]);
        if command.is_empty() {
            return std::future::pending().await;
        }
        let seconds = |key: &str, default: u64| Duration::from_secs(probe[key].as_u64().unwrap_or(default));
        let (period, timeout) = (seconds("periodSeconds", 10), seconds("timeoutSeconds", 1));
        let threshold = probe["failureThreshold"].as_u64().unwrap_or(3);
        tokio::time::sleep(seconds("initialDelaySeconds", 0)).await;
        let mut failures = 0;
        loop {
            let next = tokio::time::Instant::now() + period;
            let (passed, output) = ask(sandbox, process, &command, timeout).await;
            let fresh = self.pod.state.borrow().container(self.name()).probe != output;
            self.change(|state, name| {
                state.of(name).probe.clone_from(&output);
                if passed {
                    state.of(name).started = true;
                    state.record(name, What::ProbePassed);
                } else if fresh {
                    state.record(name, What::ProbeFailed(output));
                }
            });
            if passed {
                return std::future::pending().await;
            }
            failures += 1;
            if failures >= threshold {
                return;
            }
            tokio::time::sleep_until(next).await;
        }
    }
}

async fn ask(sandbox: &Sandbox, process: Process, command: &[String], timeout: Duration) -> (bool, String) {
    let mut probe = match sandbox.exec(process, command) {
        Ok(probe) => probe,
        Err(error) => return (false, format!("{error:#}")),
    };
    match tokio::time::timeout(timeout, probe.output()).await {
        Ok(Ok(output)) => {
            let said = [output.stdout, output.stderr].concat();
            (
                output.status.success(),
                String::from_utf8_lossy(&said).trim().to_owned(),
            )
        }
        Ok(Err(error)) => (false, error.to_string()),
        Err(_) => (false, format!("command timed out after {} s", timeout.as_secs())),
    }
}

/// The `preStop` hook of a container that runs; `None` where it has none.
pub(super) fn hook(pod: &Shared, spec: &Value, process: Process) -> Option<tokio::process::Command> {
    let exec = spec.pointer("/lifecycle/preStop/exec")?;
    let command = command(exec);
    let sandboxes = pod.sandboxes.lock().expect("no user of the sandboxes panics");
    sandboxes.get(text(spec, "/name"))?.exec(process, &command).ok()
}
