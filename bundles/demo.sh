#!/bin/sh
# What `make demo` shows: one container run in a single command, and one taken through the
# lifecycle by hand. OCIRUNTIME names the runtime (default: .venv/bin/ociruntime of this checkout).
# Needs root. Exit status 0 only if the containers were what they should be and nothing is left.
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

say "Two bundles: a config.json and a busybox root filesystem each"
"$checkout/bundles/make" hello "$work/hello"
"$checkout/bundles/make" service "$work/service"

say "One command: create, start, wait, delete"
show run --bundle "$work/hello" "$name-1" > "$work/out" || fail "run: exit status $?"
cat "$work/out"
grep -qx 'Hello from hello' "$work/out" || fail "the hostname is not the one of config.json"
grep -Eq '^ +1 root ' "$work/out" || fail "the program is not PID 1"
[ "$(grep -Ec '^ +[0-9]+ ' "$work/out")" -le 2 ] || fail "the container sees other processes"
grep -q '^mount /proc (proc)$' "$work/out" || fail "the container has no /proc of its own"
! grep -q "^mount .*$work" "$work/out" || fail "the container sees mounts of the host"

say "By hand: create"
# The container's output is this script's: a file, so that nobody has to wait for it.
show create --bundle "$work/service" --pid-file "$work/pid" "$name-2" \
    < /dev/null > "$work/out" 2>&1 || fail "create: $(cat "$work/out")"
cat "$work/out"
expect_status "$name-2" created
pid=$(cat "$work/pid")
echo "pid: $pid, which is $(readlink "/proc/$pid/exe"), waiting"

say "By hand: start"
show start "$name-2"
expect_status "$name-2" running
show list
show ps "$name-2"
show exec "$name-2" hostname > "$work/hostname" || fail "exec: exit status $?"
cat "$work/hostname"
grep -qx service "$work/hostname" || fail "exec did not run in the container"

say "By hand: kill"
show kill "$name-2" TERM
tries=0
while [ "$(state_of "$name-2" status)" != stopped ]; do
    tries=$((tries + 1))
    [ "$tries" -le 100 ] || fail "the container does not end"
    sleep 0.1
done
expect_status "$name-2" stopped
grep -qx goodbye "$work/out" || fail "the program did not get the signal"

say "By hand: delete"
show delete "$name-2"

say "What is left"
left=$(
    ls -A "$work/state"
    grep -F "$work" /proc/self/mountinfo || true
    find /sys/fs/cgroup -name "*$name*" 2> /dev/null || true
    # A zombie has ended; it waits for the host's init to look at it.
    ! grep -q '^State:.[^ZX]' "/proc/$pid/status" 2> /dev/null || echo "process $pid"
)
[ -z "$left" ] || fail "left behind: $left"
echo "no state, no mount, no cgroup, no process"
