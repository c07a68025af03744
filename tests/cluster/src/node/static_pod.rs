//! A service of a node of kind that its kubelet keeps running, as a static pod: the API server. What the kubelet runs is what
//! its folder of manifests says, so the service is killed by taking its manifest away, and comes back with it.

use super::Node;
use crate::command::until;
use crate::runtime;
use crate::service::Program;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// Where kubeadm has the kubelet look.
const MANIFESTS: &str = "etc/kubernetes/manifests";
/// Its command line in the manifest: kubeadm writes no `args`.
const COMMAND: &str = "/spec/containers/0/command";

/// Keeps the manifest for later, and answers the command line in it.
pub(crate) fn program(node: &Node, name: &str) -> Result<Program> {
    let file = manifest(node, name);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let pod: Value = serde_saphyr::from_str(&text).with_context(|| format!("{} is no manifest", file.display()))?;
    runtime::write(&kept(node, name), &pod.to_string())?;
    let words = pod.pointer(COMMAND).and_then(Value::as_array);
    let words = words.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let words: Vec<String> = words.collect();
    let (program, arguments) = words
        .split_first()
        .with_context(|| format!("{} names no command", file.display()))?;
    Ok(Program {
        name: name.to_owned(),
        program: program.into(),
        arguments: arguments.to_vec(),
        environment: Vec::new(),
    })
}

/// Puts the manifest back, with this command line.
pub(super) fn start(node: &Node, program: &Program) -> Result<()> {
    let file = kept(node, &program.name);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut pod: Value = serde_json::from_str(&text)?;
    let command = pod.pointer_mut(COMMAND).context("the manifest has a command")?;
    let words =
        std::iter::once(program.program.to_string_lossy().into_owned()).chain(program.arguments.iter().cloned());
    *command = words.collect();
    // All of it or nothing, and not under a name that the kubelet reads before it is complete.
    let target = manifest(node, &program.name);
    let new = target.with_file_name(format!(".{}.new", program.name));
    runtime::write(&new, &pod.to_string())?;
    fs::rename(&new, &target).with_context(|| format!("cannot make {}", target.display()))
}

/// Takes the manifest away and kills the process, which the kubelet would give half a minute.
pub(super) fn kill(node: &Node, name: &str) -> Result<()> {
    match fs::remove_file(manifest(node, name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove the manifest of {name}"));
        }
        _ => {}
    }
    until(
        &format!("the end of {name}"),
        Duration::from_secs(60),
        &node.interrupt,
        || {
            let running = running(node, name)?;
            for container in &running {
                // The kubelet may have been faster.
                let _ = node.ctr(&["--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", container]);
            }
            match running.is_empty() {
                true => Ok(Some(())),
                false => bail!("{running:?} still run"),
            }
        },
    )
}

/// Whether the kubelet is told to run it.
pub(super) fn is_there(node: &Node, name: &str) -> bool {
    manifest(node, name).exists()
}

/// Its containers that run.
fn running(node: &Node, name: &str) -> Result<Vec<String>> {
    let label = format!("labels.\"io.kubernetes.container.name\"=={name}");
    let ours = node.ctr(&["--namespace=k8s.io", "containers", "list", "--quiet", &label])?;
    let tasks = node.ctr(&["--namespace=k8s.io", "tasks", "list"])?;
    let runs = |id: &&str| {
        let of_it = tasks.lines().filter(|line| line.starts_with(*id));
        of_it.into_iter().any(|line| line.ends_with("RUNNING"))
    };
    Ok(ours.lines().filter(runs).map(str::to_owned).collect())
}

fn manifest(node: &Node, name: &str) -> PathBuf {
    node.namespaces.root().join(MANIFESTS).join(format!("{name}.yaml"))
}

/// The manifest as kubeadm made it.
fn kept(node: &Node, name: &str) -> PathBuf {
    node.layout.node().join(format!("{name}.json"))
}
