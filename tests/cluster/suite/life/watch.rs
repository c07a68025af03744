//! What the watch of a pod has shown, and its logs, which can be read when the kubelet has removed them.

use crate::case::Case;
use crate::workload::CONTAINER;
use azure_emulators::clock::{Clock, Timestamp};
use contract::SIDECAR_CONTAINER;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the watch has shown.
#[derive(Default)]
pub(super) struct Seen {
    /// The newest state.
    pub(super) pod: Value,
    /// When the deletion began.
    pub(super) left: Option<Timestamp>,
    pub(super) is_gone: bool,
    /// Logs of its containers by path, held open: they can be read when the kubelet has removed them.
    pub(super) logs: BTreeMap<PathBuf, File>,
}

pub(super) fn text_of(file: &File) -> String {
    let mut bytes = vec![
        0;
        file.metadata()
            .map_or(0, |data| usize::try_from(data.len()).unwrap_or_default())
    ];
    let read = file.read_at(&mut bytes, 0).unwrap_or_default();
    bytes.truncate(read);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Looks at a pod until it is gone, again and again: the API server may end a watch whenever it likes.
pub(super) async fn watch(case: Case, name: String, seen: Arc<Mutex<Seen>>) {
    let path = format!("{}?fieldSelector=metadata.name%3D{name}", case.path("pods"));
    let folders = case.suite.node.container_logs();
    loop {
        let result = case
            .suite
            .api
            .watch(&path, |event| {
                let mut seen = seen.lock().expect("nobody panics with what was seen");
                seen.take(event, &folders);
                seen.is_gone
            })
            .await;
        if result.is_ok() && seen.lock().expect("nobody panics with what was seen").is_gone {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Seen {
    fn take(&mut self, event: &Value, folders: &std::path::Path) {
        let pod = &event["object"];
        if pod["kind"] != "Pod" || (self.is_gone && pod["metadata"]["uid"] == self.pod["metadata"]["uid"]) {
            return;
        }
        if self.left.is_none() && (pod["metadata"]["deletionTimestamp"].is_string() || event["type"] == "DELETED") {
            self.left = Some(Clock::new().now());
        }
        self.is_gone = event["type"] == "DELETED";
        self.pod = pod.clone();
        let text = |member: &str| pod["metadata"][member].as_str().unwrap_or_default();
        let folder = format!("{}_{}_{}", text("namespace"), text("name"), text("uid"));
        for container in [SIDECAR_CONTAINER, CONTAINER] {
            for entry in std::fs::read_dir(folders.join(&folder).join(container))
                .into_iter()
                .flatten()
                .flatten()
            {
                let path = entry.path();
                if !self.logs.contains_key(&path)
                    && let Ok(file) = File::open(&path)
                {
                    self.logs.insert(path, file);
                }
            }
        }
    }
}
