//! Every limit that bounds the webhook's memory, and the worst case that follows from them, whatever clients send. The
//! Deployment's memory limit is above it. docs/performance.md has the same formula with measurements.

use inject::review::MOST_VALUES;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The API server accepts pods of up to 3 MiB (1.5 MiB in etcd, as protobuf); another MiB is for the review around the pod.
pub(crate) const LARGEST_BODY: usize = 4 * MIB;
/// Nearly every review is smaller. A body of up to this size counts as part of its connection; a larger one is charged to the
/// budget and parsed on another thread.
pub(crate) const SMALL_BODY: usize = 32 * KIB;
/// The budget for large bodies and large responses of all connections. While a buffer grows, both the old and the new one are
/// charged, so the largest body needs 6 MiB.
pub const LARGE_BODIES: usize = 16 * MIB;
const _: () = assert!(LARGEST_BODY + LARGEST_BODY / 2 <= LARGE_BODIES);
/// Open connections on the TLS port. An API server keeps 25 idle ones (Go's `MaxIdleConnsPerHost` in client-go's
/// `transport/cache.go`), and one more for each concurrent review.
pub const CONNECTIONS: usize = 256;
/// Connections that are accepted in a row before other tasks run. Accepting costs much less than a TLS handshake, so a flood does
/// not fill the kernel's queue, where it would delay everybody who connects after it. At the connection limit, nothing but their
/// sockets needs memory until enough evicted ones are gone.
pub const ACCEPTED_AT_ONCE: usize = 48;
/// Evicted connections that need not be gone before others are served: they may be sending a response.
pub const EVICTED: usize = 16;
/// Open connections on the plain port: kubelet and Prometheus.
pub const PLAIN_CONNECTIONS: usize = 64;
/// hyper's read buffer: the head of a request, or a part of its body.
pub(crate) const HTTP_BUFFER: usize = 16 * KIB;
/// rustls' write buffer for a response that the client does not read (plaintext and ciphertext).
pub(crate) const TLS_BUFFER: usize = 16 * KIB;
/// Receive buffer of a socket (`SO_RCVBUF`); at a round trip of 20 ms, a body of 3 MB still arrives within two seconds.
pub(crate) const SOCKET_RECEIVE: u32 = 32 * 1024;
/// Send buffer of a socket (`SO_SNDBUF`).
pub(crate) const SOCKET_SEND: u32 = 16 * 1024;
/// Connections that the kernel queues until they are accepted (`listen(2)`).
pub(crate) const BACKLOG: u32 = 1024;

/// The program itself: its pages, TLS, router, metrics and the client of the API server. Measured: 8 MiB.
const BASE: usize = 10 * MIB;
/// 20,000 ServiceAccounts with a client ID. Measured: 2.8 MiB.
const ACCOUNTS: usize = 3 * MIB;
/// rustls' buffers and the connection's task. Measured with head and body: 84 KiB; during a handshake whose first message has
/// 60 KiB: 71 KiB.
const TLS_CONNECTION: usize = 48 * KIB;
/// Memory of a JSON value in the worst case, a list of objects with one member each: a map node has room for eleven members,
/// and the list's buffer may be twice as long as needed. An object and its member count as two values. Measured: 356 bytes.
const VALUE: usize = 368;
/// Parsed reviews at once: one on the event loop, one on the thread for large bodies.
const TREES: usize = 2;

/// Upper bound of the memory in use, in bytes.
pub const fn worst_case() -> usize {
    // The strings of the body, and as much again: while one is unescaped, or for the pod as the decision reads it (at most
    // 10,000 containers of two values, of some 200 bytes each) and the patch.
    let tree = MOST_VALUES * VALUE + 2 * LARGEST_BODY;
    // Linux doubles SO_RCVBUF and SO_SNDBUF (socket(7)).
    let socket = 2 * (SOCKET_RECEIVE + SOCKET_SEND) as usize;
    let connection = TLS_CONNECTION + HTTP_BUFFER + SMALL_BODY + socket;
    let plain_connection = 2 * HTTP_BUFFER + socket;
    let connections = (CONNECTIONS + EVICTED) * connection;
    let plain_connections = (PLAIN_CONNECTIONS + EVICTED) * plain_connection;
    // Those of both ports that are accepted and not served yet: what came meanwhile.
    let accepted = 2 * ACCEPTED_AT_ONCE * 2 * SOCKET_RECEIVE as usize;
    BASE + ACCOUNTS + LARGE_BODIES + TREES * tree + connections + plain_connections + accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deployments_memory_limit_covers_the_worst_case_and_is_not_much_larger() {
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
