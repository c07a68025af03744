//! Start scripts of every generation, unmodified, in the Debian image: each as four users at once, from registration through
//! a job to removal.

use crate::case::Case;
use crate::usual::{all_succeeded, apply_all, delete_all, in_a_folder_of_its_own, online, queue, short_grace};
use crate::workload::{agent, pod, template};
use anyhow::Result;
use contract::{DEFAULT_AUDIENCE, DEFAULT_AUTHORITY, DRAIN_FILE, TOKEN_FILE};
use serde_json::{Value, json};

/// Who the agent's container runs as.
struct User {
    /// Name of the pod.
    name: &'static str,
    /// Security context of the pod.
    security: Value,
    /// Format of stat(1) for the token file, and what it says then: the mode, and the group where it matters.
    token_file: (&'static str, &'static str),
}

const FOR_ALL: (&str, &str) = ("%a", "644");

fn users() -> [User; 4] {
    [
        User {
            name: "root",
            security: json!({"runAsUser": 0}),
            token_file: FOR_ALL,
        },
        User {
            name: "user",
            security: json!({"runAsUser": 1000}),
            token_file: FOR_ALL,
        },
        // As OpenShift assigns them.
        User {
            name: "random-user",
            security: json!({"runAsUser": 1_000_660_000, "runAsGroup": 0}),
            token_file: FOR_ALL,
        },
        User {
            name: "fs-group",
            security: json!({"runAsUser": 1000, "fsGroup": 2000}),
            token_file: ("%a %g", "640 2000"),
        },
    ]
}

/// A job that looks for its user and for a token file of the right mode that it can read. Some scripts delete the file, and
/// it comes back at once. The drain file is the sidecar's: only root can delete, rename or touch it.
fn look_around(user: &User) -> String {
    let uid = &user.security["runAsUser"];
    let (format, expected) = user.token_file;
    format!(
        "set -ex
         for _ in $(seq 50); do [ -s {TOKEN_FILE} ] && break; sleep 0.1; done
         [ \"$(id -u)\" = {uid} ]
         [ \"$(stat -c '{format}' {TOKEN_FILE})\" = '{expected}' ]
         [ -n \"$(cat {TOKEN_FILE})\" ]
         [ -e {DRAIN_FILE} ]
         [ {uid} = 0 ] || for change in 'rm -f {DRAIN_FILE}' 'mv {DRAIN_FILE} {DRAIN_FILE}.old' 'touch {DRAIN_FILE}'; do
             if $change; then exit 1; fi
         done"
    )
}

async fn every_user(case: Case, script: &str, change: impl Fn(&mut Value)) -> Result<()> {
    let users = users();
    let pods = users.iter().map(|user| {
        let mut template = template(script);
        short_grace(&mut template);
        template["spec"]["securityContext"] = user.security.clone();
        match user.name {
            // Without its capabilities root may not do more than others.
            "root" => agent(&mut template)["securityContext"] = json!({}),
            "random-user" => in_a_folder_of_its_own(&mut template),
            _ => {}
        }
        change(&mut template);
        pod(user.name, &template)
    });
    apply_all(&case, &pods.collect::<Vec<_>>())?;
    online(&case, &users.each_ref().map(|user| user.name)).await?;
    for user in &users {
        queue(&case, user.name, &look_around(user))?;
    }
    all_succeeded(&case).await?;
    delete_all(&case).await
}

pub(crate) async fn gen0_execs_the_agent_and_never_removes_it(case: Case) -> Result<()> {
    every_user(case, "gen0", |_| {}).await
}

pub(crate) async fn gen0b_deletes_the_token_file_and_never_removes_the_agent(case: Case) -> Result<()> {
    every_user(case, "gen0b", |_| {}).await
}

pub(crate) async fn gen1_tries_the_removal_once(case: Case) -> Result<()> {
    every_user(case, "gen1", |_| {}).await
}

pub(crate) async fn gen2_has_traps_and_an_endless_loop(case: Case) -> Result<()> {
    every_user(case, "gen2", |_| {}).await
}

pub(crate) async fn gen3_has_a_user_of_its_own(case: Case) -> Result<()> {
    every_user(case, "gen3", |_| {}).await
}

pub(crate) async fn gen4_checks_the_token_file(case: Case) -> Result<()> {
    every_user(case, "gen4", |_| {}).await
}

pub(crate) async fn foreground_ignores_sigterm(case: Case) -> Result<()> {
    every_user(case, "foreground", |_| {}).await
}

pub(crate) async fn read_once_keeps_its_first_token(case: Case) -> Result<()> {
    every_user(case, "read-once", |_| {}).await
}

/// With a federated token that the pod brings itself; beside the Azure Workload Identity webhook it is another test.
pub(crate) async fn own_exchange_with_a_token_of_the_pods_own(case: Case) -> Result<()> {
    every_user(case.clone(), "own-exchange", |template| own_exchange(&case, template)).await
}

/// A federated token for the agent's container itself.
pub(crate) fn own_exchange(case: &Case, template: &mut Value) {
    let folder = "/run/own-token";
    let env = &mut agent(template)["env"];
    let mut variables = env.as_array().cloned().unwrap_or_default();
    variables.extend([
        json!({"name": "AZURE_CLIENT_ID", "value": case.identity.client_id}),
        json!({"name": "AZURE_TENANT_ID", "value": case.suite.world.settings.tenant}),
        json!({"name": "AZURE_AUTHORITY_HOST", "value": DEFAULT_AUTHORITY}),
        json!({"name": "AZURE_FEDERATED_TOKEN_FILE", "value": format!("{folder}/token")}),
    ]);
    *env = json!(variables);
    agent(template)["volumeMounts"] = json!([{"name": "own-token", "mountPath": folder, "readOnly": true}]);
    template["spec"]["volumes"] = json!([{"name": "own-token", "projected": {"sources": [{"serviceAccountToken": {
        "path": "token", "audience": DEFAULT_AUDIENCE, "expirationSeconds": 3600,
    }}]}}]);
}
