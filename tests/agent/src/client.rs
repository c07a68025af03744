//! Talks to Azure DevOps as the agent's client library does: connection data first, versions in `Accept`, errors by
//! `typeKey`, challenges before tokens. What was seen of the library is in docs/emulators.md.

use crate::identity::{AgentIdentity, asks_for};
use crate::{location, pause};
use flate2::read::GzDecoder;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Tries of a new connection, 100 ms apart (`AgentServer.ConnectAsync`, `LocationServer.ConnectAsync`).
const CONNECTION_TRIES: u32 = 5;
/// Tries beyond the first after 502, 503 and 504.
const RETRIES: u32 = 3;
/// Between them 11 to 18 s were seen.
const RETRY_PAUSE: Duration = Duration::from_secs(14);

/// How the client says who it is.
#[derive(Debug)]
pub(crate) enum Auth {
    /// `Basic base64("VstsAgent:" + token)`, with the first request. A refusal with a `Basic` challenge drops it for good.
    Pat(Mutex<Option<String>>),
    /// The agent's own identity: nothing until a challenge asks for a bearer token.
    Agent(AgentIdentity),
}

/// Why a call gave nothing.
#[derive(Debug)]
pub(crate) enum Error {
    /// Nobody listens, or no connection came about (`SocketException`).
    Socket(String),
    /// The answer did not come, or is none that the library can read.
    Answer(String),
    /// The token is not accepted (`VssUnauthorizedException`).
    Unauthorized(String),
    /// The token endpoint refused the client assertion (`VssOAuthTokenRequestException`).
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
    pub(crate) fn type_key(&self) -> &str {
        match self {
            Self::Server { type_key, .. } => type_key,
            Self::Socket(_) | Self::Answer(_) | Self::Unauthorized(_) | Self::Token(_) => "",
        }
    }

    /// Whether the agent's clock is too far from the server's; the agent looks for these words.
    pub(crate) fn is_clock_skew(&self) -> bool {
        matches!(self, Self::Token(text) if text.contains("Current server time is"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(text) | Self::Answer(text) | Self::Token(text) => f.write_str(text),
            Self::Unauthorized(url) => write!(f, "VS30063: You are not authorized to access {url}."),
            Self::Server { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

/// A connection to one organization by one identity.
#[derive(Debug)]
pub(crate) struct Server {
    http: reqwest::Client,
    /// As it was typed, without a slash at the end.
    url: String,
    /// Where the server's location data says that agents and pools are.
    area: String,
    auth: Arc<Auth>,
}

impl Server {
    /// A connection that is not made yet.
    pub(crate) fn new(url: &str, auth: Arc<Auth>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent("VSServices/stub-agent")
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(100))
            .build()?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self {
            http,
            area: url.clone(),
            url,
            auth,
        })
    }

    /// Another connection with the same credential.
    pub(crate) fn beside(&self) -> anyhow::Result<Self> {
        Self::new(&self.url, self.auth.clone())
    }

    /// `GET connectionData`, with which every connection of the library begins.
    pub(crate) async fn connect(&mut self) -> Result<Value, Error> {
        location::wait_for_cache().await;
        let query = format!("_apis/connectionData?{}", location::query());
        let mut tries = 1;
        let data = loop {
            match self.call(Method::GET, &query, None).await {
                Err(_) if tries < CONNECTION_TRIES => tries += 1,
                done => break done?,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        location::remember(&data);
        self.area = location::area(&data, &self.url).map_err(Error::Answer)?;
        Ok(data)
    }

    /// `OPTIONS _apis/`: the list of locations, which a client fetches with its first real call.
    pub(crate) async fn locations(&self) -> Result<(), Error> {
        let locations = self.call(Method::OPTIONS, "_apis/", None).await?;
        match locations["value"].as_array().is_none_or(Vec::is_empty) {
            true => Err(Error::Answer(format!("{}: OPTIONS lists no locations", self.area))),
            false => Ok(()),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::GET, path, None).await
    }

    /// One call; after 502, 503 and 504 it is tried again, whatever the method. `Retry-After` is not looked at.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        for _ in 0..RETRIES {
            match self.once(method.clone(), path, body).await {
                Err(Error::Server { status, .. }) if matches!(status.as_u16(), 502..=504) => {}
                done => return done,
            }
            tokio::time::sleep(pause(RETRY_PAUSE)).await;
        }
        self.once(method, path, body).await
    }

    /// One call without another try.
    pub(crate) async fn once(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let identity = match &*self.auth {
            Auth::Pat(token) => {
                let mut held = token.lock().await;
                let mut request = self.request(&method, path, body);
                if let Some(token) = &*held {
                    request = request.basic_auth("VstsAgent", Some(token));
                }
                let response = send(request).await?;
                if response.status() == StatusCode::UNAUTHORIZED && asks_for(&response, "Basic") {
                    *held = None;
                }
                drop(held);
                return self.answer(response).await;
            }
            Auth::Agent(identity) => identity,
        };
        for _ in 0..3 {
            let used = identity.token.lock().await.clone();
            let mut request = self.request(&method, path, body);
            if let Some(token) = &used {
                request = request.bearer_auth(token);
            }
            let response = send(request).await?;
            let is_challenge = matches!(response.status().as_u16(), 401 | 302) && asks_for(&response, "Bearer");
            if !is_challenge {
                return self.answer(response).await;
            }
            let mut held = identity.token.lock().await;
            if *held == used {
                *held = Some(identity.own_token(&self.http, &self.url).await?);
            }
        }
        Err(Error::Unauthorized(self.url.clone()))
    }

    fn request(&self, method: &Method, path: &str, body: Option<&Value>) -> reqwest::RequestBuilder {
        let is_connection_data = path.starts_with("_apis/connectionData");
        let base = if is_connection_data { &self.url } else { &self.area };
        let mut request = self
            .http
            .request(method.clone(), format!("{base}/{path}"))
            .header(ACCEPT_ENCODING, "gzip")
            .header("X-TFS-FedAuthRedirect", "Suppress");
        // As it was seen: no version at connectionData, which may open a connection, and no `Accept` at all at OPTIONS.
        if is_connection_data {
            request = request
                .header(ACCEPT, "application/json")
                .header(EXPECT, "100-continue");
        } else if *method != Method::OPTIONS {
            request = request.header(ACCEPT, "application/json; api-version=5.1-preview.1");
        }
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

    async fn answer(&self, response: reqwest::Response) -> Result<Value, Error> {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let is_json = header(CONTENT_TYPE).is_some_and(|value| value.starts_with("application/json"));
        let is_compressed = header(CONTENT_ENCODING) == Some("gzip");
        let mut body = response
            .bytes()
            .await
            .map_err(|error| Error::Answer(error.to_string()))?
            .to_vec();
        if is_compressed {
            let mut plain = Vec::new();
            GzDecoder::new(body.as_slice())
                .read_to_end(&mut plain)
                .map_err(|error| Error::Answer(error.to_string()))?;
            body = plain;
        }
        match status.as_u16() {
            302 | 401 => Err(Error::Unauthorized(self.url.clone())),
            200..=299 if body.is_empty() => Ok(Value::Null),
            200..=299 if is_json => serde_json::from_slice(&body).map_err(|error| Error::Answer(error.to_string())),
            // A sign-in page is no challenge to the library, only something that it cannot parse.
            200..=299 => Err(Error::Answer(format!("{}: {status} without JSON", self.url))),
            _ => {
                let error: Value = serde_json::from_slice(&body).unwrap_or_default();
                let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
                // A class without its assembly is not found, and the exception then is a general one.
                let is_known = text("typeName").contains(", ");
                let message = match text("message") {
                    message if message.is_empty() => format!("{}: {status}", self.url),
                    message => message,
                };
                Err(Error::Server {
                    status,
                    type_key: if is_known { text("typeKey") } else { String::new() },
                    message,
                })
            }
        }
    }
}

/// Sends a request; the error says what lies below it.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
    request.send().await.map_err(|error| {
        let mut text = error.to_string();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        if error.is_connect() {
            Error::Socket(text)
        } else {
            Error::Answer(text)
        }
    })
}

/// Percent-encodes a value of a query.
pub(crate) fn encoded(value: &str) -> String {
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
