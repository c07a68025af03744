//! Proxies, private authorities, the public names, identity binding.

use crate::pod::Pod;
use azure_emulators::tls::Authority;
use azure_emulators::token_proxy::{Access, SERVER_NAME, TokenProxy};
use azure_emulators::world::World;
use contract::Reason;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An HTTP proxy that knows CONNECT only, and sends every host to where the test says.
pub(crate) struct ConnectProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl ConnectProxy {
    /// `routes`: from host to address. Any other host gets the proxy's own page.
    pub(crate) async fn start(routes: &[(&str, SocketAddr)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let routes: BTreeMap<String, SocketAddr> = routes
            .iter()
            .map(|(host, address)| ((*host).to_owned(), *address))
            .collect();
        let seen = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, routes.clone(), Arc::clone(&seen)));
            }
        });
        Self { address, heads, task }
    }

    pub(crate) fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}{}", self.address)
    }

    /// The requests' heads so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, routes: BTreeMap<String, SocketAddr>, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let host = target.split(':').next().unwrap_or_default();
    let route = routes.get(host).copied();
    seen.lock().expect("no panic").push(head);
    let Some(address) = route else {
        let page = "<html><title>Blocked by the proxy</title></html>";
        let answer = format!(
            "HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{page}",
            page.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    };
    let Ok(mut upstream) = TcpStream::connect(address).await else {
        return;
    };
    if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
    }
}

/// The pod as it is in the public cloud: default hosts, default lists, Microsoft's names, through a proxy.
pub(crate) fn public(world: &World, url: &str, proxy: &str) -> Pod {
    Pod::new(world)
        .set(contract::URL_VARIABLE, url)
        .set(contract::ALLOWED_HOSTS_VARIABLE, "")
        .set(contract::ALLOWED_AUTHORITIES_VARIABLE, "")
        .set(contract::AZURE_AUTHORITY_HOST_VARIABLE, "")
        .set("HTTPS_PROXY", proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_shapes_of_url_work_under_the_public_names_through_a_proxy() {
    let world = World::start().await.expect("a world");
    let proxy = ConnectProxy::start(&[
        ("login.microsoftonline.com", world.entra.address()),
        ("dev.azure.com", world.ado.address()),
        ("contoso.visualstudio.com", world.ado.address()),
    ])
    .await;
    for url in ["https://dev.azure.com/contoso", "https://contoso.visualstudio.com/"] {
        let pod = public(&world, url, &proxy.url("user:pass%40word@"));
        let mut sidecar = pod.start();
        sidecar.says(Reason::Ready).await;
    }
    let heads = proxy.heads();
    for host in ["login.microsoftonline.com", "dev.azure.com", "contoso.visualstudio.com"] {
        assert!(
            heads
                .iter()
                .any(|head| head.starts_with(&format!("CONNECT {host}:443 "))),
            "{host}: {heads:?}"
        );
    }
    let credentials = "proxy-authorization: basic dxnlcjpwyxnzqhdvcmq=";
    assert!(
        heads.iter().all(|head| head.to_ascii_lowercase().contains(credentials)),
        "{heads:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_answers_with_a_page_is_no_answer_of_entras() {
    let world = World::start().await.expect("a world");
    let proxy = ConnectProxy::start(&[]).await;
    let pod = public(&world, "https://dev.azure.com/contoso", &proxy.url(""));
    let mut sidecar = pod.start();
    let message = sidecar.says(Reason::EntraUnreachable).await;
    assert!(message.contains("login.microsoftonline.com"), "{message}");
    assert!(!pod.probe().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_is_honored() {
    let world = World::start().await.expect("a world");
    let proxy = ConnectProxy::start(&[]).await;
    let pod = Pod::new(&world)
        .set("HTTPS_PROXY", proxy.url(""))
        .set("NO_PROXY", "example.com,127.0.0.1");
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    assert!(proxy.heads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_agents_own_names_gets_user_and_password_and_wins_over_the_operators() {
    let world = World::start().await.expect("a world");
    let proxy = ConnectProxy::start(&[
        ("login.microsoftonline.com", world.entra.address()),
        ("dev.azure.com", world.ado.address()),
    ])
    .await;
    let brought = |name: &str| format!("{}1_{name}", contract::ENV_FROM_VARIABLE_PREFIX);
    let pod = public(&world, "https://dev.azure.com/contoso", "")
        .set(&brought(contract::AGENT_PROXY_VARIABLE), proxy.url(""))
        .set("VSTS_HTTP_PROXY_USERNAME", "user")
        .set(&brought("VSTS_HTTP_PROXY_PASSWORD"), "pass@word")
        .set(contract::HTTPS_PROXY_DEFAULT_VARIABLE, "http://127.0.0.1:1");
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    let credentials = "proxy-authorization: basic dxnlcjpwyxnzqhdvcmq=";
    let heads = proxy.heads();
    assert!(
        !heads.is_empty() && heads.iter().all(|head| head.to_ascii_lowercase().contains(credentials)),
        "{heads:?}"
    );
    assert!(!pod.log().contains("pass@word"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_proxy_stays_beside_hosts_that_the_pod_excepts() {
    let world = World::start().await.expect("a world");
    let proxy = ConnectProxy::start(&[
        ("login.microsoftonline.com", world.entra.address()),
        ("dev.azure.com", world.ado.address()),
    ])
    .await;
    let pod = public(&world, "https://dev.azure.com/contoso", "")
        .set(contract::HTTPS_PROXY_DEFAULT_VARIABLE, proxy.url(""))
        .set("NO_PROXY", ".corp.example");
    let mut sidecar = pod.start();
    sidecar.says(Reason::Ready).await;
    assert!(!proxy.heads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_from_the_moment_its_file_is_there() {
    let world = World::start().await.expect("a world");
    let pod = Pod::new(&world).set(contract::CA_PEM_VARIABLE, "");
    let bundle = pod.path("ca.crt");
    std::fs::write(&bundle, Authority::new().pem()).expect("written");
    let pod = pod.set(contract::CA_FILE_VARIABLE, bundle.to_str().expect("text"));
    let mut sidecar = pod.start();
    let message = sidecar.says(Reason::EntraUnreachable).await;
    assert!(message.contains("certificate"), "{message}");
    std::fs::write(&bundle, world.authority.pem()).expect("written");
    sidecar.says(Reason::Ready).await;
}

async fn bound(access: Access) -> (TokenProxy, World, Pod) {
    let world = World::start().await.expect("a world");
    let authority = Authority::new();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let proxy = TokenProxy::start(address, &authority, &world, access)
        .await
        .expect("started");
    let pod = Pod::new(&world);
    let ca = pod.path("ca-of-the-proxy.crt");
    std::fs::write(&ca, authority.pem()).expect("written");
    let pod = pod
        .set(contract::AZWI_IDENTITY_VARIABLE, "true")
        .set(contract::AZURE_TOKEN_PROXY_VARIABLE, format!("https://{}", proxy.address()))
        .set(contract::AZURE_SNI_NAME_VARIABLE, SERVER_NAME)
        .set(contract::AZURE_CA_FILE_VARIABLE, ca.to_str().expect("text"))
        .set(contract::AZURE_CA_DATA_VARIABLE, "ignored, as the file is there")
        // An in-cluster call goes past the proxy.
        .set("HTTPS_PROXY", "http://127.0.0.1:1")
        .set("NO_PROXY", "");
    (proxy, world, pod)
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_binding_goes_through_the_clusters_token_proxy() {
    let (proxy, world, pod) = bound(Access::Granted).await;
    let mut sidecar = pod.start();
    sidecar
        .eventually("a token is issued", |_| (world.entra.view().issued() > 0).then_some(()))
        .await;
    assert_eq!(proxy.hosts()[0], proxy.address().to_string(), "the proxy's own name");
    // Azure DevOps is outside the cluster, so its proxy is used, and this one is not there.
    sidecar.says(Reason::AdoUnreachable).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_token_proxy_names_the_cluster_role() {
    let (_proxy, _world, pod) = bound(Access::Forbidden).await;
    let mut sidecar = pod.start();
    let message = sidecar.says(Reason::BindingRefused).await;
    assert!(message.contains("use-managed-identity"), "{message}");
}
