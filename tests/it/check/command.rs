//! The command itself: a good cluster, what stays behind, flags, exit codes, forms of output, and the sample in the documentation.

use azure_emulators::ado::Role;
use serde_json::Value;
use tests::programs::{program, repository};

use crate::world::{Cluster, NAMESPACE};

#[tokio::test]
async fn a_good_cluster_is_all_good_and_nothing_stays_behind() {
    let cluster = Cluster::start().await;
    let pods = cluster.api.count_objects("Pod");
    let said = cluster.check(&["-o", "json"]).await;
    let findings = said.findings();
    assert!(findings.iter().all(|finding| finding.level == "good"), "{findings:#?}");
    assert!(findings.len() >= 14, "{findings:#?}");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(cluster.api.count_objects("Pod"), pods);
    let requests = cluster.api.requests();
    let writes: Vec<_> = requests.iter().filter(|request| !request.starts_with("GET ")).collect();
    assert_eq!(writes.len(), 2, "{writes:?}");
    assert!(
        writes
            .iter()
            .any(|write| write.contains("/pods?") && write.contains("dryRun=All")),
        "{writes:?}"
    );
    assert!(
        writes
            .iter()
            .any(|write| write.contains("/serviceaccounts/azp-agent/token")),
        "{writes:?}"
    );
    assert!(cluster.azure.pool.agents().is_empty());
    // No token is printed.
    assert!(
        !said.stdout.contains("eyJ") && !said.stderr.contains("eyJ"),
        "{}",
        said.stdout
    );
}

#[tokio::test]
async fn the_sample_in_the_documentation_is_what_is_printed() {
    let cluster = Cluster::start().await;
    cluster.set_role(Some(Role::Reader));
    let said = cluster.check(&[]).await;
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let printed = cluster.azure.organization_url();
    let issuer = cluster.azure.issuer.url().to_owned();
    let text = said
        .stdout
        .replace(&printed, "https://dev.azure.com/contoso")
        .replace(&issuer, "https://oidc.example/cluster")
        .replace("v1.33.0-double", "v1.34.4")
        .replace(&cluster.azure.agents.client_id, "00000000-0000-0000-0000-000000000000")
        .replace(&cluster.azure.settings.tenant, "contoso.onmicrosoft.com");
    let page = repository().join("docs/ado-agent.md");
    let written = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = ("<!-- sample of check -->\n```text\n", "```\n<!-- end -->");
    let (before, rest) = written.split_once(begin).expect("the page has the sample");
    let (sample, after) = rest.split_once(end).expect("the sample ends");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&page, format!("{before}{begin}{text}{end}{after}")).unwrap();
    } else {
        assert_eq!(
            sample, text,
            "refresh it: UPDATE_GOLDENS=1 cargo test -p tests --test check sample"
        );
    }
}

#[tokio::test]
async fn before_the_installation_only_what_it_needs_is_looked_at() {
    let cluster = Cluster::start().await;
    cluster.api.unregister_webhook();
    let authority = format!("{}/", cluster.azure.authority_url());
    let pre = ["-o", "json", "--pre", "--authority", &authority];
    let said = cluster.check(&pre).await;
    let bad: Vec<_> = said
        .findings()
        .into_iter()
        .filter(|finding| finding.level == "bad")
        .collect();
    assert_eq!(bad.len(), 1, "{bad:#?}");
    assert_eq!(bad[0].reason, "cert-manager-missing");
    cluster.api.serve_group("cert-manager.io/v1");
    let said = cluster.check(&pre).await;
    let findings = said.findings();
    assert!(findings.iter().all(|finding| finding.level == "good"), "{findings:#?}");
    assert!(
        findings.iter().all(|finding| finding.group != "webhook"),
        "{findings:#?}"
    );
    assert_eq!(said.code, Some(0));
    let requests = cluster.api.requests();
    assert!(
        !requests
            .iter()
            .any(|request| request.starts_with("POST /api/v1/namespaces/agents/pods"))
    );
}

#[tokio::test]
async fn what_this_user_may_not_see_is_said_and_is_not_wrong() {
    let cluster = Cluster::start().await;
    for route in [
        "GET /api/v1/nodes",
        "GET /apis/admissionregistration.k8s.io",
        "POST /api/v1/namespaces/agents/serviceaccounts",
        "GET /apis/keda.sh",
    ] {
        cluster.api.refuse(route);
    }
    let said = cluster.check(&["-o", "json"]).await;
    let findings = said.findings();
    let unseen: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == "not-looked-at")
        .collect();
    assert!(unseen.len() >= 5, "{findings:#?}");
    assert!(
        unseen
            .iter()
            .any(|finding| finding.sentence.contains("cannot list resource")),
        "{unseen:#?}"
    );
    assert_eq!(said.code, Some(0), "{findings:#?}");
}

#[tokio::test]
async fn it_waits_until_a_new_role_is_there() {
    let cluster = Cluster::start().await;
    cluster.set_role(None);
    let waiting = cluster.check(&["-o", "json", "--only", "organization", "--wait", "90s"]);
    let giving = async {
        // The first look has to have failed.
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        let asked = || cluster.api.requests().iter().any(|request| request.contains("/token"));
        while !asked() {
            assert!(tokio::time::Instant::now() < deadline, "nobody looks");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        cluster.set_role(Some(Role::Administrator));
    };
    let (said, ()) = tokio::join!(waiting, giving);
    assert_eq!(said.code, Some(0), "{}", said.stdout);
}

#[tokio::test]
async fn a_wrong_command_line_is_64_and_a_cluster_that_is_away_is_1() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.run(&["check", "--only", "everything"]).await.code, Some(64));
    assert_eq!(cluster.run(&["check", "--wait", "soon"]).await.code, Some(64));
    let help = cluster.run(&["check", "--help"]).await;
    assert_eq!(help.code, Some(0));
    assert!(
        help.stdout.contains("--pre") && !help.stdout.contains('\u{1b}'),
        "{}",
        help.stdout
    );
    cluster.api.stop();
    let said = cluster
        .run(&["check", "-n", NAMESPACE, "-o", "json", "--only", "cluster"])
        .await;
    assert_eq!(said.code, Some(1));
    assert_eq!(said.findings()[0].reason, "cluster-unreachable");
    let said = cluster.run(&["check", "--kubeconfig", "/does/not/exist"]).await;
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.contains("/does/not/exist") && said.stdout.is_empty(),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn the_documentation_that_a_finding_names_is_there() {
    let cluster = Cluster::start().await;
    cluster.set_role(None);
    let said = cluster.check(&["-o", "json", "--only", "organization"]).await;
    let value: Value = serde_json::from_str(&said.stdout).unwrap();
    let link = value["findings"][1]["documentation"].as_str().unwrap();
    assert!(link.starts_with(cli::problem::DOCUMENTATION), "{link}");
}

#[test]
fn as_a_plugin_of_kubectl_it_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("kubectl-ado_agent");
    std::os::unix::fs::symlink(program("ado-agent").unwrap(), &link).unwrap();
    let output = std::process::Command::new(link)
        .args(["check", "--help"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Usage: kubectl ado-agent check"), "{text}");
}
