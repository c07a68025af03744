//! Reviews through TLS: the webhook beside the floor.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::Effort;
use super::decision;
use super::floor::{Floor, Log};
use super::load::{self, Expected, Target};
use super::process::Process;
use super::report::{Row, median, microseconds, percentile, times};
use crate::apiserver::ApiServer;
use crate::apiserver::review::of_pod;
use crate::apiserver::webhook::{Webhook, service_name};
use crate::programs::repository;

/// Flag that every webhook needs.
pub const IMAGE: &str = "--sidecar-image=registry.example/ado-agent-sidecar:0.1.0";
/// Namespace and ServiceAccount of the pod that is reviewed.
const NAMESPACE: &str = "agents";
const ACCOUNT: &str = "agents";
const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";
pub(super) const CONNECTIONS: [usize; 2] = [1, 100];
const GOAL: f64 = 1.5;

/// The pod of the plain Deployment, as the API server sends it.
///
/// # Errors
/// The file is not there.
pub fn pod() -> anyhow::Result<Value> {
    let path = repository().join("webhook/inject/testdata/deployment/pod.json");
    read(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

/// Its review, as the API server posts it.
///
/// # Errors
/// The pod's file is not there.
pub fn body() -> anyhow::Result<Bytes> {
    let mut pod = pod()?;
    pod["metadata"]["managedFields"] = managed_fields();
    Ok(serde_json::to_vec(&of_pod(NAMESPACE, &pod))?.into())
}

/// What the API server notes about a pod of a ReplicaSet before it asks: every field that the controller set.
fn managed_fields() -> Value {
    json!([{
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-02T03:04:05Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {
                "f:generateName": {},
                "f:labels": {".": {}, "f:ado-agent.dev/inject": {}, "f:app": {}},
                "f:ownerReferences": {".": {}, "k:{\"uid\":\"0b9f5dd5-1f0c-4a4e-9b7b-0c7a2f4ed1aa\"}": {}},
            },
            "f:spec": {
                "f:containers": {
                    "k:{\"name\":\"agent\"}": {
                        ".": {},
                        "f:envFrom": {},
                        "f:image": {},
                        "f:imagePullPolicy": {},
                        "f:name": {},
                        "f:resources": {},
                        "f:terminationMessagePath": {},
                        "f:terminationMessagePolicy": {},
                    },
                },
                "f:dnsPolicy": {},
                "f:enableServiceLinks": {},
                "f:restartPolicy": {},
                "f:schedulerName": {},
                "f:securityContext": {},
                "f:serviceAccount": {},
                "f:serviceAccountName": {},
                "f:terminationGracePeriodSeconds": {},
            },
        },
    }])
}

/// A cluster with the namespace and the account of [`pod`].
///
/// # Errors
/// No port can be bound.
pub async fn cluster() -> anyhow::Result<ApiServer> {
    let api = ApiServer::start().await?;
    api.set_namespace(NAMESPACE, &[(contract::INJECT_LABEL, "true")]);
    api.set_account(NAMESPACE, ACCOUNT, &[(contract::AZWI_CLIENT_ID_ANNOTATION, CLIENT_ID)]);
    Ok(api)
}

/// The webhook's process.
///
/// # Errors
/// It has ended.
pub fn process(webhook: &Webhook) -> anyhow::Result<Process> {
    Ok(Process(webhook.id().context("the webhook has ended")?))
}

/// A figure of [`Measured`], one a round or one for all, in seconds.
pub(super) type Figure = fn(&Measured) -> Vec<f64>;

pub(super) const FIGURES: [(&str, Figure); 3] = [
    ("p50", |measured| measured.p50.clone()),
    ("p99", |measured| measured.p99.clone()),
    ("processor time", |measured| vec![measured.processor()]),
];

/// How many times another server's figure one server's is: the median of the rounds.
pub(super) fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs))
}

/// A server under measurement, and what was measured, by number of connections.
pub(super) struct Subject {
    name: &'static str,
    pub(super) process: Process,
    target: Target,
    pub(super) measured: [Measured; CONNECTIONS.len()],
}

/// What was measured of a server.
#[derive(Default)]
pub(super) struct Measured {
    /// One a round, in seconds.
    pub(super) p50: Vec<f64>,
    pub(super) p99: Vec<f64>,
    processor: Duration,
    reviews: u32,
}

impl Measured {
    /// Processor time of a review, in seconds.
    pub(super) fn processor(&self) -> f64 {
        self.processor.as_secs_f64() / f64::from(self.reviews.max(1))
    }
}

impl Subject {
    pub(super) fn new(name: &'static str, process: Process, target: Target) -> Self {
        let measured = Default::default();
        Self {
            name,
            process,
            target,
            measured,
        }
    }

    async fn round(&mut self, connections: usize, reviews: usize) -> anyhow::Result<(Duration, Vec<Duration>)> {
        let opened = self.target.connect(connections).await?;
        let before = self.process.processor_time()?;
        let (_open, took) = load::post(opened, reviews).await?;
        Ok((self.process.processor_time()?.saturating_sub(before), took))
    }

    async fn measure(&mut self, reviews: usize) -> anyhow::Result<()> {
        for (index, connections) in CONNECTIONS.into_iter().enumerate() {
            let (processor, took) = self
                .round(connections, reviews)
                .await
                .with_context(|| format!("{} at {connections} connections", self.name))?;
            let measured = &mut self.measured[index];
            measured.p50.push(percentile(&took, 0.5));
            measured.p99.push(percentile(&took, 0.99));
            measured.processor += processor;
            measured.reviews += u32::try_from(took.len())?;
        }
        Ok(())
    }
}

/// Calls webhook, floor and a floor that logs in turn.
///
/// # Errors
/// A server does not start, or answers something else.
pub async fn measure(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let api = cluster().await?;
    let body = body()?;
    let ca = api.authority().pem();
    let webhook = Webhook::start(&api, &[IMAGE]).await?;
    let pair = api.authority().issue(&[service_name()]);
    let floor = Floor::start(&pair, Log::Nothing).await?;
    let logging = Floor::start(&pair, Log::Reviews).await?;
    let target = |address, expected| Target::new(address, ca, body.clone(), expected);
    let mut subjects = [
        Subject::new(
            "webhook",
            process(&webhook)?,
            target(webhook.tls_address(), Expected::Patch)?,
        ),
        Subject::new("floor", floor.process()?, target(floor.address(), Expected::Allow)?),
        Subject::new(
            "floor that logs",
            logging.process()?,
            target(logging.address(), Expected::Allow)?,
        ),
    ];
    take_turns(&mut subjects, effort).await?;
    let mut rows = rows(&subjects);
    let (parse, decide) = decision::measure(&body, effort.reviews)?;
    let [webhook, floor, ..] = subjects.each_ref().map(|subject| subject.measured[0].processor());
    rows.push(
        Row::new("  deciding and writing the patch", microseconds(decide))
            .part("reading the body", microseconds(parse))
            .part(
                "webhook's time above the floor's, 1 connection",
                microseconds(webhook - floor),
            ),
    );
    Ok(rows)
}

/// Calls servers in turn, each in every round at every number of connections, after a warm-up.
pub(super) async fn take_turns(subjects: &mut [Subject], effort: &Effort) -> anyhow::Result<()> {
    for subject in &mut *subjects {
        for connections in CONNECTIONS {
            subject.round(connections, effort.reviews / 2).await?;
        }
    }
    for round in 0..effort.rounds {
        for turn in 0..subjects.len() {
            let turn = (turn + round) % subjects.len();
            subjects[turn].measure(effort.reviews).await?;
        }
    }
    Ok(())
}

/// How a row begins.
pub(super) fn at(connections: usize) -> String {
    let plural = if connections > 1 { "s" } else { "" };
    format!("review, {connections} connection{plural}")
}

fn rows(subjects: &[Subject; 3]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, connections) in CONNECTIONS.into_iter().enumerate() {
        for (figure, of) in FIGURES {
            let [webhook, floor, logging] = subjects.each_ref().map(|subject| of(&subject.measured[index]));
            rows.push(
                Row::new(
                    format!("{}: {figure} / floor", at(connections)),
                    times(ratio(&webhook, &floor)),
                )
                .goal(GOAL)
                .part("webhook", microseconds(median(webhook)))
                .part("floor", microseconds(median(floor)))
                .part("floor that logs", microseconds(median(logging))),
            );
        }
    }
    rows
}
