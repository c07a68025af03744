//! Reviews through TLS: the webhook beside another build of it, for instance an older one, and the floor.
//!
//! All are processes on the loopback, called in turn in every round, so that what the machine does meanwhile happens to all
//! of them. A pod that is left alone shows what the server costs, one that is injected also the decision and its answer.

use std::path::Path;

use hyper::body::Bytes;
use serde_json::Value;
use tokio::process::Command;

use super::Effort;
use super::floor::{Floor, Log};
use super::load::{Expected, Target};
use super::report::{Row, count, median, microseconds, times};
use super::reviews::{self, CONNECTIONS, FIGURES, IMAGE, Subject, ratio};
use crate::apiserver::webhook::{Webhook, service_name};

/// Calls all three in turn; `program` is the other webhook.
///
/// # Errors
/// One does not start, or answers something else.
pub async fn measure(effort: &Effort, program: &Path) -> anyhow::Result<Vec<Row>> {
    let api = reviews::cluster().await?;
    let ca = api.authority().pem();
    let webhook = Webhook::start(&api, &[IMAGE]).await?;
    let older = Webhook::start_as(&api, Command::new(program), &[IMAGE]).await?;
    older.wait_until_ready().await?;
    let floor = Floor::start(&api.authority().issue(&[service_name()]), Log::Nothing).await?;
    let injected = reviews::body()?;
    let left_alone = opted_out(&injected)?;
    let mut rows = Vec::new();
    for (what, body, expected) in [
        ("injected", injected, Expected::Patch),
        ("left alone", left_alone, Expected::Allow),
    ] {
        let target = |address, expected| Target::new(address, ca, body.clone(), expected);
        let (ours, theirs) = (
            target(webhook.tls_address(), expected)?,
            target(older.tls_address(), expected)?,
        );
        let lengths = (ours.answer().await?.len(), theirs.answer().await?.len());
        let mut subjects = [
            Subject::new("webhook", reviews::process(&webhook)?, ours),
            Subject::new("older", reviews::process(&older)?, theirs),
            Subject::new("floor", floor.process()?, target(floor.address(), Expected::Allow)?),
        ];
        reviews::take_turns(&mut subjects, effort).await?;
        rows.extend(compare(what, &subjects));
        rows.push(Row::new(format!("{what}: bytes of the answer"), count(lengths.0)).part("older", count(lengths.1)));
    }
    Ok(rows)
}

/// The review of a pod that declines the sidecar.
fn opted_out(review: &Bytes) -> anyhow::Result<Bytes> {
    let mut review: Value = serde_json::from_slice(review)?;
    review["request"]["object"]["metadata"]["labels"][contract::INJECT_LABEL] = "false".into();
    Ok(serde_json::to_vec(&review)?.into())
}

fn compare(what: &str, subjects: &[Subject; 3]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, connections) in CONNECTIONS.into_iter().enumerate() {
        for (figure, of) in FIGURES {
            let [ours, theirs, floor] = subjects.each_ref().map(|subject| of(&subject.measured[index]));
            let name = format!("{what}, {}: {figure} / older", reviews::at(connections));
            rows.push(
                Row::new(name, times(ratio(&ours, &theirs)))
                    .part("times the floor", times(ratio(&ours, &floor)))
                    .part("older", times(ratio(&theirs, &floor)))
                    .part("webhook", microseconds(median(ours)))
                    .part("older", microseconds(median(theirs)))
                    .part("floor", microseconds(median(floor))),
            );
        }
    }
    rows
}
