"""Configurations that cases begin with: the tests' own, the example bundles, and a directory's.

FIELD_SEEDS names a directory of configurations that engines wrote; the long run mutates those, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bundles.recipes import RECIPES
from tests.field.case import Config, default_seed

# The program, its streams and its limits are the case's: a recipe is what it says besides.
_UNUSED = ("rootless", "shell", "service")
# Files that engines bind over; everything else they bind is a directory.
_FILES = ("resolv.conf", "hosts", "hostname", ".containerenv", "docker-init", "localtime")


def adapted(config: Config) -> Config:
    """Return a configuration with all that belongs to another machine replaced."""
    config.pop("hooks", None)
    process, linux = config["process"], config["linux"]
    config["root"]["path"] = "rootfs"
    linux["cgroupsPath"] = "/ocirt-test/@ID@"
    linux.pop("netDevices", None)
    process["terminal"] = False
    process.pop("consoleSize", None)
    process.pop("apparmorProfile", None)
    process.pop("selinuxLabel", None)
    for namespace in linux.get("namespaces", []):
        namespace.pop("path", None)
    config["mounts"] = [_mount(entry) for entry in config.get("mounts", [])]
    return config


def _mount(entry: dict[str, Any]) -> dict[str, Any]:
    if {"bind", "rbind"} & set(entry.get("options", [])) and not entry["source"].startswith("/dev"):
        kind = "file" if Path(entry["destination"]).name in _FILES else "directory"
        return {**entry, "source": f"@CASE@/host/{kind}"}
    return entry


def _recipe(name: str) -> Config:
    config: Config = json.loads(json.dumps(RECIPES[name]()))
    return adapted(config)


def _file(path: Path) -> Config:
    return adapted(json.loads(path.read_text()))


def _seeds() -> dict[str, Callable[[], Config]]:
    found: dict[str, Callable[[], Config]] = {"default": default_seed}
    found |= {name: partial(_recipe, name) for name in RECIPES if name not in _UNUSED}
    if directory := os.environ.get("FIELD_SEEDS"):
        found |= {
            path.stem: partial(_file, path) for path in sorted(Path(directory).glob("*.json"))
        }
    return found


SEEDS = _seeds()
