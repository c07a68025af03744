//! How a pod is created: defaults, the API server's own admission, our webhook, both again, name and UID. Whether a patched pod is
//! valid is not judged here: the invariants of `inject` ask of every golden, and the suite on a real Kubernetes asks its API
//! server.

use std::fmt;

use contract::WEBHOOK_CONFIGURATION;
use serde_json::{Value, json};

use super::review::{Caller, of_pod};
use super::{ApiServer, State, defaults, selectors};
use crate::kustomize;
use azure_emulators::guid;

/// A `MutatingWebhookConfiguration` with one webhook, and who calls it.
pub struct Registration {
    webhook: Value,
    caller: Caller,
}

impl Registration {
    /// The webhook of a configuration object.
    ///
    /// # Panics
    /// The object is no configuration with exactly one webhook.
    pub fn new(configuration: &Value, caller: Caller) -> Self {
        let webhooks = configuration["webhooks"]
            .as_array()
            .expect("a configuration lists webhooks");
        assert_eq!(webhooks.len(), 1, "the double calls one webhook");
        Self {
            webhook: webhooks[0].clone(),
            caller,
        }
    }

    /// The configuration that is shipped.
    ///
    /// # Errors
    /// The manifest cannot be read.
    pub fn shipped(caller: Caller) -> anyhow::Result<Self> {
        let objects = kustomize::documents("manifests/base/mutatingwebhookconfiguration.yaml")?;
        let configuration = kustomize::find(&objects, "MutatingWebhookConfiguration", WEBHOOK_CONFIGURATION)?;
        Ok(Self::new(configuration, caller))
    }

    /// Name of the webhook, as refusals carry it.
    pub fn name(&self) -> &str {
        self.webhook["name"].as_str().unwrap_or_default()
    }
}

/// A pod as it was stored.
#[derive(Debug, Clone)]
pub struct Created {
    /// The pod, with name, namespace and UID.
    pub pod: Value,
    /// What kubectl would print as warnings.
    pub warnings: Vec<String>,
    /// How often the webhook was called: 0 (not selected), 1 or 2.
    pub calls: usize,
}

/// Why a pod was not created. `Display` is what `kubectl` or an event of the ReplicaSet would show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The API server's own admission refused.
    Forbidden(String),
    /// The webhook denied.
    Denied {
        /// Name of the webhook.
        webhook: String,
        /// HTTP code of the status.
        code: u64,
        /// The webhook's sentence.
        sentence: String,
    },
    /// The webhook could not be asked, and its `failurePolicy` is `Fail`.
    Failed {
        /// Name of the webhook.
        webhook: String,
        /// What went wrong.
        problem: String,
    },
    /// The webhook changed its own work when it was called again: against the rules of reinvocation, and of ours.
    Unstable(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(sentence) => f.write_str(sentence),
            Self::Denied { webhook, sentence, .. } => {
                write!(f, "admission webhook \"{webhook}\" denied the request: {sentence}")
            }
            Self::Failed { webhook, problem } => {
                write!(
                    f,
                    "Internal error occurred: failed calling webhook \"{webhook}\": {problem}"
                )
            }
            Self::Unstable(patch) => write!(f, "the second call was answered with a patch: {patch}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// One answer of the webhook.
struct Reviewed {
    patch: Option<json_patch::Patch>,
    warnings: Vec<String>,
}

impl ApiServer {
    /// Creates a pod in a namespace.
    ///
    /// # Errors
    /// Why it is not created, as a user sees it.
    pub async fn create_pod(&self, to: &Registration, namespace: &str, pod: &Value) -> Result<Created, Refusal> {
        self.state.create_pod(Some(to), namespace, pod).await
    }
}

impl State {
    /// Creates a pod; without a registration nobody else is asked.
    pub(super) async fn create_pod(
        &self,
        to: Option<&Registration>,
        namespace: &str,
        pod: &Value,
    ) -> Result<Created, Refusal> {
        let mut pod = pod.clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["namespace"] = json!(namespace);
        pod["metadata"]["creationTimestamp"] = Value::Null;
        defaults::apply(&mut pod);
        self.own_admission(namespace, &mut pod).map_err(Refusal::Forbidden)?;
        let mut created = Created {
            pod,
            warnings: Vec::new(),
            calls: 0,
        };
        if let Some(to) = to.filter(|to| self.selects(to, namespace, &created.pod)) {
            self.mutate(to, namespace, &mut created).await?;
        }
        let metadata = &mut created.pod["metadata"];
        if metadata["name"].as_str().is_none() {
            let prefix = metadata["generateName"].as_str().unwrap_or("pod-").to_owned();
            metadata["name"] = json!(format!("{prefix}{}", suffix()));
        }
        metadata["uid"] = json!(guid::random());
        metadata["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        Ok(created)
    }

    fn selects(&self, to: &Registration, namespace: &str, pod: &Value) -> bool {
        let labels = json!(self.lock().namespaces.get(namespace));
        selectors::matches(&to.webhook["namespaceSelector"], &labels)
            && selectors::matches(&to.webhook["objectSelector"], &pod["metadata"]["labels"])
    }

    /// The call, the API server's own admission again, and the second call if that changed something (`IfNeeded`).
    async fn mutate(&self, to: &Registration, namespace: &str, created: &mut Created) -> Result<(), Refusal> {
        let Some(first) = review(to, namespace, &created.pod).await? else {
            return Ok(());
        };
        created.calls = 1;
        created.warnings = first.warnings;
        let Some(patch) = first.patch else {
            return Ok(());
        };
        json_patch::patch(&mut created.pod, &patch)
            .map_err(|error| failed(to, &format!("the patch does not apply: {error}")))?;
        defaults::apply(&mut created.pod);
        let after_webhook = created.pod.clone();
        self.own_admission(namespace, &mut created.pod)
            .map_err(Refusal::Forbidden)?;
        if created.pod == after_webhook || to.webhook["reinvocationPolicy"] != "IfNeeded" {
            return Ok(());
        }
        let second = review(to, namespace, &created.pod).await?;
        created.calls = 2;
        match second.and_then(|second| second.patch) {
            Some(patch) if !patch.0.is_empty() => Err(Refusal::Unstable(json!(patch).to_string())),
            Some(_) | None => Ok(()),
        }
    }
}

fn failed(to: &Registration, problem: &str) -> Refusal {
    Refusal::Failed {
        webhook: to.name().to_owned(),
        problem: problem.to_owned(),
    }
}

/// Calls the webhook; `None` where it cannot be asked and is ignored then.
async fn review(to: &Registration, namespace: &str, pod: &Value) -> Result<Option<Reviewed>, Refusal> {
    let review = of_pod(namespace, pod);
    let uid = review["request"]["uid"].clone();
    let problem = match to.caller.post(review.to_string()).await {
        Ok(answer) if answer.status != 200 => format!("the server answered {}: {}", answer.status, answer.body.trim()),
        Ok(answer) => match read(to, &uid, &answer.body)? {
            Ok(reviewed) => return Ok(Some(reviewed)),
            Err(problem) => problem,
        },
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    };
    if to.webhook["failurePolicy"] == "Ignore" {
        Ok(None)
    } else {
        Err(failed(to, &problem))
    }
}

/// The outer error is a denial, the inner one an answer that the API server does not understand.
fn read(to: &Registration, uid: &Value, body: &str) -> Result<Result<Reviewed, String>, Refusal> {
    let Ok(answer) = serde_json::from_str::<Value>(body) else {
        return Ok(Err("the answer is no JSON".to_owned()));
    };
    let response = &answer["response"];
    if answer["kind"] != "AdmissionReview" || answer["apiVersion"] != "admission.k8s.io/v1" {
        return Ok(Err(format!(
            "expected AdmissionReview of admission.k8s.io/v1, got {}",
            answer["apiVersion"]
        )));
    }
    if response["uid"] != *uid {
        return Ok(Err(format!("expected response.uid={uid}, got {}", response["uid"])));
    }
    if response["allowed"] != json!(true) {
        return Err(Refusal::Denied {
            webhook: to.name().to_owned(),
            code: response["status"]["code"].as_u64().unwrap_or_default(),
            sentence: response["status"]["message"]
                .as_str()
                .unwrap_or("without explanation")
                .to_owned(),
        });
    }
    let warnings: Vec<String> = serde_json::from_value(response["warnings"].clone()).unwrap_or_default();
    if let Some(warning) = warnings.iter().find(|warning| warning.chars().count() > 256) {
        return Ok(Err(format!(
            "kubectl would cut this warning after 256 characters: {warning}"
        )));
    }
    Ok(decode(response).map(|patch| Reviewed { patch, warnings }))
}

fn decode(response: &Value) -> Result<Option<json_patch::Patch>, String> {
    use base64::Engine as _;
    let Some(patch) = response["patch"].as_str() else {
        return Ok(None);
    };
    if response["patchType"] != "JSONPatch" {
        return Err("a patch without patchType JSONPatch".to_owned());
    }
    let patch = base64::engine::general_purpose::STANDARD
        .decode(patch)
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&patch)
        .map(Some)
        .map_err(|error| format!("the patch is no JSON Patch: {error}"))
}

/// Five characters, as the API server appends them to `generateName`.
pub(super) fn suffix() -> String {
    let alphabet = b"bcdfghjklmnpqrstvwxz2456789";
    let one = || {
        let index = usize::try_from(guid::below(alphabet.len() as u64)).expect("an index of a short list");
        char::from(alphabet[index])
    };
    (0..5).map(|_| one()).collect()
}
