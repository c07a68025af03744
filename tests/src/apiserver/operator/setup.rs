//! What a test puts into the cluster for people.

use super::super::ApiServer;
use super::super::admission::Registration;
use super::super::review::Caller;
use super::path::{Key, plural};
use super::{Ran, TIMEOUT};
use azure_emulators::cluster_issuer::ClusterIssuer;
use azure_emulators::tls::Authority;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

impl ApiServer {
    /// Serves people from now on.
    pub fn serve_operators(&self) {
        self.state.store().is_served = true;
    }

    /// Serves a group and version more (`keda.sh/v1alpha1`), as once its definitions are there.
    pub fn serve_group(&self, group: &str) {
        self.state.store().groups.insert(group.to_owned());
    }

    /// Creates or replaces an object; its kind and metadata say where it is.
    ///
    /// # Panics
    /// It has no `apiVersion`, `kind` or name.
    pub fn put_object(&self, object: &Value) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let key = Key {
            group: text(&object["apiVersion"]).expect("an object has an apiVersion"),
            plural: plural(object["kind"].as_str().expect("an object has a kind")),
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"]).expect("an object has a name"),
        };
        self.state.store().objects.insert(key, object.clone());
    }

    /// Changes one object.
    ///
    /// # Panics
    /// It is not there.
    pub fn change_object(&self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut store = self.state.store();
        let plural = plural(kind);
        let mut found = store
            .objects
            .iter_mut()
            .filter(|(key, _)| key.plural == plural && key.name == name);
        change(found.next().expect("the object is there").1);
    }

    /// Removes every object of this kind and name.
    pub fn remove_object(&self, kind: &str, name: &str) {
        let plural = plural(kind);
        self.state
            .store()
            .objects
            .retain(|key, _| key.plural != plural || key.name != name);
    }

    /// How many objects of a kind there are.
    pub fn count_objects(&self, kind: &str) -> usize {
        let plural = plural(kind);
        self.state
            .store()
            .objects
            .keys()
            .filter(|key| key.plural == plural)
            .count()
    }

    /// Refuses requests that begin like this (`GET /api/v1/nodes`), as without an RBAC rule.
    pub fn refuse(&self, beginning: &str) {
        self.state.store().refused.push(beginning.to_owned());
    }

    /// Signs tokens of ServiceAccounts with this issuer.
    pub fn sign_tokens_with(&self, issuer: &ClusterIssuer) {
        self.state.store().issuer = Some(issuer.clone());
    }

    /// Stores a webhook configuration and calls its webhook at `address`, trusting its `caBundle` and nothing else.
    ///
    /// # Errors
    /// The bundle is no PEM.
    ///
    /// # Panics
    /// The object is no configuration with exactly one webhook.
    pub fn register_webhook(&self, configuration: &Value, address: SocketAddr) -> anyhow::Result<()> {
        use base64::Engine as _;
        self.put_object(configuration);
        let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"]
            .as_str()
            .unwrap_or_default();
        let pem = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(bundle)?)?;
        // Without a bundle the system's roots are trusted, of which none has signed the webhook's certificate.
        let pem = if pem.is_empty() {
            Authority::new().pem().to_owned()
        } else {
            pem
        };
        let registration = Registration::new(configuration, Caller::new(address, &pem, TIMEOUT)?);
        self.state.store().registration = Some(Arc::new(registration));
        Ok(())
    }

    /// Removes the webhook configuration.
    pub fn unregister_webhook(&self) {
        self.remove_object("MutatingWebhookConfiguration", contract::WEBHOOK_CONFIGURATION);
        self.state.store().registration = None;
    }

    /// Forwards every port of a pod to this address.
    pub fn forward_ports(&self, pod: &str, to: SocketAddr) {
        self.state.store().ports.insert(pod.to_owned(), to);
    }

    /// What every command in a pod does.
    pub fn run_in_pod(&self, pod: &str, ran: Ran) {
        self.state.store().commands.insert(pod.to_owned(), ran);
    }
}
