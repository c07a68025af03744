//! File descriptors that tokio has no type for: a timer, an inotify watch.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the runtime wait until the descriptor, which must not block, can be read. Must be called within the runtime.
#[expect(
    deprecated,
    reason = "tokio's replacement is unsafe, for types whose descriptor may change or close under it (tokio#8587); an \
              `OwnedFd` cannot do that, and this workspace forbids unsafe code"
)]
pub(crate) fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
