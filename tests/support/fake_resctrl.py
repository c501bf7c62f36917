"""A directory that plays resctrl, for the conformance suite and for a runtime around a real one.

    python -m tests.support.fake_resctrl suite ROOT ARGUMENTS...
    python -m tests.support.fake_resctrl runtime ROOT FAULT REAL ARGUMENTS...

`suite` runs the conformance suite with ROOT as its resctrl. `runtime` does what the specification
says about linux.intelRdt in ROOT and leaves everything else to the runtime REAL; FAULT is what it
does wrong, one of FAULTS, or nothing.
"""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from conformance.resctrl import Resctrl, group_paths, parse

CLASSES, MONITORS = 8, 8
# What a runtime can do wrong, and the sentences that then do not hold.
FAULTS = {
    "forgets tasks": ["rdt.tasks", "rdt.no-clos-id", "rdt.clos-preconfigured"],
    "does not compare": ["rdt.clos-compared"],
    "makes what should be there": ["rdt.clos-preconfigured"],
    "makes nothing": ["rdt.clos-created"],
    "keeps its class": ["rdt.removed"],
    "removes every class": ["rdt.kept"],
    "writes one of two": ["rdt.write-both"],
    "writes no schema": ["rdt.write-one"],
    "writes schemata first": ["rdt.write-schemata"],
    "writes unasked": ["rdt.no-write"],
    "names it otherwise": ["rdt.no-clos-id"],
    "stays where it is": ["rdt.root-clos"],
    "takes any value": ["rdt.mem-bw-schema", "rdt.schemata-newline"],
    "does not monitor": ["rdt.monitoring"],
    "keeps monitoring": ["rdt.monitoring"],
    "monitors if it can": ["rdt.monitoring-fails"],
    "makes a class for all": ["rdt.untouched"],
}


class Fake(Resctrl):
    """A directory in which groups get and lose their files as if the kernel did it."""

    def fill(self) -> None:
        """Make the root class and what the processor can do."""
        for name, text in (
            ("info/L3/cbm_mask", "ff"), ("info/L3/min_cbm_bits", "1"), ("info/L3_MON/num", "8"),
            ("info/MB/min_bandwidth", "10"), ("info/MB/bandwidth_gran", "10"),
        ):  # fmt: skip
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        self._fill_class(self.root)

    def _fill_class(self, group: Path) -> None:
        (group / "mon_groups").mkdir()
        (group / "tasks").touch()
        (group / "schemata").write_text("    L3:0=ff;1=ff\n    MB:0=100;1=100\n")

    def make(self, group: Path) -> None:
        monitor = group.parent.name == "mon_groups"
        count = sum(
            (path.parent.name == "mon_groups") == monitor for path in group_paths(self.root)
        )
        if count >= (MONITORS if monitor else CLASSES):
            raise OSError(errno.ENOSPC, "No space left on device")
        group.mkdir()
        if monitor:
            (group / "tasks").touch()
        else:
            self._fill_class(group)

    def remove(self, group: Path) -> None:
        shutil.rmtree(group, ignore_errors=True)

    def write(self, group: Path, line: str) -> None:
        have = self.schemata(group)
        for resource, domains in parse(line).items():
            known = have.get(resource, {})
            if not domains.keys() <= known.keys() or max(domains.values()) > 255:
                raise OSError(errno.EINVAL, "Invalid argument")
            known.update(domains)
        text = ""
        for resource, row in have.items():
            form = "d" if resource == "MB" else "x"
            words = ";".join(f"{domain}={value:{form}}" for domain, value in row.items())
            text += f"{resource:>6}:{words}\n"
        (group / "schemata").write_text(text)

    def join(self, group: Path, pid: int) -> None:
        """Move a process to a group."""
        for other in (self.root, *group_paths(self.root)):
            left = self.tasks(other) - {pid}
            (other / "tasks").write_text("".join(f"{number}\n" for number in sorted(left)))
        monitor = group.parent.name == "mon_groups"
        for place in (group, group.parent.parent) if monitor else (group,):
            with (place / "tasks").open("a") as file:
                file.write(f"{pid}\n")


class Refusal(Exception):
    """The runtime gives an error."""


def make_class(fake: Fake, fault: str, name: str, rdt: dict[str, Any]) -> tuple[Path, list[str]]:
    """Find or make the class and return it with what delete has to remove."""
    closid = rdt.get("closID", "")
    lines = [rdt[key] for key in ("l3CacheSchema", "memBwSchema") if key in rdt]
    more = list(rdt.get("schemata", ()))
    bandwidth = rdt.get("memBwSchema", "MB:")
    valid = bandwidth.startswith("MB:") and not any("\n" in line for line in [bandwidth, *more])
    if not valid and fault != "takes any value":
        raise Refusal("not a schema")
    lines = more + lines if fault == "writes schemata first" else lines + more
    lines = lines[1:] if fault == "writes one of two" and len(lines) > 1 else lines
    wrong = "x" if fault == "names it otherwise" else ""
    group = fake.root if closid == "/" else fake.root / (closid or f"{name}{wrong}")
    if group.exists():
        have = fake.schemata(group)
        for line in lines if fault != "does not compare" else []:
            if not parse(line).items() <= have.items():
                raise Refusal(f"the class has another schema than {line}")
    else:
        refusing = closid and (not lines or fault == "makes nothing")
        if refusing and fault != "makes what should be there":
            raise Refusal("no such class")
        fake.make(group)
        for line in lines if fault != "writes no schema" else []:
            fake.write(group, line)
    if fault == "writes unasked" and not lines and group != fake.root:
        fake.write(group, "L3:0=f;1=f")
    ours = (not closid and fault != "keeps its class") or fault == "removes every class"
    return group, [str(group)] if ours and group != fake.root else []


def create(fake: Fake, fault: str, real: list[str], words: list[str]) -> None:
    """Create a container, in its class; the real runtime sees no intelRdt."""
    name = words[-1]
    path = Path(words[words.index("--bundle") + 1], "config.json")
    config = json.loads(path.read_text())
    rdt = config["linux"].pop("intelRdt", {} if fault == "makes a class for all" else None)
    path.write_text(json.dumps(config))
    remove: list[str] = []
    if rdt is not None:
        group, remove = make_class(fake, fault, name, rdt)
        if rdt.get("enableMonitoring") and fault != "does not monitor":
            monitor = group / "mon_groups" / name
            try:
                fake.make(monitor)
            except OSError as error:
                if fault != "monitors if it can":
                    raise Refusal(str(error)) from None
            if fault != "keeps monitoring":
                remove.insert(0, str(monitor))
            group = monitor if monitor.exists() else group
    subprocess.run([*real, *words], check=True)
    found = subprocess.run([*real, "state", name], check=True, capture_output=True)
    pid = json.loads(found.stdout)["pid"]
    stays = fault == "stays where it is" and group == fake.root
    if rdt is not None and fault != "forgets tasks" and not stays:
        fake.join(group, pid)
    (fake.root.parent / f"{name}.remove").write_text(json.dumps(remove))


def runtime(root: str, fault: str, real: str, arguments: list[str]) -> int:
    """Be the runtime; returns the exit status."""
    fake = Fake(Path(root))
    options, words = [real, *arguments[:2]], arguments[2:]
    if "create" in words:
        try:
            create(fake, fault, options, words)
        except (Refusal, OSError, subprocess.CalledProcessError) as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    status = subprocess.run([*options, *words], check=False).returncode
    saved = fake.root.parent / f"{words[-1]}.remove"
    if "delete" in words and status == 0 and saved.exists():
        for path in json.loads(saved.read_text()):
            fake.remove(Path(path))
        saved.unlink()
    return status


def main(arguments: list[str]) -> int:
    """Do what the arguments say."""
    what, root, *words = arguments
    if what == "runtime":
        return runtime(root, words[0], words[1], words[2:])
    return play(Path(root), words)


def play(root: Path, words: list[str]) -> int:
    """Run the suite with a directory as resctrl; returns the exit status."""
    from conformance import __main__ as suite  # the runtime is to start quickly
    from conformance import host, leaks

    Fake(root).fill()
    for module in (host, leaks):
        module.resctrl = lambda: root
    Resctrl.make, Resctrl.remove, Resctrl.write = Fake.make, Fake.remove, Fake.write  # type: ignore[method-assign,assignment]
    Resctrl._fill_class = Fake._fill_class  # type: ignore[attr-defined]
    return suite.main(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
