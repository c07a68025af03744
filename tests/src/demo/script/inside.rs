//! The sandbox as the script's containers see it: names of Azure, users, and trust in the emulators' authority.

use super::subject::DIRECTORY;
use crate::demo::stage::Azure;
use anyhow::Context;
use azure_emulators::ado::DOWNLOAD_HOSTS;
use azure_emulators::http::Listen;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

const AZURE_DEVOPS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ENTRA: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// Where distributions have the certificates that programs trust.
const BUNDLES: [&str; 8] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
];
/// The emulators' authority once more, where no tool that makes such bundles replaces it.
const TRUST: &str = "/etc/ssl/demo-authority.pem";

/// The organization of an `AZP_URL`, by either of its two shapes; `None` where it is neither.
pub(super) fn organization_of(url: &str) -> Option<&str> {
    let rest = url.trim().trim_end_matches('/').strip_prefix("https://")?;
    let name = match rest.split_once('/') {
        Some(("dev.azure.com", name)) => name,
        None => rest.strip_suffix(".visualstudio.com")?,
        Some(_) => return None,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// Azure under its own names at port 443 of this network namespace.
pub(super) fn azure(url: &str, organization: &str, pool: Option<String>) -> Azure {
    let at = |address: Ipv4Addr, names: &[&str]| Listen {
        address: SocketAddr::new(IpAddr::V4(address), 443),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    Azure {
        ado: at(AZURE_DEVOPS, &DOWNLOAD_HOSTS),
        entra: at(ENTRA, &[]),
        url: url.to_owned(),
        organization: organization.to_owned(),
        pool,
    }
}

/// Writes what names resolve to, and who the users are.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write_names(organization: &str, user: u32) -> anyhow::Result<()> {
    // A wildcard stands for organizations, or for services.
    let at = |host: &str| match host.strip_prefix("*.") {
        Some(rest) => ["vssps", "vsaex", organization]
            .map(|name| format!("{name}.{rest}"))
            .join(" "),
        None => host.to_owned(),
    };
    let mut ado: Vec<String> = azure_emulators::ado::HOSTS.iter().map(|host| at(host)).collect();
    ado.extend(DOWNLOAD_HOSTS.map(str::to_owned));
    let entra = azure_emulators::entra::HOSTS.join(" ");
    let mut users = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/sh\n".to_owned();
    let mut groups = "root:x:0:\nnogroup:x:65534:\n".to_owned();
    if ![0, 65534].contains(&user) {
        users += &format!("agent:x:{user}:{user}:agent:{DIRECTORY}:/bin/bash\n");
        groups += &format!("agent:x:{user}:\n");
    }
    for (path, content) in [
        (
            "/etc/hosts",
            format!(
                "127.0.0.1 localhost\n{AZURE_DEVOPS} {}\n{ENTRA} {entra}\n",
                ado.join(" ")
            ),
        ),
        (
            "/etc/resolv.conf",
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n".to_owned(),
        ),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n".to_owned(),
        ),
        ("/etc/passwd", users),
        ("/etc/group", groups),
    ] {
        write(path, &content)?;
    }
    Ok(())
}

/// Makes this authority the only one that programs trust.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write_trust(authority: &str) -> anyhow::Result<()> {
    let mut paths = BUNDLES.into_iter().chain([TRUST]);
    paths.try_for_each(|path| write(path, authority))
}

/// Variables that name it, as an image with a private authority would have them.
pub(super) fn trust_variables() -> Vec<(String, String)> {
    [
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
    ]
    .map(|name| (name.to_owned(), TRUST.to_owned()))
    .to_vec()
}

/// Writes a file of the sandbox; what was there, be it a link to elsewhere, is taken away first.
fn write(path: &str, content: &str) -> anyhow::Result<()> {
    let path = Path::new(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).with_context(|| path.display().to_string())?;
    }
    fs::write(path, content).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_organization_is_read_of_either_shape_of_url() {
        for url in [
            "https://dev.azure.com/contoso",
            "https://contoso.visualstudio.com/",
            " https://dev.azure.com/contoso/",
        ] {
            assert_eq!(organization_of(url), Some("contoso"), "{url}");
        }
        for url in [
            "http://dev.azure.com/contoso",
            "https://dev.azure.com/",
            "https://dev.azure.com/a/project",
            "https://tfs.example/x",
        ] {
            assert_eq!(organization_of(url), None, "{url}");
        }
    }
}
