//! The memory budget of the gateway, for any load. docs/performance.md has the sum.

/// Connections at a time. A listener has two polls open and opens a few more while it configures itself.
pub(super) const CONNECTIONS: usize = 32;
/// Read buffer of a connection, and so the longest head; and its write buffer.
pub(super) const BUFFER: usize = 16 * 1024;
/// Socket buffer of a connection in each direction, in bytes; the kernel takes twice as much (socket(7)), which
/// counts against the container's memory limit as well.
pub(super) const KERNEL_BUFFER: u32 = 32 * 1024;
/// Longest registration, in bytes: it holds the agent's environment as its capabilities. One at a time is held.
pub(super) const REGISTRATION: usize = 256 * 1024;
/// Longest response to it.
pub(super) const REGISTERED: usize = 512 * 1024;
/// Longest other body that is buffered.
pub(super) const SMALL: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const MEBIBYTE: f64 = 1024.0 * 1024.0;
    /// The sidecar without a gateway, with the program's own pages (docs/performance.md).
    const BASE: f64 = 6.0 * MEBIBYTE;
    /// Request and limit as shipped (`webhook/inject`'s default).
    const LIMIT: f64 = 32.0 * MEBIBYTE;

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    fn the_worst_case_fits_into_the_containers_limit() {
        let ours = 2 * BUFFER + 4 * KERNEL_BUFFER as usize + SMALL;
        let connections = CONNECTIONS * ours + (CONNECTIONS + azure::Forwarder::IDLE) * azure::Forwarder::CONNECTION;
        // As it came, as it is changed, as it is sent; the answer and what of it is changed.
        let registration = 3 * REGISTRATION + 2 * REGISTERED;
        let worst = BASE + (connections + registration) as f64;
        println!("{:.1} MiB", worst / MEBIBYTE);
        assert!(worst < 0.75 * LIMIT, "{:.1} MiB", worst / MEBIBYTE);
    }
}
