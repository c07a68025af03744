#!/usr/bin/env bash
# Prepares Azure and Azure DevOps for one agent pool. docs/azure.md explains every step.
#
#   docs/azure/setup.sh azure    identities and federated credentials; prints the ids that the next step needs
#   docs/azure/setup.sh devops   organization users, pool, roles, placeholder agent
#
# The devops half is run by this repository's tests, against an emulator. The azure half calls the Azure CLI and has NOT been
# run by this project: read it before you run it. Both can be run again: what is there already stays.
set -euo pipefail

ORGANIZATION=${ORGANIZATION:?the organization: what follows https://dev.azure.com/}
POOL=${POOL:-kubernetes}
PLACEHOLDER=${PLACEHOLDER:-placeholder}

# --- Azure: the identity that the agents' ServiceAccount gets a token for, and KEDA's ---------------------------------------

RESOURCE_GROUP=${RESOURCE_GROUP:-}                # where the managed identities live
AGENT_NAME=${AGENT_NAME:-azp-agent}               # managed identity of the agents
AGENT_SUBJECT=${AGENT_SUBJECT:-system:serviceaccount:agents:azp-agent}
KEDA_NAME=${KEDA_NAME:-azp-keda}                  # managed identity of KEDA
KEDA_SUBJECT=${KEDA_SUBJECT:-system:serviceaccount:keda:keda-operator}
AUDIENCE=${AUDIENCE:-api://AzureADTokenExchange}

azure() {
  : "${RESOURCE_GROUP:?the resource group for the managed identities}"
  local issuer
  # Byte for byte what stands in the tokens, the slash at its end included.
  issuer=$(kubectl get --raw /.well-known/openid-configuration | jq -r .issuer)
  identity "$AGENT_NAME" "$AGENT_SUBJECT" "$issuer"
  identity "$KEDA_NAME" "$KEDA_SUBJECT" "$issuer"
}

# identity NAME SUBJECT ISSUER
identity() {
  az identity create --only-show-errors --resource-group "$RESOURCE_GROUP" --name "$1" >/dev/null
  # One credential a cluster and ServiceAccount; an identity holds at most 20. Entra needs minutes to see a new one.
  az identity federated-credential create --only-show-errors --resource-group "$RESOURCE_GROUP" --identity-name "$1" \
    --name "$(printf '%s\n' "$3 $2" | sha256sum | cut -c1-32)" --issuer "$3" --subject "$2" --audiences "$AUDIENCE" >/dev/null
  az identity show --resource-group "$RESOURCE_GROUP" --name "$1" \
    --query '{name: name, clientId: clientId, objectId: principalId, tenantId: tenantId}'
}

# --- Azure DevOps -----------------------------------------------------------------------------------------------------------

ADO_URL=${ADO_URL:-https://dev.azure.com/$ORGANIZATION}
ENTITLEMENTS_URL=${ENTITLEMENTS_URL:-https://vsaex.dev.azure.com/$ORGANIZATION}
CA_FILE=${CA_FILE:-}                              # PEM file, where a private CA stands between you and Azure
ADO_TOKEN=${ADO_TOKEN:-}                          # an access token of an administrator of the organization
AGENT_OBJECT_ID=${AGENT_OBJECT_ID:-}              # printed by the azure half
KEDA_OBJECT_ID=${KEDA_OBJECT_ID:-}                # empty: no KEDA
GRANT_ATTEMPTS=${GRANT_ATTEMPTS:-20}              # how often a role is given until it is there
GRANT_PAUSE=${GRANT_PAUSE:-15}                    # seconds between
CAPABILITIES=${CAPABILITIES:-'{}'}                # JSON: what the placeholder offers beyond the usual, for your jobs' demands

devops() {
  : "${AGENT_OBJECT_ID:?the object id of the managed identity (of the enterprise application, not of the app registration)}"
  if [ -z "$ADO_TOKEN" ]; then
    # Azure DevOps as a resource. NOT run by the tests, which bring a token.
    ADO_TOKEN=$(az account get-access-token --resource 499b84ac-1321-427f-aa17-267ca6975798 --query accessToken --output tsv)
  fi
  local pool agent keda
  agent=$(entitle "$AGENT_NAME" "$AGENT_OBJECT_ID")
  pool=$(pool)
  grant "$pool" "$agent" Administrator
  if [ -n "$KEDA_OBJECT_ID" ]; then
    keda=$(entitle "$KEDA_NAME" "$KEDA_OBJECT_ID")
    grant "$pool" "$keda" Reader
    placeholder "$pool"
  fi
}

# call METHOD URL [BODY]: one request; prints the body of the answer, or says what went wrong. Within $(...) bash goes on after
# a failure, therefore the `|| exit` of the callers there.
call() {
  local method=$1 url=$2 body=${3:-} answer status
  answer=$(mktemp)
  # The token comes from a pipe and never stands on a command line.
  status=$(curl --silent --show-error --request "$method" ${CA_FILE:+--cacert "$CA_FILE"} \
    --config <(printf 'header = "Authorization: Bearer %s"\n' "$ADO_TOKEN") \
    --header 'Content-Type: application/json' --header 'Accept: application/json' \
    ${body:+--data "$body"} --output "$answer" --write-out '%{http_code}' "$url") || status="no answer"
  case $status in
    200 | 201 | 204) cat "$answer" && rm "$answer" ;;
    203 | 302 | 401) rm "$answer" && fail "$method $url: the token was not accepted ($status)" ;;
    *) fail "$method $url: $status $(head -c 1000 "$answer")" ;;
  esac
}

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

encode() { jq -rn --arg text "$1" '$text | @uri'; }

# entitle NAME OBJECT_ID: makes the identity a user of the organization with the license Basic; prints its id there.
entitle() {
  local body answer
  body=$(jq -n --arg name "$1" --arg id "$2" '{
    accessLevel: {accountLicenseType: "express"},
    projectEntitlements: [],
    servicePrincipal: {displayName: $name, originId: $id, origin: "aad", subjectKind: "servicePrincipal"}}')
  answer=$(call POST "$ENTITLEMENTS_URL/_apis/serviceprincipalentitlements?api-version=7.1-preview.1" "$body") || exit
  # A refusal arrives with status 200, too.
  jq -er 'select(.operationResult.isSuccess) | .operationResult.result.id' <<<"$answer" ||
    fail "$1 cannot become a user of the organization: $(jq -c '.operationResult.errors' <<<"$answer")"
}

# pool: the id of the pool, which is made where there is none.
pool() {
  local found
  found=$(call GET "$ADO_URL/_apis/distributedtask/pools?poolName=$(encode "$POOL")&api-version=7.1") || exit
  jq -er --arg name "$POOL" 'first(.value[] | select(.name == $name) | .id)' <<<"$found" && return
  # autoProvision off: projects get the pool one by one. autoUpdate off: the image decides which agent runs.
  call POST "$ADO_URL/_apis/distributedtask/pools?api-version=7.1" \
    "$(jq -n --arg name "$POOL" '{name: $name, autoProvision: false, autoUpdate: false}')" | jq -er .id
}

# grant POOL_ID IDENTITY_ID ROLE: gives the role and reads it back. For an identity that it does not know, Azure DevOps answers
# 200 with an empty list; one that became a user a moment ago can be such. So it is given again until it is there.
grant() {
  local url attempt answer
  url="$ADO_URL/_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/$1?api-version=7.1-preview.1"
  for ((attempt = 1; attempt <= GRANT_ATTEMPTS; attempt++)); do
    answer=$(call PUT "$url" "$(jq -n --arg id "$2" --arg role "$3" '[{userId: $id, roleName: $role}]')") || exit
    if has_role "$2" "$3" <<<"$answer"; then
      answer=$(call GET "$url") || exit
      if has_role "$2" "$3" <<<"$answer"; then
        echo "role $3 on pool $1"
        return
      fi
    fi
    echo "role $3 on pool $1: not there yet, as for a user that is new ($attempt of $GRANT_ATTEMPTS)" >&2
    [ "$attempt" -eq "$GRANT_ATTEMPTS" ] || sleep "$GRANT_PAUSE"
  done
  fail "role $3 on pool $1: Azure DevOps never showed it for identity $2. Run this again in some minutes, or give the role by hand:" \
    "Organization settings, Agent pools, $POOL, Security"
}

# has_role IDENTITY_ID ROLE: whether the list of role assignments on standard input says so.
has_role() {
  jq -e --arg id "$1" --arg role "$2" \
    'any(.value[]; (.identity.id | ascii_downcase) == ($id | ascii_downcase) and .role.name == $role)' >/dev/null
}

# placeholder POOL_ID: an agent that is only a row in the pool. Azure DevOps queues a job only where an agent, online or not,
# could take it; so a pool that is scaled to zero needs one.
placeholder() {
  local found version
  found=$(call GET "$ADO_URL/_apis/distributedtask/pools/$1/agents?agentName=$(encode "$PLACEHOLDER")&api-version=7.1")
  if jq -e '.count > 0' <<<"$found" >/dev/null; then
    echo "placeholder $PLACEHOLDER is there"
    return
  fi
  # The newest version, so that no demand for a version is out of its reach.
  version=$(call GET "$ADO_URL/_apis/distributedtask/packages/agent?platform=linux-x64&top=1&api-version=7.1-preview" |
    jq -er '.value[0].version | "\(.major).\(.minor).\(.patch)"')
  call POST "$ADO_URL/_apis/distributedtask/pools/$1/agents?api-version=7.1" "$(
    jq -n --arg name "$PLACEHOLDER" --arg version "$version" --argjson more "$CAPABILITIES" '{
      name: $name, version: $version, osDescription: "placeholder", enabled: true, status: "offline", maxParallelism: 1,
      provisioningState: "Provisioned",
      systemCapabilities: ({
        "Agent.Name": $name, "Agent.Version": $version, "Agent.ComputerName": $name,
        "Agent.OS": "Linux", "Agent.OSArchitecture": "X64"} + $more)}'
  )" | jq -r '"placeholder \(.name), agent \(.id)"'
}

case ${1:-} in
  azure | devops) "$1" ;;
  *) fail "usage: $0 azure|devops" ;;
esac
