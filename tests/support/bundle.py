"""A throw-away bundle: a directory with config.json and a rootfs of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.config import base_config, merge
from tests.support.rootfs import install, make_rootfs


class Bundle:
    """A bundle under `path`; change `config` freely, `write()` happens before each use.

    `name` is unique to the machine and the last component of cgroupsPath.
    """

    def __init__(self, path: Path, name: str, marker: str, overrides: dict[str, Any]) -> None:
        self.path = path
        self.name = name
        self.rootfs = path / "rootfs"
        path.mkdir(mode=0o755)
        make_rootfs(self.rootfs)
        self.config = base_config(name, marker)
        merge(self.config, overrides)

    def write(self) -> Bundle:
        """Write config.json as `config` is now."""
        (self.path / "config.json").write_text(json.dumps(self.config, indent=1))
        return self

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

    def add_mount(
        self, destination: str, kind: str, source: str | Path, options: Sequence[str] = ()
    ) -> Bundle:
        """Append a mount of type `kind`; for a bind mount `bind`, with the option bind or rbind."""
        self.config["mounts"].append(
            {
                "destination": destination,
                "type": kind,
                "source": str(source),
                "options": list(options),
            }
        )
        return self

    def bind(
        self, source: str | Path, destination: str, options: Sequence[str] = ("rbind", "rprivate")
    ) -> Bundle:
        """Append a bind mount of `source` on the host."""
        return self.add_mount(destination, "bind", source, options)

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

    def drop_namespace(self, kind: str) -> Bundle:
        """Remove the namespaces of type `kind`."""
        linux = self.config["linux"]
        linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != kind]
        return self

    def add_namespace(self, kind: str, path: str | None = None) -> Bundle:
        """Append a namespace, new or joined by `path`."""
        self.config["linux"]["namespaces"].append(
            {"type": kind} if path is None else {"type": kind, "path": path}
        )
        return self

    def add_capabilities(self, *names: str) -> Bundle:
        """Grant more capabilities: bounding, effective and permitted."""
        for kind in ("bounding", "effective", "permitted"):
            self.config["process"]["capabilities"][kind] += names
        return self

    def install(self, program: Path, name: str) -> Bundle:
        """Copy a program of the host to the absolute or relative path `name` in the rootfs."""
        install(self.rootfs, program, name.lstrip("/"))
        return self


def _token(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
