#!/usr/bin/env bash
# Runs make targets side by side, all of them even if one fails, and ends with one summary.
# It shows the first one's output at once, that of the others after all have ended.
set -u

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
began=$(date +%s)
beside=()

# sum_up TARGET RESULT: leave its line of the summary.
sum_up() {
	printf '%-14s %s in %d s\n' "$1" "$2" "$(($(date +%s) - began))" >"$results/$1.line"
}

# make_part TARGET
make_part() {
	if "${MAKE:-make}" --no-print-directory "$1"; then sum_up "$1" passed; else sum_up "$1" FAILED; fi
}

first=$1
shift
# An interrupt reaches the first part by itself. The others have process groups of their own.
# shellcheck disable=SC2329  # the trap calls it
interrupted() {
	for group in "${beside[@]}"; do kill -INT -- "-$group" 2>/dev/null; done
	wait
	exit 130
}
trap interrupted INT TERM
set -m
for part in "$@"; do
	(
		set +m
		make_part "$part" >"$results/$part.log" 2>&1
		echo
		cat "$results/$part.line"
	) &
	beside+=("$!")
done
set +m
make_part "$first"
wait
for part in "$@"; do
	printf '\n---- %s\n\n' "$part"
	cat "$results/$part.log"
done
echo
failed=0
for part in "$first" "$@"; do
	cat "$results/$part.line"
	grep -q passed "$results/$part.line" || failed=1
done
exit "$failed"
