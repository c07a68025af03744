//! With the ticket: what works, and what is refused with which words.

use crate::pod::{NAME, SOON};
use crate::stage::{Stage, agents, registration, send, until};
use azure_emulators::faults::Fault;
use azure_emulators::recording::Authorization;
use azure_emulators::world::World;
use contract::TICKET;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_registered_and_removed_with_the_ticket_and_azure_devops_sees_the_sidecars_token() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let mut sidecar = stage.start().await;
    for path in ["_apis/", "_apis"] {
        let locations = send(stage.ticket(Method::OPTIONS, path)).await;
        assert!(locations.json()["count"].as_u64() > Some(5), "{locations:?}");
    }
    let pools = "_apis/distributedtask/pools?poolName=linux&poolType=Automation";
    let pools = send(stage.ticket(Method::GET, pools)).await;
    assert_eq!(pools.json()["value"][0]["id"], world.pool.id());

    let id = stage.registered(&world).await;
    let agent = world.pool.agent(NAME).expect("registered");
    assert_eq!(agent.id, id);
    assert!(agent.system_capabilities.contains_key(contract::OWNER_VARIABLE));

    let own = agents(&world, &format!("/{id}"));
    let shown = send(stage.ticket(Method::GET, &format!("{own}?includeCapabilities=true"))).await;
    assert_eq!(shown.json()["systemCapabilities"]["PATH"], "/usr/bin");
    let disabled = send(
        stage
            .ticket(Method::PATCH, &own)
            .json(&json!({"id": id, "enabled": false})),
    )
    .await;
    assert_eq!(disabled.status, 200);
    assert!(!world.pool.agent(NAME).expect("there").enabled);

    let removed = send(stage.ticket(Method::DELETE, &own)).await;
    assert_eq!(removed.status, 204, "{removed:?}");
    assert!(world.pool.agent(NAME).is_none());
    let again = send(stage.ticket(Method::DELETE, &own)).await;
    again.error("TaskAgentNotFoundException");

    let ours = |record: &azure_emulators::recording::Record| record.authorization == Authorization::Bearer;
    let view = world.ado.view();
    assert!(
        view.requests
            .iter()
            .filter(|record| record.route != "unknown")
            .all(ours),
        "{:#?}",
        view.requests
    );
    sidecar.terminate();
    assert_eq!(sidecar.end(SOON).await, 0, "{}", stage.pod.log());
    assert!(
        stage.pod.message().starts_with("already-gone"),
        "{}",
        stage.pod.message()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ticket_reaches_no_other_agent_and_no_other_pool() {
    let world = World::start().await.expect("a world");
    let foreign = world.pool.add_agent("foreign", &[("SECRET", "x")]);
    let other = world.ado.add_pool("contoso", "other");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let id = stage.registered(&world).await;

    let listed = send(stage.ticket(Method::GET, &agents(&world, "?includeCapabilities=true"))).await;
    assert_eq!(
        (&listed.json()["count"], &listed.json()["value"][0]["id"]),
        (&json!(1), &json!(id))
    );
    assert!(
        !listed.body.contains("foreign") && !listed.body.contains("SECRET"),
        "{listed:?}"
    );

    for (method, path) in [
        (Method::GET, agents(&world, &format!("/{foreign}"))),
        (Method::DELETE, agents(&world, &format!("/{foreign}"))),
        (Method::PUT, agents(&world, &format!("/{foreign}"))),
        (Method::PATCH, agents(&world, &format!("/{foreign}"))),
        (
            Method::GET,
            format!("_apis/distributedtask/pools/{}/agents", other.id()),
        ),
        (
            Method::POST,
            format!("_apis/distributedtask/pools/{}/agents", other.id()),
        ),
        (Method::GET, "_apis/distributedtask/pools?poolName=other".to_owned()),
        (
            Method::DELETE,
            format!("_apis/distributedtask/pools/{}", world.pool.id()),
        ),
        (Method::GET, "_apis/securityroles/scopes/x/roledefinitions".to_owned()),
    ] {
        let before = world.ado.view().requests.len();
        let refused = send(stage.ticket(method.clone(), &path).json(&registration("foreign"))).await;
        assert_eq!(refused.status, 403, "{method} {path}: {refused:?}");
        assert!(
            refused
                .error("AccessDeniedException")
                .starts_with("ado-agent-sidecar: ")
        );
        assert_eq!(world.ado.view().requests.len(), before, "{method} {path} was sent on");
    }
    // A header that makes another request of it does not go on.
    let smuggled = stage
        .ticket(Method::POST, &agents(&world, &format!("/{foreign}")))
        .header("X-HTTP-Method-Override", "DELETE");
    assert_eq!(send(smuggled).await.status, 403);
    assert!(world.pool.agent("foreign").is_some());
}

/// Scripts that call with curl name the version in the query; the library does in `Accept`.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_in_the_query_is_as_good_as_one_in_accept() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let call = |method: Method, rest: &str| {
        let path = agents(&world, &format!("{rest}?api-version=7.1"));
        let url = format!("{}/{path}", stage.url());
        http.request(method, url).bearer_auth(TICKET)
    };
    let added = send(call(Method::POST, "").json(&registration(NAME))).await;
    assert_eq!(added.status, 200, "{added:?}");
    let own = format!("/{}", added.json()["id"]);
    let disabled = send(call(Method::PATCH, &own).json(&json!({"enabled": false}))).await;
    assert_eq!(disabled.status, 200, "{disabled:?}");
    assert_eq!(send(call(Method::DELETE, &own)).await.status, 204);
}

/// After one 401 with a challenge the library drops its credential for good: every later try is anonymous.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_replaced_by_the_sidecar() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    for fault in [Fault::Unauthorized, Fault::SignInPage, Fault::SignInRedirect] {
        world.ado.faults().once("GET /_apis/connectionData", fault.clone());
        let answer = send(stage.ticket(Method::GET, "_apis/connectionData?connectOptions=0")).await;
        assert_eq!(answer.status, 200, "{fault:?}: {answer:?}\n{}", stage.pod.log());
        assert!(answer.headers.get("www-authenticate").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_never_sees_a_challenge_a_cookie_or_a_redirect() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let redirect = Fault::Redirect {
        status: 307,
        location: "https://elsewhere.example/".to_owned(),
    };
    for fault in [
        redirect,
        Fault::Status { status: 503 },
        Fault::AccessDenied,
        Fault::ProxyPage,
    ] {
        world.ado.faults().clear();
        world
            .ado
            .faults()
            .always("GET /_apis/distributedtask/packages/**", fault.clone());
        let answer = send(stage.ticket(Method::GET, "_apis/distributedtask/packages/agent?platform=linux-x64")).await;
        assert_ne!(answer.status, 401, "{fault:?}");
        for header in ["www-authenticate", "location", "set-cookie"] {
            assert!(answer.headers.get(header).is_none(), "{fault:?}: {answer:?}");
        }
    }
}

/// `config.sh` tries a refused replacement forever, so it must never come to one: the list shows nobody to replace.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_of_this_pods_agent_becomes_a_new_agent() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let first = stage.registered(&world).await;
    let mut body = registration(NAME);
    body["id"] = json!(first);
    body["enabled"] = json!(false);
    // At most one registration a minute: until then it is refused with a sentence, and `config.sh` tries again.
    let path = agents(&world, &format!("/{first}"));
    let deadline = Instant::now() + 3 * SOON;
    let replaced = loop {
        let answer = send(stage.ticket(Method::PUT, &path).json(&body)).await;
        if answer.status != 403 {
            break answer;
        }
        answer.error("AccessDeniedException");
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(replaced.status, 200, "{replaced:?}");
    let agent = world.pool.agent(NAME).expect("there");
    assert!(agent.id != first && agent.enabled, "{agent:?}");
    // However often an agent registers again: what is there at the end is removed.
    assert!(stage.pod.pre_stop().0);
    until(&world, "all are gone", &stage, |view| view.agents("linux").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_registration_names_no_other_url() {
    let world = World::start().await.expect("a world");
    world.ado.set_behavior(azure_emulators::ado::Behavior {
        server_url_property: true,
        ..Default::default()
    });
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let answer = stage.register(&world, NAME).await;
    assert_eq!(answer.json()["properties"], json!({}), "{answer:?}");
    assert!(answer.json()["authorization"]["clientId"].is_string());
}

/// 502, 503 and 504 are tried again by the library, POST included: it must not meet its own agent then.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_whose_answer_is_lost_can_be_repeated() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    world
        .ado
        .faults()
        .once("POST /_apis/distributedtask/pools/*/agents", Fault::ResetAfter);
    let lost = stage.register(&world, NAME).await;
    assert_eq!(lost.status, 503, "{lost:?}");
    until(&world, "it was registered", &stage, |view| {
        view.agent("linux", NAME).is_some()
    })
    .await;
    let first = world.pool.agent(NAME).expect("there").id;
    let again = send(
        stage
            .ticket(Method::POST, &agents(&world, ""))
            .json(&registration(NAME)),
    )
    .await;
    assert_eq!(again.status, 200, "{again:?}\n{}", stage.pod.log());
    assert_ne!(
        world.pool.agent(NAME).expect("there").id,
        first,
        "the one that nobody has a key for is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_pool_is_known_the_ticket_waits() {
    let world = World::start().await.expect("a world");
    world.pool.set_role(&world.agents, None);
    let stage = Stage::new(&world);
    let mut sidecar = stage.pod.start();
    sidecar.says(contract::Reason::PoolMissing).await;
    let waits = send(stage.ticket(Method::GET, "_apis/connectionData"));
    let waits = tokio::spawn(waits);
    world
        .pool
        .set_role(&world.agents, Some(azure_emulators::ado::Role::Administrator));
    let answer = tokio::time::timeout(Duration::from_secs(55), waits).await;
    let answer = answer.expect("not held longer than the checks take").expect("no panic");
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Images that trade a service-account token themselves ask the gateway for one.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_trades_a_token_itself_gets_the_ticket() {
    let world = World::start().await.expect("a world");
    let stage = Stage::new(&world);
    let _sidecar = stage.start().await;
    let form = [("client_assertion", "x"), ("grant_type", "client_credentials")];
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    for path in ["tenant/oauth2/v2.0/token", "/tenant/oauth2/v2.0/token"] {
        let url = format!("{}{path}", contract::gateway_authority(stage.port));
        let answer = send(http.post(url).form(&form)).await;
        assert_eq!(answer.json()["access_token"], TICKET);
    }
    let token = std::fs::read_to_string(stage.pod.token_file()).expect("a file for images that read one");
    assert_eq!(token, TICKET);
}
