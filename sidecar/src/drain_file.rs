//! The drain file: what the agent container's `preStop` hook waits for.
//!
//! It lies in the handoff volume, a tmpfs of mode 1777 that jobs may have filled by the time the pod leaves, so it is made
//! beforehand and overwritten in place. Whoever deletes or replaces it (a job that is root can) changes nothing for us,
//! since we write through the descriptor and read nothing: the hook then waits for no job.

use contract::{DRAIN_FILE_NAME, Drain};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, openat, unlinkat};
use rustix::io::{Errno, pwrite};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The file, held open.
#[derive(Debug)]
pub(crate) struct DrainFile(OwnedFd);

impl DrainFile {
    /// Makes the file below the handoff volume, or takes the one that an earlier run made. `mode` lets the agent read it.
    pub(crate) fn open(volume: &Path, mode: u32) -> io::Result<Self> {
        let volume = rustix::fs::open(
            volume,
            OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY,
            Mode::empty(),
        )?;
        // Not even a pipe that somebody put there makes us wait.
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if let Ok(file) = openat(&volume, DRAIN_FILE_NAME, flags, Mode::empty())
            && is_ours(&file)?
        {
            return Ok(Self(file));
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
        fchmod(&file, Mode::from_raw_mode(mode))?;
        Ok(Self(file))
    }

    /// Overwrites the line.
    pub(crate) fn write(&self, drain: Drain) -> io::Result<()> {
        let line = drain.line();
        let written = rustix::io::retry_on_intr(|| pwrite(&self.0, line.as_bytes(), 0))?;
        // So few bytes are written at once or not at all.
        if written == line.len() {
            Ok(())
        } else {
            Err(Errno::NOSPC.into())
        }
    }
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
    fn is_overwritten_in_place_also_by_the_next_run() {
        let volume = tempfile::tempdir().expect("a directory");
        let path = volume.path().join(DRAIN_FILE_NAME);
        let file = DrainFile::open(volume.path(), 0o644).expect("made");
        file.write(Drain::Serving).expect("written");
        let before = std::fs::metadata(&path).expect("there");
        assert_eq!(before.mode() & 0o7777, 0o644);
        for drain in [Drain::Draining { beat: 7 }, Drain::Drained, Drain::Serving] {
            file.write(drain).expect("written");
            assert_eq!(read(volume.path()), drain.line());
        }
        let next = DrainFile::open(volume.path(), 0o644).expect("taken");
        next.write(Drain::Drained).expect("written");
        let after = std::fs::metadata(&path).expect("there");
        assert_eq!((after.ino(), after.len()), (before.ino(), before.len()));
    }

    #[test]
    fn what_somebody_put_in_its_place_is_neither_written_nor_waited_for() {
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
            let file = DrainFile::open(volume.path(), 0o644).expect("made");
            file.write(Drain::Drained).expect("written");
            assert_eq!(read(volume.path()), Drain::Drained.line());
            assert_eq!(std::fs::read_to_string(&victim).expect("readable"), "untouched");
            // A job that takes it away later keeps nobody but its own hook.
            std::fs::remove_file(&path).expect("removed");
            file.write(Drain::Serving).expect("written");
            assert!(!path.exists());
        }
    }
}
