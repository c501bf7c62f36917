"""The processes of a shared daemon of our shim (docs/shim.md) on a private host."""

from __future__ import annotations

from tests.support.engines.host import PrivateHost


def keeper_and_daemon(host: PrivateHost) -> tuple[int, int]:
    """0 for what is not there, or not alone: a successor that is being started has the keeper's
    name at first, and a `start` makes a keeper before it knows of a daemon. Workers have the
    daemon's name and may be the keeper's children when that one is killed; but a daemon alone leads
    a session, and what has ended and was not reaped yet is no daemon.
    """
    script = """for pid in /proc/[0-9]*; do
        { read -r name <$pid/comm && read -r line <$pid/stat; } || continue
        set -- ${line##*) }
        case $name in ociruntime-*) echo $name ${pid#/proc/} $1 $2 $4;; esac
    done 2>/dev/null || true"""
    found = [line.split() for line in host.shell(script).splitlines()]
    there = [words for words in found if words[2] not in "ZX"]
    keepers = [pid for name, pid, *_ in there if name == "ociruntime-keep"]
    ours = [pid for name, pid, _, parent, session in there
            if name == "ociruntime-shim" and parent in keepers and pid == session]  # fmt: skip
    return int(keepers[0]) if len(keepers) == 1 else 0, int(ours[0]) if len(ours) == 1 else 0
