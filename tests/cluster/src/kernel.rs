//! Settings of the kernel that a kubelet changes for the whole machine, and systemd in a privileged container, as kind makes one; a
//! namespace does not keep them in.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const TUNABLES: &[&str] = &[
    // Kubernetes' `pkg/kubelet/cm/container_manager_linux.go`, `setupKernelTunables`.
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    // systemd's `src/core/main.c`, `bump_file_max_and_nr_open`.
    "fs/file-max",
    "fs/nr_open",
    // What the files in `/usr/lib/sysctl.d` of Debian's packages set (sysctl.d(5)).
    "fs/protected_fifos",
    "fs/protected_hardlinks",
    "fs/protected_regular",
    "fs/protected_symlinks",
    "kernel/core_pattern",
    "kernel/core_uses_pid",
    "kernel/pid_max",
    "kernel/sysrq",
    "vm/max_map_count",
];

/// What they are now.
pub(crate) fn read() -> Result<BTreeMap<String, String>> {
    TUNABLES
        .iter()
        .filter(|name| path(name).exists())
        .map(|name| {
            let value = fs::read_to_string(path(name)).with_context(|| format!("cannot read /proc/sys/{name}"))?;
            Ok(((*name).to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// Puts back what differs.
pub(crate) fn restore(before: &BTreeMap<String, String>) -> Result<()> {
    for (name, value) in &read()? {
        if let Some(old) = before.get(name)
            && old != value
        {
            fs::write(path(name), old).with_context(|| format!("cannot set /proc/sys/{name} back to {old}"))?;
        }
    }
    Ok(())
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new("/proc/sys").join(name)
}
