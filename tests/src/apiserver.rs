//! A double of the API server, as far as our programs meet one: it serves what they read and write, and it admits pods as the
//! real one does, with reviews over TLS. What it does was measured on Kubernetes 1.32 and read in its source.
//!
//! A story: [`ApiServer::start`], [`ApiServer::set_namespace`] and [`ApiServer::set_account`] make a cluster,
//! [`webhook::Webhook::start`] starts the program beside it, [`webhook::Webhook::create_pod`] creates a pod as a user does.

pub mod admission;
mod defaults;
mod events;
pub mod operator;
mod plugins;
mod reads;
pub mod review;
pub mod selectors;
mod stored;
pub mod webhook;
mod websocket;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use azure_emulators::guid;
use azure_emulators::http::Server;
use azure_emulators::tls::Authority;

/// Events that are kept for watchers; one that is further behind gets a 410 and lists again.
const EVENTS: usize = 64;

/// How the API server treats who asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// It answers.
    #[default]
    Well,
    /// It answers nothing within anybody's patience.
    Hanging,
    /// It answers each request after this time.
    Slow(Duration),
    /// It refuses everything with 403, as without RBAC rules.
    Forbidding,
    /// It answers 500.
    Failing,
}

/// The double. Dropping it ends its server.
pub struct ApiServer {
    state: Arc<State>,
    authority: Arc<Authority>,
    server: Mutex<Option<Server>>,
    address: SocketAddr,
}

/// What is stored.
struct State {
    objects: Mutex<Objects>,
    /// The newest resource version, for watchers that wait.
    newest: watch::Sender<u64>,
    cluster_uid: String,
    /// What people see of the cluster, beyond what the webhook reads.
    operator: Mutex<operator::Store>,
}

#[derive(Default)]
struct Objects {
    version: u64,
    accounts: BTreeMap<(String, String), Value>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    limits: BTreeMap<String, Value>,
    /// Resource version, type and object of the latest changes to accounts.
    events: VecDeque<(u64, &'static str, Value)>,
    mood: Mood,
    /// Whether accounts are served as a whole to those who ask for that.
    whole: bool,
    /// Objects of other kinds, by their paths.
    others: BTreeMap<String, Value>,
    minor: String,
    requests: Vec<String>,
    stored: stored::Stored,
    told: events::Told,
}

/// What happened to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    /// As the type of a watch event.
    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_account(&self, change: Change, mut object: Value) {
        let mut objects = self.lock();
        objects.version += 1;
        let version = objects.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = (text("namespace"), text("name"));
        match change {
            Change::Added | Change::Modified => objects.accounts.insert(key, object.clone()),
            Change::Deleted => objects.accounts.remove(&key),
        };
        objects.events.push_back((version, change.as_str(), object));
        if objects.events.len() > EVENTS {
            objects.events.pop_front();
        }
        drop(objects);
        self.newest.send_replace(version);
    }
}

impl ApiServer {
    /// A double on a free port of the loopback, over TLS, of a cluster with the namespaces `default` and `kube-system`.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(State {
            objects: Mutex::default(),
            newest: watch::Sender::new(1),
            cluster_uid: guid::random(),
            operator: Mutex::default(),
        });
        {
            let mut objects = state.lock();
            objects.version = 1;
            objects.minor = "33".to_owned();
        }
        let authority = Arc::new(Authority::new());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let api = Self {
            state,
            authority,
            server: Mutex::default(),
            address,
        };
        let server = api.serve().await?;
        let address = server.address();
        *api.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        let api = Self { address, ..api };
        for namespace in ["default", "kube-system"] {
            api.set_namespace(namespace, &[]);
        }
        Ok(api)
    }

    async fn serve(&self) -> io::Result<Server> {
        let pair = self.authority.issue(&["127.0.0.1"]);
        Server::start(self.address, Some(pair.server_config()), Arc::clone(&self.state)).await
    }

    /// The authority that signed our certificate; it also signs the webhook's (`caBundle`).
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// UID of `kube-system`.
    pub fn cluster_uid(&self) -> &str {
        &self.state.cluster_uid
    }

    /// Ends the server: connections are closed and new ones refused.
    pub fn stop(&self) {
        drop(self.server.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Starts the server again, at the same address.
    ///
    /// # Errors
    /// The port was taken meanwhile.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        loop {
            match self.serve().await {
                Ok(server) => {
                    *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
                    return Ok(());
                }
                // The task of the old listener ends at its next chance to run.
                Err(_) if tokio::time::Instant::now() < deadline => tokio::task::yield_now().await,
                Err(error) => return Err(error),
            }
        }
    }

    /// How it treats those who ask from now on.
    pub fn set_mood(&self, mood: Mood) {
        self.state.lock().mood = mood;
    }

    /// Serves whole ServiceAccounts to those who ask for them, as the webhook never should.
    pub fn serve_whole_accounts(&self) {
        self.state.lock().whole = true;
    }

    /// Serves an object of another kind at its path (`/apis/apps/v1/namespaces/a/deployments/b`), to people who ask with rights of
    /// their own.
    pub fn set_object(&self, path: &str, object: Value) {
        self.state.lock().others.insert(path.to_owned(), object);
    }

    /// The minor version that `/version` tells (`33`, `28+`).
    pub fn set_minor_version(&self, minor: &str) {
        minor.clone_into(&mut self.state.lock().minor);
    }

    /// Creates or replaces a namespace with labels; `kubernetes.io/metadata.name` is added as by the real one. The
    /// account `default` is made with it where there is none.
    pub fn set_namespace(&self, name: &str, labels: &[(&str, &str)]) {
        let mut all: BTreeMap<_, _> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        all.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
        let default = (name.to_owned(), "default".to_owned());
        let needs_account = {
            let mut state = self.state.lock();
            state.namespaces.insert(name.to_owned(), all).is_none() && !state.accounts.contains_key(&default)
        };
        if needs_account {
            self.set_account(name, "default", &[]);
        }
    }

    /// Creates or replaces a ServiceAccount with annotations.
    pub fn set_account(&self, namespace: &str, name: &str, annotations: &[(&str, &str)]) {
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        let object = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": guid::random(),
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": annotations,
                "managedFields": [{"manager": "kubectl", "operation": "Update", "apiVersion": "v1",
                    "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": {}}}}],
            },
        });
        let is_there = self
            .state
            .lock()
            .accounts
            .contains_key(&(namespace.to_owned(), name.to_owned()));
        let change = if is_there { Change::Modified } else { Change::Added };
        self.state.change_account(change, object);
    }

    /// Deletes a ServiceAccount.
    pub fn delete_account(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let account = self.state.lock().accounts.get(&key).cloned();
        if let Some(account) = account {
            self.state.change_account(Change::Deleted, account);
        }
    }

    /// Gives a namespace default limits and requests for containers (`{"limits": {"cpu": "1"}, "requests": {…}}`), as a
    /// LimitRange does.
    pub fn set_limit_range(&self, namespace: &str, defaults: Value) {
        self.state.lock().limits.insert(namespace.to_owned(), defaults);
    }

    /// Every request so far, as `METHOD path?query`.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().requests.clone()
    }

    /// Writes a kubeconfig file that leads here.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> io::Result<()> {
        let ca = {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(self.authority.pem())
        };
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "double",
            "clusters": [{"name": "double", "cluster": {
                "server": format!("https://{}", self.address), "certificate-authority-data": ca}}],
            "users": [{"name": "webhook", "user": {"token": "insecure-test-token"}}],
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "webhook"}}],
        });
        std::fs::write(path, config.to_string())
    }
}
