"""config.md: root and mounts, apart from the options of mounts."""

from __future__ import annotations

from pathlib import Path

from conformance.bundle import Bundle
from conformance.container import UnfitError
from conformance.mounts import Mount, by_point
from conformance.registry import check
from conformance.trial import Trial

TABLE = "cat /proc/self/mountinfo"


def table(t: Trial, bundle: Bundle) -> dict[str, Mount]:
    """Run a bundle whose program prints its mount table, and return that."""
    bundle.process["args"] = ["/bin/sh", "-c", TABLE]
    found = by_point(t.output(bundle))
    if "/" not in found:
        raise UnfitError("the program in the container printed no mount table")
    return found


@check("root.path", "root.exists", "bundle.rootfs", "root.required")
def where_the_root_is(t: Trial) -> None:
    """Runs with a relative and an absolute root.path, and with none, an absent one and a file."""
    for what in ("relative", "absolute"):
        bundle = t.bundle("cat /etc/marker")
        (bundle.rootfs / "etc" / "marker").write_text(what)
        if what == "absolute":
            bundle.config["root"]["path"] = str(bundle.rootfs)
        seen = t.output(bundle)
        t.expect("root.path", seen == what, f"{what}: the program sees its file: {seen!r}")
        t.expect("bundle.rootfs", seen == what, f"{what}: the program sees its file: {seen!r}")
    bundle = t.bundle()
    bundle.config["root"]["path"] = "absent"
    t.refuses("root.exists", bundle, at="create")
    bundle = t.bundle()
    bundle.config["root"]["path"] = "config.json"
    t.refuses("root.exists", bundle, at="create")
    bundle = t.bundle()
    del bundle.config["root"]["path"]
    t.refuses("root.path", bundle, at="create")
    bundle = t.bundle()
    del bundle.config["root"]
    t.refuses("root.required", bundle, at="create")


@check("root.readonly", "root.writable")
def writing_to_the_root(t: Trial) -> None:
    """Writes a file to the root with and without root.readonly."""
    bundle = t.bundle("probe write /written text")
    bundle.config["root"]["readonly"] = True
    seen = t.output(bundle).strip()
    t.expect("root.readonly", "Read-only" in seen, f"readonly: {seen}")
    t.expect("root.readonly", not (bundle.rootfs / "written").exists(), "no file in the bundle")
    bundle = t.bundle("probe write /written text")
    del bundle.config["root"]["readonly"]
    seen = t.output(bundle).strip()
    t.expect("root.writable", seen == "written", f"by default: {seen}")


@check("mounts.order")
def mounts_in_their_order(t: Trial) -> None:
    """Mounts a tmpfs on /work, one below it, and one over both: the last hides the others."""
    bundle = t.bundle("ls /work /tmp; cat /work/a/file")
    outer = t.directory / "outer"
    (outer / "a").mkdir(parents=True)
    inner = t.directory / "inner"
    inner.mkdir()
    (inner / "file").write_text("inner\n")
    bundle.add_mount("/tmp", "tmpfs")
    bundle.bind(outer, "/work", ["bind"])
    bundle.bind(inner, "/work/a", ["bind"])
    seen = t.output(bundle).split()
    t.expect("mounts.order", "inner" in seen, f"the inner mount is on top of the outer: {seen}")
    bundle = t.bundle("cat /work/a/file 2>&1; ls /work")
    bundle.bind(inner, "/work/a", ["bind"])
    bundle.bind(outer, "/work", ["bind"])
    (bundle.rootfs / "work" / "a").mkdir()
    seen = t.output(bundle).split()
    t.expect("mounts.order", "inner" not in seen, f"in the other order it is hidden: {seen}")


@check("mounts.destination", "mounts.destination-relative")
def destinations(t: Trial) -> None:
    """Mounts on a relative destination and on none."""
    bundle = t.bundle()
    bundle.add_mount("work/deep", "tmpfs")
    bundle.process["cwd"] = "/bin"
    found = table(t, bundle)
    t.expect(
        "mounts.destination-relative",
        "/work/deep" in found,
        f"work/deep with cwd /bin: on {sorted(point for point in found if 'deep' in point)}",
    )
    bundle = t.bundle()
    bundle.config["mounts"].append({"type": "tmpfs", "source": "tmpfs"})
    t.refuses("mounts.destination", bundle, at="create")


@check("mounts.source-absolute", "mounts.source-relative", "mounts.bind-by-option")
def sources_of_bind_mounts(t: Trial) -> None:
    """Binds an absolute path, one relative to the bundle, a file, and one with the type tmpfs."""
    source = t.directory / "source"
    source.mkdir()
    (source / "file").write_text("from outside\n")
    bundle = t.bundle("cat /work/file /etc/one; cat /run/file /tmp/file")
    (bundle.path / "inside").mkdir()
    (bundle.path / "inside" / "file").write_text("from the bundle\n")
    bundle.bind(source, "/work", ["bind"])
    bundle.bind(source / "file", "/etc/one", ["bind"])
    bundle.bind("inside", "/run", ["bind"])
    bundle.add_mount("/tmp", "tmpfs", source, ["bind"])
    lines = t.output(bundle).splitlines()
    outside = lines.count("from outside")
    t.expect("mounts.source-absolute", outside >= 2, f"directory and file: {lines}")
    t.expect("mounts.source-relative", "from the bundle" in lines, f"relative: {lines}")
    t.expect("mounts.bind-by-option", outside == 3, f"type tmpfs with bind is a bind: {lines}")


@check("mounts.type")
def types_of_mounts(t: Trial) -> None:
    """Mounts tmpfs, mqueue and ramfs, and a type that no kernel has."""
    bundle = t.bundle()
    for position, kind in enumerate(("tmpfs", "mqueue", "ramfs")):
        bundle.add_mount(f"/work/{position}", kind)
    found = table(t, bundle)
    kinds = [found[f"/work/{n}"].fstype if f"/work/{n}" in found else "none" for n in range(3)]
    t.expect("mounts.type", kinds == ["tmpfs", "mqueue", "ramfs"], f"mounted: {kinds}")
    bundle = t.bundle()
    bundle.add_mount("/work", "nosuchfs")
    t.refuses("mounts.type", bundle, at="create")


@check("mounts.unknown-options", "mounts.unknown-options-fail", "values.unsupported")
def options_for_the_file_system(t: Trial) -> None:
    """Mounts a tmpfs with size, mode and nr_inodes, and with an option that it does not have."""
    bundle = t.bundle()
    bundle.add_mount("/work", options=["size=640k", "mode=751", "nr_inodes=99", "nosuid"])
    found = table(t, bundle)
    data = found["/work"].super_options if "/work" in found else frozenset()
    wanted = {"size=640k", "mode=751", "nr_inodes=99"}
    t.expect("mounts.unknown-options", wanted <= data, f"file system options: {sorted(data)}")
    for sentence in ("mounts.unknown-options-fail", "values.unsupported"):
        bundle = t.bundle()
        bundle.add_mount("/work", options=["no-such-option-at-all=1"])
        t.refuses(sentence, bundle, at="create", what="no-such-option-at-all=1")


@check("filesystems.proc", "filesystems.sys", "filesystems.dev-pts", "filesystems.dev-shm")
def default_file_systems(t: Trial) -> None:
    """Runs with the file systems that Linux programs expect listed in mounts."""
    bundle = t.bundle()
    bundle.namespace("network")
    bundle.add_mount("/dev/shm", "tmpfs", "shm", ["mode=1777"])
    bundle.add_mount("/sys", "sysfs", options=["ro", "nosuid"])
    found = table(t, bundle)
    for sentence, point, kind in (
        ("filesystems.proc", "/proc", "proc"), ("filesystems.sys", "/sys", "sysfs"),
        ("filesystems.dev-pts", "/dev/pts", "devpts"), ("filesystems.dev-shm", "/dev/shm", "tmpfs"),
    ):  # fmt: skip
        seen = found[point].fstype if point in found else "nothing"
        t.expect(sentence, seen == kind, f"{point}: {seen}")


@check("idmap.applied", "idmap.own-mappings", "option.idmap", "mounts.mapping-implementation",
       "idmap.not-data")  # fmt: skip
def idmapped_mount(t: Trial) -> None:
    """Binds a directory with idmap and mappings: owners are shifted inside, and not outside."""
    bundle, source = mapped(t, "idmap")
    seen = t.output(bundle).split()
    for sentence in ("idmap.applied", "idmap.own-mappings", "option.idmap", "idmap.not-data"):
        t.expect(sentence, seen == ["6000:6001"], f"1000:1001, mapped by 5000, is {seen}")
    status = (source / "file").stat()
    owner = f"{status.st_uid}:{status.st_gid}"
    t.expect("mounts.mapping-implementation", owner == "1000:1001", f"outside it is {owner}")


@check("ridmap.applied", "ridmap.own-mappings", "option.ridmap")
def recursively_idmapped_mount(t: Trial) -> None:
    """Binds a directory with a mount in it, with ridmap: owners are shifted in both."""
    bundle, source = mapped(t, "ridmap")
    sub = source / "sub"
    sub.mkdir()
    other = t.directory / "other"  # not a tmpfs: before Linux 6.3 those cannot be idmapped
    other.mkdir()
    (other / "file").touch()
    t.host_command("chown", "1000:1001", str(other / "file"))
    t.host_mount("--bind", str(other), str(sub))
    bundle.process["args"][-1] = "stat -c %u:%g /work/file /work/sub/file"
    seen = t.output(bundle).split()
    for sentence in ("ridmap.applied", "ridmap.own-mappings", "option.ridmap"):
        t.expect(sentence, seen == ["6000:6001"] * 2, f"1000:1001, mapped by 5000, is {seen}")


def mapped(t: Trial, option: str) -> tuple[Bundle, Path]:
    """Return a bundle with a mapped bind mount on /work, and its source."""
    source = t.directory / "source"
    source.mkdir()
    (source / "file").touch()
    t.host_command("chown", "1000:1001", str(source / "file"))
    bundle = t.bundle("stat -c %u:%g /work/file")
    mapping = {"containerID": 0, "hostID": 5000, "size": 60000}
    kind = "rbind" if option == "ridmap" else "bind"
    bundle.add_mount(
        "/work", "none", source, [kind, option], uidMappings=[mapping], gidMappings=[mapping]
    )
    return bundle, source


@check("idmap.no-mappings", "ridmap.no-mappings", "mounts.uid-with-gid-mappings",
       "mounts.gid-with-uid-mappings")  # fmt: skip
def mappings_that_are_missing(t: Trial) -> None:
    """Binds with idmap and ridmap without any mapping, and with mappings of one kind only."""
    source = t.directory / "source"
    source.mkdir()
    mapping = [{"containerID": 0, "hostID": 5000, "size": 60000}]
    for sentence, option, more in (
        ("idmap.no-mappings", "idmap", {}),
        ("ridmap.no-mappings", "ridmap", {}),
        ("mounts.uid-with-gid-mappings", "idmap", {"uidMappings": mapping}),
        ("mounts.gid-with-uid-mappings", "idmap", {"gidMappings": mapping}),
    ):
        bundle = t.bundle()
        bundle.add_mount("/work", "none", source, ["rbind", option], **more)
        t.refuses(sentence, bundle, at="create", what=f"{option} with {sorted(more) or 'none'}")
