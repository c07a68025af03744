//! Talks to Azure DevOps as the agent's client library does: locations first, versions in `Accept`, errors by `typeKey`.

use super::files::{CredentialData, Credentials};
use super::keys::KeyParameters;
use super::pause;
use reqwest::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use tokio::sync::Mutex;

/// How the client says who it is.
#[derive(Debug)]
pub(super) enum Auth {
    /// `Basic base64("VstsAgent:" + token)`, with the first request.
    Pat(String),
    /// The agent's own identity: nothing until a 401 asks for a bearer token.
    Agent(Box<AgentIdentity>),
}

/// What an agent proves itself with.
#[derive(Debug)]
pub(super) struct AgentIdentity {
    pub(super) key: KeyParameters,
    pub(super) data: CredentialData,
    pub(super) token: Mutex<Option<String>>,
}

/// Why a call gave nothing.
#[derive(Debug)]
pub(super) enum Error {
    /// No answer.
    Connection(String),
    /// The token is not accepted.
    Unauthorized(String),
    /// The token endpoint refused the client assertion.
    Token(String),
    /// The server refused, with the name of the exception on its side.
    Server {
        status: StatusCode,
        type_key: String,
        message: String,
    },
}

impl Error {
    /// The server's name for the error; empty where it gave none.
    pub(super) fn type_key(&self) -> &str {
        match self {
            Self::Server { type_key, .. } => type_key,
            Self::Connection(_) | Self::Unauthorized(_) | Self::Token(_) => "",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(text) => write!(f, "{text}"),
            Self::Unauthorized(text) => write!(f, "VS30063: You are not authorized to access {text}."),
            Self::Token(text) => write!(f, "{text}"),
            Self::Server {
                status,
                type_key,
                message,
            } => write!(f, "{message} ({status}, {type_key})"),
        }
    }
}

impl std::error::Error for Error {}

/// One organisation, seen by one identity.
#[derive(Debug)]
pub(super) struct Server {
    http: reqwest::Client,
    url: String,
    auth: Auth,
}

impl Server {
    pub(super) fn new(url: &str, auth: Auth) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent("VSServices/stub-agent")
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(100))
            .build()?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            auth,
        })
    }

    /// A client with the identity that a configuration saved.
    pub(super) fn as_agent(url: &str, credentials: Credentials, key: KeyParameters) -> anyhow::Result<Self> {
        let identity = AgentIdentity {
            key,
            data: credentials.data,
            token: Mutex::new(None),
        };
        Self::new(url, Auth::Agent(Box::new(identity)))
    }

    /// `GET connectionData` and the list of locations, as each connection of the library begins.
    pub(super) async fn connect(&self) -> Result<Value, Error> {
        let query = "connectOptions=1&lastChangeId=-1&lastChangeId64=-1";
        let data = self.get(&format!("_apis/connectionData?{query}")).await?;
        if data.get("locationServiceData").is_none_or(Value::is_null) {
            return Err(Error::Connection(format!(
                "{}: connectionData without locationServiceData",
                self.url
            )));
        }
        let locations = self.call(Method::OPTIONS, "_apis/", None).await?;
        if locations["value"].as_array().is_none_or(Vec::is_empty) {
            return Err(Error::Connection(format!("{}: OPTIONS lists no locations", self.url)));
        }
        Ok(data)
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::GET, path, None).await
    }

    /// One call; 502, 503 and 504 and lost connections are tried again, as the library does (5 tries, from 10 s on).
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let mut wait = Duration::from_secs(10);
        for _ in 1..5 {
            match self.authenticated(&method, path, body).await {
                Err(Error::Server { status, .. }) if matches!(status.as_u16(), 502..=504) => {}
                Err(Error::Connection(_)) => {}
                done => return done,
            }
            tokio::time::sleep(pause(wait)).await;
            wait *= 2;
        }
        self.authenticated(&method, path, body).await
    }

    /// One call without another try.
    pub(super) async fn once(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        self.authenticated(&method, path, body).await
    }

    async fn authenticated(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let identity = match &self.auth {
            Auth::Pat(token) => {
                let request = self.request(method, path, body).basic_auth("VstsAgent", Some(token));
                return self.answer(self.send(request).await?).await;
            }
            Auth::Agent(identity) => identity,
        };
        for _ in 0..3 {
            let mut request = self.request(method, path, body);
            let used = identity.token.lock().await.clone();
            if let Some(token) = &used {
                request = request.bearer_auth(token);
            }
            let response = self.send(request).await?;
            let asks_for_bearer = response
                .headers()
                .get_all(WWW_AUTHENTICATE)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .any(|value| value.starts_with("Bearer"));
            if response.status() != StatusCode::UNAUTHORIZED || !asks_for_bearer {
                return self.answer(response).await;
            }
            let mut held = identity.token.lock().await;
            if *held == used {
                *held = Some(self.own_token(identity).await?);
            }
        }
        Err(Error::Unauthorized(self.url.clone()))
    }

    /// Trades the client assertion for the agent's own access token.
    async fn own_token(&self, identity: &AgentIdentity) -> Result<String, Error> {
        let data = &identity.data;
        let assertion = identity
            .key
            .client_assertion(
                &data.client_id,
                &data.authorization_url,
                crate::clock::Clock::new().now().seconds(),
            )
            .map_err(|error| Error::Token(error.to_string()))?;
        let endpoint = data.oauth_endpoint_url.as_deref().unwrap_or(&data.authorization_url);
        let form = [
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", &assertion),
        ];
        let response = self.send(self.http.post(endpoint).form(&form)).await?;
        let status = response.status();
        let answer: Value = response.json().await.map_err(|error| Error::Token(error.to_string()))?;
        match answer["access_token"].as_str() {
            Some(token) if status.is_success() => Ok(token.to_owned()),
            _ => Err(Error::Token(format!(
                "{}: {}",
                answer["error"].as_str().unwrap_or("no error name"),
                answer["error_description"].as_str().unwrap_or("no description"),
            ))),
        }
    }

    fn request(&self, method: &Method, path: &str, body: Option<&Value>) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(method.clone(), format!("{}/{path}", self.url))
            .header(ACCEPT, "application/json; api-version=5.1-preview.1")
            .header("X-TFS-FedAuthRedirect", "Suppress");
        match body {
            None => request,
            Some(body) => request
                .header(
                    CONTENT_TYPE,
                    "application/json; charset=utf-8; api-version=5.1-preview.1",
                )
                .body(body.to_string()),
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        request.send().await.map_err(|error| {
            let mut text = error.to_string();
            let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            Error::Connection(text)
        })
    }

    async fn answer(&self, response: reqwest::Response) -> Result<Value, Error> {
        let status = response.status();
        let is_json = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/json"));
        let body = response
            .bytes()
            .await
            .map_err(|error| Error::Connection(error.to_string()))?;
        match status.as_u16() {
            // The sign-in page, as a page or as a redirect to it.
            203 | 302 | 401 => Err(Error::Unauthorized(self.url.clone())),
            200..=299 if body.is_empty() => Ok(Value::Null),
            200..=299 if is_json => serde_json::from_slice(&body).map_err(|error| Error::Connection(error.to_string())),
            200..=299 => Err(Error::Unauthorized(self.url.clone())),
            _ => {
                let error: Value = serde_json::from_slice(&body).unwrap_or_default();
                let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
                Err(Error::Server {
                    status,
                    type_key: text("typeKey"),
                    message: text("message"),
                })
            }
        }
    }
}

/// Percent-encodes a value of a query.
pub(super) fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
