use super::*;
use crate::offline_agent::offline_agent;
use crate::problem::Level;
use crate::provision::az::Origin;
use crate::provision::principal::{Ids, Who};

fn principal(who: Who) -> Principal {
    Principal {
        who,
        name: "azp-agent".to_owned(),
        account: "agents/azp-agent".parse().expect("an account"),
        client_id: None,
        object_id: None,
    }
}

fn place() -> Place {
    Place {
        resource_group: "agents".to_owned(),
        location: None,
        subscription: None,
    }
}

/// What a verdict comes to, in a word: `good`, `ask`, or the reason.
fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Ask(..) => "ask",
        Verdict::Stuck(finding) => {
            assert_eq!(finding.level, Level::Bad);
            finding.problem.as_ref().expect("a problem").reason
        }
        Verdict::Settled(finding) => finding.problem.as_ref().map_or("good", |problem| problem.reason),
    }
}

#[test]
fn an_identity_is_made_until_it_has_both_ids() {
    let seen = |client: Option<&str>, object: Option<&str>| ManagedIdentity {
        ids: Ids {
            client_id: client.map(str::to_owned),
            object_id: object.map(str::to_owned),
            tenant: None,
        },
        origin: Origin::Unknown,
    };
    for (seen, expected) in [
        (None, "ask"),
        (Some(seen(None, None)), "ask"),
        (Some(seen(Some("c"), None)), "ask"),
        (Some(seen(Some("c"), Some("o"))), "good"),
    ] {
        let verdict = identity(&principal(Who::Agents), &place(), seen.as_ref());
        assert_eq!(word(&verdict), expected, "{seen:?}");
    }
}

#[test]
fn a_credential_is_compared_byte_for_byte() {
    let issuer = "https://issuer.example/";
    let subject = "system:serviceaccount:agents:azp-agent";
    let wanted = FederatedCredential::new(issuer, subject, "api://AzureADTokenExchange");
    let other = |number: usize| FederatedCredential {
        name: format!("other-{number}"),
        issuer: format!("https://{number}.example/"),
        ..wanted.clone()
    };
    let by_hand = FederatedCredential {
        name: "by-hand".to_owned(),
        ..wanted.clone()
    };
    let without_slash = FederatedCredential {
        name: "near".to_owned(),
        issuer: "https://issuer.example".to_owned(),
        ..wanted.clone()
    };
    let renamed = FederatedCredential {
        subject: "system:serviceaccount:other:azp-agent".to_owned(),
        ..wanted.clone()
    };
    let full: Vec<_> = (0..20).map(other).collect();
    let full_with_ours: Vec<_> = (0..19).map(other).chain([by_hand.clone()]).collect();
    for (seen, expected) in [
        (vec![], "ask"),
        (vec![wanted.clone()], "good"),
        (vec![by_hand], "good"),
        (vec![without_slash.clone()], "ask"),
        (vec![renamed], "credential-name-taken"),
        (full, "credentials-full"),
        (full_with_ours, "good"),
    ] {
        let verdict = credential(&principal(Who::Agents), &place(), &wanted, &seen);
        assert_eq!(word(&verdict), expected, "{seen:#?}");
    }
    let Verdict::Ask(_, sentence) = credential(&principal(Who::Agents), &place(), &wanted, &[without_slash]) else {
        panic!("it is missing");
    };
    assert!(sentence.contains("beside near"), "{sentence}");
}

#[test]
fn a_user_needs_a_license_of_some_size() {
    let seen = |license| ServicePrincipal {
        id: "m".to_owned(),
        object_id: "o".to_owned(),
        name: "azp-agent".to_owned(),
        license,
    };
    for (seen, expected) in [
        (None, "ask"),
        (Some(seen(License::TooLittle("stakeholder".to_owned()))), "ask"),
        (Some(seen(License::Enough("express".to_owned()))), "good"),
        (Some(seen(License::Enough("advanced".to_owned()))), "good"),
    ] {
        let verdict = user(&principal(Who::Agents), Some("o"), seen.as_ref());
        assert_eq!(word(&verdict), expected, "{seen:?}");
    }
    let Verdict::Ask(Change::AddUser(add), _) = user(&principal(Who::Agents), None, None) else {
        panic!("a dry run asks for it, too");
    };
    assert_eq!(add.object_id, "OBJECT_ID");
}

#[test]
fn a_pool_that_is_there_stays_as_it_is() {
    let seen = |auto_provision, auto_update| PoolSettings {
        id: PoolId(7),
        name: "kubernetes".to_owned(),
        auto_provision,
        auto_update,
    };
    for (seen, expected) in [
        (None, "ask"),
        (Some(seen(false, false)), "good"),
        (Some(seen(true, false)), "pool-for-all-projects"),
        (Some(seen(false, true)), "pool-updates-agents"),
        (Some(seen(true, true)), "pool-updates-agents"),
    ] {
        assert_eq!(word(&pool("kubernetes", seen.as_ref())), expected, "{seen:?}");
    }
}

#[test]
fn a_role_is_given_and_never_made_smaller() {
    let given = |role: &str| {
        vec![
            RoleAssignment {
                identity: "somebody".to_owned(),
                role: "Administrator".to_owned(),
            },
            RoleAssignment {
                identity: "M".to_owned(),
                role: role.to_owned(),
            },
        ]
    };
    for (who, seen, expected) in [
        (Who::Agents, vec![], "ask"),
        (Who::Agents, given("Reader"), "ask"),
        (Who::Agents, given("Service Account"), "ask"),
        (Who::Agents, given("Administrator"), "good"),
        (Who::Keda, vec![], "ask"),
        (Who::Keda, given("Reader"), "good"),
        (Who::Keda, given("Administrator"), "role-too-large"),
    ] {
        let verdict = role(&principal(who), Pool::Is(PoolId(7)), Some("m"), &seen);
        assert_eq!(word(&verdict), expected, "{who:?} {seen:?}");
    }
    // The new pool of a dry run has no roles; somebody else's never count.
    assert_eq!(
        word(&role(&principal(Who::Keda), Pool::WouldBe, None, &given("Reader"))),
        "ask"
    );
}

fn agent(os: &str, capabilities: &[(&str, &str)]) -> TaskAgent {
    TaskAgent {
        version: Some("4.1.0".to_owned()),
        os: Some(os.to_owned()),
        system_capabilities: texts(capabilities),
        user_capabilities: texts(&[("mine", "1")]),
        ..offline_agent(3, "placeholder")
    }
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn the_placeholder_gets_what_it_lacks_and_a_real_agent_is_never_touched() {
    let plain = Placeholder {
        name: "placeholder".to_owned(),
        capabilities: texts(&[]),
    };
    let docker = Placeholder {
        capabilities: texts(&[("docker", "/usr/bin/docker")]),
        ..plain.clone()
    };
    let with_docker = [("docker", "/usr/bin/docker")];
    let online = TaskAgent {
        online: true,
        ..agent("Linux 6.1", &[])
    };
    for (wanted, seen, newest, expected) in [
        (&plain, None, Some("4.272.0"), "ask"),
        (&plain, None, None, "no-agent-version"),
        (&plain, Some(agent("placeholder", &[])), None, "good"),
        (&plain, Some(agent("Linux 6.1", &[])), None, "good"),
        (&plain, Some(online.clone()), None, "placeholder-name-taken"),
        (&docker, Some(online), None, "placeholder-name-taken"),
        (&docker, Some(agent("placeholder", &[])), None, "ask"),
        (&docker, Some(agent("placeholder", &with_docker)), None, "good"),
        (
            &docker,
            Some(agent("placeholder", &[("docker", "/other")])),
            None,
            "ask",
        ),
        (&docker, Some(agent("Linux 6.1", &[])), None, "placeholder-foreign"),
    ] {
        let verdict = placeholder(wanted, Pool::Is(PoolId(7)), seen.as_ref(), newest);
        assert_eq!(word(&verdict), expected, "{wanted:?} {seen:?}");
    }
}

#[test]
fn a_placeholder_keeps_what_it_has() {
    let wanted = Placeholder {
        name: "placeholder".to_owned(),
        capabilities: texts(&[("docker", "/usr/bin/docker")]),
    };
    let seen = agent("placeholder", &[("java", "17")]);
    let verdict = placeholder(&wanted, Pool::Is(PoolId(7)), Some(&seen), None);
    let Verdict::Ask(Change::ReplaceAgent(_, _, description), sentence) = verdict else {
        panic!("{verdict:?}");
    };
    assert!(sentence.ends_with("with docker"), "{sentence}");
    assert_eq!(description.system_capabilities["java"], "17");
    assert_eq!(description.system_capabilities["docker"], "/usr/bin/docker");
    assert_eq!(description.version, "4.1.0", "its own version stays");
    assert_eq!(description.user_capabilities["mine"], "1");
}
