//! The webhook's own pods: what they may do, how they are replaced, which settings and images they get.

use std::collections::BTreeSet;

use contract::SYSTEM_NAMESPACE;
use oci_image::Layer;
use oci_image::product::{Build, Product};
use serde_json::json;
use tests::kustomize::find;

use super::{
    container, default, deployment, folders, kind, name, port, ports, renderings, restricted, selector, settings,
    variant,
};

#[test]
fn our_own_pods_are_restricted_with_a_read_only_root() {
    for (rendering, objects) in renderings() {
        let template = &deployment(&objects)["spec"]["template"];
        assert_eq!(restricted::violations(&template["spec"]), [""; 0], "{rendering}");
        assert_eq!(container(&objects)["securityContext"]["readOnlyRootFilesystem"], true);
        let resources = &container(&objects)["resources"];
        assert!(resources["requests"]["cpu"].is_string() && resources["limits"]["memory"].is_string());
        // What else could run in our namespace would have to be looked at here, too.
        for kind in ["DaemonSet", "StatefulSet", "Job", "CronJob", "Pod"] {
            assert!(super::kind(&objects, kind).is_empty(), "{rendering} has a {kind}");
        }
    }
}

#[test]
fn a_rollout_has_no_gap_and_selectors_find_the_pods() {
    for (rendering, objects) in renderings() {
        let spec = &deployment(&objects)["spec"];
        let labels = &spec["template"]["metadata"]["labels"];
        assert!(spec["replicas"].as_u64() >= Some(2), "{rendering}");
        assert_eq!(
            spec["strategy"]["rollingUpdate"],
            json!({"maxUnavailable": 0, "maxSurge": 1})
        );
        let drain: u64 = default("--drain-delay").parse().expect("seconds");
        let grace = spec["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
        assert!(
            grace >= Some(drain + 10),
            "requests under way have to end within the grace period"
        );

        let budget = &find(&objects, "PodDisruptionBudget", "ado-agent-webhook").expect("there is one")["spec"];
        assert_eq!(budget["maxUnavailable"], 1);
        let policy = &find(&objects, "NetworkPolicy", "ado-agent-webhook").expect("there is one")["spec"];
        let service = &find(&objects, "Service", "ado-agent-webhook").expect("there is one")["spec"];
        let spread = &spec["template"]["spec"]["topologySpreadConstraints"];
        assert_eq!(spread.as_array().map(Vec::len), Some(1));
        assert_eq!(spread[0]["topologyKey"], "kubernetes.io/hostname");
        for selector in [
            &spec["selector"],
            &budget["selector"],
            &policy["podSelector"],
            &spread[0]["labelSelector"],
            &json!({"matchLabels": service["selector"]}),
        ] {
            assert_ne!(
                selector["matchLabels"],
                json!({}),
                "{rendering}: an empty selector takes everything"
            );
            assert!(
                selector::selects(selector, labels),
                "{rendering}: {selector} misses {labels}"
            );
        }

        let plain = port(&default("--plain-address"));
        for (probe, path) in [
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
            ("startupProbe", "/livez"),
        ] {
            let get = &container(&objects)[probe]["httpGet"];
            assert_eq!(get["path"], path, "{rendering}");
            assert_eq!(
                ports(&objects)[get["port"].as_str().expect("a named port")],
                plain,
                "{rendering}"
            );
        }
        let open: Vec<_> = policy["ingress"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|rule| ports(&objects)[rule["ports"][0]["port"].as_str().expect("a named port")])
            .collect();
        assert_eq!(open, [port(&default("--tls-address")), plain], "{rendering}");
    }
}

#[test]
fn the_settings_are_ones_that_the_webhook_accepts() {
    let known: BTreeSet<_> = webhook::config::reference()
        .into_iter()
        .map(|row| row.variable)
        .collect();
    for (rendering, objects) in renderings() {
        let settings = settings(&objects);
        for key in settings.keys() {
            assert!(known.contains(key), "{rendering}: the webhook has no variable {key}");
        }
        let config = webhook::config::Config::read(["ado-agent-webhook".to_owned()], |key| settings.get(key).cloned());
        let config = config.unwrap_or_else(|error| panic!("{rendering}: {error}"));
        assert_eq!(
            config.settings.sidecar_image,
            settings["ADO_AGENT_WEBHOOK_SIDECAR_IMAGE"]
        );
    }
}

#[test]
fn registry_and_tag_of_both_images_are_set_in_one_place() {
    for (rendering, objects) in renderings() {
        let webhook = container(&objects)["image"].as_str().expect("an image").to_owned();
        let sidecar = settings(&objects)["ADO_AGENT_WEBHOOK_SIDECAR_IMAGE"].clone();
        assert_eq!(
            webhook.replace("/ado-agent-webhook:", "/ado-agent-sidecar:"),
            sidecar,
            "{rendering}"
        );
        assert_eq!(
            webhook.matches("/ado-agent-webhook:").count(),
            1,
            "{rendering}: {webhook}"
        );
        assert!(
            kind(&objects, "ConfigMap")
                .iter()
                .all(|map| map["metadata"]["name"] != "ado-agent-images"),
            "{rendering}: what is only read by kustomize reaches the cluster"
        );
    }
    let digest = format!("sha256:{}", "a".repeat(64));
    for folder in folders("manifests/overlays")
        .iter()
        .map(|folder| format!("manifests/overlays/{}", name(folder)))
    {
        for base in ["manifests/base", &folder] {
            let objects = variant(
                &[base],
                &["manifests/components/images"],
                &format!(
                    "configMapGenerator:\n  - name: ado-agent-images\n    namespace: {SYSTEM_NAMESPACE}\n    behavior: merge\n    \
                     literals: [\"webhook=mirror.test:5000/a/w:2\", \"sidecar=mirror.test:5000/a/s@{digest}\"]\n"
                ),
            );
            assert_eq!(container(&objects)["image"], "mirror.test:5000/a/w:2", "{base}");
            assert_eq!(
                settings(&objects)["ADO_AGENT_WEBHOOK_SIDECAR_IMAGE"],
                format!("mirror.test:5000/a/s@{digest}"),
                "{base}"
            );
            let text = json!(objects).to_string();
            assert!(
                !text.contains("ghcr.io") && !text.contains("registry.example.com"),
                "{base}: {text}"
            );
        }
    }
}

/// The manifests count on it: no shell, a user by number, the program where the startup probe and the hook call it.
#[test]
fn the_images_hold_one_program_and_run_as_a_user_by_number() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    for (name, program) in [
        ("ado-agent-webhook", "/ado-agent-webhook"),
        ("ado-agent-sidecar", contract::SIDECAR_PROGRAM),
    ] {
        let product = Product::named(name).expect("it has an image");
        let image = product.image(String::new(), file.path(), &Build::default());
        let image = image.expect("the file can be read");
        assert_eq!(image.entrypoint, [program]);
        assert_eq!(image.user, "65532:65532");
        let [Layer::Files(entries)] = image.layers.as_slice() else {
            panic!("{name}: one layer of files")
        };
        let paths: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.mode)).collect();
        assert_eq!(paths, [(&program[1..], 0o755)], "nothing but the program");
    }
    let base = variant(&["manifests/base"], &[], "");
    let security = &deployment(&base)["spec"]["template"]["spec"]["securityContext"];
    assert_eq!(security["runAsUser"], 65532);
    assert_eq!(default("--sidecar-run-as-user"), "65532");
}
