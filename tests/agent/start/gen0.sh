#!/bin/bash
# Start script of our own wording that behaves like Microsoft's recipe of 2019 and the images made from it (generation 0):
# the package query has no `top`, the agent lives in /azp/agent, `exec` replaces this shell and with it the traps, so the
# agent is never removed from the pool.
set -e

if [ -z "$AZP_URL" ]; then
    echo 1>&2 "error: AZP_URL is not set"
    exit 1
fi

if [ -z "$AZP_TOKEN_FILE" ]; then
    if [ -z "$AZP_TOKEN" ]; then
        echo 1>&2 "error: AZP_TOKEN is not set"
        exit 1
    fi
    AZP_TOKEN_FILE=/azp/.token
    echo -n "$AZP_TOKEN" >"$AZP_TOKEN_FILE"
fi
unset AZP_TOKEN

if [ -n "$AZP_WORK" ]; then
    mkdir -p "$AZP_WORK"
fi

rm -rf /azp/agent
mkdir /azp/agent
cd /azp/agent

export AGENT_ALLOW_RUNASROOT="1"

cleanup() {
    if [ -e config.sh ]; then
        echo "Cleanup. Removing Azure Pipelines agent..."
        ./config.sh remove --unattended --auth PAT --token "$(cat "$AZP_TOKEN_FILE")"
    fi
}

export VSO_AGENT_IGNORE=AZP_TOKEN,AZP_TOKEN_FILE

echo "1. Determining matching Azure Pipelines agent..."
answer=$(curl -LsS -u "user:$(cat "$AZP_TOKEN_FILE")" -H 'Accept:application/json;api-version=3.0-preview' \
    "$AZP_URL/_apis/distributedtask/packages/agent?platform=linux-x64")
package=""
if echo "$answer" | jq . >/dev/null 2>&1; then
    package=$(echo "$answer" | jq -r '.value | map([.version.major,.version.minor,.version.patch,.downloadUrl]) | sort | .[length-1] | .[3]')
fi
if [ -z "$package" ] || [ "$package" = "null" ]; then
    echo 1>&2 "error: could not determine a matching Azure Pipelines agent - check that account '$AZP_URL' is correct and the token is valid for that account"
    exit 1
fi

echo "2. Downloading and installing Azure Pipelines agent..."
curl -LsS "$package" | tar -xz

trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM

echo "3. Configuring Azure Pipelines agent..."
./config.sh --unattended \
    --agent "${AZP_AGENT_NAME:-$(hostname)}" \
    --url "$AZP_URL" \
    --auth PAT \
    --token "$(cat "$AZP_TOKEN_FILE")" \
    --pool "${AZP_POOL:-Default}" \
    --work "${AZP_WORK:-_work}" \
    --replace \
    --acceptTeeEula &
wait $!

echo "4. Running Azure Pipelines agent..."
exec ./externals/node/bin/node ./bin/AgentService.js interactive
