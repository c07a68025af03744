#!/bin/bash
# Start script of our own wording that behaves like the one of the article that this project comes from: it trades the
# federated token that the Azure Workload Identity webhook brings for a token of Azure DevOps, with a multipart form, and
# goes on as Microsoft's recipe of 2021 with that token. It keeps the token until its removal.
set -e

answer=$(curl --silent --location --request GET "${AZURE_AUTHORITY_HOST}${AZURE_TENANT_ID}/oauth2/v2.0/token" \
    --form "grant_type=client_credentials" \
    --form "client_id=${AZURE_CLIENT_ID}" \
    --form "scope=499b84ac-1321-427f-aa17-267ca6975798/.default" \
    --form "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer" \
    --form "client_assertion=$(cat "${AZURE_FEDERATED_TOKEN_FILE}")")
AZP_TOKEN=$(echo "${answer}" | jq -r ".access_token")

if [ -z "${AZP_URL}" ]; then
    echo 1>&2 "error: missing AZP_URL environment variable"
    exit 1
fi

AZP_TOKEN_FILE="/azp/.token"
echo -n "${AZP_TOKEN}" >"${AZP_TOKEN_FILE}"
unset AZP_TOKEN

if [ -n "${AZP_WORK}" ]; then
    mkdir -p "${AZP_WORK}"
fi

export AGENT_ALLOW_RUNASROOT="1"

cleanup() {
    if [ -e config.sh ]; then
        echo "Cleanup. Removing Azure Pipelines agent..."
        # A running job makes the removal fail; it succeeds once the job has ended.
        while true; do
            ./config.sh remove --unattended --auth PAT --token "$(cat "${AZP_TOKEN_FILE}")" && break
            echo "Retrying in ${STUB_RETRY_SECONDS:-30} seconds..."
            sleep "${STUB_RETRY_SECONDS:-30}"
        done
    fi
}

export VSO_AGENT_IGNORE=AZP_TOKEN,AZP_TOKEN_FILE

echo "1. Determining matching Azure Pipelines agent..."
answer=$(curl -LsS -u "user:$(cat "${AZP_TOKEN_FILE}")" -H "Accept:application/json;" \
    "${AZP_URL}/_apis/distributedtask/packages/agent?platform=${TARGETARCH}&top=1")
package=$(echo "${answer}" | jq -r ".value[0].downloadUrl")
if [ -z "${package}" ] || [ "${package}" = "null" ]; then
    echo 1>&2 "error: could not determine a matching Azure Pipelines agent"
    echo 1>&2 "check that account '${AZP_URL}' is correct and the token is valid for that account"
    exit 1
fi

echo "2. Downloading and extracting Azure Pipelines agent..."
curl -LsS "${package}" | tar -xz &
wait $!

source ./env.sh

trap "cleanup; exit 0" EXIT
trap "cleanup; exit 130" INT
trap "cleanup; exit 143" TERM

echo "3. Configuring Azure Pipelines agent..."
./config.sh --unattended \
    --agent "${AZP_AGENT_NAME:-$(hostname)}" \
    --url "${AZP_URL}" \
    --auth PAT \
    --token "$(cat "${AZP_TOKEN_FILE}")" \
    --pool "${AZP_POOL:-Default}" \
    --work "${AZP_WORK:-_work}" \
    --replace \
    --acceptTeeEula &
wait $!

echo "4. Running Azure Pipelines agent..."
chmod +x ./run.sh
./run.sh "$@" &
wait $!
