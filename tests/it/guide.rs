//! The guide's script, its Azure DevOps half, run as a person runs it, against the emulator. The half that calls `az` is not
//! run anywhere; only its defaults are compared with the examples.

use std::path::{Path, PathBuf};
use std::time::Duration;

use azure_emulators::ado::{Ado, AdoView, Behavior, JobRefused, JobSpec, License, Role};
use azure_emulators::clock::Clock;
use azure_emulators::entra::{Entra, Identity, Kind};
use azure_emulators::http::Listen;
use azure_emulators::tls::{Authority, install_provider};
use tests::kustomize::{documents, find};
use tests::programs::repository;

const TENANT: &str = "11111111-1111-1111-1111-111111111111";
const ORGANIZATION: &str = "example";
/// Pool and placeholder as the examples name them, which are the script's defaults.
const POOL: &str = "kubernetes";
const PLACEHOLDER: &str = "placeholder";

/// A tenant with the two managed identities, an organization and its administrator; no pool, no users.
struct Setting {
    folder: tempfile::TempDir,
    entra: Entra,
    ado: Ado,
    administrator: Identity,
    agents: Identity,
    keda: Identity,
}

/// What a run of the script said.
struct Said {
    success: bool,
    out: String,
    err: String,
    /// Every command line of curl.
    curl: String,
}

impl Setting {
    async fn new() -> Self {
        install_provider();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (authority, clock) = (Authority::new(), Clock::new());
        authority
            .write_pem(&folder.path().join("ca.pem"))
            .expect("the folder is writable");
        let entra = Entra::start(&Listen::default(), &authority, &clock)
            .await
            .expect("it starts");
        let ado = Ado::start(&Listen::default(), &authority, &clock, &entra)
            .await
            .expect("it starts");
        entra.add_tenant(TENANT, "example.onmicrosoft.com");
        let administrator = entra.add_identity(TENANT, Kind::User, "administrator");
        let agents = entra.add_identity(TENANT, Kind::ManagedIdentity, "azp-agent");
        let keda = entra.add_identity(TENANT, Kind::Application, "azp-keda");
        ado.add_organization(ORGANIZATION, TENANT);
        ado.add_member(ORGANIZATION, &administrator, License::Basic);
        ado.set_administrator(ORGANIZATION, &administrator, true);
        ado.set_agent_package([4, 272, 0], b"not read here".to_vec());
        record_curl(folder.path());
        Self {
            folder,
            entra,
            ado,
            administrator,
            agents,
            keda,
        }
    }

    fn token(&self, who: &Identity) -> String {
        self.entra.mint_token(who, Duration::from_secs(3600))
    }

    /// Runs `docs/azure/setup.sh devops` with these variables instead of the usual ones.
    async fn run(&self, variables: &[(&str, &str)]) -> Said {
        let path = |name: &str| self.folder.path().join(name);
        let url = self.ado.organization_url(ORGANIZATION);
        let mut command = tokio::process::Command::new("bash");
        command
            .arg(script())
            .arg("devops")
            .env(
                "PATH",
                format!(
                    "{}:{}",
                    path("bin").display(),
                    std::env::var("PATH").expect("there is one")
                ),
            )
            .env("ORGANIZATION", ORGANIZATION)
            .env("ADO_URL", &url)
            .env("ENTITLEMENTS_URL", &url)
            .env("CA_FILE", path("ca.pem"))
            .env("ADO_TOKEN", self.token(&self.administrator))
            .env("AGENT_OBJECT_ID", &self.agents.object_id)
            .env("KEDA_OBJECT_ID", &self.keda.object_id)
            .env("no_proxy", "*")
            .envs(variables.iter().copied())
            .kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(60), command.output())
            .await
            .expect("the script ends within a minute")
            .expect("bash can be started");
        Said {
            success: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            curl: std::fs::read_to_string(path("curl.log")).unwrap_or_default(),
        }
    }
}

/// Puts a `curl` first on the path that notes its command line and calls the real one.
fn record_curl(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::var("PATH").expect("there is one");
    let real = std::env::split_paths(&path)
        .map(|folder| folder.join("curl"))
        .find(|curl| curl.is_file())
        .expect("the guide's script needs curl: install it");
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).expect("the folder is writable");
    let text = format!(
        "#!/usr/bin/env bash\nprintf '%s\\n' \"$*\" >>{}/curl.log\nexec {} \"$@\"\n",
        folder.display(),
        real.display()
    );
    std::fs::write(bin.join("curl"), text).expect("the folder is writable");
    std::fs::set_permissions(bin.join("curl"), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

fn script() -> PathBuf {
    repository().join("docs/azure/setup.sh")
}

fn roles(view: &AdoView, who: &Identity) -> Option<Role> {
    view.pool(POOL)
        .expect("the pool is there")
        .roles
        .get(&who.name)
        .copied()
}

#[tokio::test]
async fn it_makes_users_pool_roles_and_placeholder() {
    let setting = Setting::new().await;
    let said = setting
        .run(&[("CAPABILITIES", r#"{"docker": "/usr/bin/docker"}"#)])
        .await;
    assert!(said.success, "{}", said.err);

    let view = setting.ado.view();
    let pool = view.pool(POOL).expect("the pool is there");
    assert!(!pool.auto_provision && !pool.auto_update);
    assert_eq!(roles(&view, &setting.agents), Some(Role::Administrator));
    assert_eq!(roles(&view, &setting.keda), Some(Role::Reader));
    let placeholder = view.agent(POOL, PLACEHOLDER).expect("the placeholder is there");
    assert!(
        placeholder.enabled && !placeholder.online && !placeholder.can_listen,
        "{placeholder:?}"
    );
    assert_eq!(placeholder.version, "4.272.0", "the newest, whatever a job demands");
    assert_eq!(placeholder.system_capabilities["Agent.OS"], "Linux");
    assert_eq!(placeholder.system_capabilities["docker"], "/usr/bin/docker");
    assert!(said.out.contains("role Administrator on pool") && said.out.contains("placeholder placeholder"));
}

#[tokio::test]
async fn an_empty_pool_refuses_jobs_until_it_has_run() {
    let setting = Setting::new().await;
    let pool = setting.ado.add_pool(ORGANIZATION, POOL);
    pool.set_role(&setting.administrator, Some(Role::Administrator));
    assert!(matches!(
        pool.queue_job(JobSpec::script("true")),
        Err(JobRefused::NoAgent(_))
    ));
    let said = setting.run(&[]).await;
    assert!(said.success, "{}", said.err);
    pool.queue_job(JobSpec::script("true"))
        .expect("the placeholder could take it");
}

#[tokio::test]
async fn it_can_be_run_again() {
    let setting = Setting::new().await;
    for run in 1..=2 {
        let said = setting.run(&[]).await;
        assert!(said.success, "run {run}: {}", said.err);
    }
    let view = setting.ado.view();
    assert_eq!(view.pools.len(), 1);
    assert_eq!(view.agents(POOL).len(), 1);
    assert_eq!(roles(&view, &setting.agents), Some(Role::Administrator));
}

#[tokio::test]
async fn without_keda_there_is_no_placeholder() {
    let setting = Setting::new().await;
    let said = setting.run(&[("KEDA_OBJECT_ID", "")]).await;
    assert!(said.success, "{}", said.err);
    let view = setting.ado.view();
    assert_eq!(roles(&view, &setting.agents), Some(Role::Administrator));
    assert_eq!(roles(&view, &setting.keda), None);
    assert!(view.agents(POOL).is_empty());
}

#[tokio::test]
async fn a_role_is_given_until_it_is_there() {
    let setting = Setting::new().await;
    setting.ado.set_behavior(Behavior {
        entitlement_spread_seconds: 2,
        ..Behavior::default()
    });
    let said = setting.run(&[("GRANT_PAUSE", "0.5"), ("GRANT_ATTEMPTS", "100")]).await;
    assert!(said.success, "{}", said.err);
    assert!(said.err.contains("not there yet"), "{}", said.err);
    let view = setting.ado.view();
    assert_eq!(roles(&view, &setting.agents), Some(Role::Administrator));
    assert_eq!(roles(&view, &setting.keda), Some(Role::Reader));
}

#[tokio::test]
async fn a_role_that_never_comes_is_a_failure_that_says_so() {
    let setting = Setting::new().await;
    setting.ado.set_behavior(Behavior {
        entitlement_spread_seconds: 3600,
        ..Behavior::default()
    });
    let said = setting.run(&[("GRANT_PAUSE", "0"), ("GRANT_ATTEMPTS", "2")]).await;
    assert!(!said.success, "{}", said.out);
    assert!(!said.out.contains("role Administrator"), "{}", said.out);
    assert!(
        said.err.contains("(2 of 2)") && said.err.contains("never showed it"),
        "{}",
        said.err
    );
    let view = setting.ado.view();
    assert_eq!(roles(&view, &setting.agents), None);
    assert!(view.agents(POOL).is_empty(), "it went no further");
}

#[tokio::test]
async fn the_token_stands_on_no_command_line_and_in_no_message() {
    let setting = Setting::new().await;
    let token = setting.token(&setting.agents);
    let said = setting.run(&[("ADO_TOKEN", &token)]).await;
    assert!(!said.success, "an identity that is no user cannot add users");
    assert!(said.curl.contains("serviceprincipalentitlements"), "{}", said.curl);
    for text in [&said.curl, &said.out, &said.err] {
        assert!(!text.contains(&token), "{text}");
    }
}

#[tokio::test]
async fn mistakes_get_a_sentence_and_change_nothing() {
    let setting = Setting::new().await;
    let registration = setting.keda.registration_id.clone();
    for (variables, sentence) in [
        (("ADO_TOKEN", "expired"), "the token was not accepted"),
        (("AGENT_OBJECT_ID", ""), "not of the app registration"),
        (("AGENT_OBJECT_ID", registration.as_str()), "VS403283"),
        (("ENTITLEMENTS_URL", "https://127.0.0.1:1/example"), "no answer"),
        (("CA_FILE", "/etc/hostname"), "no answer"),
    ] {
        let said = setting.run(&[variables]).await;
        assert!(!said.success, "{variables:?}");
        assert!(said.err.contains(sentence), "{variables:?}: {}", said.err);
        assert!(setting.ado.view().pools.is_empty(), "{variables:?}: nothing was made");
    }
}

#[test]
fn the_defaults_are_those_of_the_examples() {
    let text = std::fs::read_to_string(script()).expect("the script is there");
    let default = |variable: &str| {
        let start = format!("\n{variable}=${{{variable}:-");
        let at = text.find(&start).unwrap_or_else(|| panic!("no default of {variable}")) + start.len();
        text[at..].split('}').next().expect("a value").to_owned()
    };
    let objects = documents("manifests/examples/deployment.yaml").expect("it is YAML");
    let account = find(&objects, "ServiceAccount", "azp-agent").expect("there is one");
    let subject = format!(
        "system:serviceaccount:{}:{}",
        account["metadata"]["namespace"].as_str().expect("a namespace"),
        account["metadata"]["name"].as_str().expect("a name")
    );
    assert_eq!(default("AGENT_SUBJECT"), subject);
    assert_eq!(default("KEDA_SUBJECT"), "system:serviceaccount:keda:keda-operator");
    assert_eq!(default("AUDIENCE"), contract::DEFAULT_AUDIENCE);
    let map = find(&objects, "ConfigMap", "azp-agent").expect("there is one");
    assert_eq!(
        default("POOL"),
        map["data"][contract::AZP_POOL_VARIABLE].as_str().expect("a pool")
    );
    // Azure DevOps as a resource: the same application id as in the scope.
    let resource = contract::DEFAULT_SCOPE.trim_end_matches("/.default");
    assert!(text.contains(&format!("--resource {resource}")));
}
