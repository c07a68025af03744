//! What memory is planned for, whoever posts what: every bound on it, and the worst case that follows. The memory limit of
//! the Deployment is above that. docs/performance.md has the same as a formula, with what was measured.

use inject::review::MOST_VALUES;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Pods of up to 3 MiB pass the API server (etcd takes 1.5 MiB of them in protobuf); the review around one gets another.
pub(crate) const LARGEST_BODY: usize = 4 * MIB;
/// Nearly every review is smaller. Up to here a body is part of what a connection may take; a larger one is charged to the
/// budget and read on another thread.
pub(crate) const SMALL_BODY: usize = 32 * KIB;
/// The budget: large bodies and large answers of all connections. While a buffer grows, the old and the new one are charged,
/// so the largest body needs 6 MiB.
pub const LARGE_BODIES: usize = 16 * MIB;
const _: () = assert!(LARGEST_BODY + LARGEST_BODY / 2 <= LARGE_BODIES);
/// Open connections on the TLS port. An API server keeps 25 idle ones (Go's `MaxIdleConnsPerHost` in client-go's
/// `transport/cache.go`), and one more for each review at once.
pub const CONNECTIONS: usize = 256;
/// Connections that are taken from the kernel before everybody else gets a turn. Where there is no room, as many that were
/// closed for them are still there. Taking one costs much less than agreeing on TLS: so a flood does not wait in the kernel,
/// in front of those who come after it.
pub const ACCEPTED_AT_ONCE: usize = 16;
/// Open connections on the plain port: kubelet and Prometheus.
pub const PLAIN_CONNECTIONS: usize = 64;
/// The head of a request, and what is read of a body at once.
pub(crate) const HTTP_BUFFER: usize = 16 * KIB;
/// What rustls keeps of an answer that the client does not read, as text and encrypted.
pub(crate) const TLS_BUFFER: usize = 16 * KIB;
/// Bytes of a socket that wait for us; a body of 3 MB still comes in two seconds over a line with 20 ms there and back.
pub(crate) const SOCKET_RECEIVE: u32 = 32 * 1024;
/// Bytes of a socket that wait for the client.
pub(crate) const SOCKET_SEND: u32 = 16 * 1024;
/// Connections that the kernel holds until they are accepted.
pub(crate) const BACKLOG: u32 = 1024;

/// The program itself: its pages, TLS, router, metrics and the client of the API server. Measured: 8 MiB.
const BASE: usize = 10 * MIB;
/// 20,000 ServiceAccounts with a client id. Measured: 2.8 MiB.
const ACCOUNTS: usize = 3 * MIB;
/// rustls' buffers and the tasks. Measured, with head and body: 84 KiB; a handshake with a first message of 60 KiB, which has
/// neither: 71 KiB.
const TLS_CONNECTION: usize = 48 * KIB;
/// Of a kept value that takes the most for what it counts: half of a map of one member, whose node has room for eleven, and
/// its place in a list that has grown. Measured: 356 bytes.
const VALUE: usize = 368;
/// Trees at once: one on the event loop, one on the thread for large bodies.
const TREES: usize = 2;

/// The most memory that is ever in use, in bytes.
pub const fn worst_case() -> usize {
    // The texts of the body in the tree, and as much again while one is unescaped, or for what a decision reads of the tree
    // (at most 10,000 containers of two values each, of some 200 bytes) and the patch.
    let tree = MOST_VALUES * VALUE + 2 * LARGEST_BODY;
    // Linux doubles what is asked for (socket(7)).
    let socket = 2 * (SOCKET_RECEIVE + SOCKET_SEND) as usize;
    let connection = TLS_CONNECTION + HTTP_BUFFER + SMALL_BODY + socket;
    let plain_connection = 2 * HTTP_BUFFER + socket;
    let connections = (CONNECTIONS + ACCEPTED_AT_ONCE) * connection;
    let plain_connections = (PLAIN_CONNECTIONS + ACCEPTED_AT_ONCE) * plain_connection;
    BASE + ACCOUNTS + LARGE_BODIES + TREES * tree + connections + plain_connections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_limit_covers_the_worst_case_and_is_not_much_larger() {
        let manifest = include_str!("../../manifests/base/deployment.yaml");
        let (_, limits) = manifest.split_once("limits:").unwrap();
        let (_, memory) = limits.split_once("memory: ").unwrap();
        let (number, _) = memory.split_once("Mi").unwrap();
        let limit = number.parse::<usize>().unwrap() * MIB;
        let worst = worst_case();
        assert!(
            worst <= limit && limit - worst < 16 * MIB,
            "{} of {} MiB",
            worst / MIB,
            limit / MIB
        );
    }
}
