//! Everything that needs no Azure, also where the configuration is refused: the socket of `probe` and `pre-stop`, the drain
//! file, the state volume, the termination message.

use crate::config::Places;
use crate::drain_file::DrainFile;
use crate::socket::{self, Client, Details};
use crate::{state, termination};
use anyhow::Context;
use contract::{Drain, Reason};
use lifecycle::{Outcome, Snapshot, Status};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

pub(crate) struct Local {
    places: Places,
    listener: UnixListener,
    /// When to accept the next client: delayed after a failed `accept`.
    accept_at: Instant,
    /// Clients whose command is being read, and clients that are being answered (these end with `None`).
    clients: JoinSet<Option<Client>>,
    drain_file: DrainFile,
}

impl Local {
    /// Must be called within the runtime.
    ///
    /// # Errors
    /// The state volume cannot be used.
    pub(crate) fn open(places: Places) -> anyhow::Result<Self> {
        let listener = socket::bind(&places.state_dir)
            .with_context(|| format!("the socket in {} cannot be created", places.state_dir.display()))?;
        Ok(Self {
            listener,
            accept_at: Instant::now(),
            clients: JoinSet::new(),
            drain_file: DrainFile::new(&places.handoff_dir, places.token_file_mode),
            places,
        })
    }

    /// The next client whose command was read. Cancel safe.
    pub(crate) async fn client(&mut self) -> Client {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.clients.join_next() => match ended {
                    Ok(Some(client)) => return client,
                    Ok(None) => {}
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_cancelled) => {}
                },
                accepted = socket::accept(&self.listener, self.accept_at) => match accepted {
                    Ok(stream) => {
                        self.clients.spawn(socket::read(stream));
                    }
                    Err(error) => {
                        warn!(%error, "a probe could not be accepted");
                        self.accept_at = Instant::now() + socket::PAUSE;
                    }
                },
            }
        }
    }

    pub(crate) fn answer(&mut self, client: Client, status: Status, details: Details) {
        self.clients.spawn(async move {
            client.answer(status, details).await;
            None
        });
    }

    /// What the previous run of this container persisted.
    pub(crate) fn restore(&self) -> Option<Snapshot> {
        state::load(&self.places.state_dir).unwrap_or_else(|error| {
            warn!(%error, "the state of the previous run cannot be read");
            None
        })
    }

    pub(crate) fn persist(&self, snapshot: Snapshot) {
        if let Err(error) = state::save(&self.places.state_dir, snapshot) {
            warn!(%error, directory = %self.places.state_dir.display(), "the state cannot be saved: a restart would forget it");
        }
    }

    pub(crate) fn report(&self, status: &Status) {
        info!(reason = %status.reason, agent_may_start = status.agent_may_start, "{}", status.sentence);
        termination::write(&self.places.termination_log, status.reason, &status.sentence);
    }

    /// Why the sidecar cannot run at all; the caller logs it.
    pub(crate) fn report_failure(&self, reason: Reason, sentence: &str) {
        termination::write(&self.places.termination_log, reason, sentence);
    }

    pub(crate) fn report_outcome(&self, outcome: &Outcome) {
        if outcome.is_clean() {
            info!(outcome = %outcome.reason, "{}", outcome.sentence);
        } else {
            warn!(outcome = %outcome.reason, "{}", outcome.sentence);
        }
        termination::write(&self.places.termination_log, outcome.reason.into(), &outcome.sentence);
    }

    /// A failure is logged once and not at every heartbeat, which comes every second.
    pub(crate) fn write_drain_file(&mut self, drain: Drain) {
        let Err(error) = self.drain_file.write(drain) else {
            return;
        };
        let directory = self.places.handoff_dir.display();
        match drain {
            Drain::Draining { .. } => debug!(%error, %directory, "the drain file cannot be written"),
            Drain::Serving | Drain::Drained => {
                warn!(%error, %directory, "the drain file cannot be written: SIGTERM does not wait for a running job");
            }
        }
    }
}
