//! The node's services: killed, started again with other flags, and set back afterwards, whoever keeps them running.

use super::{Node, static_pod, unit};
use crate::command::until;
use crate::control_plane::FIRST_SERVICE_ADDRESS;
use crate::process::Process;
use crate::service::{Program, Service};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The others need it, so it is set back first.
const API_SERVER: &str = "kube-apiserver";
const KUBELET: &str = "kubelet";
/// Its flags that name what signs the tokens it accepts. The first issuer's tokens are its own.
const ACCEPTED: [&str; 2] = ["--service-account-key-file=", "--service-account-issuer="];

/// What kubectl is told to ask whether the API server is ready.
const READY: [&str; 3] = ["get", "--raw", "/readyz"];
/// How long it may take to come back.
const LIMIT: Duration = Duration::from_secs(120);

/// Who keeps a service running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Keeper {
    /// Nobody: it is a process that we have started.
    Nobody(Process),
    /// systemd in the container of a node of kind.
    Systemd,
    /// The kubelet of a node of kind, as long as there is a manifest.
    Kubelet,
}

impl Node {
    /// Every service with the command line that it was started with last.
    pub fn programs(&self) -> Vec<Program> {
        let services = &self.state().services;
        services.values().map(|(program, _)| program.clone()).collect()
    }

    /// Notes what a node of kind keeps running itself, with the command lines that they have now.
    pub(crate) fn adopt_services(&self) -> Result<()> {
        for (program, keeper) in [
            (unit::program(self, KUBELET)?, Keeper::Systemd),
            (static_pod::program(self, API_SERVER)?, Keeper::Kubelet),
        ] {
            self.change(|state| drop(state.services.insert(program.name.clone(), (program, keeper))))?;
        }
        Ok(())
    }

    /// Starts a service in the node's world and notes it.
    pub fn start(&self, program: &Program) -> Result<()> {
        let before = self.state().services.get(&program.name).map(|(_, keeper)| *keeper);
        let keeper = match before {
            Some(keeper @ Keeper::Systemd) => unit::start(self, program).map(|()| keeper)?,
            Some(keeper @ Keeper::Kubelet) => static_pod::start(self, program).map(|()| keeper)?,
            Some(Keeper::Nobody(_)) | None => {
                let service = program.start(&self.namespaces, &self.layout.logs(), &self.interrupt)?;
                let process = service.process;
                self.services().push(service);
                Keeper::Nobody(process)
            }
        };
        self.change(|state| drop(state.services.insert(program.name.clone(), (program.clone(), keeper))))
    }

    /// Kills a service, as if its process had crashed and nobody started it again, and waits until it is gone.
    pub fn kill(&self, name: &str) -> Result<()> {
        match self.service(name)?.1 {
            Keeper::Systemd => unit::kill(self, name),
            Keeper::Kubelet => static_pod::kill(self, name),
            Keeper::Nobody(process) => {
                self.services().retain(|service| service.name != name);
                process.signal(Signal::KILL)?;
                let what = format!("the end of {name}");
                until(&what, Duration::from_secs(30), &self.interrupt, || {
                    Ok(process.is_gone().then_some(()))
                })
            }
        }
    }

    /// Starts a service again that was killed, with the same command line but for `change`.
    pub fn start_again(&self, name: &str, change: impl FnOnce(&mut Program)) -> Result<()> {
        let (mut program, keeper) = self.service(name)?;
        ensure!(!self.keeps(name, keeper), "{name} still runs");
        change(&mut program);
        self.start(&program)
    }

    /// Kills a service and starts it again with the same command line but for `change`.
    pub fn restart(&self, name: &str, change: impl FnOnce(&mut Program)) -> Result<()> {
        self.kill(name)?;
        self.start_again(name, change)
    }

    /// Whether a service runs, or is about to.
    fn keeps(&self, name: &str, keeper: Keeper) -> bool {
        match keeper {
            Keeper::Nobody(process) => process.runs(),
            Keeper::Systemd => unit::runs(self, name),
            Keeper::Kubelet => static_pod::is_there(self, name),
        }
    }

    fn service(&self, name: &str) -> Result<(Program, Keeper)> {
        let service = self.state().services.get(name).cloned();
        service.with_context(|| format!("the node has no service {name}"))
    }

    /// An error if a service that this process has started has ended.
    pub fn check(&self) -> Result<()> {
        self.services().iter_mut().try_for_each(Service::check)
    }

    /// Starts those again that have ended or run with another command line than this. What the API server accepts it accepts from
    /// then on: pods that have started meanwhile hold tokens of the other key for up to an hour.
    pub fn set_back(&self, programs: &[Program]) -> Result<()> {
        let mut programs = programs.to_vec();
        programs.sort_by_key(|program| program.name != API_SERVER);
        for mut program in programs {
            let (current, keeper) = self.service(&program.name)?;
            if program.name == API_SERVER {
                accept_also(&mut program.arguments, &current.arguments);
            }
            if self.keeps(&program.name, keeper) && current == program {
                continue;
            }
            self.kill(&program.name)?;
            self.start(&program)?;
            if program.name == API_SERVER {
                self.wait_for_api_server()?;
            }
        }
        Ok(())
    }

    /// Waits until the API server says that it is ready.
    pub(crate) fn wait_for_first_answer(&self) -> Result<()> {
        self.wait_for("the API server", LIMIT, &READY)
    }

    /// Waits until the API server says that it is ready, also at the address of its Service, where pods ask: one that is told to end
    /// takes itself out of it, and kube-proxy may learn late that it is back.
    pub fn wait_for_api_server(&self) -> Result<()> {
        self.wait_for_first_answer()?;
        let service = format!("--server=https://{FIRST_SERVICE_ADDRESS}");
        let ask = [&READY[..], &[service.as_str(), "--request-timeout=5s"]].concat();
        self.wait_for("the API server's Service", LIMIT, &ask)
    }
}

/// Adds what the API server accepts now.
fn accept_also(arguments: &mut Vec<String>, now: &[String]) {
    let accepted = |flag: &&String| ACCEPTED.iter().any(|prefix| flag.starts_with(prefix));
    for flag in now.iter().filter(accepted) {
        if !arguments.contains(flag) {
            arguments.push(flag.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::accept_also;

    #[test]
    fn what_is_accepted_now_is_accepted_after_what_was() {
        let flags = |flags: &[&str]| -> Vec<String> { flags.iter().map(|flag| (*flag).to_owned()).collect() };
        let mut before = flags(&[
            "--service-account-issuer=https://a",
            "--service-account-key-file=/1",
            "--service-account-signing-key-file=/1",
        ]);
        let now = flags(&[
            "--service-account-issuer=https://b",
            "--service-account-issuer=https://a",
            "--service-account-key-file=/1",
            "--service-account-signing-key-file=/2",
            "--service-account-key-file=/2",
            "--v=4",
        ]);
        let expected = flags(&[
            "--service-account-issuer=https://a",
            "--service-account-key-file=/1",
            "--service-account-signing-key-file=/1",
            "--service-account-issuer=https://b",
            "--service-account-key-file=/2",
        ]);
        accept_also(&mut before, &now);
        assert_eq!(before, expected);
        accept_also(&mut before, &now);
        assert_eq!(before, expected, "once");
    }
}
