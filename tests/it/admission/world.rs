//! What most tests start from: a team's namespace with an annotated account, the pod of a plain Deployment, and a webhook in
//! this process, whose bounds a test may change.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::apiserver::ApiServer;
use tests::apiserver::admission::{Created, Refusal, Registration};
use tests::apiserver::review::Caller;
use tests::apiserver::webhook::{service_name, write_pair};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use webhook::config::Config;
use webhook::server::Limits;

pub(crate) const IMAGE: &str = "--sidecar-image=registry.example/ado-agent-sidecar:0.1.0";
pub(crate) const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";

/// An API server with a team's namespace and the team's account.
pub(crate) async fn api() -> ApiServer {
    let api = ApiServer::start().await.unwrap();
    api.set_namespace("team", &[(contract::INJECT_LABEL, "true")]);
    api.set_account("team", "agent", &[(contract::AZWI_CLIENT_ID_ANNOTATION, CLIENT_ID)]);
    api
}

/// The pod that the ReplicaSet of the plain Deployment asks for.
pub(crate) fn deployment_pod() -> Value {
    json!({
        "metadata": {
            "generateName": "agent-7d9f-",
            "labels": {contract::INJECT_LABEL: "true"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "agent-7d9f", "uid": "u", "controller": true}],
        },
        "spec": {
            "serviceAccountName": "agent",
            "containers": [{"name": "agent", "image": "registry.example/agent:1", "env": [
                {"name": "AZP_URL", "value": "https://dev.azure.com/contoso"}, {"name": "AZP_POOL", "value": "linux"}]}],
        },
    })
}

/// The pod with one annotation more.
pub(crate) fn annotated(key: &str, value: &str) -> Value {
    let mut pod = deployment_pod();
    pod["metadata"]["annotations"] = json!({key: value});
    pod
}

/// A webhook in this process.
pub(crate) struct Running {
    pub(crate) tls: SocketAddr,
    pub(crate) plain: SocketAddr,
    pub(crate) folder: TempDir,
    pub(crate) ca: String,
    registration: Registration,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), webhook::Error>>,
}

impl Running {
    /// With these flags and bounds; it need not be ready yet.
    pub(crate) fn start(api: &ApiServer, flags: &[&str], change: impl FnOnce(&mut Limits)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(path("tls")).unwrap();
        write_pair(&folder.path().join("tls"), &api.authority().issue(&[service_name()])).unwrap();
        api.write_kubeconfig(&folder.path().join("kubeconfig")).unwrap();
        let mut argv = vec!["ado-agent-webhook".to_owned(), IMAGE.to_owned()];
        argv.push(format!("--tls-dir={}", path("tls")));
        argv.push(format!("--kubeconfig={}", path("kubeconfig")));
        argv.extend(
            [
                "--tls-address=127.0.0.1:0",
                "--plain-address=127.0.0.1:0",
                "--drain-delay=0",
            ]
            .map(str::to_owned),
        );
        argv.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let mut config = Config::read(argv, |_| None).unwrap();
        change(&mut config.limits);
        let listeners = webhook::Listeners::bind(&config).unwrap();
        let (tls, plain) = (
            listeners.tls.local_addr().unwrap(),
            listeners.plain.local_addr().unwrap(),
        );
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(webhook::run(config, listeners, async {
            let _ = stopped.await;
        }));
        let ca = api.authority().pem().to_owned();
        let caller = Caller::new(tls, &ca, Duration::from_secs(5)).unwrap();
        let registration = Registration::shipped(caller).unwrap();
        Self {
            tls,
            plain,
            folder,
            ca,
            registration,
            stop: Some(stop),
            task,
        }
    }

    /// With the shipped bounds, and ready.
    pub(crate) async fn ready(api: &ApiServer, flags: &[&str]) -> Self {
        let running = Self::start(api, flags, |_| {});
        running.wait_until_ready().await;
        running
    }

    pub(crate) async fn wait_until_ready(&self) {
        until("the webhook is ready", async || self.get("/readyz").await.0 == 200).await;
    }

    /// A path of the plain port.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        let answer = client.get(format!("http://{}{path}", self.plain)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The value of one line of `/metrics`, 0 where there is none.
    pub(crate) async fn metric(&self, line: &str) -> f64 {
        value(&self.get("/metrics").await.1, line)
    }

    pub(crate) async fn create_pod(&self, api: &ApiServer, pod: &Value) -> Result<Created, Refusal> {
        api.create_pod(&self.registration, "team", pod).await
    }

    /// The sentence of a denial.
    pub(crate) async fn denial(&self, api: &ApiServer, pod: &Value) -> String {
        match self.create_pod(api, pod).await {
            Err(Refusal::Denied { sentence, .. }) => sentence,
            other => panic!("expected a denial, got {other:?}"),
        }
    }

    /// Tells it to end and waits for that.
    pub(crate) async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(Duration::from_secs(30), self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

/// The value of one line of metrics, 0 where there is none.
pub(crate) fn value(metrics: &str, line: &str) -> f64 {
    let value = metrics
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

/// Waits for a condition; what it is stands in the failure.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A future that has to end within half a minute.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(value) => value,
        Err(_) => panic!("not within 30 s: {what}"),
    }
}
