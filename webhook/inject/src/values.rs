//! The forms of values that people type: GUIDs, quantities, image references, names.

/// A GUID in its usual form, `8-4-4-4-12` hexadecimal digits.
pub fn is_guid(value: &str) -> bool {
    let groups: Vec<&str> = value.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// An Entra tenant: a GUID or a domain name with a dot. Words such as `common` are no tenant that could issue a token to us.
pub fn is_tenant(value: &str) -> bool {
    is_guid(value) || (value.contains('.') && is_subdomain(&value.to_ascii_lowercase()))
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
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A Kubernetes quantity as a number (apimachinery `resource.ParseQuantity`: decimal and binary suffixes, exponents).
pub fn quantity(value: &str) -> Option<f64> {
    let end = value
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(value.len());
    let (number, suffix) = value.split_at(end);
    // The standard library would also read "1.2.3" as an error, but "." and "" have no digit at all.
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            let exponent: i32 = digits.parse().ok().filter(|exponent| (-9..=18).contains(exponent))?;
            10f64.powi(exponent)
        }
    };
    Some(number * factor)
}

/// An image reference, `[HOST[:PORT]/]PATH[:TAG][@DIGEST]` (distribution/reference).
pub fn is_image(value: &str) -> bool {
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
        assert_eq!(quantity("100m"), Some(0.1));
        assert_eq!(quantity("32Mi"), Some(33_554_432.0));
        assert_eq!(quantity("1e3"), Some(1000.0));
        assert_eq!(quantity(".5"), Some(0.5));
        assert_eq!(quantity("1E"), Some(1e18));
        for value in [
            "", ".", "-1", "+1", "1 Mi", "1mi", "1KiB", "1.2.3", "1e", "1e99", "Mi", "NaN", "inf",
        ] {
            assert_eq!(quantity(value), None, "{value}");
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
