//! `docs/reference.md`, rendered from the code that gives the names their meaning.

mod operators_program;

use contract::{Entry, Reason};
use observe::{NoticeKind, NoticeReason};

const HEAD: &str = "\
# Reference

Every name that a person may type or meet. This page is rendered from the code and checked by a test; to change it, change the
code and run `UPDATE_GOLDENS=1 cargo test -p tests --test reference`.
";

/// The whole page.
pub fn render() -> String {
    let mut page = HEAD.to_owned();
    section(
        &mut page,
        "Labels",
        "On namespaces and on pods.",
        "label",
        contract::LABELS,
    );
    section(
        &mut page,
        "Annotations on a pod",
        "On the pod template. Unknown keys under the same prefix are reported as a warning and in the status annotation; a wrong \
         value of a known key denies the pod.",
        "annotation",
        contract::POD_ANNOTATIONS,
    );
    section(
        &mut page,
        "Annotations that the webhook writes",
        "",
        "annotation",
        contract::WRITTEN_ANNOTATIONS,
    );
    section(
        &mut page,
        "Why a pod is not isolated",
        "The first words of the entries of `notIsolated` in the status annotation: why jobs may reach the sidecar's memory, state \
         or service-account token, the node, or another identity. A container that runs beside the agent's counts, too.",
        "word",
        contract::NOT_ISOLATED,
    );
    section(
        &mut page,
        "Names of Azure Workload Identity",
        "The webhook reads these; it does not need the Azure Workload Identity webhook (azwi).",
        "name",
        contract::AZWI_NAMES,
    );
    agent_container(&mut page);
    settings(&mut page);
    section(
        &mut page,
        "Containers and volumes",
        "What the webhook adds to a pod.",
        "name",
        contract::OBJECTS,
    );
    section(&mut page, "Paths", "", "path", contract::PATHS);
    section(
        &mut page,
        "Variables of the agent container",
        "",
        "variable",
        contract::AGENT_VARIABLES,
    );
    section(
        &mut page,
        "Variables of the agent container with the gateway",
        "",
        "variable",
        contract::GATEWAY_VARIABLES,
    );
    section(
        &mut page,
        "Variables of older recipes",
        "Read where the agent container does not set the newer one. `AZP_` counts first, then `VSTS_`, then `AZDO_`.",
        "variable",
        contract::OLDER_VARIABLES,
    );
    list(
        &mut page,
        "Variables that are removed from the agent container and set to the empty string, whatever `envFrom` or the image brings:",
        contract::SECRET_VARIABLES,
    );
    list(
        &mut page,
        "With the gateway, these of them hold the ticket instead:",
        contract::TICKET_VARIABLES,
    );
    section(
        &mut page,
        "Variables of the sidecar",
        "The webhook writes them. They are listed for reading a pod, not for typing.",
        "variable",
        contract::SIDECAR_VARIABLES,
    );
    list(
        &mut page,
        "Proxy variables that the sidecar gets from the agent container, each by itself:",
        contract::PROXY_VARIABLES,
    );
    section(
        &mut page,
        "What ado-agent-sidecar probe --json prints",
        "One line of JSON, in the sidecar's container: `kubectl exec POD -c ado-agent-sidecar -- /ado-agent-sidecar probe --json`. A member \
         is never renamed; others may come. Where there is nothing to say it is `null`.",
        "member",
        contract::PROBE_MEMBERS,
    );
    metrics(&mut page);
    decisions(&mut page);
    events(&mut page);
    operators_program::append(&mut page);
    reasons(&mut page);
    page
}

fn title(page: &mut String, title: &str, text: &str) {
    page.push_str(&format!("\n## {title}\n\n"));
    if !text.is_empty() {
        page.push_str(&format!("{text}\n\n"));
    }
}

fn section(page: &mut String, name: &str, text: &str, column: &str, entries: &[Entry]) {
    title(page, name, text);
    append_table(
        page,
        &[column, "meaning"],
        entries.iter().map(|entry| vec![code(entry.name), entry.text()]),
    );
}

fn list(page: &mut String, text: &str, names: &[&str]) {
    let names: Vec<_> = names.iter().map(|name| code(name)).collect();
    page.push_str(&format!("\n{text} {}.\n", names.join(", ")));
}

fn agent_container(page: &mut String) {
    title(page, "Which container is the agent", "");
    let names: Vec<_> = contract::AGENT_CONTAINER_NAMES.iter().map(|name| code(name)).collect();
    page.push_str(&format!(
        "The one that {} names, else the pod's only container, else the first of these names that the pod has: {}.\n",
        code(contract::AGENT_CONTAINER_ANNOTATION),
        names.join(", ")
    ));
}

fn settings(page: &mut String) {
    title(
        page,
        "Settings of the webhook",
        "As a flag or as a variable in the ConfigMap `ado-agent-webhook`; the flag wins.",
    );
    let rows = webhook::config::reference().into_iter().map(|row| {
        let default = if row.default.is_empty() {
            String::new()
        } else {
            code(&row.default)
        };
        vec![code(&row.flag), code(&row.variable), default, row.help]
    });
    append_table(page, &["flag", "variable", "default", "meaning"], rows);
}

fn metrics(page: &mut String) {
    title(
        page,
        "Metrics of the webhook",
        "At `/metrics` on the plain port, in Prometheus' text format.",
    );
    let rows = webhook::metrics::reference()
        .iter()
        .map(|metric| vec![code(metric.name), metric.kind.to_owned(), metric.help.to_owned()]);
    append_table(page, &["metric", "kind", "meaning"], rows);
    title(
        page,
        "Metrics of ado-agent keep",
        "At `/metrics`, in Prometheus' text format. Names and labels that begin with `cicd` are those of OpenTelemetry's semantic \
         conventions, or formed like them; a job of a pool is a task run there. `organization`, `pool` and `namespace` are names, \
         all other labels are closed words.",
    );
    let rows = observe::families().iter().map(|family| {
        let labels: Vec<_> = family.labels.iter().map(|label| code(label)).collect();
        vec![
            code(family.name),
            family.kind.as_str().to_owned(),
            labels.join(", "),
            family.help.to_owned(),
        ]
    });
    append_table(page, &["metric", "kind", "labels", "meaning"], rows);
}

fn events(page: &mut String) {
    title(
        page,
        "Events of ado-agent keep",
        "On the pod and on what was typed to get it (Deployment, StatefulSet, Job, CronJob, ScaledJob), one series for each object and reason: \
         `kubectl describe` shows them.",
    );
    let rows = NoticeReason::FIXED
        .iter()
        .map(|(reason, kind, meaning)| vec![code(&reason.word()), kind.as_str().to_owned(), (*meaning).to_owned()]);
    let problem = NoticeReason::Problem(Reason::PoolMissing).word();
    let problems = vec![
        format!("{} and similar", code(&problem)),
        NoticeKind::Warning.as_str().to_owned(),
        "The sidecar has a problem: one of the reasons below, written in this form. The note is its sentence, which says what to do."
            .to_owned(),
    ];
    append_table(page, &["reason", "type", "meaning"], rows.chain([problems]));
}

fn decisions(page: &mut String) {
    title(
        page,
        "Decisions of the sweep",
        "What `ado-agent keep` and `ado-agent sweep` say of an agent whose pod may be gone: in log lines (`decision=`), in the table and in \
         JSON. A decision is never renamed. [keep.md](keep.md) says how they come about.",
    );
    let rows = sweep::Decision::WORDS
        .iter()
        .map(|(word, meaning)| vec![code(word), (*meaning).to_owned()]);
    append_table(page, &["decision", "meaning"], rows);
}

fn reasons(page: &mut String) {
    title(
        page,
        "Reasons",
        "One closed list of words: in log lines (`reason=`), in the sidecar's termination message and probe output and in \
         metrics. A reason is never renamed. What to do about each: [troubleshooting.md](troubleshooting.md).",
    );
    let rows = Reason::ALL.iter().map(|reason| {
        let lines: Vec<_> = reason.docs().iter().map(|line| line.trim()).collect();
        vec![code(reason.as_str()), lines.join(" ")]
    });
    append_table(page, &["reason", "meaning"], rows);
    for family in cli::problem::FAMILIES {
        let commands: Vec<_> = family
            .commands
            .iter()
            .map(|name| code(&format!("ado-agent {name}")))
            .collect();
        let say = if commands.len() == 1 {
            "has these of its own"
        } else {
            "have these of their own"
        };
        page.push_str(&format!(
            "\n{} {say}; what to do about each: [{}]({}).\n\n",
            commands.join(" and "),
            family.section.split('#').next().unwrap_or_default(),
            family.section,
        ));
        append_table(page, &["reason", "meaning"], family.own.iter().map(word));
        if !family.shared.is_empty() {
            let shared: Vec<_> = family.shared.iter().map(|word| code(word.word)).collect();
            page.push_str(&format!("\nOf the lists above they say {}.\n", shared.join(", ")));
        }
    }
}

fn word(word: &cli::problem::Word) -> Vec<String> {
    let lines: Vec<_> = word.docs.iter().map(|line| line.trim()).collect();
    vec![code(word.word), lines.join(" ")]
}

/// In backquotes.
pub(crate) fn code(text: &str) -> String {
    format!("`{text}`")
}

/// A table.
pub(crate) fn append_table(page: &mut String, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    page.push_str(&format!("| {} |\n", columns.join(" | ")));
    page.push_str(&format!("|{}\n", " --- |".repeat(columns.len())));
    for row in rows {
        assert_eq!(row.len(), columns.len(), "{row:?}");
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        page.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}
