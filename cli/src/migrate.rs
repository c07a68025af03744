//! `ado-agent migrate`: manifests of agents that use a personal access token, written without it.
//!
//! [`migrate`] is a function of values: it finds what holds the token (variables, files, Secrets, KEDA's authentication), takes it
//! out, and puts in what the webhook needs. [`plan`] says what to do in which order, and how to go back. Nothing here prints a
//! value of a Secret, and the Secrets themselves are only listed for deletion.

mod accounts;
mod keda;
mod plan;
mod pods;
mod recipes;
mod secrets;

pub use plan::plan;
pub use recipes::is_token;

use crate::Exit;
use crate::manifest::source::Sources;
use crate::manifest::workload::{Workload, objects, workloads};
use crate::manifest::{Document, documents, joined};
use crate::output::{Format, Output};
use clap::Args;
use contract::Handoff;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;

/// What stands for a client ID that nobody named.
pub const NO_CLIENT_ID: &str = "00000000-0000-0000-0000-000000000000";
/// Where kubectl keeps a copy of an object, with every value that it ever had.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Write the manifests of agents that use a personal access token without it, and say what to do in which order.
///
/// The manifests go to stdout, the plan to stderr. Render charts first (helm template). Nothing in a cluster is read or changed.
#[derive(Debug, Args)]
pub struct Migrate {
    #[command(flatten)]
    sources: Sources,
    /// Client ID of the agents' identity, for their ServiceAccounts.
    #[arg(long, value_name = "GUID")]
    client_id: Option<String>,
    /// Client ID of KEDA's identity, which only reads the queue.
    #[arg(long, value_name = "GUID")]
    keda_client_id: Option<String>,
    /// Handoff of all agents: gateway or token-file. Else the gateway where it works.
    #[arg(long, value_name = "HANDOFF", value_parser = handoff)]
    handoff: Option<Handoff>,
    /// A further variable in which an image expects its token; may be repeated.
    #[arg(long, value_name = "NAME")]
    token_variable: Vec<String>,
    /// A further variable in which an image expects the organization URL; may be repeated.
    #[arg(long, value_name = "NAME")]
    url_variable: Vec<String>,
    /// Namespace of objects that name none.
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
}

fn handoff(word: &str) -> Result<Handoff, String> {
    Handoff::parse(word).ok_or_else(|| "expected gateway or token-file".to_owned())
}

/// What a person chose.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Client ID of the agents' identity.
    pub client_id: Option<String>,
    /// Client ID of KEDA's identity.
    pub keda_client_id: Option<String>,
    /// Handoff of all agents.
    pub handoff: Option<Handoff>,
    /// Further variables with a token.
    pub token_variables: Vec<String>,
    /// Further variables with the organization URL.
    pub url_variables: Vec<String>,
    /// Namespace of objects that name none.
    pub namespace: String,
}

/// An object that holds the token, in a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// `Secret` or `ConfigMap`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The key with the token; `None` where only its name is known.
    pub key: Option<String>,
}

/// A workload that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The workload.
    pub workload: Workload,
    /// Position of its document.
    pub document: usize,
    /// Its namespace.
    pub namespace: String,
    /// How its agent registers.
    pub handoff: Handoff,
    /// Why not with the gateway.
    pub why: Option<String>,
    /// The ServiceAccount of its pods.
    pub account: String,
    /// What a person should look at.
    pub notes: Vec<String>,
}

/// What was found out and done.
#[derive(Debug, Default)]
pub struct Migration {
    /// The documents' values; `None` for one that held nothing but the token.
    pub values: Vec<Option<Value>>,
    /// New objects.
    pub added: Vec<Value>,
    /// Workloads that were changed.
    pub changed: Vec<Changed>,
    /// Workloads that keep their token, and why.
    pub kept: Vec<(Workload, String)>,
    /// What held the token.
    pub holders: BTreeSet<Holder>,
    /// Secrets that held nothing else, as namespace and name: they are to be deleted.
    pub emptied: BTreeSet<(String, String)>,
    /// Secrets that something else still reads, as namespace and name.
    pub shared: BTreeSet<(String, String)>,
    /// Objects that make such Secrets, as kind and name.
    pub makers: BTreeSet<(String, String)>,
    /// ServiceAccounts that are in none of the manifests, as namespace and name.
    pub accounts: BTreeSet<(String, String)>,
    /// Namespaces that are in none of the manifests.
    pub namespaces: BTreeSet<String>,
    /// KEDA's objects that were changed, as kind and name.
    pub keda: BTreeSet<(String, String)>,
}

/// Takes the token out of manifests.
pub fn migrate(documents: &[Value], choices: &Choices) -> Migration {
    let mut migration = Migration {
        values: documents.iter().cloned().map(Some).collect(),
        ..Migration::default()
    };
    let sources = secrets::Sources::of(documents, choices);
    for (position, document) in documents.iter().enumerate() {
        for workload in workloads(document) {
            let namespace = workload.namespace.clone().unwrap_or_else(|| choices.namespace.clone());
            let template = migration.values[position]
                .as_mut()
                .and_then(|value| value.pointer_mut(&workload.pod));
            let Some(template) = template else { continue };
            match pods::migrate(template, &workload, &namespace, &sources, choices) {
                None => {}
                Some(Err(why)) => migration.kept.push((workload, why)),
                Some(Ok(done)) => {
                    migration.holders.extend(done.holders);
                    migration.changed.push(Changed {
                        workload,
                        document: position,
                        namespace,
                        handoff: done.handoff,
                        why: done.why,
                        account: done.account,
                        notes: done.notes,
                    });
                }
            }
        }
    }
    keda::migrate(&mut migration, choices);
    secrets::migrate(&mut migration, &sources, choices);
    accounts::migrate(&mut migration, choices);
    forget_copies(&mut migration, documents);
    migration
}

/// Takes kubectl's copies out of objects that were changed: they hold what was removed.
fn forget_copies(migration: &mut Migration, before: &[Value]) {
    for (value, before) in migration.values.iter_mut().zip(before) {
        let Some(value) = value.as_mut().filter(|value| *value != before) else {
            continue;
        };
        let places: Vec<String> = objects(value).into_iter().map(|(place, _)| place).collect();
        for place in places {
            let metadata = value
                .pointer_mut(&format!("{place}/metadata"))
                .and_then(Value::as_object_mut);
            let Some(metadata) = metadata else { continue };
            let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
            let is_empty = annotations
                .is_some_and(|annotations| annotations.remove(LAST_APPLIED).is_some() && annotations.is_empty());
            if is_empty {
                metadata.remove("annotations");
            }
        }
    }
}

pub(crate) fn run(arguments: Migrate, output: Output) -> anyhow::Result<Exit> {
    let all = arguments.sources.read()?;
    let choices = Choices {
        client_id: arguments.client_id,
        keda_client_id: arguments.keda_client_id,
        handoff: arguments.handoff,
        token_variables: arguments.token_variable,
        url_variables: arguments.url_variable,
        namespace: arguments.namespace,
    };
    let values: Vec<Value> = all.iter().map(|document| document.value.clone()).collect();
    let migration = migrate(&values, &choices);
    let plan = plan(&migration, &choices);
    let exit = if migration.kept.is_empty() {
        Exit::Good
    } else {
        Exit::Problem
    };
    if output.format == Format::Json {
        let manifests: Vec<&Value> = migration.values.iter().flatten().chain(&migration.added).collect();
        output.print_json(&json!({"manifests": manifests, "plan": plan}))?;
        return Ok(exit);
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(written(&all, &migration).as_bytes())?;
    stdout.flush()?;
    // Nobody reads it if stderr is closed.
    let _ = std::io::stderr().write_all(plan.as_bytes());
    Ok(exit)
}

/// The manifests as one stream: what was not changed is as it was, byte for byte.
pub fn written(all: &[Document], migration: &Migration) -> String {
    let kept = all.iter().zip(&migration.values);
    let kept = kept.filter_map(|(document, value)| Some((document, document.with(value.as_ref()?))));
    let mut stream = joined(kept);
    for object in &migration.added {
        // Written as a change of an empty document, so that there is one writer.
        if let Ok(empty) = documents("", "---\n")
            && let Some(document) = empty.first()
        {
            stream.push_str(&document.with(object));
        }
    }
    stream
}
