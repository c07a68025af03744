#!/bin/bash
# Start script of our own wording that behaves like the newest derivative of Microsoft's recipe (generation 4): a function
# (re)loads the token, AZP_TOKEN wins over AZP_TOKEN_FILE, the file is checked to be readable and not empty, the token is
# loaded again before the removal, which is tried ten times.
set -e

here="$(cd "$(dirname "$0")" && pwd)"

fail() {
    echo 1>&2 "error: $1"
    exit 1
}

print_header() {
    echo "==> $1"
}

[ -n "${AZP_URL}" ] || fail "missing AZP_URL environment variable"

load_token() {
    if [ -n "${AZP_CLIENTID}" ]; then
        az login --allow-no-subscriptions --service-principal \
            --username "${AZP_CLIENTID}" --password "${AZP_CLIENTSECRET}" --tenant "${AZP_TENANTID}" >/dev/null
        AZP_TOKEN=$(az account get-access-token --query accessToken --output tsv)
    fi
    if [ -n "${AZP_TOKEN}" ]; then
        : "${AZP_TOKEN_FILE:=${here}/.token}"
        (
            umask 177
            printf '%s' "${AZP_TOKEN}" >"${AZP_TOKEN_FILE}"
        ) || fail "cannot write ${AZP_TOKEN_FILE}"
        unset AZP_TOKEN
    fi
    [ -n "${AZP_TOKEN_FILE}" ] || fail "neither AZP_TOKEN nor AZP_TOKEN_FILE is set"
    [ -r "${AZP_TOKEN_FILE}" ] || fail "token file ${AZP_TOKEN_FILE} is not readable"
    [ -s "${AZP_TOKEN_FILE}" ] || fail "token file ${AZP_TOKEN_FILE} is empty"
}
load_token

if [ -n "${AZP_WORK}" ]; then
    mkdir -p "${AZP_WORK}"
fi

export VSO_AGENT_IGNORE="AZP_TOKEN,AZP_TOKEN_FILE,AZP_CLIENTSECRET"

cleanup() {
    trap "" EXIT
    [ -e ./config.sh ] || return 0
    print_header "Cleanup. Removing Azure Pipelines agent..."
    load_token
    local try
    for try in 1 2 3 4 5 6 7 8 9 10; do
        ./config.sh remove --unattended --auth PAT --token "$(cat "${AZP_TOKEN_FILE}")" && return 0
        echo "Attempt ${try} of 10 failed, retrying in ${STUB_RETRY_SECONDS:-30} seconds..."
        sleep "${STUB_RETRY_SECONDS:-30}"
    done
    echo 1>&2 "error: the agent could not be removed"
}

print_header "1. Determining matching Azure Pipelines agent..."
answer=$(curl -LsS -u "user:$(cat "${AZP_TOKEN_FILE}")" -H "Accept:application/json" \
    "${AZP_URL}/_apis/distributedtask/packages/agent?platform=${TARGETARCH}&top=1")
package=$(echo "${answer}" | jq -r ".value[0].downloadUrl")
if [ -z "${package}" ] || [ "${package}" = "null" ]; then
    fail "could not determine a matching Azure Pipelines agent; check that account '${AZP_URL}' is correct and the token is valid for it"
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
    --auth PAT \
    --token "$(cat "${AZP_TOKEN_FILE}")" \
    --pool "${AZP_POOL:-Default}" \
    --work "${AZP_WORK:-_work}" \
    --replace \
    --acceptTeeEula &
wait $!

print_header "4. Running Azure Pipelines agent..."
chmod +x ./run.sh
./run.sh "$@" &
wait $!
