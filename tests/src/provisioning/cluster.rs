//! The cluster of a provisioning: only its discovery document is read.

use super::ISSUER;
use anyhow::Context as _;
use serde_json::json;
use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Starts an API server that only says who issues the tokens of ServiceAccounts, and writes its kubeconfig.
pub(super) async fn start(folder: &Path) -> anyhow::Result<AbortHandle> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "stage",
        "clusters": [{"name": "stage", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "stage", "user": {}}],
        "contexts": [{"name": "stage", "context": {"cluster": "stage", "user": "stage"}}],
    });
    std::fs::write(folder.join("kubeconfig"), kubeconfig.to_string())?;
    let serve = async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    };
    Ok(tokio::spawn(serve).abort_handle())
}

async fn answer(mut stream: tokio::net::TcpStream) -> anyhow::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let line = String::from_utf8(request)?;
    let path = line.split(' ').nth(1).context("a request line")?.to_owned();
    let (status, body) = match path.as_str() {
        "/.well-known/openid-configuration" => ("200 OK", json!({"issuer": ISSUER})),
        _ => ("404 Not Found", json!({"kind": "Status", "code": 404})),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    Ok(stream.shutdown().await?)
}
