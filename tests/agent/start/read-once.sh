#!/bin/bash
# Start script of our own wording that behaves like the images that read the token file once, at the start: the removal is
# tried with a token that may have expired by then, forever.
set -e

if [ -z "${AZP_URL}" ]; then
    echo 1>&2 "error: missing AZP_URL environment variable"
    exit 1
fi

if [ -n "${AZP_TOKEN_FILE}" ]; then
    token=$(cat "${AZP_TOKEN_FILE}")
else
    token="${AZP_TOKEN}"
fi
if [ -z "${token}" ]; then
    echo 1>&2 "error: neither AZP_TOKEN nor AZP_TOKEN_FILE holds a token"
    exit 1
fi
unset AZP_TOKEN

if [ -n "${AZP_WORK}" ]; then
    mkdir -p "${AZP_WORK}"
fi

cleanup() {
    trap "" EXIT
    if [ -e ./config.sh ]; then
        print_header "Cleanup. Removing Azure Pipelines agent..."
        # A running job makes the removal fail; it succeeds once the job has ended.
        while true; do
            ./config.sh remove --unattended --auth "PAT" --token "${token}" && break
            echo "Retrying in ${STUB_RETRY_SECONDS:-30} seconds..."
            sleep "${STUB_RETRY_SECONDS:-30}"
        done
    fi
}

print_header() {
    echo "==> $1"
}

# Not for the agent's list of capabilities.
export VSO_AGENT_IGNORE="AZP_TOKEN,AZP_TOKEN_FILE"

print_header "1. Determining matching Azure Pipelines agent..."
answer=$(curl -LsS -u "user:${token}" -H "Accept:application/json" \
    "${AZP_URL}/_apis/distributedtask/packages/agent?platform=${TARGETARCH}&top=1")
package=$(echo "${answer}" | jq -r ".value[0].downloadUrl")
if [ -z "${package}" ] || [ "${package}" = "null" ]; then
    echo 1>&2 "error: could not determine a matching Azure Pipelines agent"
    echo 1>&2 "check that account '${AZP_URL}' is correct and the token is valid for that account"
    exit 1
fi

print_header "2. Downloading and extracting Azure Pipelines agent..."
curl -LsS "${package}" | tar -xz &
wait $!

source ./env.sh

trap "cleanup; exit 0" EXIT
trap "cleanup; exit 130" INT
trap "cleanup; exit 143" TERM

print_header "3. Configuring Azure Pipelines agent..."
./config.sh --unattended \
    --agent "${AZP_AGENT_NAME:-$(hostname)}" \
    --url "${AZP_URL}" \
    --auth "PAT" \
    --token "${token}" \
    --pool "${AZP_POOL:-Default}" \
    --work "${AZP_WORK:-_work}" \
    --replace \
    --acceptTeeEula &
wait $!

print_header "4. Running Azure Pipelines agent..."
chmod +x ./run.sh
./run.sh "$@" &
wait $!
