//! What keeps tokens where they belong, in every injected pod.

use super::{agent_name, items, members, status};
use inject::Settings;
use serde_json::{Value, json};

/// Pod Security Standards, profile `restricted`, as far as one container and its volumes can break it.
pub(super) fn fits_pod_security_restricted(sidecar: &Value, patched: &Value) {
    let context = &sidecar["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["privileged"], false);
    assert_eq!(context["runAsNonRoot"], true);
    assert_ne!(context["runAsUser"], 0);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["capabilities"], json!({ "drop": ["ALL"] }));
    assert_eq!(context["seccompProfile"], json!({ "type": "RuntimeDefault" }));
    assert_eq!(sidecar["resources"]["requests"], sidecar["resources"]["limits"]);
    let of_the_pod = |list: &str| !members(&patched["spec"]["resources"][list]).is_empty();
    let pod_has_own = of_the_pod("requests") || of_the_pod("limits");
    for name in ["cpu", "memory"] {
        assert_eq!(
            sidecar["resources"]["limits"].get(name).is_none(),
            pod_has_own,
            "{name}"
        );
    }
    assert_eq!(sidecar["restartPolicy"], "Always");
    let is_gateway = status(patched)["handoff"] == "gateway";
    assert_eq!(sidecar.get("readinessProbe").is_some(), is_gateway);
    for absent in ["ports", "livenessProbe", "imagePullPolicy"] {
        assert_eq!(sidecar.get(absent), None);
    }
    let volumes = items(&patched["spec"]["volumes"]);
    let mounts = items(&sidecar["volumeMounts"]);
    assert!(!mounts.is_empty());
    for mount in &mounts {
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]);
        let volume = members(volume.unwrap_or_else(|| panic!("no volume for {mount}")));
        for kind in volume.keys().filter(|key| *key != "name") {
            assert!(
                ["emptyDir", "projected", "configMap"].contains(&kind.as_str()),
                "{kind}"
            );
        }
    }
    let no_token = mounts
        .iter()
        .find(|mount| mount["mountPath"] == contract::API_TOKEN_DIR);
    assert_eq!(
        no_token.map(|mount| &mount["name"]),
        Some(&json!(contract::NO_API_TOKEN_VOLUME))
    );
}

/// What a start script could register with leads to the gateway, and to nobody else.
pub(super) fn the_agent_container_has_a_ticket_and_no_token(sidecar: &Value, patched: &Value) {
    let value = |container: &Value, name: &str| {
        let entries = items(&container["env"]);
        let last = entries.into_iter().rfind(|entry| entry["name"] == name);
        last.map(|entry| entry["value"].clone())
    };
    let port = value(sidecar, contract::GATEWAY_PORT_VARIABLE).expect("the sidecar knows its port");
    let port = port.as_str().and_then(|port| port.parse().ok()).expect("a port");
    let url = json!(contract::gateway_url(port));
    let name = agent_name(patched);
    let containers = items(&patched["spec"]["containers"]);
    let agent = containers
        .iter()
        .find(|container| container["name"] == name.as_str())
        .expect("the agent container");
    assert_eq!(value(agent, contract::AZP_URL_VARIABLE), Some(url.clone()));
    for name in contract::GATEWAY_URL_VARIABLES {
        assert!(value(agent, name).is_none_or(|found| found == url), "{name}");
    }
    let (ticket, file) = (json!(contract::TICKET), json!(contract::TOKEN_FILE));
    for entry in items(&agent["env"]) {
        let name = entry["name"].as_str().expect("a name");
        if contract::TICKET_VARIABLES.contains(&name) {
            assert_eq!(entry["value"], ticket, "{name}");
        } else if contract::SECRET_VARIABLES.contains(&name) {
            let text = entry["value"].as_str().unwrap_or_default();
            assert!(entry.get("valueFrom").is_none(), "{name}");
            assert!(["", contract::TICKET].contains(&text), "{name}");
        }
    }
    for name in contract::TICKET_VARIABLES {
        assert_eq!(value(agent, name), Some(ticket.clone()), "{name}");
    }
    for name in contract::TOKEN_FILE_VARIABLES {
        let found = value(agent, name).unwrap_or_default();
        assert!(found.is_null() || found == "" || found == file, "{name}: {found}");
    }
    assert_ne!(patched["spec"]["hostNetwork"], true);
    let once = value(sidecar, contract::ONCE_VARIABLE).is_some();
    assert!(!once || value(agent, contract::ONCE_INPUT_VARIABLE) == Some(json!("true")));
}

/// What decides where a token may go is a literal of the operator's, once, whatever the agent container sets; and the
/// service-account token is mounted into the sidecar only.
pub(super) fn tokens_go_where_the_operator_says(sidecar: &Value, patched: &Value, settings: &Settings) {
    assert_eq!(sidecar.get("envFrom"), None);
    let env = items(&sidecar["env"]);
    let entries = |name: &str| {
        env.iter()
            .filter(|entry| entry["name"] == name)
            .cloned()
            .collect::<Vec<_>>()
    };
    let literal = |name: &str, value: &str| json!({ "name": name, "value": value });
    for (name, value) in [
        (contract::ALLOWED_HOSTS_VARIABLE, settings.allowed_hosts.to_variable()),
        (
            contract::ALLOWED_AUTHORITIES_VARIABLE,
            settings.allowed_authorities.to_variable(),
        ),
        (contract::SCOPE_VARIABLE, settings.scope.clone()),
        (contract::STATE_DIR_VARIABLE, contract::STATE_DIR.to_owned()),
    ] {
        assert_eq!(entries(name), [literal(name, &value)]);
    }
    let by_azwi = entries(contract::AZWI_IDENTITY_VARIABLE) == [literal(contract::AZWI_IDENTITY_VARIABLE, "true")];
    for (name, value) in [
        (contract::AZURE_AUTHORITY_HOST_VARIABLE, settings.authority.as_str()),
        (contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE, contract::ASSERTION_FILE),
    ] {
        let expected = if by_azwi {
            Vec::new()
        } else {
            vec![literal(name, value)]
        };
        assert_eq!(entries(name), expected);
    }
    for list in ["initContainers", "containers"] {
        for container in items(&patched["spec"][list]) {
            let mounts = items(&container["volumeMounts"]);
            let has = |volume: &str| mounts.iter().any(|mount| mount["name"] == volume);
            let is_sidecar = container["name"] == contract::SIDECAR_CONTAINER;
            let is_agent = list == "containers" && container["name"] == agent_name(patched);
            assert_eq!(has(contract::ASSERTION_VOLUME), is_sidecar && !by_azwi);
            assert_eq!(has(contract::STATE_VOLUME), is_sidecar);
            assert_eq!(has(contract::NO_API_TOKEN_VOLUME), is_sidecar);
            assert_eq!(has(contract::HANDOFF_VOLUME), is_sidecar || is_agent);
        }
    }
}
