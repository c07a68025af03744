#!/bin/bash
# STUB of the Azure Pipelines agent: gives the pool the agent's key again, as the real reauth.sh does.

if [ "$(id -u)" -eq 0 ] && [ -z "$AGENT_ALLOW_RUNASROOT" ]; then
    echo "Must not run with sudo"
    exit 1
fi

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" || exit 1
source ./env.sh

shopt -s nocasematch
if [[ "$1" == "remove" ]]; then
    ./bin/Agent.Listener "$@"
else
    ./bin/Agent.Listener reauth "$@"
fi
