"""features.md and features-linux.md: what `features` says, and whether it is true."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from conformance.bundle import Bundle
from conformance.registry import check
from conformance.schema import SEMVER
from conformance.trial import Trial

TOP = {"ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux", "annotations",
       "potentiallyUnsafeConfigAnnotations"}  # fmt: skip
LINUX = {
    "namespaces": None, "capabilities": None,
    "cgroup": {"v1", "v2", "systemd", "systemdUser", "rdma"},
    "seccomp": {"enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags"},
    "apparmor": {"enabled"}, "selinux": {"enabled"},
    "intelRdt": {"enabled", "schemata", "monitoring"},
    "memoryPolicy": {"modes", "flags"},
    "mountExtensions": {"idmap"}, "netDevices": {"enabled"},
}  # fmt: skip
HOOK_KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart",
              "poststop")  # fmt: skip


def section(t: Trial, *path: str) -> Any:
    """Return a part of the Features structure; skips the test where it is absent or null."""
    found: Any = t.features()
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    t.need(found is not None, f"{'.'.join(path)} is absent or null: unknown")
    return found


def accepted(
    t: Trial, sentence: str, names: Iterable[str], change: Callable[[Bundle, str], None]
) -> None:
    """Judge that create takes each name, in a bundle that `change` has put it into."""
    names = list(names)
    refused = []
    for name in names:
        bundle = t.bundle("true")
        change(bundle, name)
        result = t.attempt_create(bundle, bundle.path.name)
        if result.ok:
            t.adopt(bundle.path.name, bundle).close()
        else:
            refused.append(f"{name}: {result.text}")
    words = f"{len(names)} named, {len(names) - len(refused)} accepted"
    t.expect(sentence, not refused, words + ("; " + "; ".join(refused[:4]) if refused else ""))


def recognized(
    t: Trial,
    sentence: str,
    nonsense: str,
    names: Iterable[str],
    change: Callable[[Bundle, str], None],
) -> None:
    """Judge that names are taken, or refused otherwise than one that does not exist.

    libseccomp refuses architectures whose byte order is not the machine's, and those newer than
    itself; the kernel modes of memory policies that it does not have yet.
    """
    names = list(names)
    texts = {}
    for name in (nonsense, *names):
        bundle = t.bundle("true")
        change(bundle, name)
        result = t.attempt_create(bundle, bundle.path.name)
        if result.ok:
            t.adopt(bundle.path.name, bundle).close()
        else:
            texts[name] = result.text.replace(name, "NAME")
    unknown = texts.pop(nonsense, None)
    same = [name for name, words in texts.items() if words == unknown]
    saw = f"{len(names)} named, {len(texts)} cannot be used here; unknown: {same or 'none'}"
    t.expect(sentence, not same, saw)


@check("features.oci-version-min", "features.oci-version-max", "features.oci-version-order",
       "features.undefined", "features.compile-time", "features.null")  # fmt: skip
def structure(t: Trial) -> None:
    """Reads the Features structure twice, and uses both of its versions."""
    found = t.features()
    order = []
    for sentence, name in (
        ("features.oci-version-min", "ociVersionMin"),
        ("features.oci-version-max", "ociVersionMax"),
    ):  # fmt: skip
        version = found.get(name)
        if not isinstance(version, str) or not SEMVER.fullmatch(version):
            t.expect(sentence, None, f"{name} is {version!r}")
            continue
        order.append(
            tuple(int(part) for part in version.partition("-")[0].partition("+")[0].split("."))
        )
        bundle = t.bundle()
        bundle.config["ociVersion"] = version
        result = t.attempt_create(bundle, bundle.path.name)
        t.expect(
            sentence, result.ok, f"{name} {version}: {'accepted' if result.ok else result.text}"
        )
        if result.ok:
            t.adopt(bundle.path.name, bundle)
    t.expect("features.oci-version-order", len(order) == 2 and order[0] <= order[1], f"{order}")
    extra = sorted(found.keys() - TOP)
    linux = found.get("linux") or {}
    extra += sorted(f"linux.{name}" for name in linux.keys() - LINUX.keys())
    for name, known in LINUX.items():
        inner = linux.get(name)
        if known is not None and isinstance(inner, dict):
            extra += sorted(f"linux.{name}.{key}" for key in inner.keys() - known)
    t.expect("features.undefined", not extra, f"not defined: {extra or 'none'}")
    t.runtime.environment["ANOTHER"] = "environment"
    again = t.runtime.features()
    t.expect("features.compile-time", again == found, "the same in another environment")
    empty = [name for name, part in linux.items() if isinstance(part, list) and not part]
    t.expect(
        "features.null", not empty, f"empty lists, which say that nothing works: {empty or 'none'}"
    )


@check("features.hooks")
def hooks(t: Trial) -> None:
    """Uses a hook of every kind that is named."""
    names = section(t, "hooks")

    def change(bundle: Bundle, name: str) -> None:
        bundle.hook(name, "/bin/sh" if name == "startContainer" else "/bin/true", "-c", "true")

    unknown = sorted(set(names) - set(HOOK_KINDS))
    t.expect("features.hooks", not unknown, f"not in the specification: {unknown or 'none'}")
    accepted(t, "features.hooks", [name for name in names if name in HOOK_KINDS], change)


@check("features.mount-options", "features.mount-options-data", seconds=150)
def mount_options(t: Trial) -> None:
    """Uses every mount option that is named, on a bind mount or a tmpfs."""
    names = section(t, "mountOptions")
    data = sorted({"size", "mode", "uid", "gid", "nr_inodes", "data"} & set(names))
    t.expect("features.mount-options-data", not data, f"of file systems: {data or 'none'}")
    mapping = [{"containerID": 0, "hostID": 5000, "size": 60000}]

    def change(bundle: Bundle, name: str) -> None:
        (bundle.path / "source").mkdir()
        new = {"tmpcopyup", "sync", "async", "dirsync", "mand", "nomand", "lazytime", "nolazytime",
               "iversion", "noiversion", "silent", "loud", "defaults", "acl", "noacl"}  # fmt: skip
        if name == "remount":
            bundle.add_mount("/work", options=["rw"])
        if name in new or name == "remount":
            bundle.add_mount("/work", options=[name])
        elif name in {"idmap", "ridmap"}:
            bundle.add_mount("/work", "none", "source", ["bind", name], uidMappings=mapping,
                         gidMappings=mapping)  # fmt: skip
        else:
            bundle.add_mount("/work", "none", "source", sorted({"bind", name}))

    accepted(t, "features.mount-options", names, change)


@check("features.namespaces")
def namespaces(t: Trial) -> None:
    """Uses every type of namespace that is named and that the kernel has."""
    names = section(t, "linux", "namespaces")

    def change(bundle: Bundle, name: str) -> None:
        if name == "user":
            bundle.user_namespace()
        else:
            bundle.namespace(name)

    accepted(t, "features.namespaces", names, change)


@check("features.capabilities")
def capabilities(t: Trial) -> None:
    """Asks for all capabilities that are named and that the caller has: no warning names one."""
    names = section(t, "linux", "capabilities")
    bundle = t.bundle("true")
    last = int(open("/proc/sys/kernel/cap_last_cap").read())  # noqa: SIM115
    known = [name for number, name in enumerate(names) if number <= last
             and t.host.bounding >> number & 1]  # fmt: skip
    for entries in bundle.process["capabilities"].values():
        entries[:] = known
    result = t.attempt_create(bundle, bundle.path.name)
    t.expect("features.capabilities", result.ok, result.text if not result.ok else
             f"{len(names)} named, {len(known)} used together")  # fmt: skip
    warned = [name for name in known if name in result.stderr]
    t.expect("features.capabilities", not warned, f"warned of: {warned or 'none'}")
    if result.ok:
        t.adopt(bundle.path.name, bundle)


@check("features.seccomp-actions", "features.seccomp-operators", "features.seccomp-archs",
       "features.seccomp-known-flags", "features.seccomp-supported-flags", seconds=120)  # fmt: skip
def seccomp(t: Trial) -> None:
    """Uses every action, operator, architecture and flag that is named."""
    rule = {"names": ["chmod"], "action": "SCMP_ACT_ERRNO"}

    def use(bundle: Bundle, **more: Any) -> None:
        bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule], **more}

    def use_action(bundle: Bundle, name: str) -> None:
        use(bundle, syscalls=[{**rule, "action": name}])

    def use_operator(bundle: Bundle, name: str) -> None:
        use(bundle, syscalls=[{**rule, "args": [{"index": 0, "value": 1, "op": name}]}])

    actions = section(t, "linux", "seccomp", "actions")
    accepted(t, "features.seccomp-actions", set(actions) - {"SCMP_ACT_NOTIFY"}, use_action)
    operators = section(t, "linux", "seccomp", "operators")
    accepted(t, "features.seccomp-operators", operators, use_operator)
    archs = section(t, "linux", "seccomp", "archs")
    sentence, nonsense = "features.seccomp-archs", "SCMP_ARCH_NOSUCH"
    recognized(t, sentence, nonsense, archs, lambda b, name: use(b, architectures=[name]))
    for sentence, key in (
        ("features.seccomp-known-flags", "knownFlags"),
        ("features.seccomp-supported-flags", "supportedFlags"),
    ):
        flags = (t.features()["linux"]["seccomp"] or {}).get(key)
        if flags is None:
            t.expect(sentence, True, f"{key} is absent: unknown")
            continue
        plain = [name for name in flags if "WAIT_KILLABLE" not in name]  # needs a listener
        accepted(t, sentence, plain, lambda bundle, name: use(bundle, flags=[name]))


@check("features.memory-modes", "features.memory-flags")
def memory_policy(t: Trial) -> None:
    """Uses every mode and flag of memory policies that is named."""
    modes = section(t, "linux", "memoryPolicy", "modes")
    flags = section(t, "linux", "memoryPolicy", "flags")

    def use_mode(bundle: Bundle, name: str) -> None:
        nodes = {} if name in {"MPOL_DEFAULT", "MPOL_LOCAL"} else {"nodes": "0"}
        bundle.linux["memoryPolicy"] = {"mode": name, **nodes}

    def use_flag(bundle: Bundle, name: str) -> None:
        bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": [name]}

    recognized(t, "features.memory-modes", "MPOL_NOSUCH", modes, use_mode)
    accepted(t, "features.memory-flags", flags, use_flag)


@check("features.cgroup", "features.annotations", "features.intel-rdt", "features.idmap",
       "features.net-devices")  # fmt: skip
def kinds_of_values(t: Trial) -> None:
    """Looks at what should be booleans and maps, and at whether idmap is what mounts do."""
    found = t.features()
    linux = found.get("linux") or {}
    for sentence, name in (
        ("features.cgroup", "cgroup"), ("features.intel-rdt", "intelRdt"),
        ("features.net-devices", "netDevices"),
    ):  # fmt: skip
        part = linux.get(name) or {}
        good = all(value is None or isinstance(value, bool) for value in part.values())
        t.expect(sentence, good, json.dumps(part) if part else "absent: unknown")
    notes = found.get("annotations") or {}
    good = all(key and isinstance(value, str) for key, value in notes.items())
    t.expect("features.annotations", good, f"{len(notes)} annotations")
    enabled = ((linux.get("mountExtensions") or {}).get("idmap") or {}).get("enabled")
    mapping = [{"containerID": 0, "hostID": 5000, "size": 60000}]
    bundle = t.bundle("stat -c %u /work")
    source = t.directory / "source"
    source.mkdir()
    bundle.add_mount(
        "/work", "none", source, ["bind", "idmap"], uidMappings=mapping, gidMappings=mapping
    )
    result = t.attempt_create(bundle, bundle.path.name)
    works = False
    if result.ok:
        container = t.adopt(bundle.path.name, bundle).run()
        works = container.output().strip() == "5000"
    words = f"idmap.enabled is {enabled}; a mapping was applied: {works}"
    t.expect("features.idmap", bool(enabled) == works, words)
