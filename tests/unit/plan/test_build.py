"""Plans: what is in them, in which order, and that they are data."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ociruntime.steps
from ociruntime.cgroups.detect import V2, Hierarchy, Layout
from ociruntime.errors import PlanError
from ociruntime.jsontext import dumps
from ociruntime.plan.build import Plan, build, sysctl_path
from ociruntime.plan.handover import FEW_SOURCES
from ociruntime.plan.host import Host
from ociruntime.plan.limits import DESCRIPTORS, rlimits
from ociruntime.plan.namespaces import time_offsets
from ociruntime.plan.requests import CreateRequest
from ociruntime.process.step import Step
from ociruntime.spec.idmaps import host_id, mappings
from ociruntime.state.store import Store
from tests.unit.process.configs import CONFIGS, engine_config
from tests.unit.process.inline import layout, root_host


def plan(config: dict[str, Any], host: Host | None = None, **options: object) -> Plan:
    wanted = CreateRequest("c1", Store("/run/x"), "/bundle")
    for name, value in options.items():
        setattr(wanted, name, value)
    return build(config, b"{}", host or root_host(), wanted)


def kinds(made: Plan) -> list[str]:
    return [step.kind for step in made.steps]


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_are_data(name: str) -> None:
    """JSON, one line for a person, and a pointer into the config."""
    config = CONFIGS[name]()
    made = plan(config, pid_file="/x", pidfd_socket="/y")
    document = json.loads(dumps([step.as_dict() for step in made.steps]))
    assert [step["step"] for step in document] == kinds(made)
    for step in made.steps:
        assert step.describe().isprintable()
        assert step.label
        assert step.side in ("host", "container")
        resolve(config, step.pointer)


GIBIBYTE = 1 << 30


@pytest.mark.parametrize(
    ("options", "resources", "bound"),
    [
        ([], {}, GIBIBYTE),
        (["size=0"], {}, GIBIBYTE),
        (["mode=700"], {"memory": {"limit": -1}}, GIBIBYTE),
        ([], {"memory": {"limit": 0}, "unified": {"memory.max": "max"}}, GIBIBYTE),
        (["size=70%"], {}, None),
        (["nr_blocks=9"], {}, None),
        ([], {"memory": {"limit": 1 << 20}}, 1 << 20),
        (["size=4g"], {"memory": {"limit": 1 << 20}}, 1 << 20),
        ([], {"memory": {"limit": 2 << 30}}, 2 << 30),
        ([], {"unified": {"memory.max": "4096"}}, 4096),
        ([], {"memory": {"limit": 1 << 20}, "unified": {"memory.max": "4096"}}, 4096),
    ],
)
def test_tmpcopyup_is_bounded(
    options: list[str], resources: dict[str, Any], bound: int | None
) -> None:
    """By the memory of the container, else by the mount's size, else by a GiB (docs/mounts.md)."""
    config = engine_config()
    config["linux"]["resources"].update({"memory": {}, **resources})
    entry = {"destination": "/data", "type": "tmpfs", "options": ["tmpcopyup", *options]}
    config["mounts"].append(entry)
    host = root_host()
    controllers = ("cpu", "cpuset", "io", "memory", "pids")
    host.cgroups = Layout(V2, [Hierarchy("", controllers, "/sys/fs/cgroup", "/", "/")])
    (step,) = [
        step for step in plan(config, host).steps if getattr(step, "destination", "") == "/data"
    ]
    found = step.options.copy_bound  # type: ignore[attr-defined]
    assert (found and found.size) == bound


def test_a_kind_names_one_class() -> None:
    """`plan --format json` and tests of faults tell steps apart by it."""
    package = Path(ociruntime.steps.__file__).parent
    for module in package.glob("*.py"):
        importlib.import_module(f"ociruntime.steps.{module.stem}")
    owners: dict[str, set[str]] = {}
    for cls in subclasses(Step):
        owners.setdefault(cls.kind, set()).add(cls.__name__)
    del owners["step"]
    assert {kind: names for kind, names in owners.items() if len(names) > 1} == {}


def subclasses(cls: type[Step]) -> Iterator[type[Step]]:
    for below in cls.__subclasses__():
        yield below
        yield from subclasses(below)


def resolve(config: dict[str, Any], pointer: str) -> None:
    """Follow the pointer; what has a default may be absent in the last place."""
    node: Any = config
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for part in parts[:-1]:
        assert part in node if isinstance(node, dict) else int(part) < len(node), pointer
        node = node[part] if isinstance(node, dict) else node[int(part)]
    if parts and isinstance(node, list):
        assert int(parts[-1]) < len(node), pointer


def test_secrets_are_not_shown() -> None:
    config = engine_config()
    config["process"]["env"].append("PASSWORD=hunter2")
    text = dumps([step.as_dict() for step in plan(config).steps])
    assert "PASSWORD" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("claim-state", "create-cgroup"),
        ("open-init", "spawn"),
        ("listen-for-start", "spawn"),
        ("open-source", "spawn"),
        ("spawn", "record-init"),
        ("record-init", "join-cgroup"),
        ("join-cgroup", "unshare-cgroup"),
        ("attach-rootfs", "mount"),
        ("mount", "make-device"),
        ("make-device", "run-hook"),
        ("limit-devices", "run-hook"),
        ("run-hook", "mask-path"),
        ("mask-path", "readonly-root"),
        ("readonly-root", "pivot-root"),
        ("pivot-root", "exec-init"),
        ("exec-init", "limit-resources"),
        ("exec-init", "set-rlimits"),
        ("limit-resources", "save-created"),
        ("write-pid-file", "save-created"),
    ],
)
def test_order(earlier: str, later: str) -> None:
    found = kinds(plan(engine_config(), pid_file="/x"))
    last = len(found) - 1 - found[::-1].index(earlier)
    assert last < found.index(later)


def test_first_and_last() -> None:
    found = kinds(plan(engine_config(), pid_file="/x", pidfd_socket="/y"))
    assert found[0] == "claim-state"
    assert found[-1] == "save-created"


def test_minimal() -> None:
    """A config without anything still gets devices, a working directory and a program."""
    config = {
        "ociVersion": "1.0.0",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["sh"]},
        "linux": {"namespaces": [{"type": "mount"}]},
    }
    found = kinds(plan(config))
    assert found.count("make-device") == 6
    assert "run-hook" not in found
    assert "mount" not in found


def test_no_process() -> None:
    config = engine_config()
    del config["process"]
    made = plan(config)
    assert "find-program" not in kinds(made)
    assert made.state["has_process"] is False


@pytest.mark.parametrize("new_keyring", [True, False])
def test_keyring_option(*, new_keyring: bool) -> None:
    assert ("new-keyring" in kinds(plan(engine_config(), new_keyring=new_keyring))) is new_keyring


def test_no_pivot() -> None:
    config = engine_config()
    found = kinds(plan(config, pivot=False))
    assert "pivot-root" not in found
    assert "move-root" in found
    config["linux"]["rootfsPropagation"] = "rprivate"
    with pytest.raises(PlanError, match="--no-pivot"):
        plan(config, pivot=False)


def test_terminal_needs_a_socket() -> None:
    config = engine_config()
    config["process"]["terminal"] = True
    with pytest.raises(PlanError, match="console socket"):
        plan(config)
    found = kinds(plan(config, console_socket="/s"))
    assert found.index("connect-console") < found.index("spawn") < found.index("open-terminal")


def test_socket_needs_a_terminal() -> None:
    with pytest.raises(PlanError, match="console socket"):
        plan(engine_config(), console_socket="/s")


def test_mounts_need_a_namespace() -> None:
    config = engine_config()
    namespaces = config["linux"]["namespaces"]
    config["linux"]["namespaces"] = [entry for entry in namespaces if entry["type"] != "mount"]
    with pytest.raises(PlanError, match="mount namespace"):
        plan(config)


def test_unprivileged_needs_a_user_namespace() -> None:
    host = Host(1000, 1000, 0, 40, layout(), in_userns=False)
    with pytest.raises(PlanError, match="needs root"):
        plan(engine_config(), host)


def test_devices_are_bound_in_a_user_namespace() -> None:
    made = plan(CONFIGS["user-namespace"]())
    devices = [step for step in made.steps if step.kind == "make-device"]
    assert all(step.operands()["bind"] for step in devices)


def test_unmapped_mount_option() -> None:
    config = CONFIGS["user-namespace"]()
    config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100_000, "size": 1}]
    with pytest.raises(PlanError, match=r"gid=5 is not in .*add a range covering 5"):
        plan(config)


def test_masks_lie_over_readonly_paths() -> None:
    found = kinds(plan(engine_config()))
    assert max(i for i, kind in enumerate(found) if kind == "readonly-path") < found.index(
        "mask-path"
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_sysctl_path(name: str, path: str) -> None:
    assert sysctl_path(name) == path


def test_mappings() -> None:
    maps = mappings(
        [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 9, "size": 5}]
    )
    assert maps == [(0, 1000, 1), (1, 9, 5)]
    assert [host_id(maps, number) for number in (0, 1, 5, 6)] == [1000, 9, 13, None]
    assert mappings(None) == []


def test_time_offsets() -> None:
    offsets = {"boottime": {"nanosecs": 5}, "monotonic": {"secs": -3}}
    assert time_offsets({"timeOffsets": offsets}) == "monotonic -3 0\nboottime 0 5\n"
    assert time_offsets({}) == ""


@pytest.mark.parametrize(
    ("soft", "hard", "outside", "inside"),
    [
        (1024, 2048, (1024, 2048), None),
        (3, 2048, (DESCRIPTORS, 2048), (3, 2048)),
        (3, 3, None, (3, 3)),
        (2048, 1024, (2048, 1024), None),  # the kernel's to refuse
    ],
)
def test_descriptor_limits(
    soft: int, hard: int, outside: tuple[int, int] | None, inside: tuple[int, int] | None
) -> None:
    """oci-init works with enough descriptors and lowers the limit at the end."""
    first, second = rlimits({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard}]}, 0)
    assert [entry[3:] for entry in first] == ([outside] if outside else [])
    assert [entry[1:] for entry in second] == ([inside] if inside else [])


def test_other_limits_are_set_from_outside() -> None:
    entry = {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}
    assert rlimits({"rlimits": [entry]}, 0) == (
        [("/process/rlimits/0", "RLIMIT_CORE", 4, 0, 0)],
        [],
    )


def test_bundle_relative_sources() -> None:
    config = engine_config()
    config["mounts"].append({"destination": "/d", "source": "data", "options": ["bind"]})
    sources = [
        step.operands()["source"] for step in plan(config).steps if step.kind == "open-source"
    ]
    assert str(Path("/bundle/data")) in sources


def test_many_bind_mounts() -> None:
    """So many descriptors at a time that they fit below any limit, each opened before its mount."""
    config = engine_config()
    bind = {"type": "bind", "source": "/s", "options": ["bind"]}
    config["mounts"] += [{"destination": f"/m/{index}", **bind} for index in range(300)]
    most = 0
    held: set[str] = set()
    steps = plan(config).steps
    for step in steps:
        if step.kind == "open-source":
            held.add(step.pointer)
        elif step.kind == "bind-mount":
            held.remove(step.pointer)
        most = max(most, len(held))
        dumps([step.as_dict()])
    assert (most, held) == (FEW_SOURCES, set())
    order = [step.kind for step in steps]
    assert order.index("spawn") < order.index("close-sources") < order.index("take-sources")


def test_few_bind_mounts() -> None:
    """They are all opened before anything is mounted, and nothing is handed over."""
    config = engine_config()
    few = FEW_SOURCES - sum(1 for entry in config["mounts"] if entry.get("type") == "bind")
    bind = {"type": "bind", "source": "/s", "options": ["bind"]}
    config["mounts"] += [{"destination": f"/m/{index}", **bind} for index in range(few)]
    order = kinds(plan(config))
    assert "open-handover" not in order
    last = len(order) - order[::-1].index("open-source")
    assert last < order.index("spawn")


def test_many_bind_mounts_in_a_namespace_that_is_joined() -> None:
    """Init opens them itself, where they mean what they mean there: the late ones at their turn."""
    config = engine_config()
    bind = {"type": "bind", "source": "/s", "options": ["bind"]}
    config["mounts"] += [{"destination": f"/m/{index}", **bind} for index in range(300)]
    entry = next(one for one in config["linux"]["namespaces"] if one["type"] == "mount")
    entry["path"] = "/proc/1/ns/mnt"
    order = kinds(plan(config))
    assert "open-handover" not in order
    opened = [index for index, kind in enumerate(order) if kind == "open-source"]
    assert opened[FEW_SOURCES - 1] < order.index("attach-rootfs") < opened[FEW_SOURCES]
    assert all(order[index + 1] == "bind-mount" for index in opened[FEW_SOURCES:])


@pytest.mark.parametrize(
    "entry",
    [
        {"destination": "/x", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/x", "type": "mqueue", "source": "mqueue"},  # labelled by its root
        {"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]},  # late
    ],
)
def test_every_filesystem_of_the_container_is_reconfigured(entry: dict[str, Any]) -> None:
    """However it is made: `remount` with data is not refused as the host's."""
    config = engine_config()
    config["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0"
    config["mounts"].append(entry)
    config["mounts"].append({"destination": "/x/", "options": ["remount", "size=1m"]})
    assert "reconfigure" in kinds(plan(config))
