//! The ledger in ConfigMaps. They are made by whoever installs (`manifests/components/keep`): a right to create cannot be
//! limited to names, and the program has none.

use anyhow::{Context as _, anyhow};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;
use sweep::{Ledger, SHARDS};

/// Key in each ConfigMap.
const KEY: &str = "ledger.json";
/// How long the API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the ledger is.
pub struct LedgerStore {
    maps: Api<ConfigMap>,
    namespace: String,
    name: String,
    organization: String,
}

/// The ledger as it was read, with what is needed to write it back.
pub struct Stored {
    /// The ledger.
    pub ledger: Ledger,
    pieces: [String; SHARDS],
    maps: Vec<ConfigMap>,
}

/// What came of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It is written, or there was nothing to write.
    Yes,
    /// Somebody else wrote meanwhile: read it again.
    Conflict,
}

impl LedgerStore {
    /// ConfigMaps `NAME-0` and so on, for one organization.
    pub fn new(client: &Client, namespace: &str, name: &str, organization: &str) -> Self {
        Self {
            maps: Api::namespaced(client.clone(), namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            organization: organization.to_owned(),
        }
    }

    fn map(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// Reads the ledger.
    ///
    /// # Errors
    /// A ConfigMap is missing or cannot be read.
    pub async fn load(&self) -> anyhow::Result<Stored> {
        let mut maps = Vec::with_capacity(SHARDS);
        for number in 0..SHARDS {
            let name = self.map(number);
            let map = match tokio::time::timeout(PATIENCE, self.maps.get(&name)).await {
                Ok(Ok(map)) => map,
                Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                    return Err(anyhow!(
                        "there is no ledger: ConfigMap {}/{name} does not exist; apply manifests/components/keep, which makes it",
                        self.namespace
                    ));
                }
                Ok(Err(error)) => {
                    return Err(anyhow!(error).context(format!(
                        "the ledger cannot be read (ConfigMap {}/{name})",
                        self.namespace
                    )));
                }
                Err(_) => {
                    return Err(anyhow!(
                        "the ledger cannot be read: the API server did not answer within 30 s"
                    ));
                }
            };
            maps.push(map);
        }
        let piece = |map: &ConfigMap| {
            map.data
                .as_ref()
                .and_then(|data| data.get(KEY))
                .cloned()
                .unwrap_or_default()
        };
        let pieces: [String; SHARDS] = std::array::from_fn(|number| maps.get(number).map(piece).unwrap_or_default());
        let ledger = Ledger::read(&self.organization, &pieces).map_err(|(number, error)| {
            anyhow!(error).context(format!(
                "the ledger cannot be read (ConfigMap {}/{}, key {KEY})",
                self.namespace,
                self.map(number)
            ))
        })?;
        Ok(Stored { ledger, pieces, maps })
    }

    /// Writes the pieces that have changed, unless somebody else wrote meanwhile.
    ///
    /// # Errors
    /// The API server refuses, or cannot be reached.
    pub async fn save(&self, stored: &mut Stored) -> anyhow::Result<Saved> {
        let pieces = stored.ledger.write();
        for (number, piece) in pieces.into_iter().enumerate() {
            if stored.pieces[number] == piece || (stored.pieces[number].is_empty() && is_bare(&stored.ledger)) {
                continue;
            }
            let name = self.map(number);
            let Some(map) = stored.maps.get_mut(number) else {
                continue;
            };
            map.data.get_or_insert_default().insert(KEY.to_owned(), piece.clone());
            let parameters = PostParams::default();
            // With the resource version that was read.
            let replaced = tokio::time::timeout(PATIENCE, self.maps.replace(&name, &parameters, map)).await;
            match replaced {
                Ok(Ok(replaced)) => {
                    *map = replaced;
                    stored.pieces[number] = piece;
                }
                Ok(Err(kube::Error::Api(status))) if status.code == 409 => return Ok(Saved::Conflict),
                Ok(Err(error)) => {
                    return Err(error).context(format!(
                        "the ledger cannot be written (ConfigMap {}/{name})",
                        self.namespace
                    ));
                }
                Err(_) => {
                    return Err(anyhow!(
                        "the ledger cannot be written: the API server did not answer within 30 s"
                    ));
                }
            }
        }
        Ok(Saved::Yes)
    }
}

fn is_bare(ledger: &Ledger) -> bool {
    ledger.entries().is_empty()
}
