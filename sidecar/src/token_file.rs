//! The token file: never empty, never partial, never in a place that a job chose.
//!
//! The handoff volume is a tmpfs of mode 1777, in which a non-root image could not delete our file, so the file lies in a
//! directory of mode 0777 that we make and hold open. Jobs write there, too: nothing in it is read or trusted, links are
//! never followed, and a file appears by rename only. The volume is memory, so there is no disk to flush to.

use crate::descriptor;
use azure::Secret;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode};
use rustix::fs::{fchmod, fstat, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::{Errno, write};
use rustix::rand::{GetRandomFlags, getrandom};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use tokio::io::unix::AsyncFd;

use contract::{TOKEN_FILE_NAME, TOKEN_SUBDIRECTORY};

const TEMPORARY_PREFIX: &str = ".ado-agent-token-";

/// The file's directory, held open: a job that moves or replaces the directory's name changes nothing for us.
#[derive(Debug)]
pub(crate) struct TokenFile {
    directory: OwnedFd,
    mode: Mode,
    watch: AsyncFd<OwnedFd>,
}

impl TokenFile {
    /// Makes the directory below the handoff volume, or takes the one that an earlier run made, and watches it. Must be
    /// called within the runtime.
    pub(crate) fn open(volume: &Path, mode: u32) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let volume = rustix::fs::open(volume, flags - OFlags::NOFOLLOW, Mode::empty())?;
        if !statat(&volume, TOKEN_SUBDIRECTORY, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        {
            let _ = unlinkat(&volume, TOKEN_SUBDIRECTORY, AtFlags::empty());
            match mkdirat(&volume, TOKEN_SUBDIRECTORY, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let directory = openat(&volume, TOKEN_SUBDIRECTORY, flags, Mode::empty())?;
        let stat = fstat(&directory)?;
        if stat.st_uid == rustix::process::geteuid().as_raw() {
            // Whatever the umask; a set-group-id bit that came from the volume (fsGroup) stays.
            fchmod(&directory, Mode::from_raw_mode(0o777 | stat.st_mode & 0o2000))?;
        }
        remove_leftovers(&directory);
        let watch = watch(&directory)?;
        Ok(Self {
            directory,
            mode: Mode::from_raw_mode(RawMode::from(mode)),
            watch,
        })
    }

    /// Puts the token in place of what is there. Fails with the old content intact.
    pub(crate) fn write(&self, token: &Secret) -> io::Result<()> {
        let name = temporary_name()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, &name, flags, Mode::from_raw_mode(0o600))?;
        let placed = fchmod(&file, self.mode)
            .and_then(|()| write_all(&file, token.expose().as_bytes()))
            .and_then(|()| self.place(&name));
        if placed.is_err() {
            let _ = unlinkat(&self.directory, &name, AtFlags::empty());
        }
        placed.map_err(io::Error::from)
    }

    fn place(&self, name: &str) -> rustix::io::Result<()> {
        let rename = || renameat(&self.directory, name, &self.directory, TOKEN_FILE_NAME);
        match rename() {
            // A job put a directory there.
            Err(Errno::ISDIR) => {
                unlinkat(&self.directory, TOKEN_FILE_NAME, AtFlags::REMOVEDIR)?;
                rename()
            }
            placed => placed,
        }
    }

    /// Waits until somebody removed the file.
    pub(crate) async fn removed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.watch.readable().await?;
            let named = removals(self.watch.get_ref())?;
            ready.clear_ready();
            if named && !self.exists() {
                return Ok(());
            }
        }
    }

    fn exists(&self) -> bool {
        statat(&self.directory, TOKEN_FILE_NAME, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }
}

/// Files that an earlier run left half-made when it was killed.
fn remove_leftovers(directory: &OwnedFd) {
    let entries = Dir::read_from(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_bytes().starts_with(TEMPORARY_PREFIX.as_bytes())) {
        let _ = unlinkat(directory, entry.file_name(), AtFlags::empty());
    }
}

fn watch(directory: &OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    // By the descriptor, as the name may already mean another directory.
    let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    inotify::add_watch(&watch, path, WatchFlags::DELETE | WatchFlags::MOVED_FROM)?;
    descriptor::readable(watch)
}

/// Reads all events that wait; whether one of them removed the token file, or events were lost.
fn removals(watch: &OwnedFd) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    let mut removed = false;
    loop {
        match reader.next() {
            Ok(event) => {
                let ours = event
                    .file_name()
                    .is_some_and(|name| name.to_bytes() == TOKEN_FILE_NAME.as_bytes());
                removed |= ours || event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            }
            Err(Errno::WOULDBLOCK) => return Ok(removed),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match write(file, bytes) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A name that nobody can have taken beforehand.
fn temporary_name() -> io::Result<String> {
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    Ok(format!("{TEMPORARY_PREFIX}{:016x}", u64::from_ne_bytes(random)))
}

#[cfg(test)]
mod tests;
