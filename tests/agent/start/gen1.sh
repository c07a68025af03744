#!/bin/bash
# Start script of our own wording that behaves like Microsoft's recipe of 2020 and the images made from it (generation 1): the
# agent lives in /azp/agent, and `config.sh remove` is tried once. While a job runs it fails, and the script ends with the job.
set -e

if [ -z "$AZP_URL" ]; then
    echo 1>&2 "error: missing AZP_URL environment variable"
    exit 1
fi

if [ -z "$AZP_TOKEN_FILE" ]; then
    if [ -z "$AZP_TOKEN" ]; then
        echo 1>&2 "error: missing AZP_TOKEN environment variable"
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
        print_header "Cleanup. Removing Azure Pipelines agent..."
        ./config.sh remove --unattended --auth PAT --token "$(cat "$AZP_TOKEN_FILE")"
    fi
}

print_header() {
    echo "==> $1"
}

export VSO_AGENT_IGNORE=AZP_TOKEN,AZP_TOKEN_FILE

print_header "1. Determining matching Azure Pipelines agent..."
answer=$(curl -LsS -u "user:$(cat "$AZP_TOKEN_FILE")" -H 'Accept:application/json' \
    "$AZP_URL/_apis/distributedtask/packages/agent?platform=${TARGETARCH}&top=1")
package=$(echo "$answer" | jq -r '.value[0].downloadUrl')
if [ -z "$package" ] || [ "$package" = "null" ]; then
    echo 1>&2 "error: could not determine a matching Azure Pipelines agent"
    echo 1>&2 "check that account '$AZP_URL' is correct and the token is valid for that account"
    exit 1
fi

print_header "2. Downloading and extracting Azure Pipelines agent..."
curl -LsS "$package" | tar -xz &
wait $!

source ./env.sh

trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM

print_header "3. Configuring Azure Pipelines agent..."
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

print_header "4. Running Azure Pipelines agent..."
chmod +x ./run.sh
# In the background with `wait`, so that the traps run while the agent does.
./run.sh "$@" &
wait $!
