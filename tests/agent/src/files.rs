//! The files in the agent's root: `.agent`, `.credentials`, `.credentials_rsaparams`.
//!
//! Indented JSON in UTF-8 with a byte order mark, as .NET writes it; read with or without one.

use crate::keys::KeyParameters;
use crate::{AgentVersion, VERSION_FILE, VERSION_VARIABLE, variable};
use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The directory above `bin/`; nothing relocates it.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

/// `.agent`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    #[serde(default)]
    pub(crate) accept_tee_eula: bool,
    pub(crate) agent_id: i64,
    pub(crate) agent_name: String,
    pub(crate) pool_id: i64,
    #[serde(default)]
    pub(crate) pool_name: String,
    pub(crate) server_url: String,
    pub(crate) work_folder: String,
}

/// `.credentials`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) scheme: String,
    pub(crate) data: CredentialData,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CredentialData {
    pub(crate) client_id: String,
    /// Audience of the client assertion.
    pub(crate) authorization_url: String,
    /// Where the assertion is sent; the audience's URL where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oauth_endpoint_url: Option<String>,
}

impl Root {
    pub(crate) fn of_this_program() -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        let root = program.ancestors().nth(2).map(PathBuf::from);
        root.map(Self)
            .ok_or_else(|| std::io::Error::other("the program is not in a directory `bin`"))
    }

    /// The agent lists its root and every directory above it, so each has to be readable (`IOUtil.ValidateExecutePermission`).
    pub(crate) fn check_directories(&self) -> anyhow::Result<()> {
        for directory in self.0.ancestors() {
            std::fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
        }
        Ok(())
    }

    /// The directory itself.
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    /// Which agent this package imitates, unless [`VERSION_VARIABLE`] says another one.
    pub(crate) fn version(&self) -> anyhow::Result<AgentVersion> {
        let text = match variable(VERSION_VARIABLE) {
            Some(text) => text,
            None => std::fs::read_to_string(self.path(VERSION_FILE))
                .with_context(|| format!("cannot read {VERSION_FILE}"))?,
        };
        text.trim().parse().map_err(anyhow::Error::msg)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.path(".agent").exists()
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.path(".credentials").exists()
    }

    /// Variables of `.env`, `KEY=VALUE` a line.
    pub(crate) fn extra_environment(&self) -> Vec<(String, String)> {
        std::fs::read_to_string(self.path(".env"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The folder in which jobs run.
    pub(crate) fn work(&self, settings: &Settings) -> PathBuf {
        self.0.join(&settings.work_folder)
    }

    pub(crate) fn has_license(&self) -> bool {
        self.path("license.html").exists()
    }

    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        self.read(".agent")
    }

    pub(crate) fn credentials(&self) -> anyhow::Result<Credentials> {
        self.read(".credentials")
    }

    /// The key of an earlier configuration, or a new one.
    pub(crate) fn key_or_new(&self) -> anyhow::Result<KeyParameters> {
        let name = ".credentials_rsaparams";
        if self.path(name).exists() {
            return self.read(name);
        }
        let key = KeyParameters::from_the_pool();
        self.write(name, &key)?;
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600))?;
        Ok(key)
    }

    pub(crate) fn key(&self) -> anyhow::Result<KeyParameters> {
        self.read(".credentials_rsaparams")
    }

    pub(crate) fn save_credentials(&self, credentials: &Credentials) -> anyhow::Result<()> {
        self.write(".credentials", credentials)
    }

    pub(crate) fn save_settings(&self, settings: &Settings) -> anyhow::Result<()> {
        std::fs::create_dir_all(self.0.join(&settings.work_folder))?;
        self.write(".agent", settings)
    }

    /// Removes what a configuration wrote.
    pub(crate) fn forget(&self) -> anyhow::Result<()> {
        for name in [".credentials", ".credentials_rsaparams", ".agent"] {
            match std::fs::remove_file(self.path(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {name}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<T> {
        let text = std::fs::read_to_string(self.path(name)).with_context(|| format!("cannot read {name}"))?;
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
        serde_json::from_str(text).with_context(|| format!("{name} is damaged"))
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> anyhow::Result<()> {
        let text = format!("{BYTE_ORDER_MARK}{}", serde_json::to_string_pretty(value)?);
        std::fs::write(self.path(name), text).with_context(|| format!("cannot write {name}"))
    }
}
