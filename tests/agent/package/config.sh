#!/bin/bash
# STUB of the Azure Pipelines agent: the REST calls of the real one, and of a job the shell steps. Not made by Microsoft.
# Offers what the real tarball's config.sh offers; its checks for .NET's libraries are left out, since the stub needs none.

if [ "$(id -u)" -eq 0 ] && [ -z "$AGENT_ALLOW_RUNASROOT" ]; then
    echo "Must not run with sudo"
    exit 1
fi

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" || exit 1
source ./env.sh

# As in the real one, only `remove` in the first place is a verb of its own.
shopt -s nocasematch
if [[ "$1" == "remove" ]]; then
    ./bin/Agent.Listener "$@"
else
    ./bin/Agent.Listener configure "$@"
fi
