//! The gateway: a proxy between the agent and Azure DevOps, on a port of the pod's loopback.
//!
//! [`gateway`] (the crate) decides what happens to a request; this folder performs that and reports events to the machine, which
//! decides who registers, and which polls end.
//!
//! | file | what it does |
//! |---|---|
//! | `server.rs` | connections: how many, how long, how fast |
//! | `service.rs` | one request: judged, sent on, answered |
//! | `registration.rs` | lookups, registrations and removals with the ticket |
//! | `relay.rs`, `upload.rs` | streamed bodies, read and changed on the way |
//! | `write_timeout.rs`, `rate_limit.rs` | limits for slow clients and for fast ones |
//! | `memory.rs` | the memory budget of all that |
//!
//! **Invariant:** it listens on 127.0.0.1 only, before the agent may start. **Invariant:** memory is bounded by the constants
//! in `memory.rs` and `azure`'s `forward.rs`, for any requests and responses (docs/performance.md).

mod memory;
mod rate_limit;
mod registration;
mod relay;
mod server;
mod service;
mod upload;
mod write_timeout;

use azure::{AzureDevOps, Forwarder, Secret};
use azure_protocol::AgentId;
use gateway::Sessions;
use lifecycle::{Admission, Gate, GatewayEvent, Traffic};
use rate_limit::RateLimit;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Requests per second, and the burst: `config.sh` makes some forty within a second.
const REQUESTS_PER_SECOND: u32 = 20;
const REQUESTS_AT_ONCE: u32 = 60;
/// Bytes per second, both directions together: traffic costs CPU time that the removal needs as well.
const BYTES_PER_SECOND: u32 = 4 << 20;
/// The machine answers within a minute; this is the safety net.
const ANSWER: Duration = Duration::from_secs(60);

/// What the gateway needs of its pod.
#[derive(Debug)]
pub(crate) struct Pod {
    /// Port on the loopback.
    pub(crate) port: u16,
    /// The pool's name.
    pub(crate) pool: String,
    /// The client that forwards requests.
    pub(crate) forwarder: Forwarder,
    /// The client that looks up this pod's agent.
    pub(crate) azure_devops: Arc<AzureDevOps>,
}

/// The driver's end of a gateway that listens. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    open: watch::Sender<Opened>,
    events: mpsc::UnboundedReceiver<GatewayEvent>,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// The rules that the gateway applies, with the token itself.
#[derive(Debug, Clone)]
struct Opened {
    gate: Gate,
    token: Option<Secret>,
}

/// What every request needs.
#[derive(Debug)]
struct Shared {
    pod: Pod,
    /// The organization URL that the agent has.
    address: String,
    open: watch::Receiver<Opened>,
    events: mpsc::UnboundedSender<GatewayEvent>,
    sessions: Mutex<Sessions>,
    questions: Mutex<Questions>,
    /// One registration at a time.
    registering: Arc<tokio::sync::Mutex<()>>,
    requests: RateLimit,
    bytes: RateLimit,
}

/// Registrations that the machine has not answered yet.
#[derive(Debug, Default)]
struct Questions {
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Admission>>,
}

impl Gateway {
    /// Listens. Must be called within the runtime.
    ///
    /// # Errors
    /// Another process of the pod has the port.
    pub(crate) fn start(pod: Pod) -> std::io::Result<Self> {
        let listener = server::bind(pod.port)?;
        let (open, opened) = watch::channel(Opened {
            gate: Gate {
                pool: None,
                token: None,
                own: None,
                ended: Vec::new(),
                traffic: Traffic::All,
                sentence: "the sidecar is starting".to_owned(),
            },
            token: None,
        });
        let (sender, events) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            address: contract::gateway_url(pod.port),
            pod,
            open: opened,
            events: sender,
            sessions: Mutex::default(),
            questions: Mutex::default(),
            registering: Arc::default(),
            requests: RateLimit::new(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE),
            bytes: RateLimit::new(BYTES_PER_SECOND, BYTES_PER_SECOND),
        });
        Ok(Self {
            open,
            events,
            server: tokio::spawn(server::accept(listener, Arc::clone(&shared))),
            shared,
        })
    }

    /// Applies this from now on; requests that wait for it continue.
    pub(crate) fn open(&self, gate: Gate, token: Option<Secret>) {
        self.open.send_replace(Opened { gate, token });
    }

    /// Passes the machine's answer to the request that waits for it.
    pub(crate) fn answer(&self, number: u64, answer: Admission) {
        if let Some(waiting) = lock(&self.shared.questions).waiting.remove(&number) {
            // A client that has disconnected needs no answer.
            let _ = waiting.send(answer);
        }
    }

    /// The next event.
    pub(crate) async fn next_event(&mut self) -> Option<GatewayEvent> {
        self.events.recv().await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn send_event(&self, event: GatewayEvent) {
        // The driver has ended.
        let _ = self.events.send(event);
    }

    fn now(&self) -> Opened {
        self.open.borrow().clone()
    }

    /// Asks the machine, and waits for its answer.
    async fn ask(&self, question: impl FnOnce(u64) -> GatewayEvent) -> Admission {
        let (answer, answered) = oneshot::channel();
        let number = {
            let mut questions = lock(&self.questions);
            questions.last += 1;
            let number = questions.last;
            questions.waiting.retain(|_, waiting| !waiting.is_closed());
            questions.waiting.insert(number, answer);
            number
        };
        self.send_event(question(number));
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Admission::Refused(self.now().gate.sentence),
        }
    }

    /// Waits until the gate fulfills the condition; `false` after the timeout.
    async fn until(&self, within: Duration, holds: impl FnMut(&Opened) -> bool) -> bool {
        let mut open = self.open.clone();
        matches!(tokio::time::timeout(within, open.wait_for(holds)).await, Ok(Ok(_)))
    }

    /// The agent whose jobs are reported: this pod's agent, or its last one.
    fn worker(&self) -> Option<AgentId> {
        let gate = &self.open.borrow().gate;
        gate.own.or_else(|| gate.ended.last().copied())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
