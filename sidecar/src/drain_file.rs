//! The drain file: what the agent container's `preStop` hook waits for.
//!
//! It lies in the handoff volume, a tmpfs of mode 1777 that jobs may have filled by the time the pod terminates, so it is made
//! beforehand and overwritten in place. A job that deletes or replaces it (as root it can) does not affect the sidecar, which
//! writes through the descriptor and reads nothing: the hook then waits for no job.

use contract::{DRAIN_FILE_NAME, Drain};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, openat, unlinkat};
use rustix::io::{Errno, pwrite};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The file, held open from the first line on.
#[derive(Debug)]
pub(crate) struct DrainFile {
    volume: PathBuf,
    mode: Mode,
    file: Option<OwnedFd>,
}

impl DrainFile {
    /// The file below the handoff volume; nothing is opened yet. `mode` lets the agent read it.
    pub(crate) fn new(volume: &Path, mode: u32) -> Self {
        Self {
            volume: volume.to_owned(),
            mode: Mode::from_raw_mode(mode),
            file: None,
        }
    }

    /// Overwrites the line.
    pub(crate) fn write(&mut self, drain: Drain) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open(&self.volume, self.mode)?,
        };
        let line = drain.line();
        let written = rustix::io::retry_on_intr(|| pwrite(&file, line.as_bytes(), 0));
        self.file = Some(file);
        // So few bytes are written completely or not at all.
        if written? == line.len() {
            Ok(())
        } else {
            Err(Errno::NOSPC.into())
        }
    }
}

/// Creates the file, or opens the one that an earlier run created.
fn open(volume: &Path, mode: Mode) -> io::Result<OwnedFd> {
    let volume = rustix::fs::open(
        volume,
        OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY,
        Mode::empty(),
    )?;
    // Not even a named pipe in its place can block us.
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(file) = openat(&volume, DRAIN_FILE_NAME, flags, Mode::empty())
        && is_ours(&file)?
    {
        return Ok(file);
    }
    match unlinkat(&volume, DRAIN_FILE_NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let file = openat(
        &volume,
        DRAIN_FILE_NAME,
        flags | OFlags::CREATE | OFlags::EXCL,
        Mode::from_raw_mode(0o600),
    )?;
    // Whatever the umask.
    fchmod(&file, mode)?;
    Ok(file)
}

/// Whether it is the file that an earlier run made: a link to another file would have us overwrite that.
fn is_ours(file: &OwnedFd) -> io::Result<bool> {
    let stat = fstat(file)?;
    let owner = rustix::process::geteuid().as_raw();
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_uid == owner && stat.st_nlink == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn read(volume: &Path) -> String {
        std::fs::read_to_string(volume.join(DRAIN_FILE_NAME)).expect("readable")
    }

    #[test]
    fn the_file_is_overwritten_in_place_also_by_the_next_run() {
        let volume = tempfile::tempdir().expect("a directory");
        let path = volume.path().join(DRAIN_FILE_NAME);
        let mut file = DrainFile::new(volume.path(), 0o644);
        file.write(Drain::Serving).expect("written");
        let before = std::fs::metadata(&path).expect("there");
        assert_eq!(before.mode() & 0o7777, 0o644);
        for drain in [Drain::Draining { heartbeat: 7 }, Drain::Drained, Drain::Serving] {
            file.write(drain).expect("written");
            assert_eq!(read(volume.path()), drain.line());
        }
        let mut next = DrainFile::new(volume.path(), 0o644);
        next.write(Drain::Drained).expect("written");
        let after = std::fs::metadata(&path).expect("there");
        assert_eq!((after.ino(), after.len()), (before.ino(), before.len()));
    }

    #[test]
    fn a_link_or_a_pipe_in_its_place_is_replaced_without_blocking() {
        let volume = tempfile::tempdir().expect("a directory");
        let path = volume.path().join(DRAIN_FILE_NAME);
        let victim = volume.path().join("victim");
        std::fs::write(&victim, "untouched").expect("written");
        let link = || symlink(&victim, &path).expect("linked");
        let hard_link = || std::fs::hard_link(&victim, &path).expect("linked");
        let pipe = || {
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.expect("mkfifo").success());
        };
        for put in [&link as &dyn Fn(), &hard_link, &pipe] {
            put();
            let mut file = DrainFile::new(volume.path(), 0o644);
            file.write(Drain::Drained).expect("written");
            assert_eq!(read(volume.path()), Drain::Drained.line());
            assert_eq!(std::fs::read_to_string(&victim).expect("readable"), "untouched");
            // A job that deletes it later affects only its own hook.
            std::fs::remove_file(&path).expect("removed");
            file.write(Drain::Serving).expect("written");
            assert!(!path.exists());
        }
    }
}
