"""`spec`: what it writes is valid, harmless and for the caller; what is there is left alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ociruntime.spec import load
from ociruntime.spec.default import default_config, rootless_config

from .caller import call

BOTH = [default_config(), rootless_config(1000, 100)]


def mount(config: dict[str, Any], destination: str) -> dict[str, Any]:
    found: list[dict[str, Any]]
    found = [entry for entry in config["mounts"] if entry["destination"] == destination]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("config", BOTH, ids=["root", "rootless"])
def test_valid_without_warnings(config: dict[str, Any]) -> None:
    raw = json.dumps(config).encode()
    assert load(raw, config, source="config.json") == []
    assert config["ociVersion"] == "1.3.0"


@pytest.mark.parametrize("config", BOTH, ids=["root", "rootless"])
def test_no_capability_is_inheritable(config: dict[str, Any]) -> None:
    """CVE-2022-29162, CVE-2022-27650, CVE-2025-27612."""
    capabilities = config["process"]["capabilities"]
    assert not capabilities.get("inheritable")
    assert not capabilities.get("ambient")
    assert capabilities["effective"] == capabilities["permitted"] == capabilities["bounding"]
    assert not {"CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_MKNOD"} & set(capabilities["bounding"])
    assert config["process"]["noNewPrivileges"] is True


@pytest.mark.parametrize("config", BOTH, ids=["root", "rootless"])
def test_confined(config: dict[str, Any]) -> None:
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= set(config["linux"]["maskedPaths"])
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= set(config["linux"]["readonlyPaths"])
    assert config["root"] == {"path": "rootfs", "readonly": True}
    assert set(mount(config, "/proc")["options"]) == {"nosuid", "noexec", "nodev"}
    kinds = [entry["type"] for entry in config["linux"]["namespaces"]]
    assert {"pid", "ipc", "uts", "mount", "cgroup"} <= set(kinds)


def test_for_root() -> None:
    config = default_config()
    kinds = {entry["type"] for entry in config["linux"]["namespaces"]}
    assert "network" in kinds
    assert "user" not in kinds
    assert "ro" in mount(config, "/sys")["options"]
    assert "ro" in mount(config, "/sys/fs/cgroup")["options"]
    assert "gid=5" in mount(config, "/dev/pts")["options"]
    assert config["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]


def test_rootless() -> None:
    config = rootless_config(1000, 100)
    linux = config["linux"]
    kinds = {entry["type"] for entry in linux["namespaces"]}
    assert "user" in kinds
    assert "network" not in kinds
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert linux["gidMappings"] == [{"containerID": 0, "hostID": 100, "size": 1}]
    assert not {"resources", "cgroupsPath"} & set(linux)
    assert not [
        option for option in mount(config, "/dev/pts")["options"] if option.startswith("gid=")
    ]
    below = [entry for entry in config["mounts"] if entry["destination"].startswith("/sys")]
    # Read-only with all that is mounted below it: CVE-2023-25809.
    assert below == [mount(config, "/sys")]
    assert {"rbind", "rro"} <= set(below[0]["options"])


def test_configs_are_independent() -> None:
    default_config()["process"]["args"].append("changed")
    default_config()["linux"]["maskedPaths"].clear()
    assert default_config() == BOTH[0]


def test_writes_the_file(tmp_path: Path) -> None:
    outcome = call(tmp_path, "spec", "--bundle", str(tmp_path))
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "", "")
    text = (tmp_path / "config.json").read_text()
    assert json.loads(text) == default_config()
    assert text.endswith("}\n")
    assert os.stat(tmp_path / "config.json").st_mode & 0o022 == 0


def test_rootless_is_for_the_caller(tmp_path: Path) -> None:
    assert call(tmp_path, "spec", "--rootless", "-b", str(tmp_path), "-f", "mine.json").status == 0
    config = json.loads((tmp_path / "mine.json").read_text())
    assert config == rootless_config(os.geteuid(), os.getegid())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


@pytest.mark.parametrize("kind", ["file", "dangling symlink"])
def test_never_overwrites(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "config.json"
    if kind == "file":
        file.write_text("precious")
    else:
        file.symlink_to(tmp_path / "elsewhere")
    outcome = call(tmp_path, "spec", "-b", str(tmp_path))
    assert outcome.status == 1
    assert outcome.stderr == "ociruntime: File config.json exists. Remove it first\n"
    assert not (tmp_path / "elsewhere").exists()
    if kind == "file":
        assert file.read_text() == "precious"


def test_missing_directory(tmp_path: Path) -> None:
    outcome = call(tmp_path, "spec", "-b", str(tmp_path / "absent"))
    assert outcome.status == 1
    assert outcome.stderr.count("\n") == 1
    assert "absent" in outcome.stderr
    assert "--bundle" in outcome.stderr


def test_arguments_are_refused(tmp_path: Path) -> None:
    outcome = call(tmp_path, "spec", str(tmp_path))
    assert outcome.status == 1
    assert "--bundle" in outcome.stderr
    assert list(tmp_path.iterdir()) == []
