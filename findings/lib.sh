# What every finding begins with: a folder of its own, packages in it, and a way to say what was seen.
# . "$(dirname "$0")/lib.sh"
set -eu
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
changed=0

# pypi NAME==VERSION...: $python is an interpreter that has these packages.
pypi() {
    /usr/bin/python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --disable-pip-version-check "$@" || give_up "pip has no $*"
    python=$work/venv/bin/python
    echo "with $*"
}

# debian NAME=VERSION...: these packages are unpacked to $root, and nothing is installed.
debian() {
    root=$work/root
    mkdir -p "$work/packages" "$root"
    (cd "$work/packages" && chmod 777 . && apt-get download -qq "$@" 2>"$work/apt.log") || {
        cat "$work/apt.log" >&2
        give_up "apt has no $* (apt-get update?)"
    }
    for package in "$work"/packages/*.deb; do dpkg -x "$package" "$root"; done
    echo "with $*"
}

# needs_root WHY: and in a user's hands the finding is not looked at.
needs_root() { [ "$(id -u)" = 0 ] || give_up "needs root: $1"; }

give_up() {
    echo "cannot be looked at here: $1" >&2
    exit 2
}

# expect WHAT SEEN WANTED: one thing that is as it was found, or is not.
expect() {
    if [ "$2" = "$3" ]; then
        printf '  %s: %s\n' "$1" "$2"
    else
        printf '  %s: %s, and was: %s\n' "$1" "$2" "$3"
        changed=1
    fi
}

# The last line: 0 if all is as it was found, 1 if something has changed.
finish() {
    [ "$changed" = 0 ] && echo "as it was found" || echo "CHANGED"
    exit "$changed"
}
