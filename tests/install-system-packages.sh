#!/bin/sh
# Installs the programs that tests need and pip can't install: a Prometheus server with promtool,
# Chromium and tmux. Installs on Debian and its relatives as root; elsewhere it prints what to install.
set -eu

missing=""
for pair in promtool:prometheus chromium:chromium tmux:tmux; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "The tests need these programs; please install them:$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# RUNLEVEL=1 keeps Debian from starting a Prometheus server: the tests start their own.
# shellcheck disable=SC2086  # a list of words
RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
