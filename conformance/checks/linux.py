"""config-linux.md: masked and read-only paths, propagation, sysctl, memory policy and the rest."""

from __future__ import annotations

import platform
from functools import partial
from pathlib import Path

from conformance.leaks import unmount
from conformance.mounts import by_point
from conformance.registry import add, check
from conformance.trial import Trial


@check("masked.file", "masked.directory", "masked.container", "masked.absolute")
def masked_paths(t: Trial) -> None:
    """Masks a file, a directory, files of /proc and something absent."""
    script = "probe cat /work/secret; ls -A /work/dir; probe cat /proc/version"
    bundle = t.bundle(script)
    secret, hidden = bundle.rootfs / "work" / "secret", bundle.rootfs / "work" / "dir" / "hidden"
    secret.write_text("secret words\n")
    hidden.parent.mkdir()
    hidden.write_text("")
    bundle.linux["maskedPaths"] = ["/work/secret", "/work/dir", "/proc/version", "/absent/path"]
    seen = t.output(bundle)
    t.expect("masked.file", "secret" not in seen, "its content was not read")
    t.expect("masked.file", "Linux version" not in seen, "/proc/version was not read")
    t.expect("masked.directory", "hidden" not in seen, "its entries were not listed")
    whole = secret.read_text() == "secret words\n" and hidden.exists()
    t.expect("masked.container", whole, "outside everything is there")
    bundle = t.bundle()
    bundle.linux["maskedPaths"] = ["work/secret"]
    t.refuses("masked.absolute", bundle, at="create", what="work/secret")


@check("readonly.file", "readonly.directory", "readonly.container", "readonly.absolute")
def readonly_paths(t: Trial) -> None:
    """Makes a file and a directory read-only, and writes to them."""
    script = "for f in /work/file /work/dir/file /work/other; do probe write $f new; done"
    bundle = t.bundle(script)
    (bundle.rootfs / "work" / "dir").mkdir()
    (bundle.rootfs / "work" / "file").write_text("old")
    bundle.linux["readonlyPaths"] = ["/work/file", "/work/dir", "/absent"]
    lines = (t.output(bundle).splitlines() + [""] * 3)[:3]
    t.expect("readonly.file", "Read-only" in lines[0], f"the file: {lines[0]}")
    t.expect("readonly.directory", "Read-only" in lines[1], f"in the directory: {lines[1]}")
    t.expect("readonly.container", lines[2] == "written", f"beside them: {lines[2]}")
    bundle = t.bundle()
    bundle.linux["readonlyPaths"] = ["work/file"]
    t.refuses("readonly.absolute", bundle, at="create", what="work/file")


def propagation(t: Trial, kind: str) -> None:
    """Give the root a propagation, on a root that is a shared mount; mount inside and outside."""
    bundle = t.bundle(
        "mount -t tmpfs inner /run; mount --bind / /tmp 2>/dev/null && echo bound;"
        "echo ready; exec sleep 600"
    )
    bundle.add_capabilities("CAP_SYS_ADMIN")
    t.host_mount("--bind", str(bundle.rootfs), str(bundle.rootfs))
    t.closers.append(partial(unmount, bundle.rootfs))
    t.host_mount("--make-shared", str(bundle.rootfs))
    bundle.linux["rootfsPropagation"] = kind
    container = t.up(bundle)
    t.wait_for("the mount in the container", lambda: "ready" in container.output())
    outwards = str(bundle.rootfs / "run") in t.host_mounts()
    t.host_mount("-t", "tmpfs", "outer", str(bundle.rootfs / "work"))
    table = by_point(container.proc("mountinfo"))
    inwards = "/work" in table
    peers = table["/"].propagation if "/" in table else "no root"
    sentence = f"propagation.{kind}"
    saw = f"the root is {peers}; mounts come in: {inwards}, go out: {outwards}"
    if kind == "shared":
        t.expect(sentence, peers.startswith("shared"), saw)
    elif kind == "slave":
        t.expect(sentence, "slave" in peers and inwards and not outwards, saw)
    else:
        t.expect(sentence, peers == kind and not inwards and not outwards, saw)
    if kind == "unbindable":
        bound = "bound" in container.output()
        t.expect(sentence, not bound, f"it could be bind mounted: {bound}")
    container.need("kill", "KILL")


@check("propagation.invalid")
def invalid_propagation(t: Trial) -> None:
    """Gives the root a propagation that does not exist."""
    bundle = t.bundle()
    bundle.linux["rootfsPropagation"] = "nosuch"
    t.refuses("propagation.invalid", bundle, at="create", what="nosuch")


@check("sysctl.written", "sysctl.unknown")
def sysctl(t: Trial) -> None:
    """Sets parameters of the network and IPC namespaces, and one that does not exist."""
    before = Path("/proc/sys/kernel/msgmax").read_text()
    bundle = t.bundle("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax")
    bundle.namespace("network")
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4321"}
    seen = t.output(bundle).split()
    t.expect("sysctl.written", seen == ["1", "4321"], f"ip_forward, msgmax: {seen}")
    same = Path("/proc/sys/kernel/msgmax").read_text() == before
    t.expect("sysctl.written", same, "the host's are as before")
    bundle = t.bundle()
    bundle.namespace("network")
    bundle.linux["sysctl"] = {"net.no_such_parameter": "1"}
    t.refuses("sysctl.unknown", bundle, at="create", what="net.no_such_parameter")


@check("memory-policy.mode", "memory-policy.nodes", "memory-policy.flags")
def memory_policy(t: Trial) -> None:
    """Runs under four policies, and with a flag, and reads numa_maps."""
    t.need(Path("/proc/self/numa_maps").exists(), "the kernel has no NUMA policies (numa_maps)")
    for mode, nodes, flags, wanted in (
        ("MPOL_BIND", "0", [], "bind:0"),
        ("MPOL_INTERLEAVE", "0", [], "interleave:0"),
        ("MPOL_PREFERRED", "0", [], "prefer:0"),
        ("MPOL_LOCAL", None, [], "local"),
        ("MPOL_BIND", "0", ["MPOL_F_STATIC_NODES"], "bind=static:0"),
    ):
        bundle = t.bundle()
        policy = {"mode": mode, "flags": flags, **({"nodes": nodes} if nodes else {})}
        bundle.linux["memoryPolicy"] = policy
        seen = t.up(bundle).proc("numa_maps").split("\n")[0].split()[1]
        sentence = "memory-policy.flags" if flags else "memory-policy.mode"
        t.expect(sentence, seen == wanted, f"{mode} {flags or ''}: {seen}")
        if nodes:
            t.expect("memory-policy.nodes", seen.endswith(":0"), f"nodes 0: {seen}")


@check("memory-policy.invalid", "memory-policy.nodes-needed")
def invalid_memory_policies(t: Trial) -> None:
    """Names a mode and a flag that do not exist, and modes with nodes they do not take."""
    for sentence, policy in (
        ("memory-policy.invalid", {"mode": "MPOL_NOSUCH", "nodes": "0"}),
        ("memory-policy.invalid", {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NOSUCH"]}),
        ("memory-policy.nodes-needed", {"mode": "MPOL_BIND"}),
        ("memory-policy.nodes-needed", {"mode": "MPOL_DEFAULT", "nodes": "0"}),
    ):
        bundle = t.bundle()
        bundle.linux["memoryPolicy"] = policy
        t.refuses(sentence, bundle, what=str(policy))


@check("personality.linux", "personality.linux32", "personality.domain", "personality.flags")
def personality(t: Trial) -> None:
    """Runs as LINUX and as LINUX32, and with domains and flags that do not exist."""
    bundle = t.bundle()
    bundle.linux["personality"] = {"domain": "LINUX"}
    seen = t.report(bundle, "machine")["machine"]
    t.expect("personality.linux", seen == platform.machine(), f"uname -m: {seen}")
    bundle = t.bundle()
    bundle.linux["personality"] = {"domain": "LINUX32"}
    seen = t.report(bundle, "machine")["machine"]
    other = seen != platform.machine() or platform.architecture()[0] == "32bit"
    t.expect("personality.linux32", other, f"uname -m: {seen}")
    for sentence, entry in (
        ("personality.domain", {"domain": "NOSUCH"}),
        ("personality.flags", {"domain": "LINUX", "flags": ["NOSUCH"]}),
    ):
        bundle = t.bundle()
        bundle.linux["personality"] = entry
        t.refuses(sentence, bundle, what=str(entry))


def _register() -> None:
    for kind in ("shared", "slave", "private", "unbindable"):
        did = f"Uses rootfsPropagation {kind} on a shared mount, and mounts inside and outside."
        function = partial(propagation, kind=kind)
        add(f"linux.propagation[{kind}]", [f"propagation.{kind}"], did, function)


_register()
