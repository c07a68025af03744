#!/usr/bin/env bash
# A preprocessor of mdBook (book.toml): on the site, a link that leads out of docs/ leads to the file in the repository, and one to a
# folder's README.md to the index that mdBook makes of it. mdBook asks once whether a renderer suits, and then hands over
# [context, book] as JSON.
set -euo pipefail
[ "${1:-}" = supports ] && exit 0
exec jq '
  .[0].config.preprocessor.repository.files as $files
  | def up: ((.path // "") | split("/") | length) * "../";
    .[1]
  | walk(
      if type == "object" and has("content") and (.path | type) == "string" then
        (up | gsub("\\."; "\\.")) as $out
        | .content |= (
            gsub("\\]\\(\($out)(?<file>[^.)][^)]*)\\)"; "](\($files)\(.file))")
            | gsub("\\]\\((?<folder>[./]*)README\\.md"; "](\(.folder)index.md"))
      else . end)'
