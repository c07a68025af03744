//! The forms of values that people type: GUIDs, quantities, image references, names.

/// A GUID in its usual form, `8-4-4-4-12` hexadecimal digits.
pub(crate) fn is_guid(value: &str) -> bool {
    let is_right = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    value.len() == 36 && value.bytes().enumerate().all(is_right)
}

/// An Entra tenant: a GUID or a domain name with a dot. Aliases such as `common` cannot issue an app-only token.
pub(crate) fn is_tenant(value: &str) -> bool {
    is_guid(value) || (value.len() <= 253 && value.contains('.') && is_subdomain(&value.to_ascii_lowercase()))
}

/// A DNS label (RFC 1123), as Kubernetes names namespaces.
pub(crate) fn is_label(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() <= 63
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
        && bytes.first().is_some_and(|byte| *byte != b'-')
        && bytes.last().is_some_and(|byte| *byte != b'-')
}

/// A DNS subdomain (RFC 1123), as Kubernetes names most objects.
pub(crate) fn is_subdomain(value: &str) -> bool {
    value.len() <= 253 && value.split('.').all(is_label)
}

/// A key of a ConfigMap.
pub(crate) fn is_config_map_key(value: &str) -> bool {
    (1..=253).contains(&value.len())
        && !value.starts_with("..")
        && value != "."
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A Kubernetes quantity in billionths, the finest that Kubernetes keeps: exact, so that `0.1` and `100m` are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(u128);

impl Quantity {
    /// Nothing.
    pub(crate) const ZERO: Self = Self(0);
    /// The least CPU that Kubernetes can grant.
    pub(crate) const MILLI: Self = Self(BILLION / 1000);

    /// A number of bytes.
    pub(crate) const fn bytes(bytes: u64) -> Self {
        Self(bytes as u128 * BILLION)
    }
}

const BILLION: u128 = 1_000_000_000;
/// Longer quantities than this say nothing that a shorter one does not.
const QUANTITY_BYTES_MAX: usize = 64;

/// Reads a Kubernetes quantity without a sign (apimachinery `resource.ParseQuantity`: decimal and binary suffixes, exponents;
/// what is finer than a billionth is rounded up).
pub(crate) fn quantity(value: &str) -> Option<Quantity> {
    if value.len() > QUANTITY_BYTES_MAX {
        return None;
    }
    let end = value
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(value.len());
    let (number, suffix) = value.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // No digit at all is zero, as before the point of ".5".
    let digits = format!("0{whole}{fraction}").parse::<u128>().ok()?;
    let (power_of_ten, power_of_two) = match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        exponent => {
            let exponent = exponent.strip_prefix(['e', 'E'])?;
            (
                exponent.parse().ok().filter(|exponent| (-9..=18).contains(exponent))?,
                0,
            )
        }
    };
    let factor = 10_u128.pow(u32::try_from(9 + power_of_ten).ok()?) << power_of_two;
    let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(Quantity(digits.checked_mul(factor)?.div_ceil(divisor)))
}

/// An image reference, `[HOST[:PORT]/]PATH[:TAG][@DIGEST]` (distribution/reference).
pub(crate) fn is_image(value: &str) -> bool {
    if value.len() > 512 {
        return false;
    }
    let (rest, digest) = match value.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (value, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        Some(_) | None => (rest, None),
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host == "localhost" || host.contains(['.', ':']) => (Some(host), path),
        Some(_) | None => (None, name),
    };
    host.is_none_or(is_host)
        && path.split('/').all(is_path_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

/// A pattern for image references: one of them, `*` for any, or the beginning of one up to a `/`, `:` or `@`, and a `*`.
/// The registry is always complete: `registry.example*` would also be `registry.example.evil.test`.
pub(crate) fn is_image_pattern(pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        None => is_image(pattern),
        Some("") => true,
        Some(beginning) => {
            let rest = if beginning.ends_with('@') {
                "sha256:0123456789abcdef0123456789abcdef"
            } else {
                "x"
            };
            beginning.contains('/') && beginning.ends_with(['/', ':', '@']) && is_image(&format!("{beginning}{rest}"))
        }
    }
}

/// Whether a pattern covers an image reference.
pub(crate) fn image_matches(pattern: &str, image: &str) -> bool {
    match pattern.strip_suffix('*') {
        None => pattern == image,
        Some(beginning) => image.starts_with(beginning),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    is_subdomain(&name.to_ascii_lowercase()) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_path_component(component: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = component.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(byte))
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte))
            && hex.len() >= 32
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids() {
        assert!(is_guid("11111111-2222-3333-4444-55555555aBcD"));
        for value in [
            "",
            "11111111-2222-3333-4444-5555555555",
            "{11111111-2222-3333-4444-555555555555}",
            "11111111222233334444555555555555",
        ] {
            assert!(!is_guid(value), "{value}");
        }
    }

    #[test]
    fn tenants() {
        assert!(is_tenant("contoso.onmicrosoft.com") && is_tenant("11111111-2222-3333-4444-555555555555"));
        for value in ["common", "", "a..b", "-a.b", "a.b/c"] {
            assert!(!is_tenant(value), "{value}");
        }
    }

    #[test]
    fn quantities() {
        for (value, billionths) in [
            ("100m", 100_000_000),
            ("0.1", 100_000_000),
            (".1", 100_000_000),
            ("1.", 1_000_000_000),
            ("32Mi", 33_554_432 * BILLION),
            ("1.5Ki", 1536 * BILLION),
            ("1e3", 1000 * BILLION),
            ("1E3", 1000 * BILLION),
            ("1E", 1_000_000_000_000_000_000 * BILLION),
            ("8Ei", (1 << 63) * BILLION),
            ("0", 0),
            ("1n", 1),
            ("0.0000000001", 1),
            ("0.1e-9", 1),
        ] {
            assert_eq!(quantity(value), Some(Quantity(billionths)), "{value}");
        }
        let zeros = "0".repeat(100);
        for value in [
            "",
            ".",
            "-1",
            "+1",
            "1 Mi",
            "1mi",
            "1KiB",
            "1.2.3",
            "1e",
            "1e99",
            "Mi",
            "NaN",
            "inf",
            "999999999999999999999999999999E",
            "0.0000000000000000000000000000000000000001",
            &zeros,
        ] {
            assert_eq!(quantity(value), None, "{value}");
        }
    }

    #[test]
    fn quantities_are_compared_as_numbers() {
        for (less, more) in [
            ("99m", "0.1"),
            ("1Mi", "1049k"),
            ("1000k", "1Mi"),
            ("0.999", "1"),
            ("1G", "1Gi"),
        ] {
            assert!(quantity(less) < quantity(more), "{less} {more}");
        }
    }

    #[test]
    fn image_patterns_name_a_whole_registry() {
        for (pattern, image) in [
            ("*", "anything:1"),
            ("registry.example/team/*", "registry.example/team/sidecar:1"),
            ("registry.example/sidecar:*", "registry.example/sidecar:1"),
            (
                "registry.example/sidecar@*",
                "registry.example/sidecar@sha256:0123456789abcdef0123456789abcdef",
            ),
            ("registry.example:5000/sidecar:1", "registry.example:5000/sidecar:1"),
        ] {
            assert!(is_image_pattern(pattern) && image_matches(pattern, image), "{pattern}");
        }
        for (pattern, image) in [
            ("registry.example/team/*", "registry.example/teams/sidecar:1"),
            ("registry.example/team/*", "registry.example.evil.test/team/sidecar:1"),
            (
                "registry.example/sidecar:*",
                "registry.example/sidecar@sha256:0123456789abcdef0123456789abcdef",
            ),
            ("registry.example/sidecar", "registry.example/sidecar:1"),
        ] {
            assert!(is_image_pattern(pattern) && !image_matches(pattern, image), "{pattern}");
        }
        for pattern in [
            "",
            "**",
            "registry.example*",
            "registry.example:*",
            "a/b*",
            "*/a",
            "a b/*",
            "/*",
            "Team/a/*",
        ] {
            assert!(!is_image_pattern(pattern), "{pattern}");
        }
    }

    #[test]
    fn images() {
        for value in [
            "sidecar",
            "ghcr.io/owner/sidecar:0.1.0",
            "registry.internal:5000/a/b-c_d@sha256:0123456789abcdef0123456789abcdef",
            "localhost/x:y",
            "a:b@sha256:0123456789abcdef0123456789abcdef",
        ] {
            assert!(is_image(value), "{value}");
        }
        for value in [
            "",
            " a",
            "a b",
            "Upper/case",
            "a:",
            "a@sha256:12",
            "host:port:tag/x",
            "http://a/b",
            "a//b",
            "-a",
        ] {
            assert!(!is_image(value), "{value}");
        }
    }

    #[test]
    fn config_map_keys() {
        assert!(is_config_map_key("ca.crt"));
        for value in ["", ".", "..", "..data", "a/b"] {
            assert!(!is_config_map_key(value), "{value}");
        }
    }
}
