#!/bin/sh
# What `make demo` shows: one container run in a single command, and one taken through the lifecycle by hand.
# OCIRUNTIME names the runtime (default: .venv/bin/ociruntime of this checkout). Needs root. Exit status 0 only if the
# containers were what they should be and nothing of them is left.
set -eu

checkout=$(cd "$(dirname "$0")/.." && pwd)
runtime=${OCIRUNTIME:-$checkout/.venv/bin/ociruntime}
name=ociruntime-demo-$$

fail() {
    echo "demo: $*" >&2
    exit 1
}

say() {
    printf '\n== %s\n' "$*"
}

# Print a command as one would type it, then run it.
show() {
    printf '$ ociruntime'
    printf ' %s' "$@"
    printf '\n'
    oci "$@"
}

oci() {
    "$runtime" --root "$work/state" "$@"
}

# The value of a string or number in `ociruntime state`.
state_of() {
    oci state "$1" | sed -n "s/^ *\"$2\": *\"\\{0,1\\}\\([^\",]*\\).*/\\1/p"
}

expect_status() {
    found=$(state_of "$1" status)
    echo "status: $found"
    [ "$found" = "$2" ] || fail "container $1 is $found, not $2"
}

[ "$(id -u)" = 0 ] || fail "this needs root; try: sudo make demo"
[ -x "$runtime" ] || fail "$runtime: no such program; try: make demo, which builds it"

work=$(mktemp -d)
clean() {
    status=$?
    trap - EXIT
    for id in "$name-1" "$name-2"; do
        oci delete --force "$id" || status=1
    done
    rm -rf "$work"
    exit "$status"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 711 "$work"

say "A bundle: config.json and a busybox root filesystem"
"$checkout/bundles/make" hello "$work/bundle"
# Its processes, then its mounts and what it calls itself.
cat > "$work/script" <<'END'
echo "hostname: $(hostname)"
ps -ef
echo "mounts:"
awk '{ print "    " $2 " (" $3 ")" }' /proc/mounts
END
"$checkout/bundles/make" --set-script "$work/bundle" < "$work/script"

say "One command: create, start, wait, delete"
show run --bundle "$work/bundle" "$name-1" > "$work/out" || fail "run: exit status $?"
cat "$work/out"
grep -q '^hostname: hello$' "$work/out" || fail "the hostname is not the one of config.json"
grep -Eq '^ +1 root .*ps' "$work/out" || fail "the program is not PID 1"
grep -q '/proc (proc)' "$work/out" || fail "there is no /proc of its own"
if grep -q "$work" "$work/out"; then
    fail "the container sees mounts of the host"
fi
