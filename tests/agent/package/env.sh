#!/bin/bash
# STUB of the Azure Pipelines agent: writes .env and .path into the current directory, as the real env.sh does.

wanted=(LANG JAVA_HOME ANT_HOME M2_HOME ANDROID_HOME GRADLE_HOME NVM_BIN NVM_PATH VSTS_HTTP_PROXY VSTS_HTTP_PROXY_USERNAME VSTS_HTTP_PROXY_PASSWORD LD_LIBRARY_PATH PERL5LIB AGENT_TOOLSDIRECTORY)

[ -f .env ] || touch .env
echo "$PATH" >.path

for name in "${wanted[@]}"; do
    if [ -n "${!name}" ] && ! grep -q "^$name=" .env; then
        echo "$name=${!name}" >>.env
    fi
done
