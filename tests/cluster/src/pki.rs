//! Certificates and kubeconfigs of a node: one authority, one key pair for each identity, all below one folder that only
//! root can read.

use crate::layout::text;
use crate::namespace::NODE_ADDRESS;
use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Port of the API server.
pub(crate) const API_PORT: u16 = 6443;
/// The API server where it hands requests on to another (APIService), with the caller's name in a header.
pub(crate) const FRONT_PROXY: &str = "front-proxy";

/// Everyone who speaks to the API server: file name, user, group. Roles are bound to these names by Kubernetes itself,
/// but for CoreDNS (`tests/cluster/manifests/coredns.yaml`).
const USERS: &[(&str, &str, Option<&str>)] = &[
    ("admin", "admin", Some("system:masters")),
    ("apiserver", "kube-apiserver", None),
    ("apiserver-kubelet", "apiserver-kubelet", Some("system:masters")),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("kubelet", "system:node:node0", Some("system:nodes")),
    ("proxy", "system:kube-proxy", None),
    ("coredns", "system:coredns", None),
];

/// The folder with everything in it.
#[derive(Clone, Debug)]
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Where it is, made or not.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Makes every file.
    pub fn make(&self) -> Result<()> {
        self.make_folder()?;
        let authority = self.authority("ca", "ado-agent-injector test cluster")?;
        for (name, user, group) in USERS {
            self.issue(&authority, name, user, *group)?;
            self.write(&format!("{name}.kubeconfig"), &self.kubeconfig_text(name))?;
        }
        // Whoever has a certificate of this one may say who somebody else is: the API server before others' API servers.
        let authority = self.authority("front-proxy-ca", "ado-agent-injector front proxy")?;
        self.issue(&authority, FRONT_PROXY, FRONT_PROXY, None)?;
        // Tokens of service accounts are signed with RSA, which is all that Entra verifies. ring cannot make such keys, and a
        // fixed one does no harm where nobody but the emulators trusts it.
        self.write("service-accounts.key", azure_emulators::jwt::INSECURE_CLUSTER_KEY_1)
    }

    /// Writes what an administrator of somebody else's cluster has: the authority, a certificate and its key.
    pub(crate) fn adopt(&self, authority: &str, certificate: &str, key: &str) -> Result<()> {
        self.make_folder()?;
        self.write("ca.crt", authority)?;
        self.write("admin.crt", certificate)?;
        self.write("admin.key", key)?;
        self.write("admin.kubeconfig", &self.kubeconfig_text("admin"))
    }

    /// Makes the folder, once.
    pub(crate) fn make_folder(&self) -> Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))
    }

    /// Certificate of an identity, or of an authority (`ca`, `front-proxy-ca`).
    pub fn certificate(&self, name: &str) -> String {
        self.path(&format!("{name}.crt"))
    }

    /// Key of an identity, of an authority (`ca`, `front-proxy-ca`), or that signs tokens (`service-accounts`).
    pub fn key(&self, name: &str) -> String {
        self.path(&format!("{name}.key"))
    }

    /// Adds a private key, again if it is there already. Answers its file.
    pub fn add_key(&self, name: &str, pem: &str) -> Result<String> {
        let file = format!("{name}.key");
        if !self.folder.join(&file).exists() {
            self.write(&file, pem)?;
        }
        Ok(self.path(&file))
    }

    /// How an identity reaches the API server.
    pub fn kubeconfig(&self, name: &str) -> String {
        self.path(&format!("{name}.kubeconfig"))
    }

    fn path(&self, file: &str) -> String {
        text(&self.folder.join(file)).to_owned()
    }

    fn authority(&self, file: &str, name: &str) -> Result<Issuer<'static, KeyPair>> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params.distinguished_name.push(DnType::CommonName, name);
        self.write(&format!("{file}.crt"), &params.self_signed(&key)?.pem())?;
        self.write(&format!("{file}.key"), &key.serialize_pem())?;
        Ok(Issuer::new(params, key))
    }

    fn issue(&self, authority: &Issuer<'static, KeyPair>, name: &str, user: &str, group: Option<&str>) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names(name)).context("names of a certificate")?;
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        self.write(&format!("{name}.crt"), &params.signed_by(&key, authority)?.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    /// JSON, which is YAML.
    fn kubeconfig_text(&self, name: &str) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "node", "cluster": {
                "server": format!("https://{NODE_ADDRESS}:{API_PORT}"),
                "certificate-authority": self.certificate("ca"),
            }}],
            "users": [{"name": name, "user": {
                "client-certificate": self.certificate(name),
                "client-key": self.key(name),
            }}],
            "contexts": [{"name": "node", "context": {"cluster": "node", "user": name}}],
            "current-context": "node",
        })
        .to_string()
    }

    fn write(&self, file: &str, content: &str) -> Result<()> {
        let path: &Path = &self.folder.join(file);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Names that a server is called by.
fn names(server: &str) -> Vec<String> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    match server {
        "apiserver" => owned(&[
            &NODE_ADDRESS.to_string(),
            "127.0.0.1",
            crate::control_plane::FIRST_SERVICE_ADDRESS,
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ]),
        "kubelet" => owned(&[&NODE_ADDRESS.to_string(), "node0"]),
        _ => Vec::new(),
    }
}
