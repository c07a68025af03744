//! Reading the settings.

use super::{Problem, SETTINGS, Settings};
use crate::FederatedToken;
use crate::forms::{self, Form, TextForm};
use crate::values::{is_image_pattern, quantity};
use contract::{Handoff, HostList, HttpsUrl, OrganizationUrl};

const HOSTS: &str = "host names without scheme and port, separated by commas";
const IMAGE_PATTERNS: &str = "image references, or beginnings such as registry.example/team/* or registry.example/sidecar:*, \
                              separated by commas; * for any, none for no other than --sidecar-image";
const CLUSTER_ID: TextForm = TextForm {
    expected: "at most 128 letters, digits, '-', '_' and '.'",
    is_valid: |id| {
        id.len() <= 128
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    },
};
const WORD: TextForm = TextForm {
    expected: "printable characters without spaces",
    is_valid: |word| word.bytes().all(|byte| byte.is_ascii_graphic()),
};

impl Settings {
    /// Reads the settings. `lookup` gives the value of a setting by its name in [`SETTINGS`]; white space around a value does not
    /// count, and an empty one is absent. With a ConfigMap of the webhook's variables: `|name| data.get(&variable(name)).cloned()`.
    ///
    /// # Errors
    /// Every setting that is missing or wrong.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader {
            lookup,
            problems: Vec::new(),
        };
        let settings = reader.settings();
        match settings {
            Some(settings) if reader.problems.is_empty() => Ok(settings),
            Some(_) | None => Err(reader.problems),
        }
    }
}

/// Values by name, and what is wrong with them. A method gives `None` where the setting is absent or was noted as wrong.
struct Reader<L> {
    lookup: L,
    problems: Vec<Problem>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    fn settings(&mut self) -> Option<Settings> {
        let allowed_hosts = self.hosts("allowed-hosts");
        let allowed_authorities = self.hosts("allowed-authorities");
        let sidecar_image = self.text("sidecar-image", &forms::SIDECAR_IMAGE);
        if self.get("sidecar-image").is_none() {
            let expected =
                "the image that the injected sidecar runs, for instance registry.example/ado-agent-sidecar:0.1.0";
            self.problems.push(Problem::missing("sidecar-image", expected));
        }
        let allowed_handoffs = self.handoffs("allowed-handoffs");
        let handoff = self.handoff("handoff", allowed_handoffs.as_deref());
        let sidecar_cpu = self.text("sidecar-cpu", &forms::SIDECAR_CPU);
        let sidecar_memory = self.text("sidecar-memory", &forms::SIDECAR_MEMORY);
        let storage = ("sidecar-ephemeral-storage", &forms::SIDECAR_EPHEMERAL_STORAGE);
        let sidecar_ephemeral_storage = self.text(storage.0, storage.1);
        let max_sidecar_cpu = self.limit("max-sidecar-cpu", &forms::SIDECAR_CPU, ("sidecar-cpu", &sidecar_cpu));
        let max_sidecar_memory = self.limit(
            "max-sidecar-memory",
            &forms::SIDECAR_MEMORY,
            ("sidecar-memory", &sidecar_memory),
        );
        let max_sidecar_ephemeral_storage = self.limit(
            "max-sidecar-ephemeral-storage",
            storage.1,
            (storage.0, &sidecar_ephemeral_storage),
        );
        let sidecar_log_level = self.value("sidecar-log-level", &forms::LOG_LEVEL);
        let sidecar_run_as_user = self.value("sidecar-run-as-user", &forms::RUN_AS_USER);
        let allowed_sidecar_images = self.image_patterns("allowed-sidecar-images");
        let allow_sidecar_run_as_user = self.value("allow-sidecar-run-as-user", &forms::BOOLEAN);
        let grace_seconds = self.value("grace-period", &forms::DEFAULT_GRACE_SECONDS);
        let url = self.organization("url", allowed_hosts.as_ref());
        let pool = self.text("pool", &forms::POOL);
        let client_id = self.text("client-id", &forms::CLIENT_ID);
        let tenant_id = self.text("tenant-id", &forms::TENANT_ID);
        let cluster_id = self.text("cluster-id", &CLUSTER_ID);
        let authority = self.authority("authority", allowed_authorities.as_ref());
        let audience = self.text("audience", &WORD);
        let scope = self.text("scope", &WORD);
        let allow_ca_config_map = self.value("allow-ca-config-map", &forms::BOOLEAN);
        let federated_token = self.value("federated-token", &forms::FEDERATED_TOKEN);
        let allowed_federated_token = self.federated_tokens("allow-federated-token");
        let https_proxy = self.proxy("https-proxy");
        let no_proxy = self.get("no-proxy");
        Some(Settings {
            handoff: handoff?,
            allowed_handoffs: allowed_handoffs?,
            sidecar_image: sidecar_image?,
            sidecar_cpu: sidecar_cpu?,
            sidecar_memory: sidecar_memory?,
            sidecar_ephemeral_storage,
            sidecar_log_level: sidecar_log_level?,
            sidecar_run_as_user: sidecar_run_as_user?,
            allowed_sidecar_images: allowed_sidecar_images?,
            max_sidecar_cpu,
            max_sidecar_memory,
            max_sidecar_ephemeral_storage,
            allow_sidecar_run_as_user: allow_sidecar_run_as_user?,
            grace_seconds: grace_seconds?,
            cluster_id,
            url,
            pool,
            client_id,
            tenant_id,
            authority: authority?,
            audience: audience?,
            scope: scope?,
            allowed_hosts: allowed_hosts?,
            allowed_authorities: allowed_authorities?,
            ca_pem: None,
            allow_ca_config_map: allow_ca_config_map?,
            federated_token,
            allowed_federated_token,
            https_proxy,
            no_proxy,
        })
    }

    /// The value of a setting, or its default.
    fn get(&self, name: &str) -> Option<String> {
        let found = (self.lookup)(name);
        let found = found.as_deref().map(str::trim).filter(|value| !value.is_empty());
        let default = || SETTINGS.iter().find(|setting| setting.name == name)?.default;
        found.or_else(default).map(str::to_owned)
    }

    fn wrong(&mut self, name: &'static str, value: &str, expected: &str) {
        self.problems.push(Problem::wrong(name, value, expected));
    }

    fn text(&mut self, name: &'static str, form: &TextForm) -> Option<String> {
        let value = self.get(name)?;
        if (form.is_valid)(&value) {
            return Some(value);
        }
        self.wrong(name, &value, form.expected);
        None
    }

    fn value<T>(&mut self, name: &'static str, form: &Form<T>) -> Option<T> {
        let text = self.get(name)?;
        let value = (form.parse)(&text);
        if value.is_none() {
            self.wrong(name, &text, form.expected);
        }
        value
    }

    /// A limit of what pods may ask for, which must not be below the operator's own choice.
    fn limit(&mut self, name: &'static str, form: &TextForm, own: (&str, &Option<String>)) -> Option<String> {
        let value = self.text(name, form)?;
        if let (flag, Some(own)) = own
            && quantity(&value) < quantity(own)
        {
            let expected = format!("at least {own}, which --{flag} gives every sidecar");
            self.wrong(name, &value, &expected);
        }
        Some(value)
    }

    /// A list of patterns; `none` is an empty one.
    fn image_patterns(&mut self, name: &'static str) -> Option<Vec<String>> {
        let value = self.get(name)?;
        let patterns: Vec<String> = items(&value).map(str::to_owned).collect();
        if patterns == ["none"] {
            return Some(Vec::new());
        }
        let is_pattern = |pattern: &String| pattern != "none" && is_image_pattern(pattern);
        if patterns.is_empty() || !patterns.iter().all(is_pattern) {
            self.wrong(name, &value, IMAGE_PATTERNS);
            return None;
        }
        Some(patterns)
    }

    /// A list of hosts. An empty one is wrong, since nothing would be allowed.
    fn hosts(&mut self, name: &'static str) -> Option<HostList> {
        let value = self.get(name)?;
        let hosts = HostList::parse(&value).ok();
        if hosts.is_none() {
            self.wrong(name, &contract::redacted(&value), HOSTS);
        }
        hosts
    }

    /// An organization URL; where the list of hosts is wrong, there is nothing to compare it with.
    fn organization(&mut self, name: &'static str, allowed: Option<&HostList>) -> Option<OrganizationUrl> {
        match OrganizationUrl::parse(&self.get(name)?, allowed?) {
            Ok(url) => Some(url),
            Err(error) => {
                self.problems.push(Problem::is(name, &error));
                None
            }
        }
    }

    /// Entra's authority. It has to be on the list, or no sidecar would send its assertion anywhere.
    fn authority(&mut self, name: &'static str, allowed: Option<&HostList>) -> Option<String> {
        let value = self.get(name)?;
        let allowed = allowed?;
        if HttpsUrl::parse(&value).is_ok_and(|url| allowed.entry_for(&url.host).is_some()) {
            return Some(value);
        }
        let expected = "an https URL whose host is on --allowed-authorities";
        self.wrong(name, &contract::redacted(&value), expected);
        None
    }

    /// A list of handoffs. An empty one is wrong, since no pod could be injected.
    fn handoffs(&mut self, name: &'static str) -> Option<Vec<Handoff>> {
        let value = self.get(name)?;
        let handoffs: Option<Vec<_>> = items(&value).map(Handoff::parse).collect();
        let handoffs = handoffs.filter(|handoffs| !handoffs.is_empty());
        if handoffs.is_none() {
            self.wrong(
                name,
                &value,
                "\"token-file\", \"gateway\" or both, separated by a comma",
            );
        }
        handoffs
    }

    /// The handoff of pods that name none, which has to be one that they may name.
    fn handoff(&mut self, name: &'static str, allowed: Option<&[Handoff]>) -> Option<Handoff> {
        if self.get(name).is_none() {
            let only = allowed.filter(|allowed| !allowed.contains(&Handoff::TokenFile));
            return Some(
                only.and_then(|only| only.first().copied())
                    .unwrap_or(Handoff::TokenFile),
            );
        }
        let handoff = self.value(name, &forms::HANDOFF)?;
        if allowed?.contains(&handoff) {
            return Some(handoff);
        }
        self.wrong(name, handoff.as_str(), "a handoff that is on --allowed-handoffs");
        None
    }

    fn federated_tokens(&mut self, name: &'static str) -> Vec<FederatedToken> {
        // An empty list allows nothing, so it is not absent.
        let value = (self.lookup)(name).or_else(|| self.get(name)).unwrap_or_default();
        let tokens: Option<Vec<_>> = items(&value).map(FederatedToken::parse).collect();
        if tokens.is_none() {
            self.wrong(name, &value, "\"hide\", \"keep\" or both, separated by a comma");
        }
        tokens.unwrap_or_default()
    }

    fn proxy(&mut self, name: &'static str) -> Option<String> {
        let value = self.get(name)?;
        let is_url = ["http://", "https://"]
            .iter()
            .any(|scheme| value.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        // Everyone who may read pods reads it in the sidecar's environment.
        if is_url && !value.contains('@') {
            return Some(value);
        }
        let expected = "an http or https URL without user name and password";
        self.wrong(name, &contract::redacted(&value), expected);
        None
    }
}

/// The items of a list that is separated by commas.
fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}
