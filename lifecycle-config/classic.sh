#!/bin/bash
# sagemaker-autoshutdown 0.1.0 for Studio Classic (app type JupyterServer).
#
# Installs the extension that shuts down idle apps into the environment of the Jupyter server that
# starts here. It changes no other package and takes a minute at the most. Whatever goes wrong,
# Studio starts: this script always exits 0, and one line of its log says what it did, or why not.

# ---- Settings: edit them here, or give them to
# ----   jupyter sagemaker-autoshutdown lifecycle-config render

# What is installed: this version and no other.
VERSION=0.1.0
# Where its wheel comes from. Empty: the package index. Else s3://BUCKET/KEY, https://... or a path
# in the image, of the wheel or of a bundle (lifecycle-config bundle).
WHEEL=''
# The wheel's SHA-256. Empty: not checked.
SHA256=''
# Another package index than pip's own.
INDEX_URL=''

# Seconds without activity until an app is shut down, and before that in which users are warned.
IDLE_TIMEOUT=7200
WARNING_TIME=600
# Whether an open terminal keeps its app up: true or false.
KEEP_TERMINALS=false
# Any other settings of the extension, as a JSON object.
MORE_SETTINGS='{}'

# ---- Nothing to edit below.

WANTED_APP_TYPE=JupyterServer

# Studio Classic's JupyterLab 3 image keeps its server in an environment of its own.
find_python() {
    PYTHON="$ROOT/opt/conda/bin/python"
    if [ "${AWS_SAGEMAKER_JUPYTERSERVER_IMAGE:-}" = jupyter-server-3 ]; then
        PYTHON="$ROOT/opt/conda/envs/studio/bin/python"
    fi
}

# What the image has for it, else what that does.
restart_server() {
    bounded restart-jupyter-server ||
        bounded as_root supervisorctl -c "$ROOT/etc/supervisor/conf.d/supervisord.conf" restart jupyterlabserver
}

# Seconds for all of this together; SageMaker gives up after 300.
TIME_LIMIT=50
# Another root than / is for tests.
ROOT="${SAGEMAKER_AUTOSHUTDOWN_ROOT:-}"
PYTHON=''
WORK=''
CHANGED=''

log() {
    printf 'sagemaker-autoshutdown: %s\n' "$*"
}

# The one way out of a failure: said in one line, and Studio starts.
give_up() {
    log "NOT INSTALLED: $*. Studio starts without it."
    exit 0
}

clean_up() {
    [ -z "$WORK" ] || rm -rf "$WORK"
    exit 0
}

# Runs a command in the time that is left, with `as_root` before it as root.
bounded() {
    local left=$((TIME_LIMIT - SECONDS)) code
    if [ "$1" = as_root ]; then
        shift
        [ "$(id -u)" = 0 ] || set -- sudo -n "$@"
    fi
    [ "$left" -gt 0 ] && timeout -k 2 "$left" "$@"
    code=$?
    case $((left > 0 ? code : 124)) in
        124 | 137) echo "no answer in time" >&2 ;;
    esac
    return "$code"
}

# The server's Python, without what a user's variables and folders would add to it.
python() {
    bounded "$PYTHON" -B -E -s "$@"
}

# pip, without what a user's settings would make of it. An environment is changed by its owner.
pip() {
    local as=(env) owner
    owner=$(stat -c %U "$(dirname "$PYTHON")")
    if [ "$1" != download ] && [ "$owner" != "$(id -un)" ]; then
        [ -w "$(dirname "$PYTHON")" ] && [ "$(id -u)" != 0 ] || as=(sudo -n -u "$owner" env)
    fi
    bounded "${as[@]}" PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_RETRIES=1 \
        PIP_DEFAULT_TIMEOUT=10 "$PYTHON" -E -s -m pip --no-cache-dir "$@"
}

# What went wrong last, in one line.
reason() {
    local line
    line=$(grep -v '^ *$' "$WORK/output" 2>/dev/null | tail -n 1 | cut -c 1-300)
    printf '%s' "${line:-it does not say why}"
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

# What must be there already, since nothing but the extension is installed.
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
if tuple(int(part) for part in version("jupyter_server").split(".")[:2]) < (1, 24):
    sys.exit("jupyter_server 1.24 or newer is needed, this is " + version("jupyter_server"))
PY
}

installed_version() {
    python -c 'from importlib.metadata import version; print(version("sagemaker-autoshutdown"))' 2>/dev/null
}

download() {
    python - "$WHEEL" "$WORK/wheel" <<'PY'
import os, shutil, sys
source, folder = sys.argv[1:]
target = os.path.join(folder, os.path.basename(source))
if source.startswith("s3://"):
    import boto3
    from botocore.config import Config
    bucket, _, key = source[5:].partition("/")
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    boto3.client("s3", config=config).download_file(bucket, key, target)
else:
    from urllib.request import urlopen
    with urlopen(source, timeout=10) as answer, open(target, "wb") as file:
        shutil.copyfileobj(answer, file)
PY
}

# Puts the wheel into $FOUND.
fetch_wheel() {
    local from="$WORK/wheel"
    mkdir "$from"
    case "$WHEEL" in
        '') pip download --no-deps --dest "$from" ${INDEX_URL:+--index-url "$INDEX_URL"} "sagemaker-autoshutdown==$VERSION" ;;
        s3://* | https://*) download ;;
        *) bounded cp "$ROOT$WHEEL" "$from" ;;
    esac >"$WORK/output" 2>&1 || give_up "it could not be fetched from ${WHEEL:-the package index}: $(reason)"
    case "$WHEEL" in
        *.tar.gz) bounded tar -xzf "$from/$(basename "$WHEEL")" -C "$from" --strip-components 1 ;;
    esac >"$WORK/output" 2>&1 || give_up "the bundle $WHEEL can't be read: $(reason)"
    FOUND=$(compgen -G "$from/*.whl" | head -n 1)
    [ -n "$FOUND" ] || give_up "there is no wheel in ${WHEEL:-what the package index gave}"
    local sum
    sum=$(sha256sum "$FOUND" | cut -c 1-64)
    [ "${SHA256:-$sum}" = "$sum" ] || give_up "the wheel's SHA-256 is $sum, not $SHA256"
}

install_wheel() {
    local FOUND='' why
    [ "$(installed_version)" != "$VERSION" ] || return
    fetch_wheel
    chmod -R a+rX "$WORK"
    if pip install --no-deps --no-index "$FOUND" >"$WORK/output" 2>&1 &&
        python -c 'import sagemaker_autoshutdown.app' >"$WORK/output" 2>&1 &&
        [ "$(installed_version)" = "$VERSION" ]; then
        CHANGED=yes
        return
    fi
    why=$(reason)
    # Half of it would be worse than nothing, so this has some time of its own.
    TIME_LIMIT=$((SECONDS + 5))
    pip uninstall -y sagemaker-autoshutdown >/dev/null 2>&1
    give_up "version $VERSION could not be installed from $(basename "$FOUND"): $why"
}

# The extension reads these before Jupyter's configuration, so that users' own files don't overrule
# them. A user who has sudo can still edit them in /etc, until the app starts again. Without root
# they are kept in the environment, where users may edit them without it.
write_settings() {
    local fixed="$ROOT/etc/sagemaker-autoshutdown/settings.json" other
    other="$(python -c 'import sys; print(sys.prefix)')/etc/sagemaker-autoshutdown/settings.json"
    python - "$MORE_SETTINGS" "$IDLE_TIMEOUT" "$WARNING_TIME" "$KEEP_TERMINALS" \
        >"$WORK/settings.json" 2>"$WORK/output" <<'PY'
import json, sys
more, idle, warning, terminals = map(json.loads, sys.argv[1:])
own = {"idle_timeout": idle, "warning_time": warning, "keep_terminals": terminals}
print(json.dumps({"SageMakerAutoShutdown": {**own, **more}}, indent=2, sort_keys=True))
PY
    if [ ! -s "$WORK/settings.json" ]; then
        log "the settings are not valid, so the extension's defaults apply: $(reason)"
    elif cmp -s "$WORK/settings.json" "$fixed"; then
        return
    elif bounded as_root install -D -m 644 "$WORK/settings.json" "$fixed" 2>"$WORK/output"; then
        CHANGED=yes
    elif cmp -s "$WORK/settings.json" "$other"; then
        return
    elif bounded install -D -m 644 "$WORK/settings.json" "$other" 2>>"$WORK/output"; then
        log "users can edit the settings: /etc can't be written to, so they are in $other"
        CHANGED=yes
    else
        log "the settings could not be written, so the extension's defaults apply: $(reason)"
    fi
}

main() {
    trap clean_up EXIT HUP INT TERM
    # Nothing of the folder that this runs in is to be imported.
    cd /
    WORK=$(mktemp -d 2>/dev/null) || give_up "there is no place for temporary files (is the disk full?)"
    check_place
    check_needs
    install_wheel
    write_settings
    if [ -z "$CHANGED" ]; then
        log "$VERSION was installed already, nothing was changed"
    elif restart_server >"$WORK/output" 2>&1; then
        log "installed $VERSION, limit $IDLE_TIMEOUT s; the server was restarted with it"
    else
        log "installed $VERSION, limit $IDLE_TIMEOUT s; no server was up to be restarted, it starts with it"
    fi
    # Two that shut down the same app must not surprise anybody.
    TIME_LIMIT=$((SECONDS + 5))
    python -m sagemaker_autoshutdown.lifecycle.others 2>/dev/null
}

main
