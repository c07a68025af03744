#!/bin/bash
# STUB of the Azure Pipelines agent: runs the stub listener once, in the foreground and without traps, and hands its exit code
# on, as the real run.sh does.

if [ "$(id -u)" -eq 0 ] && [ -z "$AGENT_ALLOW_RUNASROOT" ]; then
    echo "Must not run interactively with sudo"
    exit 1
fi

root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"

"$root"/bin/Agent.Listener run $*
code=$?
# 4: the listener updated itself under --once; the new one runs the job.
if [ "$code" -eq 4 ]; then
    sleep 5
    "$root"/bin/Agent.Listener run $*
    code=$?
fi
exit "$code"
