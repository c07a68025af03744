//! The listener's session (`MessageListener.CreateSessionAsync`): which failures are waited for, and for how long.

use crate::client::{Error, Server};
use crate::configure;
use crate::files::{Credentials, Root, Settings};
use crate::signals::{Stop, stopped};
use crate::{Code, complain, pause, say, variable};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(30);
/// Attempts while another session of the agent is open: the eighth conflict, after about four minutes, is the last.
const CONFLICTS: u32 = 8;
/// Attempts while the clocks differ too much: 30 minutes.
const CLOCK_SKEWS: u32 = 60;

/// What opening a session takes.
pub(crate) struct Opening<'a> {
    pub(crate) root: &'a Root,
    pub(crate) settings: &'a Settings,
    pub(crate) credentials: &'a Credentials,
    /// The session as the agent asks for it.
    pub(crate) body: &'a Value,
}

impl Opening<'_> {
    /// A connection with an open session, or the code with which the listener ends.
    pub(crate) async fn open(&self, stop: &mut Stop) -> Result<(Server, String), Code> {
        let (mut failures, mut conflicts, mut skews) = (0, 0, 0);
        loop {
            let error = match self.attempt().await {
                Ok(opened) => {
                    if failures > 0 {
                        say("Agent reconnected.");
                    }
                    return Ok(opened);
                }
                Err(error) => error,
            };
            failures += 1;
            if failures == 1 {
                complain(&format!("Agent connect error: {error} Retrying until reconnected."));
            }
            match (error.type_key(), &error) {
                ("TaskAgentAccessTokenExpiredException", _) => return Err(Code::Success),
                (_, Error::Socket(_)) => return Err(Code::Retryable),
                ("TaskAgentSessionConflictException", _) => conflicts += 1,
                (_, error) if error.is_clock_skew() => skews += 1,
                (key, error) if is_final(key) || matches!(error, Error::Unauthorized(_)) => {
                    complain(&format!("Failed to create session. {error}"));
                    return Err(Code::Failed);
                }
                // A refused client assertion, too: whoever was deleted asks forever.
                _ => {}
            }
            if conflicts == CONFLICTS || skews == CLOCK_SKEWS {
                complain(&format!("Failed to create session. {error}"));
                return Err(Code::Failed);
            }
            tokio::select! {
                () = tokio::time::sleep(pause(between_attempts(failures))) => {}
                code = stopped(stop) => return Err(code),
            }
        }
    }

    /// Every attempt makes new connections.
    async fn attempt(&self) -> Result<(Server, String), Error> {
        let Settings {
            server_url, pool_id, ..
        } = self.settings;
        let server = configure::connect_as_agent(server_url, self.root, self.credentials.clone()).await?;
        server.locations().await?;
        let path = format!("_apis/distributedtask/pools/{pool_id}/sessions");
        let session = server.call(Method::POST, &path, Some(self.body)).await?;
        match session["sessionId"].as_str() {
            Some(id) => Ok((server, id.to_owned())),
            None => Err(Error::Answer("the server's session has no id".to_owned())),
        }
    }
}

/// 30 s. The variable, which counts until there is a session, makes it grow from 3 s to 5 minutes.
fn between_attempts(failures: u32) -> Duration {
    let grows =
        variable("AGENT_ENABLE_PROGRESSIVE_RETRY_BACKOFF").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !grows {
        return PAUSE;
    }
    let seconds = 1.5 * f64::from(2_u32.saturating_pow(failures));
    Duration::from_secs_f64(seconds.min(300.0))
}

/// Errors after which the server will never talk to this agent again.
pub(crate) fn is_final(type_key: &str) -> bool {
    matches!(
        type_key,
        "TaskAgentNotFoundException"
            | "TaskAgentPoolNotFoundException"
            | "AccessDeniedException"
            | "VssUnauthorizedException"
    )
}
