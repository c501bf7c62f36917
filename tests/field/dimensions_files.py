"""The fixed cases of mount targets and sources, mounts and devices: see dimensions.py."""

from __future__ import annotations

from tests.field.changes import (
    DIRECTORY,
    FILE,
    SHARED,
    USERNS,
    at,
    bind,
    callers,
    device,
    link,
    mount,
    put,
    without_namespace,
)

TARGETS = {
    "links that lead nowhere": (
        "27.5: targets that are links to what is missing",
        [
            link("rootfs/etc/resolv.conf", "../run/systemd/resolve/stub.conf"),
            bind("/etc/resolv.conf", FILE),
            link("rootfs/etc/localtime", "/usr/share/zoneinfo/Here"),
            bind("/etc/localtime", FILE),
        ],
    ),
    "links that lead somewhere": (
        "27.5: targets that are links, or lead through one",
        [
            put("rootfs/etc/real", text="x"),
            link("rootfs/etc/localtime", "real"),
            bind("/etc/localtime", FILE),
            put("rootfs/srv/data", "directory"),
            link("rootfs/data", "/srv/data"),
            bind("/data/sub"),
            bind("/data/new/deep/file", FILE),
            link("rootfs/up", "../../../mnt"),
            bind("/up"),
        ],
    ),
    "missing": (
        "targets that are made: their modes, under every umask",
        [
            *callers("umask=077"),
            bind("/new/deep/directory"),
            bind("/new/deep/file", FILE),
            mount("/fresh", "tmpfs", "mode=0750"),
            bind("relative/one"),
            bind("/mnt/../mnt/./y//z"),
            device("/somewhere/else"),
            at("/process/cwd", "/work/deep"),
        ],
    ),
    "through mounts": (
        "27.7: targets and sources that lie on an earlier mount",
        [
            bind("/mnt"),
            bind("/mnt/below/new", FILE),
            mount("/media", "tmpfs"),
            bind("/media/a/b"),
            bind("/tmp/x", "@CASE@/bundle/rootfs/mnt", "norelatime"),
            bind("/tmp/y", "@CASE@/bundle/rootfs/media/a"),
        ],
    ),
    "sources": (
        "kinds of source: link, relative, file, socket",
        [
            link("host/l", "directory"),
            bind("/mnt", "@CASE@/host/l"),
            bind("/media", "../host/directory"),
            put("host/socket", "socket"),
            bind("/run/socket", "@CASE@/host/socket"),
            put("host/fifo", "fifo"),
            bind("/run/fifo", "@CASE@/host/fifo"),
            bind("/proc/uptime", FILE),
        ],
    ),
    "source missing": ("is refused", [bind("/mnt", "@CASE@/host/none")]),
    "a directory on a file": ("is refused", [bind("/etc/passwd")]),
    "a file on a directory": ("is refused", [bind("/etc", FILE)]),
    "read-only root": (
        "targets are made although the root is read-only",
        [at("/root/readonly", True), bind("/new/dir"), bind("/new/file", FILE)],
    ),
}
OPTIONS = {
    "file systems": (
        "options of new file systems",
        [
            mount("/mnt", "tmpfs", "sync", "dirsync", "strictatime", "dev", "exec", "suid", "rw"),
            mount(
                "/media",
                "tmpfs",
                "noatime",
                "nodiratime",
                "nodev",
                "noexec",
                "nosuid",
                "size=1m",
                "nr_inodes=100",
                "uid=5",
                "gid=6",
                "mode=0750",
            ),
            mount("/mq", "mqueue", "nosuid"),
            mount("/pts", "devpts", "newinstance", "ptmxmode=0666"),
        ],
    ),
    "binds": (
        "options of bind mounts, recursive ones, propagation",
        [
            bind("/mnt/1", DIRECTORY, "ro", "nosuid", "nodev", "noexec", "noatime"),
            bind("/mnt/2", DIRECTORY, "rro", "rnosuid", "rnodev", "rnoexec"),
            bind("/mnt/3", DIRECTORY, "rshared"),
            bind("/mnt/4", DIRECTORY, "slave"),
            bind("/mnt/5", DIRECTORY, "unbindable"),
            bind("/mnt/6", DIRECTORY, "nodiratime", "rw", "rprivate"),
            mount("/mnt/7", "none", "bind", "ro", source=DIRECTORY),
        ],
    ),
    "remount": (
        "27.8: a tmpfs that is remounted with data; atime options of binds",
        [
            mount("/mnt", "tmpfs", "size=64k"),
            mount("/mnt", "tmpfs", "remount", "size=128k", "ro"),
            bind("/media", DIRECTORY, "noatime"),
            bind("/tmp/x", "@CASE@/bundle/rootfs/media", "norelatime"),
            mount("/media", "none", "remount", "bind", "ro", "nosuid", source=DIRECTORY),
        ],
    ),
    "a read-only tmpfs": (
        "what is mounted below one, what a createContainer hook sees of it",
        [mount("/mnt", "tmpfs", "ro"), bind("/mnt/sub/deep"), {"hook": "createContainer"}],
    ),
    "tmpcopyup": (
        "27.12: what a copied directory holds",
        [
            put("rootfs/opt/a/b", text="x", owner="5:6", mode="0640"),
            put("rootfs/opt/dir", "directory", mode="0700", owner="7:8"),
            link("rootfs/opt/l", "a"),
            mount("/opt", "tmpfs", "tmpcopyup"),
        ],
    ),
    "read-only and masked paths": (
        "27.10: what lies below a read-only path; kinds of masked paths",
        [
            bind("/mnt"),
            mount("/mnt/below", "tmpfs"),
            at("/linux/readonlyPaths", ["/mnt", "/none", "/etc/hosts"]),
            at("/linux/maskedPaths", ["/mnt/content", "/etc/passwd", "/none", "/home"]),
        ],
    ),
    "shared with the host": (
        "27.23a: no mount that is made has a peer on the host",
        [SHARED, *without_namespace("cgroup"), bind("/mnt"), bind("/media", DIRECTORY, "rprivate")],
    ),
    "shared, and a slave": (
        "rootfsPropagation",
        [SHARED, at("/linux/rootfsPropagation", "rslave"), bind("/mnt")],
    ),
    "a root that is shared": (
        "rootfsPropagation",
        [at("/linux/rootfsPropagation", "rshared"), bind("/mnt", DIRECTORY, "rslave")],
    ),
    "a root that is unbindable": (
        "rootfsPropagation",
        [at("/linux/rootfsPropagation", "unbindable")],
    ),
}
DEVICES = {
    "devices": (
        "27.11: kinds, modes and owners; two on one path; a slash at the end",
        [
            device("/dev/twice", fileMode=0o600, uid=1, gid=2),
            device("/dev/twice", "1:5", fileMode=0o666),
            at("/linux/devices/-", {"path": "/dev/p", "type": "p", "fileMode": 0o644}),
            device("/dev/b/c", "7:1", "b"),
            device("/dev/u", "1:9", "u", uid=1000, gid=5),
            device("/dev/x/", "10:229", fileMode=0o666),
        ],
    ),
    "devices of a user namespace": (
        "27.11, 27.34: they are bound; /dev/ptmx stays a link",
        [*USERNS, device("/dev/fuse", "10:229"), device("/dev/ptmx", "5:2")],
    ),
    "a file where a device should be": (
        "is refused, as the specification says",
        [put("rootfs/opt/file"), device("/opt/file", "10:229")],
    ),
    "no /dev": (
        "what is made in the image's",
        [{"remove": "/mounts/1"}] + [{"remove": "/mounts/1"}] * 3,
    ),
    "an image of odd modes": (
        "directories that are there already keep theirs",
        [
            put("rootfs/dev", "directory", mode="0700", owner="5:5"),
            put("rootfs/mnt", "directory", mode="0111", owner="7:7"),
            bind("/mnt/a"),
        ],
    ),
    "an image without directories": (
        "mount points are made",
        [{"lose": f"rootfs/{name}"} for name in ("proc", "sys", "dev", "etc")],
    ),
}
