//! The token file: never empty, never partial, never at a path that a job chose.
//!
//! The handoff volume is a tmpfs of mode 1777, in which a non-root image could not delete our file, so the file lies in a
//! directory of mode 0777 that we make and hold open. Jobs can write there as well: nothing in it is read or trusted, links are
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
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;

use contract::{TOKEN_FILE_NAME, TOKEN_SUBDIRECTORY};

const TEMPORARY_PREFIX: &str = ".ado-agent-token-";

/// The token file, in whichever state its directory is.
#[derive(Debug)]
pub(crate) struct TokenFile {
    volume: PathBuf,
    mode: Mode,
    directory: Option<Directory>,
}

impl TokenFile {
    /// The file below the handoff volume; nothing is opened yet.
    pub(crate) fn new(volume: &Path, mode: u32) -> Self {
        Self {
            volume: volume.to_owned(),
            mode: Mode::from_raw_mode(RawMode::from(mode)),
            directory: None,
        }
    }

    /// The handoff volume, for messages.
    pub(crate) fn volume(&self) -> &Path {
        &self.volume
    }

    /// Replaces the file's content with the token. On failure the old content is intact. Must be called within the runtime.
    pub(crate) fn write(&mut self, token: &Secret) -> io::Result<()> {
        let mode = self.mode;
        self.open_or_reopen()?.write(token, mode)
    }

    /// Waits until the file was removed; forever before it was written. After an error it is watched again after the next
    /// write.
    pub(crate) async fn removed(&mut self) -> io::Result<()> {
        let Some(directory) = &self.directory else {
            return std::future::pending().await;
        };
        let removed = directory.removed().await;
        if removed.is_err() {
            self.directory = None;
        }
        removed
    }

    fn open_or_reopen(&mut self) -> io::Result<&Directory> {
        let directory = match self.directory.take() {
            Some(directory) => directory,
            None => Directory::open(&self.volume)?,
        };
        Ok(self.directory.insert(directory))
    }
}

/// The file's directory, held open: a job that moves or replaces the directory's name changes nothing for us.
#[derive(Debug)]
struct Directory {
    descriptor: OwnedFd,
    watch: AsyncFd<OwnedFd>,
}

impl Directory {
    /// Creates the directory below the handoff volume, or opens the one that an earlier run created, and watches it.
    fn open(volume: &Path) -> io::Result<Self> {
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
            descriptor: directory,
            watch,
        })
    }

    fn write(&self, token: &Secret, mode: Mode) -> io::Result<()> {
        let name = temporary_name()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.descriptor, &name, flags, Mode::from_raw_mode(0o600))?;
        let placed = fchmod(&file, mode)
            .and_then(|()| write_all(&file, token.expose().as_bytes()))
            .and_then(|()| self.place(&name));
        if placed.is_err() {
            let _ = unlinkat(&self.descriptor, &name, AtFlags::empty());
        }
        placed.map_err(io::Error::from)
    }

    fn place(&self, name: &str) -> rustix::io::Result<()> {
        let rename = || renameat(&self.descriptor, name, &self.descriptor, TOKEN_FILE_NAME);
        match rename() {
            // A job put a directory there.
            Err(Errno::ISDIR) => {
                unlinkat(&self.descriptor, TOKEN_FILE_NAME, AtFlags::REMOVEDIR)?;
                rename()
            }
            placed => placed,
        }
    }

    async fn removed(&self) -> io::Result<()> {
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
        statat(&self.descriptor, TOKEN_FILE_NAME, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }
}

/// Removes temporary files of an earlier run that was killed.
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

/// A random name, so that a job cannot have taken it beforehand.
fn temporary_name() -> io::Result<String> {
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    Ok(format!("{TEMPORARY_PREFIX}{:016x}", u64::from_ne_bytes(random)))
}

#[cfg(test)]
mod tests;
