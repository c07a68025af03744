//! How the kubelet's SIGTERM waits for the job: a file that the sidecar writes and the agent container's hook reads.
//!
//! The kubelet sends SIGTERM to a container once its `preStop` hook has returned. Many start scripts, and agents of
//! version 5, let a running job die of it. So the webhook gives the agent container a hook that returns when the sidecar
//! has the agent out of the pool. All hooks of a pod are started at once, and the sidecar's own may come seconds late.

/// What [`DRAIN_FILE`](crate::DRAIN_FILE) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// The pod is not terminating, as far as the sidecar knows.
    Serving,
    /// The pod is terminating, and its agent may have a job.
    Draining {
        /// Another number every second, which proves that the sidecar is alive.
        heartbeat: u64,
    },
    /// The pod is terminating, and there is nothing to wait for.
    Drained,
}

impl Drain {
    /// Length of the file's one line, in bytes. It is the same for every state: the line is overwritten in place, so it needs no
    /// more space in a volume that may be full by then.
    pub const LINE: usize = 20;

    /// The file's content. A shell may read while it is written, so no state's word can be mistaken for another's when only a part
    /// of it was overwritten.
    pub fn line(self) -> String {
        let (word, heartbeat) = match self {
            Self::Serving => ("serving", 0),
            Self::Draining { heartbeat } => ("draining", heartbeat % 10_000_000_000),
            Self::Drained => ("drained", 0),
        };
        format!("{word:<8} {heartbeat:010}\n")
    }
}

/// The agent container's `preStop` hook, for `sh -c`; its first argument is [`DRAIN_FILE`](crate::DRAIN_FILE).
///
/// It returns when the sidecar says `drained`, or when five seconds pass without a new heartbeat: the pod is not terminating (only
/// the container is restarted), or the sidecar is gone. Needs a POSIX `sh` and `sleep`. Reads the file five times a second for
/// the first five seconds where `sleep` takes fractions, else every second.
pub const PRE_STOP_SCRIPT: &str = r#"quiet=0 naps=0 beat=
while [ $quiet -lt 25 ]; do
  word= now=
  [ -f "$1" ] && read -r word now <"$1"
  case $word in
  drained) exit 0 ;;
  draining) [ "$now" = "$beat" ] || { beat=$now quiet=0; } ;;
  esac
  if [ $naps -lt 25 ] && sleep 0.2; then
    naps=$((naps + 1)) quiet=$((quiet + 1))
  elif sleep 1; then
    quiet=$((quiet + 5))
  else
    exit 0
  fi
done 2>/dev/null
"#;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Drain; 4] = [
        Drain::Serving,
        Drain::Draining { heartbeat: 9 },
        Drain::Draining { heartbeat: u64::MAX },
        Drain::Drained,
    ];

    #[test]
    fn every_line_has_the_same_length() {
        for drain in ALL {
            let line = drain.line();
            assert_eq!(line.len(), Drain::LINE, "{line:?}");
            assert!(line.ends_with('\n') && !line.starts_with(' '), "{line:?}");
        }
    }

    #[test]
    fn a_partially_overwritten_line_reads_as_the_old_or_the_new_state() {
        let word = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        for (before, after) in ALL
            .iter()
            .flat_map(|before| ALL.map(|after| (before.line(), after.line())))
        {
            for cut in 0..Drain::LINE {
                let mixed = word(&format!("{}{}", &before[..cut], &after[cut..]));
                let known = ALL.iter().any(|drain| word(&drain.line()) == mixed);
                assert!(
                    !known || mixed == word(&before) || mixed == word(&after),
                    "{mixed} between {before:?} and {after:?}"
                );
            }
        }
    }
}
