#!/bin/sh
# Writes requirements.lock (runtime) and requirements-test.lock (runtime and test tools) anew from pyproject.toml.
#
#   deploy/relock.sh             keep what is locked, add and drop what pyproject.toml asks for
#   deploy/relock.sh --upgrade   take the newest releases that pyproject.toml allows
#
# Three things make these files what they are (docs/adr/0002):
# - universal: one file for every platform and every Python from 3.11 on;
# - no header, annotation or hash: no name of any package index gets into the repository;
# - torch is overridden away, so the files are complete and must be installed with --no-deps.
# After an upgrade run ./pds test: docs/adr/0001 tells of two releases that resolve, install, import, and do not work.
set -eu
cd "$(dirname "$0")/.."
override=$(mktemp)
trap 'rm -f "$override"' EXIT
echo "torch ; sys_platform == 'never'" >"$override"

compile() { # $1 output, the rest: more arguments
  output=$1
  shift
  .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --no-header --no-annotate \
    --override "$override" --output-file "$output" "$@"
  grep -v '^torch' "$output" >"$output.new"
  mv "$output.new" "$output"
  if grep -nE '://|--(extra-)?index|--find-links' "$output"; then
    echo "$output 不得出现软件源地址 · must not name an index" >&2
    exit 1
  fi
}

compile requirements.lock "$@"
compile requirements-test.lock --extra test --constraint requirements.lock "$@"
