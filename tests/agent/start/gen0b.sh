#!/bin/bash
# Start script of our own wording that behaves like the images that make the token file disappear (generation 0b): it
# deletes the file right after configuring, stops if it cannot (set -e), and never removes the agent from the pool.
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

rm -rf /azp/agent
mkdir /azp/agent
cd /azp/agent

export AGENT_ALLOW_RUNASROOT="1"
export VSO_AGENT_IGNORE=AZP_TOKEN,AZP_TOKEN_FILE

package=$(curl -LsS -u "user:$(cat "$AZP_TOKEN_FILE")" -H 'Accept:application/json;api-version=3.0-preview' \
    "$AZP_URL/_apis/distributedtask/packages/agent?platform=linux-x64" | jq -r '.value[0].downloadUrl')
if [ -z "$package" ] || [ "$package" = "null" ]; then
    echo 1>&2 "error: no agent package found; check the account and the token"
    exit 1
fi
curl -LsS "$package" | tar -xz

./config.sh --unattended \
    --agent "${AZP_AGENT_NAME:-$(hostname)}" \
    --url "$AZP_URL" \
    --auth PAT \
    --token "$(cat "$AZP_TOKEN_FILE")" \
    --pool "${AZP_POOL:-Default}" \
    --work "${AZP_WORK:-_work}" \
    --replace \
    --acceptTeeEula

# Jobs are not to find the token.
rm "$AZP_TOKEN_FILE"

exec ./run.sh "$@"
