//! One container of a pod: started, probed, restarted in place with the kubelet's back-off.

use super::environment::{self, Environment, expand, list, text};
use super::isolation::Isolation;
use super::objects::Objects;
use super::sandbox::{Mount, Process, Sandbox, User};
use super::state::{Ended, PodState, What};
use super::volumes::Volumes;
use super::{Settings, own_grace};
use anyhow::{Context, anyhow};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{RwLock, watch};

/// What all containers of a pod share.
pub(super) struct Shared {
    pub(super) pod: Value,
    pub(super) settings: Settings,
    pub(super) objects: Objects,
    pub(super) isolation: Isolation,
    pub(super) folder: PathBuf,
    pub(super) volumes: Mutex<Volumes>,
    /// The present lives of the containers, by name.
    pub(super) sandboxes: Mutex<BTreeMap<String, Arc<Sandbox>>>,
    pub(super) state: watch::Sender<PodState>,
    /// True from T0 on: nothing is started or restarted any more. Starts hold it for reading.
    pub(super) terminating: RwLock<bool>,
    pub(super) leaving: watch::Sender<bool>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// What a container is in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// An init container that has to end.
    Init,
    /// A native sidecar.
    Sidecar,
    /// A main container.
    Main,
}

/// Runs a container until it will not be started again.
pub(super) async fn supervise(pod: Arc<Shared>, spec: Value, role: Role) {
    let container = Container { pod, spec, role };
    let mut failures = 0;
    loop {
        let began = Instant::now();
        match container.run_once().await {
            Ok(Some(code)) if container.is_final(code) => return,
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => {
                let error = format!("{error:#}");
                container.record(What::ConfigError(error));
                if container.pause(Duration::from_secs(1)).await {
                    return;
                }
                continue;
            }
        }
        // k8s.io/kubernetes pkg/kubelet: the first restart is immediate, then 10 s doubling to 5 minutes; forgotten after
        // a run of 10 minutes.
        let unit = container.pod.settings.back_off;
        if began.elapsed() > unit * 60 {
            failures = 0;
        }
        let wait = if failures == 0 {
            Duration::ZERO
        } else {
            (unit * 2_u32.pow(failures - 1)).min(unit * 30)
        };
        failures = (failures + 1).min(6);
        container.record(What::BackOff(wait));
        if container.pause(wait).await {
            return;
        }
        container.change(|state, name| state.of(name).restarts += 1);
    }
}

/// Kills a container's main process, and says so in the pod's history.
pub(super) fn kill(pod: &Shared, name: &str, process: Process) {
    pod.state.send_modify(|state| state.record(name, What::Killed));
    send(process, &pod.isolation, Signal::KILL);
}

/// Sends a signal to a process that this kubelet double started.
pub(super) fn send(process: Process, isolation: &Isolation, signal: Signal) {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    // It may have ended in between.
    let _ = match isolation {
        Isolation::Rewritten(_) if signal == Signal::KILL => rustix::process::kill_process_group(pid, signal),
        Isolation::Root | Isolation::Unprivileged | Isolation::Rewritten(_) => {
            rustix::process::kill_process(pid, signal)
        }
    };
}

/// A container of a pod, through all its starts.
pub(super) struct Container {
    pub(super) pod: Arc<Shared>,
    pub(super) spec: Value,
    role: Role,
}

impl Container {
    pub(super) fn name(&self) -> &str {
        text(&self.spec, "/name")
    }

    fn record(&self, what: What) {
        self.change(|state, name| state.record(name, what));
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut PodState, &str)) {
        self.pod.state.send_modify(|state| change(state, self.name()));
    }

    /// Whether the container is not started again after this exit code.
    fn is_final(&self, code: i32) -> bool {
        let policy = self.pod.pod["spec"]["restartPolicy"].as_str().unwrap_or("Always");
        match (self.role, policy) {
            (Role::Sidecar, _) | (Role::Main, "Always") => false,
            (Role::Init, "Never") | (Role::Main, "Never") => true,
            (Role::Init | Role::Main, _) => code == 0,
        }
    }

    /// Waits; true where the pod began to leave.
    async fn pause(&self, wait: Duration) -> bool {
        let mut leaving = self.pod.leaving.subscribe();
        tokio::select! {
            () = tokio::time::sleep(wait) => *self.pod.leaving.borrow(),
            _ = leaving.wait_for(|leaving| *leaving) => true,
        }
    }

    /// One life of the container; `None`: the pod is leaving and it was not started, or ended while the pod was leaving.
    async fn run_once(&self) -> anyhow::Result<Option<i32>> {
        let (sandbox, mut child, process, message) = {
            let terminating = self.pod.terminating.read().await;
            if *terminating {
                return Ok(None);
            }
            let (sandbox, command, message) = self.prepare()?;
            let log = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.folder().join("log"))?;
            let sandbox = Arc::new(sandbox);
            let (child, process) = sandbox.start(&command, log).await?;
            self.pod
                .sandboxes
                .lock()
                .expect("no user of the sandboxes panics")
                .insert(self.name().to_owned(), sandbox.clone());
            let has_probe = self.spec.get("startupProbe").is_some();
            self.change(|state, name| {
                let container = state.of(name);
                container.process = Some(process);
                container.started = !has_probe;
                state.record(name, What::Started);
            });
            (sandbox, child, process, message)
        };
        let status = tokio::select! {
            status = child.wait() => status,
            () = self.probe_readiness(&sandbox, process) => child.wait().await,
            () = self.probe_until_started(&sandbox, process) => {
                self.record(What::ProbeGaveUp);
                send(process, &self.pod.isolation, Signal::TERM);
                match tokio::time::timeout(own_grace(&self.pod.pod), child.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        kill(&self.pod, self.name(), process);
                        child.wait().await
                    }
                }
            }
        };
        let status = status.context("waiting for the container")?;
        if let Isolation::Rewritten(_) = self.pod.isolation {
            // A container's end is the end of all its processes.
            send(process, &self.pod.isolation, Signal::KILL);
        }
        // unshare cannot hand SIGKILL on, so the history has to say it.
        let code = match status.code() {
            Some(_) | None if self.was_killed() => 128 + Signal::KILL.as_raw(),
            Some(code) => code,
            None => 128 + status.signal().unwrap_or_default(),
        };
        let ended = Ended {
            code,
            message: std::fs::read_to_string(message).unwrap_or_default(),
        };
        self.change(|state, name| {
            let container = state.of(name);
            container.process = None;
            container.started = false;
            container.ready = container.ready.map(|_| false);
            container.ended = Some(ended.clone());
            state.record(name, What::Ended(ended));
        });
        Ok(if *self.pod.leaving.borrow() { None } else { Some(code) })
    }

    /// Whether SIGKILL was sent to the present life.
    fn was_killed(&self) -> bool {
        let state = self.pod.state.borrow();
        let mut mine = state.events.iter().rev().filter(|event| event.container == self.name());
        mine.find(|event| matches!(event.what, What::Killed | What::Started))
            .is_some_and(|event| event.what == What::Killed)
    }

    fn folder(&self) -> PathBuf {
        self.pod.folder.join(self.name())
    }

    /// Makes root folder, environment and command of the next life.
    fn prepare(&self) -> anyhow::Result<(Sandbox, Vec<String>, PathBuf)> {
        let pod = &self.pod;
        let image_name = text(&self.spec, "/image");
        let image = pod
            .settings
            .images
            .get(image_name)
            .with_context(|| format!("ErrImagePull: no image \"{image_name}\""))?;
        let lives = pod.state.borrow().container(self.name()).restarts;
        let folder = self.folder().join(format!("life-{lives}"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let message = folder.join("termination-log");
        std::fs::write(&message, "")?;
        std::fs::set_permissions(&message, std::fs::Permissions::from_mode(0o666))?;
        let message_path = self.spec["terminationMessagePath"]
            .as_str()
            .unwrap_or("/dev/termination-log");
        let mut mounts: Vec<Mount> = list(&self.spec, "volumeMounts")
            .map(|mount| self.mount(mount))
            .collect::<Result<_, _>>()?;
        mounts.push(Mount {
            host: message.clone(),
            path: message_path.to_owned(),
            read_only: false,
        });
        let name = text(&pod.pod, "/metadata/name");
        let mut sandbox = Sandbox::prepare(&folder, &pod.isolation, image, name, mounts)?;
        let environment = environment::build(&pod.pod, &self.spec, &image.env, &pod.objects)
            .map_err(|error| anyhow!("CreateContainerConfigError: {error}"))?;
        sandbox.user = self.user(image.user);
        if let Some(directory) = self.spec["workingDir"].as_str() {
            directory.clone_into(&mut sandbox.directory);
        }
        let command = self.command(&image.entrypoint, &environment);
        sandbox.environment = environment;
        Ok((sandbox, command, message))
    }

    fn command(&self, entrypoint: &[String], environment: &Environment) -> Vec<String> {
        let strings = |name: &str| -> Option<Vec<String>> {
            let list = self.spec[name].as_array()?.iter().filter_map(Value::as_str);
            Some(list.map(|text| expand(text, environment)).collect())
        };
        let mut command = strings("command").unwrap_or_else(|| entrypoint.to_vec());
        command.extend(strings("args").unwrap_or_default());
        command
    }

    fn mount(&self, mount: &Value) -> anyhow::Result<Mount> {
        let volume = text(mount, "/name");
        let volumes = self.pod.volumes.lock().expect("no user of the volumes panics");
        let host = volumes.path(volume).join(text(mount, "/subPath"));
        anyhow::ensure!(host.exists(), "the pod has no volume \"{volume}\"");
        Ok(Mount {
            host,
            path: text(mount, "/mountPath").to_owned(),
            read_only: mount["readOnly"].as_bool().unwrap_or(false),
        })
    }

    fn user(&self, image: (u32, u32)) -> User {
        let number = |key: &str| {
            let own = &self.spec["securityContext"][key];
            let value = if own.is_null() {
                &self.pod.pod["spec"]["securityContext"][key]
            } else {
                own
            };
            value.as_u64().and_then(|value| u32::try_from(value).ok())
        };
        let uid = number("runAsUser").unwrap_or(image.0);
        let gid = number("runAsGroup").unwrap_or(if uid == image.0 { image.1 } else { 0 });
        User {
            uid,
            gid,
            groups: number("fsGroup").into_iter().collect(),
            no_new_privileges: self.spec["securityContext"]["allowPrivilegeEscalation"] == false,
        }
    }
}
