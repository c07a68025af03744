//! GUIDs for everything that Azure names by one.

use ring::rand::{SecureRandom, SystemRandom};

/// A random GUID (RFC 9562, version 4).
pub fn random() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Whether a text is a GUID as Azure writes it, in whatever case.
pub fn is_guid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// A random number below `limit`, for lifetimes that vary.
pub fn below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
    u64::from_le_bytes(bytes) % limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_guid_is_recognized() {
        assert!(is_guid(&random()));
        assert!(!is_guid("contoso.onmicrosoft.com"));
        assert!(!is_guid("00000000-0000-0000-0000-00000000000z"));
    }
}
