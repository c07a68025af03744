//! A service of a node of kind that systemd keeps running in its container: the kubelet.

use super::Node;
use crate::runtime;
use crate::service::Program;
use anyhow::{Context, Result};
use std::fs;

/// The command line with which systemd runs the unit now.
pub(crate) fn program(node: &Node, name: &str) -> Result<Program> {
    let number = node.run(&["systemctl", "show", "--property=MainPID", "--value", name])?;
    // As the container numbers it, in the container's own /proc.
    let file = node.namespaces.root().join("proc").join(number.trim()).join("cmdline");
    let bytes = fs::read(&file).with_context(|| format!("cannot read {}: does {name} run?", file.display()))?;
    let words: Vec<String> = String::from_utf8(bytes)?
        .split_terminator('\0')
        .map(str::to_owned)
        .collect();
    let (program, arguments) = words.split_first().context("a process without a command line")?;
    Ok(Program {
        name: name.to_owned(),
        program: program.into(),
        arguments: arguments.to_vec(),
        environment: Vec::new(),
    })
}

/// Starts it with this command line instead of the one that its unit puts together of variables.
pub(super) fn start(node: &Node, program: &Program) -> Result<()> {
    add_drop_in(
        node,
        &program.name,
        &format!("ExecStart=\nExecStart={}\n", line(program)),
    )?;
    node.run(&["systemctl", "start", &program.name]).map(drop)
}

/// Adds to a service's unit or replaces what was added before (systemd.unit(5), "drop-in"). It counts from the next start on.
pub(crate) fn add_drop_in(node: &Node, name: &str, lines: &str) -> Result<()> {
    // The number is higher than those of kind's own.
    let folder = node
        .namespaces
        .root()
        .join(format!("etc/systemd/system/{name}.service.d"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    runtime::write(&folder.join("90-suite.conf"), &format!("[Service]\n{lines}"))?;
    node.run(&["systemctl", "daemon-reload"]).map(drop)
}

/// Kills it and keeps systemd from starting it again, which it does after a second.
pub(super) fn kill(node: &Node, name: &str) -> Result<()> {
    // Of one that has ended there is nothing to be killed.
    let _ = node.run(&["systemctl", "kill", "--signal=SIGKILL", name]);
    node.run(&["systemctl", "stop", name]).map(drop)
}

/// Whether systemd says that it runs.
pub(super) fn runs(node: &Node, name: &str) -> bool {
    node.run(&["systemctl", "is-active", name]).is_ok()
}

/// A command line in the words of systemd.service(5), "Command lines".
fn line(program: &Program) -> String {
    let words =
        std::iter::once(program.program.to_string_lossy().into_owned()).chain(program.arguments.iter().cloned());
    let quoted = words.map(|word| {
        let mut escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
        escaped = escaped.replace('%', "%%").replace('$', "$$");
        format!("\"{escaped}\"")
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::service::Program;

    #[test]
    fn what_systemd_would_read_otherwise_is_escaped() {
        let program = Program {
            name: "kubelet".to_owned(),
            program: "/usr/bin/kubelet".into(),
            arguments: ["--a=b c", "--soft=memory<1Gi", r#"--q="$x" 5%\"#]
                .map(str::to_owned)
                .to_vec(),
            environment: Vec::new(),
        };
        assert_eq!(
            line(&program),
            r#""/usr/bin/kubelet" "--a=b c" "--soft=memory<1Gi" "--q=\"$$x\" 5%%\\""#
        );
    }
}
