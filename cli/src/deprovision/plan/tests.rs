use super::*;
use crate::offline_agent::offline_agent;
use crate::provision::principal::{Ids, Who};
use azure_protocol::{License, PoolId};

fn principal() -> Principal {
    Principal {
        who: Who::Agents,
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

fn the_pool() -> PoolSettings {
    PoolSettings {
        id: PoolId(7),
        name: "kubernetes".to_owned(),
        auto_provision: false,
        auto_update: false,
    }
}

fn the_user() -> ServicePrincipal {
    ServicePrincipal {
        id: "m".to_owned(),
        object_id: "o".to_owned(),
        name: "azp-agent".to_owned(),
        license: License::Enough("express".to_owned()),
    }
}

fn agent(os: &str) -> TaskAgent {
    TaskAgent {
        os: Some(os.to_owned()),
        ..offline_agent(3, "a")
    }
}

fn nobody() -> Confirmed {
    Confirmed::default()
}

fn confirmed(word: &str) -> Confirmed {
    Confirmed(vec![word.to_owned()])
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Ask(..) => "ask",
        Verdict::Stuck(_) => "stuck",
        Verdict::Settled(finding) => finding.problem.as_ref().map_or("gone", |problem| problem.reason),
    }
}

#[test]
fn a_placeholder_goes_and_an_agent_does_not() {
    let online = TaskAgent {
        online: true,
        ..agent("placeholder")
    };
    for (seen, confirmed, expected) in [
        (None, nobody(), "gone"),
        (Some(agent("placeholder")), nobody(), "ask"),
        (Some(online), confirmed("agent/a"), "still-used"),
        (Some(agent("Linux")), nobody(), "not-confirmed"),
        (Some(agent("Linux")), confirmed("agent/b"), "not-confirmed"),
        (Some(agent("Linux")), confirmed("agent/a"), "ask"),
    ] {
        let verdict = placeholder("a", &the_pool(), seen.as_ref(), &confirmed);
        assert_eq!(word(&verdict), expected, "{seen:?} {confirmed:?}");
    }
}

#[test]
fn a_role_stays_while_agents_are_left_or_nobody_knows_whose_it_is() {
    let roles = [RoleAssignment {
        identity: "m".to_owned(),
        role: "Administrator".to_owned(),
    }];
    let user = the_user();
    for (user, roles, agents, origin, confirmed, expected) in [
        (None, &roles[..], &[][..], Origin::Ours, nobody(), "gone"),
        (Some(&user), &[], &[], Origin::Ours, nobody(), "gone"),
        (
            Some(&user),
            &roles,
            &[agent("Linux")],
            Origin::Ours,
            confirmed("role/azp-agent"),
            "still-used",
        ),
        (Some(&user), &roles, &[], Origin::Unknown, nobody(), "not-confirmed"),
        (
            Some(&user),
            &roles,
            &[],
            Origin::Unknown,
            confirmed("role/azp-agent"),
            "ask",
        ),
        (Some(&user), &roles, &[], Origin::Ours, nobody(), "ask"),
    ] {
        let verdict = role(&principal(), &the_pool(), user, roles, agents, origin, &confirmed);
        assert_eq!(word(&verdict), expected, "{user:?} {roles:?} {origin:?} {confirmed:?}");
    }
}

#[test]
fn a_pool_goes_only_when_it_is_empty_and_was_named() {
    let there = the_pool();
    for (agents, confirmed, expected) in [
        (vec![], nobody(), "not-confirmed"),
        (vec![], confirmed("pool/other"), "not-confirmed"),
        (vec![], confirmed("pool/kubernetes"), "ask"),
        (vec![agent("Linux")], confirmed("pool/kubernetes"), "still-used"),
        (vec![agent("placeholder")], confirmed("pool/kubernetes"), "still-used"),
    ] {
        let verdict = pool("kubernetes", Some((&there, &agents)), &confirmed);
        assert_eq!(word(&verdict), expected, "{agents:?} {confirmed:?}");
    }
    assert_eq!(word(&pool("kubernetes", None, &nobody())), "gone");
}

#[test]
fn a_user_with_roles_elsewhere_stays() {
    let there = the_user();
    let elsewhere = ["gpu".to_owned()];
    for (seen, pools, origin, confirmed, expected) in [
        (None, &[][..], Origin::Ours, nobody(), "gone"),
        (
            Some(&there),
            &elsewhere,
            Origin::Ours,
            confirmed("user/azp-agent"),
            "still-used",
        ),
        (Some(&there), &[], Origin::Unknown, nobody(), "not-confirmed"),
        (Some(&there), &[], Origin::Unknown, confirmed("user/azp-agent"), "ask"),
        (Some(&there), &[], Origin::Ours, nobody(), "ask"),
    ] {
        let verdict = user(&principal(), seen, pools, origin, &confirmed);
        assert_eq!(word(&verdict), expected, "{seen:?} {origin:?} {confirmed:?}");
    }
}

#[test]
fn a_credential_of_this_cluster_goes_and_an_identity_with_others_stays() {
    let wanted = FederatedCredential::new("https://i.example", "system:serviceaccount:agents:azp-agent", "a");
    let by_hand = FederatedCredential {
        name: "by-hand".to_owned(),
        ..wanted.clone()
    };
    let other = FederatedCredential {
        issuer: "https://other.example".to_owned(),
        ..by_hand.clone()
    };
    for (seen, confirmed, expected) in [
        (vec![], nobody(), "gone"),
        (vec![other.clone()], confirmed("credential/by-hand"), "gone"),
        (vec![wanted.clone()], nobody(), "ask"),
        (vec![by_hand.clone()], nobody(), "not-confirmed"),
        (vec![by_hand], confirmed("credential/by-hand"), "ask"),
    ] {
        let verdict = credential(&principal(), &place(), &wanted, &seen, &confirmed);
        assert_eq!(word(&verdict), expected, "{seen:?}");
    }
    let there = |origin| ManagedIdentity {
        ids: Ids::default(),
        origin,
    };
    let (ours, unknown) = (there(Origin::Ours), there(Origin::Unknown));
    let user = the_user();
    for (seen, credentials, user, confirmed, expected) in [
        (None, &[][..], None, nobody(), "gone"),
        (
            Some(&ours),
            &[other][..],
            None,
            confirmed("identity/azp-agent"),
            "still-used",
        ),
        (
            Some(&ours),
            &[],
            Some(&user),
            confirmed("identity/azp-agent"),
            "still-used",
        ),
        (Some(&ours), &[], None, nobody(), "ask"),
        (Some(&unknown), &[], None, nobody(), "not-confirmed"),
        (Some(&unknown), &[], None, confirmed("identity/azp-agent"), "ask"),
    ] {
        let verdict = identity(&principal(), &place(), seen, credentials, user, &confirmed);
        assert_eq!(word(&verdict), expected, "{seen:?} {credentials:?}");
    }
}
