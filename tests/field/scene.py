"""What a case is played on: a directory with a bundle, sources of mounts, FIFOs for reports."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import socket
import time
from pathlib import Path
from typing import Any

from tests.field import seeds
from tests.field.case import Case, Change, Config, fill
from tests.support.sandbox import MARKER, Sandbox

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
REPORTS = (
    "process",
    *(f"exec-{n}" for n in range(4)),
    *(f"{kind}-{n}" for kind in HOOKS for n in "01"),
)
PIPE_SIZE = 1 << 19
DIRECTORIES = ("bin", "dev", "etc", "home", "mnt", "proc", "root", "run", "sys", "tmp", "usr/bin",
               "var", "report")  # fmt: skip
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n",
    "group": "root:x:0:\ntty:x:5:\nuser:x:1000:\n",
    "hosts": "127.0.0.1 localhost\n",
}


class Scene:
    """One case, for one runtime, in a sandbox of its own.

    `directory` holds `bundle` with `rootfs`, `host` (sources of mounts) and `look` (the probe).
    """

    def __init__(self, case: Case, sandbox: Sandbox, look: Path) -> None:
        self.case = case
        self.sandbox = sandbox
        self.directory = sandbox.directory
        self.id = sandbox.new_id()
        self.bundle = self.directory / "bundle"
        self.rootfs = self.bundle / "rootfs"
        self.look = self.directory / "look"
        os.link(look, self.look)
        self.names = {
            "@CASE@": str(self.directory), "@ID@": self.id, "@LOOK@": str(self.look)
        }  # fmt: skip
        self._make_image()
        for change in case.changes:
            if "put" in change:
                self._put(fill(change, self.names))
            elif "lose" in change:
                self._lose(change["lose"])
        self.host_peers: set[str] = set()
        self.config = self._config()
        (self.bundle / "config.json").write_text(json.dumps(self.config, indent=1))
        if owner := case.last("rootless", 0):
            self._give_to(owner)
        self._fifos: dict[str, int] = {}
        for name in REPORTS:
            self._make_fifo(name)

    def path(self, name: str) -> Path:
        """Return where a path of the case lies: `rootfs/...` is in the bundle."""
        return (self.bundle if name.startswith("rootfs/") else self.directory) / name

    def plain(self, text: str) -> str:
        """Return a text of this case with its names taken out again."""
        for name, own in self.names.items():
            text = text.replace(own, name)
        return text.replace(self.sandbox.prefix, "@PREFIX@")

    def report(self, name: str, seconds: float) -> dict[str, Any] | None:
        """Return what the probe wrote under a name, None when nothing came in time."""
        deadline = time.monotonic() + seconds
        fifo, text = self._fifos[name], b""
        while not text.endswith(b"\n"):
            left = max(deadline - time.monotonic(), 0)
            if not select.select([fifo], [], [], left)[0]:
                return None
            text += os.read(fifo, PIPE_SIZE)
        # The probe writes bytes as latin-1.
        found = json.loads(text)
        return found if isinstance(found, dict) else None

    def close(self) -> None:
        """Close the FIFOs."""
        for fifo in self._fifos.values():
            os.close(fifo)

    def _make_image(self) -> None:
        (self.directory / "host" / "directory" / "below").mkdir(parents=True)
        (self.directory / "host" / "directory" / "content").write_text("from the host\n")
        (self.directory / "host" / "file").write_text("a file of the host\n")
        (self.directory / "cwd").mkdir()
        self.rootfs.mkdir(parents=True, mode=0o755)
        for name in DIRECTORIES:
            (self.rootfs / name).mkdir(parents=True, mode=0o755, exist_ok=True)
        (self.rootfs / "tmp").chmod(0o1777)
        (self.rootfs / "root").chmod(0o700)
        for name, text in ETC.items():
            (self.rootfs / "etc" / name).write_text(text)
        os.link(self.look, self.rootfs / "look")
        os.symlink("/look", self.rootfs / "bin" / "look")

    def _put(self, change: Change) -> None:
        path = self.path(change["put"])
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lose(change["put"])
        kind = change.get("kind", "file")
        if kind == "file":
            path.write_text(change.get("text", ""))
        elif kind == "directory":
            path.mkdir()
        elif kind == "link":
            os.symlink(change["to"], path)
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
        if "owner" in change:
            os.lchown(path, *(int(word) for word in change["owner"].split(":")))
        if "mode" in change:
            path.chmod(int(change["mode"], 8))

    def _lose(self, name: str) -> None:
        path = self.path(name)
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)

    def _config(self) -> Config:
        config = self.case.config(seeds.SEEDS)
        if process := config.get("process"):
            life = self.case.last("life", "create")
            process["args"] = [
                process.pop("program", "/look"),
                "report",
                "/report/process",
                "process",
                "tree",
            ]
            process["args"] += ["exit=3"] if life == "run" else ["hold"]
            for change in self.case.all("process"):
                process["args"] += change["process"]
            process.setdefault("env", []).append(f"{MARKER}={self.sandbox.prefix}")
        for change in self.case.all("hook"):
            hooks = config.setdefault("hooks", {}).setdefault(change["hook"], [])
            hooks.append(self._hook(change, len(hooks)))
        filled = fill(config, self.names)
        assert isinstance(filled, dict)
        return filled

    def _hook(self, change: Change, number: int) -> Change:
        """Return a hook that runs the probe; a startContainer hook's file is in the image."""
        inside = change["hook"] == "startContainer"
        name = f"{change['hook']}-{number}"
        report = f"/report/{name}" if inside else f"@CASE@/bundle/rootfs/report/{name}"
        more = {key: value for key, value in change.items() if key not in ("hook", "words")}
        words = ["look", "report", report, name, "stdin", *change.get("words", [])]
        return {"path": "/look" if inside else "@LOOK@", "args": words, **more}

    def _give_to(self, owner: int) -> None:
        self.sandbox.root.mkdir()
        for top in (self.directory, *self.directory.rglob("*")):
            if top not in (self.look, self.rootfs / "look", self.sandbox.null):
                os.lchown(top, owner, owner)

    def _make_fifo(self, name: str) -> None:
        path = self.rootfs / "report" / name
        os.mkfifo(path)
        path.chmod(0o666)
        self._fifos[name] = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self._fifos[name], fcntl.F_SETPIPE_SZ, PIPE_SIZE)
