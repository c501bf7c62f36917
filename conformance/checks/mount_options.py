"""config.md: every mount option, by the mount table of a container that has it."""

from __future__ import annotations

from functools import partial

from conformance.checks.mounts import table
from conformance.mounts import Mount
from conformance.registry import add
from conformance.trial import Trial

# option: (options of the mount, flags that must be there, flags that must not)
NEW = {
    "async": ("sync async", "", "sync"),
    "atime": ("noatime atime", "", "noatime"),
    "defaults": ("defaults", "rw", "ro nosuid nodev noexec sync dirsync"),
    "dev": ("nodev dev", "", "nodev"),
    "diratime": ("nodiratime diratime", "", "nodiratime"),
    "dirsync": ("dirsync", "dirsync", ""),
    "exec": ("noexec exec", "", "noexec"),
    "iversion": ("iversion", "", ""),
    "lazytime": ("lazytime", "lazytime", ""),
    "loud": ("loud", "", ""),
    "noatime": ("noatime", "noatime", ""),
    "nodev": ("nodev", "nodev", ""),
    "nodiratime": ("nodiratime", "nodiratime", ""),
    "noexec": ("noexec", "noexec", ""),
    "noiversion": ("noiversion", "", ""),
    "nolazytime": ("lazytime nolazytime", "", "lazytime"),
    "norelatime": ("norelatime", "", "noatime"),
    "nostrictatime": ("strictatime nostrictatime", "relatime", "noatime"),
    "nosuid": ("nosuid", "nosuid", ""),
    "nosymfollow": ("nosymfollow", "nosymfollow", ""),
    "relatime": ("relatime", "relatime", "noatime"),
    "ro": ("ro", "ro", ""),
    "rw": ("ro rw", "rw", "ro"),
    "silent": ("silent", "", ""),
    "strictatime": ("strictatime", "", "relatime noatime"),
    "suid": ("nosuid suid", "", "nosuid"),
    "symfollow": ("nosymfollow symfollow", "", "nosymfollow"),
    "sync": ("sync", "sync", ""),
}
# The same for bind mounts, of a source that is mounted with the third word's options.
BIND = {
    "ro": ("ro", ""),
    "nosuid": ("nosuid", ""),
    "nodev": ("nodev", ""),
    "noexec": ("noexec", ""),
    "noatime": ("noatime", "relatime"),
    "nodiratime": ("nodiratime", ""),
    "strictatime": ("", "relatime noatime"),
}
# option: (options of the sources, flags there must be, flags there must not be), on both mounts
RECURSIVE = {
    "ratime": ("noatime", "", "noatime"),
    "rdev": ("nodev", "", "nodev"),
    "rdiratime": ("nodiratime", "", "nodiratime"),
    "rexec": ("noexec", "", "noexec"),
    "rnoatime": ("relatime", "noatime", ""),
    "rnodev": ("rw", "nodev", ""),
    "rnodiratime": ("rw", "nodiratime", ""),
    "rnoexec": ("rw", "noexec", ""),
    "rnorelatime": ("relatime", "", "noatime"),
    "rnostrictatime": ("strictatime", "", "noatime"),
    "rnosuid": ("rw", "nosuid", ""),
    "rnosymfollow": ("rw", "nosymfollow", ""),
    "rrelatime": ("strictatime", "relatime", ""),
    "rro": ("rw", "ro", ""),
    "rrw": ("rw", "rw", "ro"),
    "rstrictatime": ("relatime", "", "relatime noatime"),
    "rsuid": ("nosuid", "", "nosuid"),
    "rsymfollow": ("nosymfollow", "", "nosymfollow"),
}
PROPAGATION = ("private", "shared", "slave", "unbindable")
# recursive option: do mounts come from the host into the container, and the other way?
EVENTS = {
    "rprivate": (False, False),
    "rshared": (True, True),
    "rslave": (True, False),
    "runbindable": (False, False),
}


def judge(t: Trial, sentence: str, mount: Mount | None, there: str, gone: str) -> None:
    """Judge the flags of a mount."""
    if mount is None:
        t.expect(sentence, None, "the mount is not there")
        return
    holds = set(there.split()) <= mount.flags and not set(gone.split()) & mount.flags
    flags = f"{','.join(sorted(mount.options))} {','.join(sorted(mount.super_options))}"
    t.expect(sentence, holds, f"{mount.point}: {flags}")


def new_mount(t: Trial, option: str) -> None:
    """Mount a tmpfs with the option."""
    options, there, gone = NEW[option]
    bundle = t.bundle()
    bundle.add_mount("/work", options=options.split())
    judge(t, f"option.{option}", table(t, bundle).get("/work"), there, gone)


def bind_mount(t: Trial, option: str) -> None:
    """Bind a directory with the option."""
    there, gone = BIND[option]
    source = t.directory / "source"
    source.mkdir()
    bundle = t.bundle()
    bundle.bind(source, "/work", ["bind", option])
    judge(t, f"option.{option}", table(t, bundle).get("/work"), there, gone)


def recursive(t: Trial, option: str) -> None:
    """Bind a mount with another one below it, with the option."""
    before, there, gone = RECURSIVE[option]
    source = t.directory / "source"
    for place in (source, source / "sub"):
        place.mkdir()
        t.host_mount("-t", "tmpfs", "-o", before, "tmpfs", str(place))
    bundle = t.bundle()
    bundle.bind(source, "/work", ["rbind", option])
    found = table(t, bundle)
    for point in ("/work", "/work/sub"):
        judge(t, f"option.{option}", found.get(point), there, gone)


def propagation(t: Trial, option: str) -> None:
    """Bind a shared mount with the option and look at the peer groups."""
    source = t.directory / "source"
    for place in (source, source / "sub"):
        place.mkdir()
        t.host_mount("-t", "tmpfs", "tmpfs", str(place))
        t.host_mount("--make-shared", str(place))
    deep = option.startswith("r")
    bundle = t.bundle()
    if option.endswith("slave"):
        bundle.linux["rootfsPropagation"] = "slave"  # or there may be no master to be a slave of
    bundle.bind(source, "/work", ["rbind" if deep else "bind", option])
    found = table(t, bundle)
    for point in ("/work", "/work/sub")[: 2 if deep else 1]:
        seen = found[point].propagation if point in found else "not there"
        wanted = option[1:] if deep else option
        t.expect(f"option.{option}", seen.split(",")[0] == wanted, f"{point}: {seen}")


def events(t: Trial, option: str) -> None:
    """Bind a shared mount with the option, then mount outside and inside, and look both ways."""
    source = t.directory / "source"
    source.mkdir()
    t.host_mount("-t", "tmpfs", "tmpfs", str(source))
    t.host_mount("--make-shared", str(source))
    for name in ("outer", "inner"):
        (source / name).mkdir()
    bundle = t.bundle(
        "mount -t tmpfs inner /work/inner || echo failed; echo mounted; exec sleep 600"
    )
    bundle.add_capabilities("CAP_SYS_ADMIN")
    if option in {"rshared", "rslave"}:
        bundle.linux["rootfsPropagation"] = option[1:]  # nothing goes where the root is private
    bundle.bind(source, "/work", ["rbind", option])
    container = t.up(bundle)
    t.wait_for("the mount in the container", lambda: "mounted" in container.output())
    outwards = str(source / "inner") in t.host_mounts()
    t.host_mount("-t", "tmpfs", "tmpfs", str(source / "outer"))
    inwards = " /work/outer " in container.proc("mountinfo")
    seen = "into the container: {}, out of it: {}".format(
        *("yes" if way else "no" for way in (inwards, outwards))
    )
    t.expect(f"option.{option}", (inwards, outwards) == EVENTS[option], f"mounts go {seen}")
    container.need("kill", "KILL")


def bind_or_rbind(t: Trial, option: str) -> None:
    """Bind a directory that has a mount below it."""
    source = t.directory / "source"
    (source / "sub").mkdir(parents=True)
    t.host_mount("-t", "tmpfs", "tmpfs", str(source / "sub"))
    bundle = t.bundle()
    bundle.add_mount("/work", "none", source, [option])
    found = table(t, bundle)
    deep = "/work/sub" in found
    t.expect(f"option.{option}", "/work" in found, f"on /work: {'/work' in found}")
    t.expect(f"option.{option}", deep == (option == "rbind"), f"the mount below it: {deep}")


def remount(t: Trial, option: str) -> None:
    """Mount a tmpfs, and list it again with remount and other options."""
    bundle = t.bundle()
    bundle.add_mount("/work", options=["rw", "size=640k"])
    bundle.add_mount("/work", options=["remount", "ro", "nosuid"])
    judge(t, f"option.{option}", table(t, bundle).get("/work"), "ro nosuid", "")


def _register() -> None:
    for option in NEW:
        did = f"Mounts a tmpfs with the options {NEW[option][0]} and reads the mount table."
        add(
            f"mount_options.new[{option}]",
            [f"option.{option}"],
            did,
            partial(new_mount, option=option),
        )
    for option in BIND:
        did = f"Binds a directory with the option {option} and reads the mount table."
        add(
            f"mount_options.bind[{option}]",
            [f"option.{option}"],
            did,
            partial(bind_mount, option=option),
        )
    for option in RECURSIVE:
        did = (
            f"Binds mounts that are {RECURSIVE[option][0]} with {option} and reads the mount table."
        )
        add(
            f"mount_options.recursive[{option}]",
            [f"option.{option}"],
            did,
            partial(recursive, option=option),
        )
    for option in (*PROPAGATION, *(f"r{name}" for name in PROPAGATION)):
        did = f"Binds a shared mount with the option {option} and reads its peer groups."
        add(
            f"mount_options.propagation[{option}]",
            [f"option.{option}"],
            did,
            partial(propagation, option=option),
        )
    for option in EVENTS:
        did = f"Binds a shared mount with {option}, mounts inside and outside, and looks both ways."
        add(
            f"mount_options.events[{option}]",
            [f"option.{option}"],
            did,
            partial(events, option=option),
        )
    for option in ("bind", "rbind"):
        did = f"Mounts a directory that has a mount below it with the option {option}."
        add(
            f"mount_options.below[{option}]",
            [f"option.{option}"],
            did,
            partial(bind_or_rbind, option=option),
        )
    did = "Lists a tmpfs twice, the second time with remount, ro and nosuid."
    add("mount_options.remount", ["option.remount"], did, partial(remount, option="remount"))


_register()
