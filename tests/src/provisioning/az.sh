#!/usr/bin/env bash
# A stub of the Azure CLI: managed identities, federated credentials, tokens. Strict about its arguments, as the real one is.
# Its state is a folder beside it: identities that are there, ids of those that can be made, what each call was.
set -euo pipefail
state=$(dirname "$0")/../az
printf '%s\n' "$*" >>"$state/calls"

die() {
  printf 'ERROR: %s\n' "$2" >&2
  exit "$1"
}

declare -A flag=()
words=()
for argument in "$@"; do
  case $argument in
    --yes | --only-show-errors) flag[$argument]=given ;;
    --*=*) flag[${argument%%=*}]=${argument#*=} ;;
    -*) die 2 "unrecognized arguments: $argument" ;;
    *) words+=("$argument") ;;
  esac
done
operation=${words[*]}

# expect REQUIRED [OPTIONAL]: these flags, and no others.
expect() {
  local name
  for name in $1 --output --only-show-errors; do
    [ -n "${flag[$name]:-}" ] || die 2 "the following arguments are required: $name"
  done
  for name in "${!flag[@]}"; do
    case " --output --only-show-errors $1 ${2:-} " in
      *" $name "*) ;;
      *) die 2 "unrecognized arguments: $name" ;;
    esac
  done
  [ "${flag[--output]}" = json ] || die 2 "argument --output: this stub prints JSON only"
  case " $1 " in
    *" --resource-group "*) [ "${flag[--resource-group]}" = agents ] || die 3 "(ResourceGroupNotFound) Resource group '${flag[--resource-group]}' could not be found." ;;
  esac
}

# An operation that is to be interrupted once: before it did anything, or after.
interrupted() {
  if [ -e "$state/$1" ] && [ "$(cat "$state/$1")" = "$operation" ]; then
    rm "$state/$1"
    die 1 "(InternalServerError) The connection was interrupted."
  fi
}

identity() {
  printf '%s/identities/%s.json' "$state" "$1"
}

[ -e "$state/signed-in" ] || die 1 "Please run 'az login' to setup account."
interrupted interrupt-before
case $operation in
  "account get-access-token")
    expect --resource
    [ "${flag[--resource]}" = 499b84ac-1321-427f-aa17-267ca6975798 ] || die 1 "AADSTS500011: The resource principal was not found."
    jq --raw-input '{accessToken: ., tokenType: "Bearer"}' "$state/token"
    ;;
  "identity show")
    expect "--resource-group --name"
    file=$(identity "${flag[--name]}")
    [ -e "$file" ] || die 3 "(ResourceNotFound) The Resource '${flag[--name]}' was not found."
    if [ -e "$state/pending" ]; then
      # A service principal that Entra is still making.
      rm "$state/pending"
      jq '.principalId = null' "$file"
    else
      cat "$file"
    fi
    ;;
  "identity create")
    expect "--resource-group --name --tags" --location
    file=$(identity "${flag[--name]}")
    [ -e "$state/can/${flag[--name]}.json" ] || die 1 "(AuthorizationFailed) The client does not have authorization."
    jq --arg tag "${flag[--tags]}" '.tags = ($tag | split("=") | {(.[0]): .[1]})' "$state/can/${flag[--name]}.json" >"$file"
    mkdir -p "$state/credentials/${flag[--name]}"
    cat "$file"
    ;;
  "identity delete")
    expect "--resource-group --name"
    rm -r "$(identity "${flag[--name]}")" "$state/credentials/${flag[--name]}"
    ;;
  "identity federated-credential list")
    expect "--resource-group --identity-name"
    [ -e "$(identity "${flag[--identity-name]}")" ] || die 3 "(ResourceNotFound) The Resource '${flag[--identity-name]}' was not found."
    find "$state/credentials/${flag[--identity-name]}" -name '*.json' -exec cat {} + | jq --slurp .
    ;;
  "identity federated-credential create")
    expect "--resource-group --identity-name --name --issuer --subject --audiences"
    folder=$state/credentials/${flag[--identity-name]}
    [ -e "$(identity "${flag[--identity-name]}")" ] || die 3 "(ParentResourceNotFound) The identity was not found."
    file=$folder/${flag[--name]}.json
    for other in "$folder"/*.json; do
      [ "$other" != "$file" ] && [ -e "$other" ] || continue
      jq -e --arg issuer "${flag[--issuer]}" --arg subject "${flag[--subject]}" '.issuer == $issuer and .subject == $subject' \
        "$other" >/dev/null && die 1 "(Conflict) Issuer and subject combination already exists."
    done
    jq -n --arg name "${flag[--name]}" --arg issuer "${flag[--issuer]}" --arg subject "${flag[--subject]}" \
      --arg audience "${flag[--audiences]}" \
      '{name: $name, issuer: $issuer, subject: $subject, audiences: [$audience]}' | tee "$file"
    ;;
  "identity federated-credential delete")
    expect "--resource-group --identity-name --name --yes"
    rm -f "$state/credentials/${flag[--identity-name]}/${flag[--name]}.json"
    ;;
  *) die 2 "'$operation' is misspelled or not recognized by the system." ;;
esac
interrupted interrupt-after
