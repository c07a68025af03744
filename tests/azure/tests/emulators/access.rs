//! Who is let in by Azure DevOps, and what roles and licenses allow.

use crate::ado::{HOUR, agent};
use crate::{Answer, Asker, pool};
use azure_emulators::ado::{ExpiredToken, License, Role};
use azure_emulators::entra::Kind;
use azure_emulators::recording::Authorization;
use azure_emulators::world::{ORGANIZATION, Settings, TENANT, World};
use reqwest::Method;
use std::time::Duration;

#[tokio::test]
async fn a_request_without_a_token_is_refused_and_names_the_authority() {
    let world = World::start().await.unwrap();
    let url = format!("{}/_apis/distributedtask/pools", world.organization_url());
    let api = |method: Method| {
        let request = world.client().request(method, &url);
        Answer::of(request.header("X-TFS-FedAuthRedirect", "Suppress"))
    };
    let answer = api(Method::GET).await;
    assert_eq!(answer.status, 401);
    let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(
        challenges[0],
        &format!("Bearer authorization_uri=https://login.microsoftonline.com/{TENANT}")
    );
    assert!(challenges[1].to_str().unwrap().starts_with("Basic realm="));
    assert_eq!(answer.header("x-vss-resourcetenant"), TENANT);

    assert_eq!(challenges.len(), 3, "each challenge in a line of its own");

    let told = api(Method::PATCH).await;
    assert_eq!(told.refusal(), (401, "UnauthorizedRequestException"));
    assert!(told.body["message"].as_str().unwrap().starts_with("TF400813"));

    // Without that header everybody is sent to the sign-in page, with whatever credential and for whatever type.
    for accept in ["text/html", "application/json"] {
        let request = world.client().get(&url).header("accept", accept);
        let sent = Answer::of(request.bearer_auth("a-personal-access-token")).await;
        assert_eq!(sent.status, 302, "{accept}");
        let page = world.client().get(sent.header("location"));
        let page = Answer::of(page).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (203, "text/html; charset=utf-8")
        );
        assert!(sent.header("location").contains("/_signin?"));
    }

    let nowhere = url.replace(ORGANIZATION, "nobody");
    assert_eq!(Answer::of(world.client().get(nowhere)).await.status, 404);
}

#[tokio::test]
async fn an_entra_token_is_accepted_as_bearer_and_as_basic_password() {
    let world = World::start().await.unwrap();
    let asker = Asker::agents(&world);
    asker.get("distributedtask/pools").await.ok();
    let url = format!("{}/_apis/distributedtask/pools", world.organization_url());
    for user in ["VstsAgent", "user", ""] {
        Answer::of(world.client().get(&url).basic_auth(user, Some(&asker.token)))
            .await
            .ok();
    }
    let view = world.ado.view();
    assert_eq!(view.requests[0].authorization, Authorization::Bearer);
    let user = "VstsAgent".to_owned();
    assert_eq!(view.requests[1].authorization, Authorization::Basic { user });
    assert_eq!(view.requests[1].identity.as_deref(), Some("azp-agents"));
    assert_eq!(view.requests[0].token, view.requests[3].token);
    assert!(view.requests[0].token_age.is_some_and(|age| (0..60).contains(&age)));
    assert!(!serde_json::to_string(&view).unwrap().contains(&asker.token));
}

#[tokio::test]
async fn foreign_misdirected_and_expired_tokens_are_refused() {
    let world = World::start().await.unwrap();
    let other_tenant = "00000000-0000-4000-8000-000000000002";
    world.entra.add_tenant(other_tenant, "fabrikam.example");
    let stranger = world.entra.add_identity(other_tenant, Kind::Application, "stranger");
    let forged = azure_emulators::jwt::SigningKey::from_pem(azure_emulators::jwt::INSECURE_STRANGER_KEY).sign(
        &azure_emulators::jwt::Token::parse(&world.access_token())
            .unwrap()
            .claims,
    );
    let graph = "https://graph.microsoft.com";
    for token in [
        "a-personal-access-token".to_owned(),
        forged,
        world.entra.mint_token(&stranger, HOUR),
        world.entra.mint_token_for(&world.agents, graph, HOUR),
        world.assertion(),
    ] {
        let answer = Asker::new(&world, token).get("distributedtask/pools").await;
        assert_eq!((answer.status, answer.header("x-vss-resourcetenant")), (401, TENANT));
    }

    let expired = world.entra.mint_token(&world.agents, Duration::from_secs(0));
    let asker = Asker::new(&world, expired);
    assert_eq!(
        asker.get("distributedtask/pools").await.status,
        401,
        "it was asked not to redirect"
    );
    let url = format!("{}/_apis/distributedtask/pools", asker.base);
    let page = Answer::of(world.client().get(&url).bearer_auth(&asker.token)).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (203, "text/html; charset=utf-8")
    );
    let patched = Answer::of(world.client().patch(&url).bearer_auth(&asker.token)).await;
    assert_eq!(patched.status, 401);
    world.ado.set_expired_token(ExpiredToken::SignInPage);
    assert_eq!(asker.get("distributedtask/pools").await.status, 203);

    world
        .ado
        .add_personal_access_token(ORGANIZATION, "secret", &world.agents);
    Asker::new(&world, "secret".to_owned())
        .get("distributedtask/pools")
        .await
        .ok();
}

#[tokio::test]
async fn an_identity_that_is_not_a_user_is_refused() {
    let world = World::with(Settings {
        member: false,
        ..Settings::default()
    })
    .await
    .unwrap();
    let answer = Asker::agents(&world).get("connectionData").await;
    assert_eq!(answer.refusal(), (401, "UnauthorizedRequestException"));
    let message = answer.body["message"].as_str().unwrap();
    assert!(
        message.starts_with("TF401444: Please sign-in at least once as"),
        "{message}"
    );
    assert!(message.contains(&world.agents.object_id));
}

#[tokio::test]
async fn roles_decide_which_requests_succeed() {
    let cases = [
        (None, 0, 0, (404, "TaskAgentPoolNotFoundException")),
        (Some(Role::Reader), 1, 1, (403, "AccessDeniedException")),
        (Some(Role::ServiceAccount), 1, 5, (403, "AccessDeniedException")),
        (Some(Role::Administrator), 1, 27, (200, "")),
    ];
    for (role, seen, bits, added) in cases {
        let world = World::with(Settings {
            role,
            ..Settings::default()
        })
        .await
        .unwrap();
        let asker = Asker::agents(&world);
        let pools = asker
            .get("distributedtask/pools?poolName=linux&poolType=Automation")
            .await
            .ok();
        assert_eq!(pools["count"], seen, "{role:?}");
        for wanted in [1, 2, 4, 8, 16, 5, 27] {
            let path = pool(&world, &format!("/permissions/{wanted}?api-version=7.2-preview.1"));
            assert_eq!(
                asker.get(&path).await.ok(),
                bits & wanted == wanted,
                "{role:?} {wanted}"
            );
        }
        let manageable = asker
            .get("distributedtask/pools?poolName=linux&actionFilter=manage")
            .await
            .ok();
        assert_eq!(manageable["count"], i32::from(bits & 2 != 0), "{role:?}");
        let answer = asker.send(Method::POST, &pool(&world, "/agents"), &agent("a")).await;
        assert_eq!(answer.refusal(), added, "{role:?}");
    }
}

#[tokio::test]
async fn a_stakeholder_may_only_look() {
    let world = World::with(Settings {
        member: false,
        ..Settings::default()
    })
    .await
    .unwrap();
    world.ado.add_member(ORGANIZATION, &world.agents, License::Stakeholder);
    world.pool.set_role(&world.agents, Some(Role::Administrator));
    let asker = Asker::agents(&world);
    assert_eq!(asker.get(&pool(&world, "/permissions/1")).await.ok(), true);
    assert_eq!(asker.get(&pool(&world, "/permissions/2")).await.ok(), false);
}
