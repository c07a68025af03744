//! The list of agent packages and the download.

use super::Ado;
use super::call::{Call, list};
use super::errors::Refusal;
use crate::http::Reply;
use serde_json::json;

const PLATFORMS: &[&str] = &[
    "linux-x64",
    "linux-arm64",
    "linux-arm",
    "linux-musl-x64",
    "linux-musl-arm64",
];

impl Ado {
    /// `GET packages/agent?platform=&top=` and `GET packages/agent/{platform}[/{version}]`.
    pub(super) fn packages(&self, call: &Call<'_>, path: &[&str]) -> Result<Reply, Refusal> {
        let Some(package) = self.lock().package.clone() else {
            return Ok(list(&[]));
        };
        let wanted = path.first().copied().or_else(|| call.request.parameter("platform"));
        let [major, minor, patch] = package.version;
        let version = format!("{major}.{minor}.{patch}");
        let digest = ring::digest::digest(&ring::digest::SHA256, &package.content);
        let hash: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let of_platform = |platform: &str| {
            let file = format!("vsts-agent-{platform}-{version}.tar.gz");
            json!({
                "type": "agent",
                "platform": platform,
                "createdOn": call.now.iso(),
                "version": { "major": major, "minor": minor, "patch": patch },
                "downloadUrl": format!("{}/_emulator/agent-package/{version}/{file}", call.base),
                "hashValue": hash,
                "infoUrl": "https://go.microsoft.com/fwlink/?LinkId=798199",
                "filename": file,
            })
        };
        let mut found = PLATFORMS
            .iter()
            .filter(|platform| wanted.is_none_or(|wanted| wanted == **platform));
        if let [_, wanted_version] = path {
            let one = found.next().filter(|_| *wanted_version == version);
            let not_found = || Refusal::no_such_route("GET", &call.request.path);
            return Ok(Reply::json(200, &of_platform(one.ok_or_else(not_found)?)));
        }
        let parameter = |name: &str| call.request.parameter(name).and_then(|top| top.parse::<usize>().ok());
        let top = parameter("top").or_else(|| parameter("$top")).unwrap_or(usize::MAX);
        Ok(list(
            &found
                .take(top)
                .map(|platform| of_platform(platform))
                .collect::<Vec<_>>(),
        ))
    }

    /// The archive; like the real one's host, it asks nobody who they are.
    pub(super) fn download(&self) -> Reply {
        match &self.lock().package {
            Some(package) => Reply::content(200, "application/octet-stream", package.content.clone()),
            None => Reply::text(404, "there is no agent package: the emulator was not given one"),
        }
    }
}
