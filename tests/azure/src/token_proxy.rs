//! The token proxy of an AKS cluster with identity bindings, as far as its clients see it: it takes the usual request for a
//! token under a server name of its own, and passes it on to Entra.

use crate::http::{Answer, Handler, Reply, Request, Server};
use crate::tls::Authority;
use crate::world::World;
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Audience of the tokens that it takes.
pub const AUDIENCE: &str = "api://AKSIdentityBinding";
/// Server name that its certificate carries; AKS has one for each cluster.
pub const SERVER_NAME: &str = "f00d.ests.aks";

/// The proxy. It ends when it is dropped.
pub struct TokenProxy {
    server: Server,
    handler: Arc<Forwarder>,
}

/// Whether the cluster has a role that lets the client use its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It has.
    Granted,
    /// It has none.
    Forbidden,
}

struct Forwarder {
    world: World,
    access: Access,
    hosts: Mutex<Vec<String>>,
}

impl TokenProxy {
    /// Listens on an address with a certificate of the authority.
    pub async fn start(address: SocketAddr, authority: &Authority, world: &World, access: Access) -> io::Result<Self> {
        let handler = Arc::new(Forwarder {
            world: world.clone(),
            access,
            hosts: Mutex::default(),
        });
        let tls = authority.issue(&[SERVER_NAME]).server_config();
        let server = Server::start(address, Some(tls), Arc::clone(&handler)).await?;
        Ok(Self { server, handler })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Header `Host` of every request, oldest first.
    pub fn hosts(&self) -> Vec<String> {
        self.handler.hosts().clone()
    }
}

impl Forwarder {
    fn hosts(&self) -> MutexGuard<'_, Vec<String>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forward(&self, request: &Request) -> reqwest::Result<Reply> {
        let url = format!("{}/{}", self.world.authority_url(), request.segments.join("/"));
        let form = request.form().unwrap_or_default();
        let answer = self.world.client().post(url).form(&form).send().await?;
        Ok(Reply::json(answer.status().as_u16(), &answer.json().await?))
    }
}

impl Handler for Forwarder {
    async fn answer(&self, request: Request) -> Answer {
        self.hosts().push(request.header("host").unwrap_or_default().to_owned());
        if self.access == Access::Forbidden {
            let status = json!({"kind": "Status", "status": "Failure", "message": "forbidden", "code": 403});
            return Reply::json(403, &status).into();
        }
        match self.forward(&request).await {
            Ok(reply) => reply.into(),
            Err(error) => Reply::text(502, error.to_string()).into(),
        }
    }
}
