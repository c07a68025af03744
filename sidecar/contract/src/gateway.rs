//! The gateway as the agent container sees it: addresses and the ticket, on which webhook and sidecar must agree.

/// The only address on which the gateway listens, so that nothing outside the pod can reach it.
pub const LOOPBACK: &str = "127.0.0.1";
/// Port of the gateway unless the pod names another. IANA has not assigned it (7649-7662 are free), it needs no privilege, and it
/// is below Linux' ephemeral ports (from 32768), one of which could be in use when the sidecar restarts.
pub const DEFAULT_GATEWAY_PORT: u16 = 7649;
/// First segment of every path below the URL that the agent container gets. The gateway replaces it with the organization,
/// which the webhook often cannot know (`envFrom`).
pub const GATEWAY_ORGANIZATION_SEGMENT: &str = "organization";
/// What the agent container has in place of a token. It is **not a secret**: it says "put the sidecar's token in", and what
/// that may do is a closed list in the gateway, which only the pod itself can reach. Start scripts send it as the password of
/// Basic authentication or as a Bearer token. Letters only, and unlikely to occur elsewhere, since the agent masks it in its logs.
pub const TICKET: &str = "adoagentgatewayticket";

/// The organization URL that the agent container gets.
pub fn gateway_url(port: u16) -> String {
    format!("http://{LOOPBACK}:{port}/{GATEWAY_ORGANIZATION_SEGMENT}")
}

/// The authority of scripts that exchange a federated token themselves: the gateway answers their request with the ticket.
pub fn gateway_authority(port: u16) -> String {
    format!("http://{LOOPBACK}:{port}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_has_one_segment() {
        assert_eq!(gateway_url(7649), "http://127.0.0.1:7649/organization");
        assert_eq!(gateway_authority(7649), "http://127.0.0.1:7649/");
    }
}
