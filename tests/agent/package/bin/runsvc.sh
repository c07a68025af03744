#!/bin/bash
# STUB of the Azure Pipelines agent: runs the service wrapper, with the PATH of the configuration, and turns SIGTERM into
# SIGINT, as the real runsvc.sh does.

trap 'kill -INT "$wrapper"' TERM INT

[ ! -f .path ] || export PATH="$(cat .path)"

env --default-signal=INT ./externals/node24/bin/node ./bin/AgentService.js &
wrapper=$!
wait "$wrapper"
trap - TERM INT
wait "$wrapper"
