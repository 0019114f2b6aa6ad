#!/bin/bash
# sagemaker-autoshutdown 0.1.0 for Studio's JupyterLab spaces (app type JupyterLab).
#
# Installs the extension that shuts down idle apps into the environment of the Jupyter server that
# starts here. It changes no other package and takes a minute at the most. Whatever goes wrong,
# Studio starts: this script always exits 0, and one line of its log says what it did, or why not.

# ---- Settings: edit them here, or give them to
# ----   jupyter sagemaker-autoshutdown lifecycle-config render

# The version to install, and no other.
VERSION=0.1.0
# The source of its wheel. Empty: the package index. Else s3://BUCKET/KEY, https://... or a path
# in the image, of the wheel or of a bundle (lifecycle-config bundle).
WHEEL=''
# The wheel's SHA-256. Empty: not checked.
SHA256=''
# A package index other than pip's own.
INDEX_URL=''

# The idle limit in seconds, and how many seconds before a shutdown users get a warning.
IDLE_TIMEOUT=7200
WARNING_TIME=600
# Whether an open terminal keeps its app up: true or false.
KEEP_TERMINALS=false
# Any other settings of the extension, as a JSON object.
MORE_SETTINGS='{}'

# ---- Nothing to edit below.

WANTED_APP_TYPE=JupyterLab

find_python() {
    PYTHON="$ROOT/opt/conda/bin/python"
}

# Seconds to install it, and for the restart.
INSTALL_TIME=25
RESTART_TIME=20

# The image's own command, else the same steps. After any failure the server is up again.
restart_server() {
    restart-jupyter-server || supervise restart || supervise start
}

supervise() {
    as_root supervisorctl -c "$ROOT/etc/supervisor/conf.d/supervisord.conf" "$1" jupyterlabserver
}

# Seconds that another script may run first, of the 300 after which SageMaker gives up.
FIRST_TIME=190
ROOT=''
PYTHON=''
WORK=''
# The earlier version.
HAD=''
CHANGED=''

log() {
    printf 'sagemaker-autoshutdown: %s\n' "$*"
}

# Logs a failure in one line; Studio starts all the same.
give_up() {
    local then='without it'
    [ -z "$HAD" ] || then="with version $HAD, as before"
    log "NOT INSTALLED: $*. Studio starts $then."
    exit 0
}

clean_up() {
    rm -rf "$WORK"
    exit 0
}

as_root() {
    [ "$(id -u)" = 0 ] || set -- sudo -n "$@"
    "$@"
}

# Only its owner changes an environment.
as_owner() {
    local bin owner
    bin=$(dirname "$PYTHON")
    owner=$(stat -c %U "$bin")
    if [ "$owner" != "$(id -un)" ] && { [ ! -w "$bin" ] || [ "$(id -u)" = 0 ]; }; then
        set -- sudo -n -u "$owner" "$@"
    fi
    "$@"
}

# Runs a command in the remaining time. timeout runs as the command's user, who alone can end it.
bounded() {
    local as='' left=$((TIME_LIMIT - SECONDS)) code=124
    case "$1" in as_*) as=$1 && shift ;; esac
    if [ "$left" -gt 0 ]; then
        $as timeout -k 2 "$left" "$@"
        code=$?
    fi
    case "$code" in 124 | 137) echo "no answer in time" >&2 ;; esac
    return "$code"
}

# The server's Python, without a user's variables and folders.
python() {
    bounded "$PYTHON" -B -E -s -X utf8 "$@"
}

# pip for a local file: no settings can redirect it.
pip() {
    bounded as_owner env PIP_CONFIG_FILE=/dev/null "$PYTHON" -E -s -m pip --isolated --no-input \
        --disable-pip-version-check --no-cache-dir "$@"
}

# The last error, in one line.
reason() {
    local line
    line=$(grep -v '^ *$' "$WORK/output" 2>/dev/null | tail -n 1 | cut -c 1-300)
    printf '%s' "${line:-it does not say why (is the disk full?)}"
}

check_place() {
    local file="${RESOURCE_METADATA_FILE:-$ROOT/opt/ml/metadata/resource-metadata.json}" type
    type=$(sed -n 's/.*"AppType" *: *"\([A-Za-z]*\)".*/\1/p' "$file" 2>/dev/null | head -n 1)
    type="${type:-${SAGEMAKER_APP_TYPE:-}}"
    if [ "${type:-$WANTED_APP_TYPE}" != "$WANTED_APP_TYPE" ]; then
        give_up "this script is for ${WANTED_APP_TYPE:-notebook instances}, but this is an app of type $type"
    fi
    find_python
    [ -x "$PYTHON" ] || give_up "there is no $PYTHON in this image"
}

# Checks what the image must have: only the extension is installed.
check_needs() {
    python - >"$WORK/output" 2>&1 <<'PY' || give_up "this image can't run it: $(reason)"
import sys
from importlib.util import find_spec
if sys.version_info < (3, 9):
    sys.exit("Python 3.9 or newer is needed, this is %d.%d" % sys.version_info[:2])
names = ("boto3", "jupyter_server", "pip", "prometheus_client", "tornado", "traitlets")
missing = [name for name in names if find_spec(name) is None]
if missing:
    sys.exit("missing in its environment: " + ", ".join(missing))
from importlib.metadata import version
if tuple(map(int, version("jupyter_server").split(".")[:2])) < (1, 24):
    sys.exit("jupyter_server 1.24 or newer is needed, this is " + version("jupyter_server"))
PY
}

# The installed version, if it is complete: INSTALLER is written last.
installed_version() {
    python - 2>/dev/null <<'PY'
from importlib.metadata import distribution
found = distribution("sagemaker-autoshutdown")
if "/INSTALLER," in found.read_text("RECORD"):
    print(found.version)
PY
}

# These win over Jupyter's configuration, and so over users' own files. In /etc a user with sudo can
# edit them, until the next start; in the environment, any. Without them nothing is installed.
write_settings() {
    local fixed="$ROOT/etc/sagemaker-autoshutdown/settings.json" other
    python - "$IDLE_TIMEOUT" "$WARNING_TIME" "$KEEP_TERMINALS" "$MORE_SETTINGS" \
        >"$WORK/settings.json" 2>"$WORK/output" <<'PY' || give_up "the settings can't be used: $(reason)"
import json, sys
settings = {}
for name, text in zip(["idle_timeout", "warning_time", "keep_terminals", ""], sys.argv[1:]):
    try:
        value = json.loads(text)
    except ValueError as error:
        sys.exit("%s is not JSON: %s" % (text, error))
    settings.update({name: value} if name else value)
print(json.dumps({"SageMakerAutoShutdown": settings}, indent=2, sort_keys=True))
PY
    ! cmp -s "$WORK/settings.json" "$fixed" || return
    ! put "$fixed" as_root || return
    [ ! -e "$fixed" ] || give_up "$fixed holds other settings, and can't be replaced: $(reason)"
    other="$(dirname "$(dirname "$PYTHON")")/etc/sagemaker-autoshutdown/settings.json"
    cmp -s "$WORK/settings.json" "$other" || put "$other" ||
        give_up "the settings can't be written to /etc, nor to $other: $(reason)"
    log "users can edit the settings: they are in $other, because /etc can't be written to"
}

# Replaces a settings file at once, so that nobody reads half of it.
put() {
    # shellcheck disable=SC2016
    bounded ${2:+"$2"} sh -c 'install -D -m 644 "$1" "$2.new" && mv -f "$2.new" "$2"' \
        put "$WORK/settings.json" "$1" >"$WORK/output" 2>&1 && CHANGED=yes
}

# The image's own pip settings may name the index, a user's may not. Wheels only: nothing is run.
download_from_index() {
    bounded env -u XDG_CONFIG_HOME HOME="$WORK" "$PYTHON" -E -s -m pip --no-input --no-cache-dir \
        --disable-pip-version-check download --no-deps --only-binary :all: --dest "$WORK/wheel" \
        ${INDEX_URL:+--index-url "$INDEX_URL"} "sagemaker-autoshutdown==$VERSION" || {
        # pip would claim that there is no such version.
        ! grep -q "connection broken" "$WORK/output" || echo "no connection to it"
        false
    }
}

# A user's home (~/.aws) can't redirect it.
download() {
    bounded env HOME="$WORK" "$PYTHON" -B -E -s -X utf8 - "$WHEEL" "$WORK/wheel" <<'PY'
import sys
source, folder = sys.argv[1:]
target = folder + "/" + source.split("/")[-1]
if source.startswith("s3://"):
    import boto3
    bucket, _, key = source[5:].partition("/")
    boto3.client("s3").download_file(bucket, key, target)
else:
    from urllib.request import urlretrieve
    urlretrieve(source, target)
PY
}

# Two apps may start in one environment: one at a time, by a lock on its bin (python may be a link).
take_turns() {
    local left=$((TIME_LIMIT - SECONDS)) bin="${PYTHON%/*}"
    [ -r "$bin" ] && command -v flock >"$WORK/output" || return
    exec 9<"$bin"
    flock -n 9 2>"$WORK/output" && return
    # flock is silent after a timeout.
    flock -w "$left" 9 2>"$WORK/output" || [ -s "$WORK/output" ] ||
        give_up "another app has been installing into the same environment for $left s"
    # This server lacks what the other app installed.
    CHANGED=yes
}

# Puts the wheel into $FOUND.
fetch_wheel() {
    local from="$WORK/wheel" sum
    mkdir "$from"
    {
        case "$WHEEL" in
            '') download_from_index ;;
            s3://* | https://*) download ;;
            *) bounded cp "$ROOT$WHEEL" "$from" ;;
        esac && case "$WHEEL" in
            *.tar.gz) bounded tar -xzf "$from/${WHEEL##*/}" -C "$from" --strip-components 1 ;;
        esac
    } >"$WORK/output" 2>&1 || give_up "it could not be fetched from ${WHEEL:-the package index}: $(reason)"
    FOUND=$(compgen -G "$from/*.whl" | head -n 1)
    [ -n "$FOUND" ] || give_up "there is no wheel in ${WHEEL:-the answer of the package index}"
    sum=$(sha256sum "$FOUND" | cut -c 1-64)
    [ "${SHA256:-$sum}" = "$sum" ] || give_up "the wheel's SHA-256 is $sum, not $SHA256"
}

# Whether it would work here, before anything is changed.
try_wheel() {
    python - "$FOUND" "$WORK/trial" <<'PY'
import sys, zipfile
wheel, folder = sys.argv[1:]
zipfile.ZipFile(wheel).extractall(folder)
sys.path.insert(0, folder)
import sagemaker_autoshutdown.app
PY
}

install_wheel() {
    local FOUND='' over=() why
    [ "$HAD" != "$VERSION" ] || return
    fetch_wheel
    # A half-done installation can only be overwritten.
    [ -n "$HAD" ] || over=(--ignore-installed)
    chmod -R a+rX "$WORK"
    if try_wheel >"$WORK/output" 2>&1 &&
        pip install --no-deps --no-index "${over[@]}" "$FOUND" >"$WORK/output" 2>&1 &&
        [ "$(installed_version)" = "$VERSION" ]; then
        CHANGED=yes
        return
    fi
    why=$(reason)
    # pip undoes a failed upgrade, if it can. Half an installation is worse than none.
    TIME_LIMIT=$((SECONDS + 5))
    if [ -z "$HAD" ] || [ "$(installed_version)" != "$HAD" ]; then
        HAD=''
        pip uninstall -y sagemaker-autoshutdown >/dev/null 2>&1
    fi
    give_up "version $VERSION could not be installed from $(basename "$FOUND"): $why"
}

# In the background, so that nothing ends it while the server is down.
restart() {
    local end=$((SECONDS + RESTART_TIME)) said="installed $VERSION, limit $IDLE_TIMEOUT s"
    [ -z "$WHEEL" ] || [ -n "$SHA256" ] || said="$said, wheel without a checksum"
    set -m
    restart_server >"$WORK/output" 2>&1 </dev/null &
    set +m
    while kill -0 $! 2>/dev/null; do
        if [ "$SECONDS" -ge "$end" ]; then
            log "$said; the server is slow to restart, and is still restarting"
            return
        fi
        sleep 0.2
    done
    if wait $!; then
        log "$said; the server was restarted with it"
    else
        log "$said; no server was running ($(reason)), the next one has it"
    fi
}

main() {
    # Options that the environment may have set.
    set +eu +o pipefail
    trap clean_up EXIT HUP INT TERM
    umask 022
    # So that nothing is imported from the current folder.
    cd /
    [ "$SECONDS" -lt "$FIRST_TIME" ] || give_up "the script that runs first took $SECONDS s"
    TIME_LIMIT=$((SECONDS + INSTALL_TIME))
    WORK=$(mktemp -d 2>/dev/null) || give_up "there is no place for temporary files (is the disk full?)"
    check_place
    check_needs
    HAD=$(installed_version)
    take_turns
    [ -z "$CHANGED" ] || HAD=$(installed_version)
    write_settings
    install_wheel
    exec 9<&-
    if [ -n "$CHANGED" ]; then
        restart
    else
        log "$VERSION was installed already, nothing was changed"
    fi
    # Name other idle shutdowns, so that none surprises anybody.
    TIME_LIMIT=$((SECONDS + 5))
    AWS_CONFIG_FILE="${AWS_CONFIG_FILE:-/dev/null}" AWS_SHARED_CREDENTIALS_FILE=/dev/null \
        python -m sagemaker_autoshutdown.lifecycle.on_start 2>/dev/null
}

main
