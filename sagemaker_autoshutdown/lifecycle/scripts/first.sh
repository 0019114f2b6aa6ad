# As SageMaker would have run it, unless the disk is full or nothing on it may be
# executed.
run_first() {
    local file interpreter="${FIRST_SCRIPT%%$'\n'*}" code
    file=$(mktemp 2>/dev/null) && printf '%s' "$FIRST_SCRIPT" 2>/dev/null >"$file" && chmod +x "$file"
    if [ -x "$file" ]; then
        "$file"
    else
        case "$interpreter" in '#!'*) ;; *) interpreter='#!/bin/bash' ;; esac
        # shellcheck disable=SC2086
        ${interpreter#'#!'} <(printf '%s' "$FIRST_SCRIPT")
    fi
    code=$?
    rm -f "$file"
    return "$code"
}

run_first
FIRST=$?
