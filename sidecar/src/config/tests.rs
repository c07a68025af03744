use super::*;

fn environment(changes: &[(&str, &str)]) -> Config {
    let good = [
        (contract::CONTRACT_VARIABLE, "1"),
        (contract::HANDOFF_VARIABLE, "token-file"),
        (contract::OWNER_VARIABLE, "ado-agent/v1/c/n/p-0/u"),
        (contract::POD_NAME_VARIABLE, "p-0"),
        (contract::GRACE_SECONDS_VARIABLE, "3600"),
        (
            contract::AZURE_CLIENT_ID_VARIABLE,
            "11111111-1111-1111-1111-111111111111",
        ),
        (contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE, "/assertion"),
        (contract::URL_VARIABLE, "https://dev.azure.com/contoso/"),
    ];
    let find = |table: &[(&str, &str)], name: &str| {
        table
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    Config::read(|name| find(changes, name).or_else(|| find(&good, name)))
}

fn refusal(changes: &[(&str, &str)]) -> (RefusalReason, String) {
    match environment(changes) {
        Config::Refused { refusal, .. } => (refusal.reason, refusal.sentence),
        Config::Ready { settings, .. } => panic!("not refused: {settings:?}"),
    }
}

fn settings(changes: &[(&str, &str)]) -> Settings {
    match environment(changes) {
        Config::Ready { settings, .. } => *settings,
        Config::Refused { refusal, .. } => panic!("{}", refusal.sentence),
    }
}

#[test]
fn a_good_environment_is_read_with_its_defaults() {
    let settings = settings(&[]);
    assert_eq!(settings.agent_name, "p-0");
    assert_eq!(settings.pool, "Default");
    assert_eq!(settings.tenant, None);
    assert_eq!(settings.url, "https://dev.azure.com/contoso");
    assert_eq!(settings.grace, Duration::from_secs(3600));
    let config = environment(&[]);
    assert_eq!(config.places().token_file_mode, 0o644);
    assert_eq!(config.places().state_dir, PathBuf::from(contract::STATE_DIR));
}

#[test]
fn all_wrong_variables_are_reported_at_once() {
    let (reason, sentence) = refusal(&[
        (contract::HANDOFF_VARIABLE, "carrier-pigeon"),
        (contract::OWNER_VARIABLE, ""),
        (contract::GRACE_SECONDS_VARIABLE, "soon"),
        (contract::AZURE_CLIENT_ID_VARIABLE, ""),
        (contract::TOKEN_FILE_MODE_VARIABLE, "rw"),
        (contract::AZURE_TENANT_ID_VARIABLE, "a/b"),
        (contract::ALLOWED_HOSTS_VARIABLE, "dev.azure.com,https://x"),
        (contract::LOG_LEVEL_VARIABLE, "loud"),
        ("HTTPS_PROXY", "http://user:hunter2@[/"),
    ]);
    assert_eq!(reason, RefusalReason::BadConfiguration);
    for expected in [
        "ADO_AGENT_HANDOFF is \"carrier-pigeon\"",
        "ADO_AGENT_OWNER is missing",
        "ADO_AGENT_GRACE_SECONDS is \"soon\"",
        "AZURE_CLIENT_ID is missing",
        "ADO_AGENT_TOKEN_FILE_MODE is \"rw\"",
        "AZURE_TENANT_ID is \"a/b\"",
        "ADO_AGENT_ALLOWED_HOSTS is \"https://x\"",
        "ADO_AGENT_LOG_LEVEL is \"loud\"",
        "HTTPS_PROXY: ",
    ] {
        assert!(sentence.contains(expected), "{expected} is not in: {sentence}");
    }
    assert!(!sentence.contains("hunter2"), "{sentence}");
}

#[test]
fn another_contract_version_is_refused_before_anything_else_is_read() {
    for version in ["2", "0", "one", ""] {
        let (reason, sentence) = refusal(&[(contract::CONTRACT_VARIABLE, version), (contract::OWNER_VARIABLE, "?")]);
        assert_eq!(reason, RefusalReason::ContractUnknown, "{version}");
        assert!(!sentence.contains("ADO_AGENT_OWNER"), "{sentence}");
    }
    assert!(refusal(&[(contract::CONTRACT_VARIABLE, "2")]).1.contains("version 2"));
}

#[test]
fn the_last_source_that_is_not_empty_counts_below_the_variable_that_wins() {
    let from = |number: usize, name: &str| format!("{name}_{number}");
    let (url0, url7, url63) = (
        from(0, contract::URL_FROM_VARIABLE),
        from(7, contract::URL_FROM_VARIABLE),
        from(63, contract::URL_FROM_VARIABLE),
    );
    let (pool1, name1) = (
        from(1, contract::POOL_FROM_VARIABLE),
        from(1, contract::AGENT_NAME_FROM_VARIABLE),
    );
    let found = settings(&[
        (contract::URL_VARIABLE, ""),
        (&url0, "https://dev.azure.com/first"),
        (&url7, "https://dev.azure.com/second"),
        (&url63, " "),
        (contract::URL_DEFAULT_VARIABLE, "https://dev.azure.com/default"),
        (&pool1, "from a ConfigMap"),
        (contract::POOL_DEFAULT_VARIABLE, "the operator's"),
        (&name1, "named"),
    ]);
    assert_eq!(found.url, "https://dev.azure.com/second");
    assert_eq!(found.pool, "from a ConfigMap");
    assert_eq!(found.agent_name, "named");
    let found = settings(&[
        (&url7, "https://dev.azure.com/second"),
        (contract::POOL_DEFAULT_VARIABLE, "the operator's"),
    ]);
    assert_eq!(found.url, "https://dev.azure.com/contoso");
    assert_eq!(found.pool, "the operator's");
}

#[test]
fn variables_of_older_recipes_count_below_the_newer_ones() {
    let brought = |number: usize, name: &str| format!("{}{number}_{name}", contract::ENV_FROM_VARIABLE_PREFIX);
    let (account, pool, name) = (
        brought(0, contract::VSTS_ACCOUNT_VARIABLE),
        brought(3, contract::VSTS_POOL_VARIABLE),
        brought(3, contract::AZDO_AGENT_VARIABLE),
    );
    let older = [
        (contract::URL_VARIABLE, ""),
        (account.as_str(), "contoso"),
        (pool.as_str(), "older"),
        (name.as_str(), "named"),
        (contract::POOL_DEFAULT_VARIABLE, "Default"),
    ];
    let found = settings(&older);
    assert_eq!(found.url, "https://contoso.visualstudio.com");
    assert_eq!((found.pool.as_str(), found.agent_name.as_str()), ("older", "named"));
    let pool = format!("{}_0", contract::POOL_FROM_VARIABLE);
    let newer = [&[(pool.as_str(), "newer")], &older[..]].concat();
    assert_eq!(settings(&newer).pool, "newer");
}

#[test]
fn a_value_with_surrounding_white_space_is_refused() {
    let from = format!("{}_2", contract::POOL_FROM_VARIABLE);
    for (name, value, place) in [
        (contract::URL_VARIABLE, "https://dev.azure.com/contoso\n", "AZP_URL"),
        (contract::POOL_VARIABLE, "linux\n", "AZP_POOL"),
        (from.as_str(), " linux", "AZP_POOL"),
        (contract::AGENT_NAME_VARIABLE, "build\t", "AZP_AGENT_NAME"),
    ] {
        let (reason, sentence) = refusal(&[(name, value)]);
        assert_eq!(reason, RefusalReason::WhiteSpace, "{name}");
        assert!(sentence.starts_with(place), "{sentence}");
    }
    // The operator's default is not seen by the start script.
    assert_eq!(settings(&[(contract::POOL_DEFAULT_VARIABLE, "linux\n")]).pool, "linux");
}

#[test]
fn a_gateway_has_a_port_and_one_job_or_many() {
    let with = |changes: &[(&'static str, &'static str)]| {
        let gateway = [
            (contract::HANDOFF_VARIABLE, "gateway"),
            (contract::GATEWAY_PORT_VARIABLE, "7649"),
            (contract::POOL_VARIABLE, "linux"),
        ];
        environment(&[changes, &gateway].concat())
    };
    for (once, jobs) in [("", Jobs::Many), ("true", Jobs::One)] {
        let Config::Ready { settings, remote, .. } = with(&[(contract::ONCE_VARIABLE, once)]) else {
            panic!("refused");
        };
        assert_eq!(settings.handoff, Handoff::Gateway(jobs));
        let pod = remote.gateway.expect("a gateway");
        assert_eq!((pod.port, pod.pool.as_str()), (7649, "linux"));
    }
    let Config::Ready { settings, remote, .. } = environment(&[]) else {
        panic!("refused");
    };
    assert!(settings.handoff == Handoff::TokenFile && remote.gateway.is_none());
    for (name, value) in [
        (contract::GATEWAY_PORT_VARIABLE, "0"),
        (contract::GATEWAY_PORT_VARIABLE, "70000"),
        (contract::GATEWAY_PORT_VARIABLE, ""),
        (contract::ONCE_VARIABLE, "yes"),
    ] {
        let Config::Refused { refusal, .. } = with(&[(name, value)]) else {
            panic!("{name}={value}");
        };
        assert_eq!(refusal.reason, RefusalReason::BadConfiguration);
        assert!(refusal.sentence.contains(name), "{}", refusal.sentence);
    }
}

#[test]
fn an_agent_is_a_placeholder_only_if_the_variable_is_set() {
    assert!(!settings(&[]).placeholder);
    assert!(settings(&[(contract::PLACEHOLDER_VARIABLE, "true")]).placeholder);
}

#[test]
fn a_configuration_that_can_never_work_has_a_reason_of_its_own() {
    for (name, value, reason) in [
        (
            contract::URL_VARIABLE,
            "https://tfs.corp.example/tfs/DefaultCollection",
            RefusalReason::NotServices,
        ),
        (
            contract::URL_VARIABLE,
            "https://dev.azure.com.evil.example/contoso",
            RefusalReason::HostNotAllowed,
        ),
        (
            contract::AZURE_AUTHORITY_HOST_VARIABLE,
            "https://login.evil.example/",
            RefusalReason::HostNotAllowed,
        ),
        (
            contract::URL_VARIABLE,
            "https://dev.azure.com/contoso/project",
            RefusalReason::BadUrl,
        ),
        (
            contract::URL_VARIABLE,
            "https://dev.azure.com/$(ORG)",
            RefusalReason::BadUrl,
        ),
        (contract::URL_VARIABLE, "", RefusalReason::BadConfiguration),
        (
            contract::CA_PEM_VARIABLE,
            "no certificate",
            RefusalReason::BadConfiguration,
        ),
    ] {
        assert_eq!(refusal(&[(name, value)]).0, reason, "{name}={value}");
    }
}

#[test]
fn an_identity_that_is_left_to_azwi_needs_azwi() {
    let (reason, sentence) = refusal(&[
        (contract::AZWI_IDENTITY_VARIABLE, "true"),
        (contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE, ""),
    ]);
    assert_eq!(reason, RefusalReason::BadConfiguration);
    assert!(sentence.contains("its webhook did not mutate this pod"), "{sentence}");
    let proxy = (contract::AZURE_TOKEN_PROXY_VARIABLE, "https://kubernetes.default.svc");
    settings(&[(contract::AZWI_IDENTITY_VARIABLE, "true"), proxy]);
    for (name, value) in [
        (contract::AZURE_TOKEN_PROXY_VARIABLE, "http://kubernetes.default.svc"),
        (
            contract::AZURE_TOKEN_PROXY_VARIABLE,
            "https://kubernetes.default.svc/?x=y",
        ),
        (
            contract::AZURE_TOKEN_PROXY_VARIABLE,
            "https://u:p@kubernetes.default.svc/",
        ),
        (contract::AZURE_SNI_NAME_VARIABLE, "no name"),
    ] {
        // The first entry wins.
        let (_, sentence) = refusal(&[(name, value), (contract::AZWI_IDENTITY_VARIABLE, "true"), proxy]);
        assert!(sentence.contains(name), "{sentence}");
    }
}
