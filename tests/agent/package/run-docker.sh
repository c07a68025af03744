#!/bin/bash
# STUB of the Azure Pipelines agent: runs the stub listener again and again while it updates itself (3 and 4), as the real
# run-docker.sh does. Without --once the listener is told that it is a service.

if [ "$(id -u)" -eq 0 ] && [ -z "$AGENT_ALLOW_RUNASROOT" ]; then
    echo "Must not run interactively with sudo"
    exit 1
fi

root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"

service="--startuptype service"
shopt -s nocasematch
for argument in $*; do
    [[ "$argument" != "--once" ]] || service=""
done

while :; do
    "$root"/bin/Agent.Listener run $service $*
    code=$?
    echo "Agent exit code $code"
    [ "$code" -eq 3 ] || [ "$code" -eq 4 ] || exit "$code"
    sleep 5
done
