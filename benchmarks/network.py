"""What a container's network costs: ours, and runc with the standard CNI plugins, side by side.

    benchmarks/network.py [--rounds N] [--output FILE]

Each round takes turns (A B C A B C ...) in a network namespace of its own. Measured is a whole
`run` of /bin/true, with the network made before it and taken back after it, less the same without
a network; and the hook alone. Reported are medians of wall and CPU time. Run as root.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bundles import config, make_rootfs
from benchmarks.measure import Meter, Sample
from benchmarks.peers import newest
from conformance.host import enter_own_mount_namespace
from ociruntime.kernel.constants import CLONE_NEWNET
from ociruntime.kernel.kernel import Kernel

CHECKOUT = Path(__file__).resolve().parent.parent
OURS = str(CHECKOUT / ".venv" / "bin" / "ociruntime")
HOOK = str(CHECKOUT / ".venv" / "bin" / "ociruntime-net")
STANDARD = "/usr/lib/cni"
PUBLISHED = "8080:80"
# The least that a hook can be which calls the standard plugin: no chain, no port, no result kept.
SCRIPT = """
state=$(cat)
id=${{state#*'"id":'}}; id=${{id#*\\"}}; pid=${{state#*'"pid":'}}
export CNI_COMMAND=$0 CNI_CONTAINERID=${{id%%\\"*}} CNI_IFNAME=eth0 CNI_PATH={path} CNI_NETNS=
if [ $0 = ADD ]; then CNI_NETNS=/proc/${{pid%%[,\\}}]*}}/ns/net; fi
exec {path}/bridge < {file} > /dev/null
"""
TITLE = """# Performance of networks

Made by `make bench`; not by hand.
"""
EXPLAINED = """Each container gets a network namespace, a pair of devices, a port of a bridge,
an address and a default route, and gives them back. The standard plugins are bridge with
host-local, portmap and firewall, called by our client; the shell script calls bridge alone, and
leaves the devices to the kernel.
"""


@dataclass
class Kind:
    """A way to give a container a network: the ``runtime``, and the hook's words for each phase."""

    name: str
    runtime: str
    hooks: dict[str, list[str]] = field(default_factory=dict)


def bridge(place: Path, kind: str, ipam: str, number: int) -> dict[str, Any]:
    """The configuration of a bridge; the same for both, but for the names."""
    directory = str(place / f"leases{number}")
    ranges = [[{"subnet": f"10.87.{number}.0/24"}]]
    return {
        "type": kind,
        "bridge": f"bench{number}",
        "isDefaultGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {"type": ipam, "dataDir": directory, "ranges": ranges},
    }


def kinds(place: Path) -> list[Kind]:
    """Everything that is compared."""
    capability = {"capabilities": {"portMappings": True}}
    chains = {
        "our plugins": [bridge(place, "ociruntime-bridge", "ociruntime-ipam", 1) | capability],
        "the standard plugins": [
            bridge(place, "bridge", "host-local", 2),
            {"type": "portmap", **capability},
            {"type": "firewall"},
        ],
    }
    found = []
    for runtime in (OURS, newest("runc")):
        if runtime is None:
            continue
        name = Path(runtime).name
        found.append(Kind(name, runtime))
        for label, plugins in chains.items():
            path = place / f"{label.replace(' ', '-')}.conflist"
            document = {"cniVersion": "1.0.0", "name": path.stem, "plugins": plugins}
            path.write_text(json.dumps(document))
            words = [HOOK, "ociruntime-net", "--state", str(place / "net"), "--network", str(path)]
            words += ["--cni-path", STANDARD]
            for what, more in (("", []), (", a published port", ["--publish", PUBLISHED])):
                hooks = {"createRuntime": words + more, "poststop": words + more}
                found.append(Kind(f"{name}, {label}{what}", runtime, hooks))
    if runc := newest("runc"):
        file = place / "script.conf"
        plugin = bridge(place, "bridge", "host-local", 3)
        file.write_text(json.dumps({"cniVersion": "1.0.0", "name": "script", **plugin}))
        script = SCRIPT.format(path=STANDARD, file=file)
        hooks = {
            "createRuntime": ["/bin/sh", "sh", "-ec", script, "ADD"],
            "poststop": ["/bin/sh", "sh", "-ec", script, "DEL"],
        }
        found.append(Kind(f"{Path(runc).name}, the standard bridge by a shell script", runc, hooks))
    return found


def bundle(place: Path, kind: Kind) -> Path:
    """A bundle with the kind's hooks; its program ends at once."""
    path = place / f"bundle-{kind.name.replace(' ', '-')}"
    path.mkdir()
    document = config(full=True, args=["/bin/true"])
    document["root"]["path"] = str(place / "rootfs")
    document["hooks"] = {
        phase: [{"path": words[0], "args": words[1:]}] for phase, words in kind.hooks.items()
    }
    (path / "config.json").write_text(json.dumps(document))
    return path


def measure(place: Path, rounds: int) -> dict[str, list[Sample]]:
    """The samples of each kind."""
    meter = Meter(place)
    todo = [(kind, bundle(place, kind)) for kind in kinds(place)]
    samples: dict[str, list[Sample]] = {kind.name: [] for kind, _ in todo}
    # The first round makes the bridges; it does not count.
    for number in range(rounds + 1):
        for kind, path in todo:
            root = str(place / f"root-{Path(kind.runtime).name}")
            command = [kind.runtime, "--root", root, "run", "--bundle", str(path), f"b{number}"]
            sample = meter.measure(command)
            if number:
                samples[kind.name].append(sample)
    return samples


def table(samples: dict[str, list[Sample]]) -> str:
    """The result in Markdown."""
    wall = {name: statistics.median(s.wall for s in of) * 1000 for name, of in samples.items()}
    cpu = {name: statistics.median(s.cpu for s in of) * 1000 for name, of in samples.items()}
    lines = [
        "| `run` of /bin/true | wall ms | CPU ms | of it the network: wall ms | CPU ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in samples:
        cells = [name, f"{wall[name]:.1f}", f"{cpu[name]:.1f}"]
        bare = name.partition(",")[0]
        parts = (wall[name] - wall[bare], cpu[name] - cpu[bare])
        cells += ["", ""] if name == bare else [f"{part:.1f}" for part in parts]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    enter_own_mount_namespace()
    Kernel().unshare(CLONE_NEWNET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    place = Path(tempfile.mkdtemp(prefix="ocirt-bench-"))
    try:
        make_rootfs(place / "rootfs")
        text = table(measure(place, arguments.rounds))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(text)
    if arguments.output:
        head = (
            f"Linux {platform.release()}, {os.cpu_count()} CPUs, {arguments.rounds} rounds, load "
            f"average at the end {os.getloadavg()[0]:.1f}; medians."
        )
        arguments.output.write_text(f"{TITLE}\n{head}\n{EXPLAINED}\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
