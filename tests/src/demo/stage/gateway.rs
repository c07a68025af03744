//! Pods with the handoff `gateway` on this machine.

use contract::{GATEWAY_PORT_ANNOTATION, HANDOFF_ANNOTATION, Handoff, LOOPBACK};
use serde_json::Value;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports below those that Linux gives to outgoing connections.
const FIRST: u16 = 20_000;
const NUMBER: u16 = 12_000;

/// Lets a pod's agent go through the gateway. It listens on a port that nobody else has: the pods of this kubelet double share
/// the machine's network, real ones do not.
pub fn through_gateway(pod: &mut Value) {
    let annotations = &mut pod["metadata"]["annotations"];
    annotations[HANDOFF_ANNOTATION] = Handoff::Gateway.as_str().into();
    annotations[GATEWAY_PORT_ANNOTATION] = free_port().to_string().into();
}

/// A port on which nobody listens. Several programs of tests may run at once, so each begins elsewhere.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id().wrapping_mul(97) % u32::from(NUMBER);
    let start = u16::try_from(start).unwrap_or_default();
    loop {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % NUMBER;
        let port = FIRST + offset;
        if TcpListener::bind((LOOPBACK, port)).is_ok() {
            return port;
        }
    }
}
