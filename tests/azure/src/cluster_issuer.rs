//! An imaginary cluster's token issuer: publishes discovery document and key set over TLS, mints service-account tokens.

use crate::clock::Clock;
use crate::http::{Answer, Handler, Reply, Request, Server};
use crate::jwt::{INSECURE_CLUSTER_KEY_1, INSECURE_CLUSTER_KEY_2, INSECURE_STRANGER_KEY, SigningKey};
use crate::tls::Authority;
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The audience that Entra expects in a federated token.
pub const ENTRA_AUDIENCE: &str = "api://AzureADTokenExchange";

/// The issuer of one cluster. Clones are the same.
#[derive(Clone)]
pub struct ClusterIssuer {
    inner: Arc<Inner>,
    _server: Arc<Server>,
}

struct Inner {
    url: String,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    current: SigningKey,
    published: Vec<SigningKey>,
    reachable: bool,
    fetched: u32,
    pod_number: u32,
}

/// A service-account token to be minted, with whatever may be wrong about it.
#[derive(Clone)]
pub struct Mint {
    namespace: String,
    account: String,
    audience: String,
    lifetime: Duration,
    not_before: i64,
    issuer: Option<String>,
    forged: bool,
}

impl Mint {
    /// A token for Entra that lives for an hour, as it should be.
    pub fn new(namespace: &str, account: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            account: account.to_owned(),
            audience: ENTRA_AUDIENCE.to_owned(),
            lifetime: Duration::from_secs(3600),
            not_before: 0,
            issuer: None,
            forged: false,
        }
    }

    /// For another audience.
    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = audience.to_owned();
        self
    }

    /// With another lifetime. Entra refuses more than 25 hours.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Issued this many seconds from now: negative for a token that may have expired, positive for one that is not yet valid.
    pub fn issued_in(mut self, seconds: i64) -> Self {
        self.not_before = seconds;
        self
    }

    /// Naming another issuer than the one that signs.
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.issuer = Some(issuer.to_owned());
        self
    }

    /// Signed by a key that this issuer never published, under the name of one that it did.
    pub fn forged(mut self) -> Self {
        self.forged = true;
        self
    }
}

impl ClusterIssuer {
    /// Starts an issuer on a free port of the loopback.
    pub async fn start(authority: &Authority, clock: &Clock) -> io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), "127.0.0.1", authority, clock).await
    }

    /// Starts an issuer on this address under this host name.
    pub async fn start_on(address: SocketAddr, host: &str, authority: &Authority, clock: &Clock) -> io::Result<Self> {
        let key = SigningKey::from_pem(INSECURE_CLUSTER_KEY_1);
        // The URL holds the port, which is known only after binding; the handler needs the URL.
        let late = Arc::new(Late::default());
        let tls = authority.issue(&[host]).server_config();
        let server = Server::start(address, Some(tls), Arc::clone(&late)).await?;
        let inner = Arc::new(Inner {
            url: format!("https://{host}:{}", server.address().port()),
            clock: clock.child(),
            state: Mutex::new(State {
                current: key.clone(),
                published: vec![key],
                reachable: true,
                fetched: 0,
                pod_number: 0,
            }),
        });
        late.inner.set(Arc::clone(&inner)).ok().expect("set once");
        Ok(Self {
            inner,
            _server: Arc::new(server),
        })
    }

    /// The issuer as it stands in tokens and in federated credentials.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The issuer's clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// A token for Entra that lives for `lifetime`: the usual case of [`Self::mint`].
    pub fn token(&self, namespace: &str, account: &str, lifetime: Duration) -> String {
        self.mint(&Mint::new(namespace, account).lifetime(lifetime))
    }

    /// Mints a token, shaped as the API server's projected ones.
    pub fn mint(&self, mint: &Mint) -> String {
        let mut state = self.lock();
        state.pod_number += 1;
        let issued = self.inner.clock.now().seconds() + mint.not_before;
        let Mint { namespace, account, .. } = mint;
        let claims = json!({
            "aud": [mint.audience],
            "exp": issued + mint.lifetime.as_secs() as i64,
            "iat": issued,
            "nbf": issued,
            "iss": mint.issuer.as_ref().unwrap_or(&self.inner.url),
            "jti": format!("00000000-0000-4000-8000-{:012}", state.pod_number),
            "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": account } },
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
        });
        if mint.forged {
            let header = json!({ "alg": "RS256", "kid": state.current.id() });
            return SigningKey::from_pem(INSECURE_STRANGER_KEY).sign_with_header(&header, &claims);
        }
        state.current.sign(&claims)
    }

    /// Signs with a new key from now on; both keys are published, as a careful cluster does it.
    pub fn rotate(&self) {
        let mut state = self.lock();
        let next = SigningKey::from_pem(INSECURE_CLUSTER_KEY_2);
        state.published.push(next.clone());
        state.current = next;
    }

    /// Signs with a new key from now on and publishes the old one only, as a careless cluster does it.
    pub fn rotate_unpublished(&self) {
        self.lock().current = SigningKey::from_pem(INSECURE_CLUSTER_KEY_2);
    }

    /// Publishes the key that signs now and no other.
    pub fn publish_current_only(&self) {
        let mut state = self.lock();
        state.published = vec![state.current.clone()];
    }

    /// Whether discovery document and key set are served; otherwise they answer 503.
    pub fn set_reachable(&self, reachable: bool) {
        self.lock().reachable = reachable;
    }

    /// How often the key set was fetched.
    pub fn fetched(&self) -> u32 {
        self.lock().fetched
    }

    /// The key set as it is published now.
    pub fn key_set(&self) -> Value {
        key_set(&self.lock().published)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner.state.lock().expect("the issuer does not panic")
    }
}

fn key_set(keys: &[SigningKey]) -> Value {
    json!({ "keys": keys.iter().map(SigningKey::jwk).collect::<Vec<_>>() })
}

/// Whether the caller takes a media type; whoever names none takes all.
fn accepts(request: &Request, media_type: &str) -> bool {
    request.header("accept").is_none_or(|accept| {
        accept.split(',').any(|one| {
            let one = one.split(';').next().unwrap_or_default().trim();
            one == media_type || one == "*/*" || one == "application/*"
        })
    })
}

#[derive(Default)]
struct Late {
    inner: std::sync::OnceLock<Arc<Inner>>,
}

impl Handler for Late {
    async fn answer(&self, request: Request) -> Answer {
        let Some(inner) = self.inner.get() else {
            return Reply::text(503, "starting").into();
        };
        let mut state = inner.state.lock().expect("the issuer does not panic");
        if !state.reachable {
            return Reply::text(503, "service unavailable").into();
        }
        let url = &inner.url;
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/.well-known/openid-configuration") => Reply::json(
                200,
                &json!({
                    "issuer": url,
                    "jwks_uri": format!("{url}/openid/v1/jwks"),
                    "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }),
            ),
            // As the API server does it (`pkg/routes/openidmetadata.go` of Kubernetes): one media type for each document.
            ("GET", "/openid/v1/jwks") if !accepts(&request, "application/jwk-set+json") => {
                Reply::text(406, "406: Not Acceptable")
            }
            ("GET", "/openid/v1/jwks") => {
                state.fetched += 1;
                Reply::json(200, &key_set(&state.published))
            }
            _ => Reply::text(404, "404 page not found"),
        }
        .into()
    }
}
