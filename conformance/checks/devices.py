"""config-linux.md and runtime-linux.md: device files and links in /dev."""

from __future__ import annotations

import os
import stat
from functools import partial

from conformance.registry import add, check
from conformance.trial import Trial

DEFAULTS = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9",
            "tty": "5:0"}  # fmt: skip
CAP_MKNOD = 27
FORMAT = "%F|%t:%T|%a|%u:%g"


@check("devices.char", "devices.block", "devices.unbuffered", "devices.fifo", "devices.anywhere",
       "devices.file-mode", "devices.uid", "devices.gid")  # fmt: skip
def device_files(t: Trial) -> None:
    """Lists a device of each type, with modes and owners, in /dev and outside of it."""
    rows = (
        ("devices.char", {"type": "c", "path": "/dev/one", "major": 1, "minor": 5},
         "character special file|1:5"),
        ("devices.block", {"type": "b", "path": "/dev/two", "major": 7, "minor": 3},
         "block special file|7:3"),
        ("devices.unbuffered", {"type": "u", "path": "/dev/three", "major": 1, "minor": 7},
         "character special file|1:7"),
        ("devices.fifo", {"type": "p", "path": "/dev/four"}, "fifo|"),
        ("devices.anywhere", {"type": "c", "path": "/work/five", "major": 1, "minor": 3},
         "character special file|1:3"),
    )  # fmt: skip
    for sentence, device, wanted in rows:
        path = device["path"]
        bundle = t.bundle(f"stat -c '{FORMAT}' {path} 2>&1")
        bundle.linux["devices"] = [{**device, "fileMode": 0o640, "uid": 12, "gid": 34}]
        seen = t.output(bundle).strip()
        t.expect(sentence, seen.startswith(wanted), f"{path}: {seen}")
        if sentence in {"devices.char", "devices.anywhere"}:
            fields = (seen.split("|") + [""] * 4)[2:4]
            t.expect("devices.file-mode", fields[0] == "640", f"{path}: mode {fields[0]}")
            t.expect("devices.uid", fields[1].startswith("12:"), f"{path}: owner {fields[1]}")
            t.expect("devices.gid", fields[1].endswith(":34"), f"{path}: owner {fields[1]}")


@check("devices.mismatch", "devices.match", "devices.path-required")
def devices_that_do_not_fit(t: Trial) -> None:
    """Lists devices where something else is, where they are already, and incomplete ones."""
    device = {"type": "c", "path": "/work/there", "major": 1, "minor": 3}
    for what in ("a file", "a directory", "another device"):
        bundle = t.bundle()
        path = bundle.rootfs / "work" / "there"
        if what == "a directory":
            path.mkdir()
        elif what == "a file":
            path.write_text("mine")
        else:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
        bundle.linux["devices"] = [device]
        t.refuses("devices.mismatch", bundle, at="create", what=what)
    bundle = t.bundle("stat -c %t:%T /work/there")
    os.mknod(bundle.rootfs / "work" / "there", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    bundle.linux["devices"] = [device]
    seen = t.output(bundle).strip()
    t.expect("devices.match", seen == "1:3", f"{seen}")
    for missing in ("type", "path"):
        bundle = t.bundle()
        bundle.linux["devices"] = [{k: v for k, v in device.items() if k != missing}]
        t.refuses("devices.path-required", bundle, at="create", what=f"no {missing}")


@check("devices.others")
def device_that_is_not_listed(t: Trial) -> None:
    """Opens a device that the configuration does not list."""
    t.need(t.host.unified or t.host.controller("devices"), "no devices controller is mounted")
    t.need(t.host.bounding >> CAP_MKNOD & 1, "CAP_MKNOD is not in the bounding set")
    seen = t.output(
        "mknod /work/other b 7 3 && dd if=/work/other of=/dev/null count=0 2>&1; echo status $?"
    )
    refused = "not permitted" in seen
    said = "is refused" if refused else "is not refused as not permitted"
    t.expect("devices.others", refused, f"opening a device that is not listed {said}")


def default_device(t: Trial, name: str) -> None:
    """Look at a device that every container has."""
    bundle = t.bundle(f"stat -c '{FORMAT}' /dev/{name} 2>&1")
    seen = t.output(bundle).strip().split("|")
    good = seen[0].startswith("character special") and seen[1] == DEFAULTS[name]
    t.expect(f"default-devices.{name}", good, f"/dev/{name}: {' '.join(seen)}")
    if good:
        t.expect(f"default-devices.{name}", seen[2] == "666", f"mode {seen[2]}")


@check("default-devices.ptmx")
def ptmx(t: Trial) -> None:
    """Compares /dev/ptmx with /dev/pts/ptmx."""
    seen = t.output("stat -Lc '%t:%T %d %i' /dev/ptmx /dev/pts/ptmx 2>&1").splitlines()
    good = len(seen) == 2 and seen[0] == seen[1] and seen[0].startswith("5:2 ")
    t.expect("default-devices.ptmx", good, f"/dev/ptmx and /dev/pts/ptmx: {seen}")


@check("linux.dev-fd", "linux.dev-stdin", "linux.dev-stdout", "linux.dev-stderr")
def links_in_dev(t: Trial) -> None:
    """Reads the links /dev/fd, stdin, stdout and stderr."""
    names = {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    script = "; ".join(f"echo {name} $(readlink /dev/{name})" for name in names)
    lines = [line.split() for line in t.output(script).splitlines()]
    seen = {line[0]: " ".join(line[1:]) for line in lines if line}
    for name, target in names.items():
        good = seen.get(name) == f"/proc/self/{target}"
        t.expect(f"linux.dev-{name}", good, f"/dev/{name} is {seen.get(name) or 'not there'}")


@check("linux.dev-no-source")
def no_proc(t: Trial) -> None:
    """Runs without a mount on /proc."""
    bundle = t.bundle("echo ran")
    bundle.config["mounts"] = bundle.config["mounts"][1:]
    seen = t.output(bundle).strip()
    t.expect("linux.dev-no-source", seen == "ran", f"without /proc: {seen}")


def _register() -> None:
    for name in DEFAULTS:
        function = partial(default_device, name=name)
        did = f"Looks at type, numbers and mode of /dev/{name}."
        add(f"devices.default_device[{name}]", [f"default-devices.{name}"], did, function)


_register()
