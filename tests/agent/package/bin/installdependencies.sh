#!/bin/bash
# STUB of the Azure Pipelines agent: the real one installs .NET's libraries, and needs root for it. The stub needs none.

if [ "$(id -u)" -ne 0 ]; then
    echo "Need to run with sudo privilege"
    exit 1
fi
echo "Finish Install Dependencies"
