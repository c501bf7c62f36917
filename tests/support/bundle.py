"""A throw-away bundle: a directory with config.json and a rootfs of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.bundle import Bundle as Changeable
from conformance.rootfs import install
from tests.support.config import base_config, merge
from tests.support.rootfs import make_rootfs


class Bundle(Changeable):
    """A bundle under `path`; change `config` freely, `write()` happens before each use.

    `name` is unique to the machine and the last component of cgroupsPath.
    """

    def __init__(self, path: Path, name: str, marker: str, overrides: dict[str, Any]) -> None:
        super().__init__(path, base_config(name, marker))
        self.name = name
        path.mkdir(mode=0o755)
        make_rootfs(self.rootfs)
        merge(self.config, overrides)

    @property
    def args(self) -> list[str]:
        """process.args."""
        return list(self.config["process"]["args"])

    @args.setter
    def args(self, value: Sequence[str]) -> None:
        self.config["process"]["args"] = list(value)

    def shell(self, script: str) -> Bundle:
        """Make the process `/bin/sh -c script`."""
        self.args = ["/bin/sh", "-c", script]
        return self

    def set(self, pointer: str, value: object) -> Bundle:
        """Set the value at a JSON pointer, making the objects on the way; `-` appends to a list."""
        *parents, last = [_token(part) for part in pointer.split("/")[1:]]
        node: Any = self.config
        for token in parents:
            node = node[int(token)] if isinstance(node, list) else node.setdefault(token, {})
        if isinstance(node, list):
            if last == "-":
                node.append(value)
            else:
                node[int(last)] = value
        else:
            node[last] = value
        return self

    def remove(self, pointer: str) -> Bundle:
        """Remove the member or element at a JSON pointer; raises KeyError or IndexError."""
        *parents, last = [_token(part) for part in pointer.split("/")[1:]]
        node: Any = self.config
        for token in parents:
            node = node[int(token)] if isinstance(node, list) else node[token]
        del node[int(last) if isinstance(node, list) else last]
        return self

    def mount(self, destination: str) -> dict[str, Any]:
        """Return the mount entry for `destination`; raises KeyError."""
        entries: list[dict[str, Any]] = self.config["mounts"]
        for entry in entries:
            if entry["destination"] == destination:
                return entry
        raise KeyError(destination)

    def drop_mounts(self, *destinations: str) -> Bundle:
        """Remove the mounts on `destinations` and on everything below them."""
        self.config["mounts"] = [
            entry
            for entry in self.config["mounts"]
            if not any(_is_below(entry["destination"], name) for name in destinations)
        ]
        return self

    def install(self, program: Path, name: str) -> Bundle:
        """Copy a program of the host to the absolute or relative path `name` in the rootfs."""
        install(self.rootfs, program, name.lstrip("/"))
        return self


def _token(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
