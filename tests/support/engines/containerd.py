"""containerd with a private state, and three ways to run a container with it."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.engines.host import Done, EngineError, PrivateHost
from tests.support.engines.image import NAME, write_image

IMAGE = f"docker.io/library/{NAME}:latest"
# ctr's options for Debian's shim with runc, the same with ociruntime as its runc, and our own shim.
WAYS = {
    "runc": ("--runtime", "io.containerd.runc.v2"),
    "ociruntime": ("--runtime", "io.containerd.runc.v2", "--runc-binary", "{runtime}"),
    "shim": ("--runtime", "io.containerd.ociruntime.v1"),
}
CONFIG = """version = 2
root = "{directory}/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "/run/containerd.sock"
[debug]
  level = "trace"
"""
_numbers = itertools.count(1)


class Containerd:
    """A running daemon, whose shims are those in `runtime`'s directory and in PATH."""

    def __init__(
        self,
        directory: Path,
        runtime: Path,
        config: str = CONFIG,
        namespace: str = "default",
        path: str = "",
    ) -> None:
        """``path`` is a further directory of PATH."""
        self.directory = directory
        self.runtime = runtime
        self.log = directory / "containerd.log"
        self.host = PrivateHost(directory)
        others = self.host.environment["PATH"]
        self.host.environment["PATH"] = ":".join(filter(None, (str(runtime.parent), others, path)))
        (directory / "config.toml").write_text(config.replace("{directory}", str(directory)))
        try:
            self.start()
            archive = write_archive(directory)
            self("--namespace", namespace, "image", "import", str(archive)).check()
            archive.unlink()
        except BaseException:
            self.host.close()
            raise

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        config = str(self.directory / "config.toml")
        self.host.start("containerd", "--config", config, log=self.log)
        self.host.wait_until(lambda: self("version").status == 0, "containerd", self.log)

    def stop(self, signal: str = "TERM") -> None:
        """End the daemon, not its shims."""
        pid = self.host.shell("pidof containerd").split()[0]
        wait = f"while kill -0 {pid} 2>/dev/null; do sleep 0.05; done"
        self.host.shell(f"kill -{signal} {pid}; {wait}")

    def __call__(self, *words: str, timeout: float = 180) -> Done:
        return self.host.run("ctr", "--address", "/run/containerd.sock", *words, timeout=timeout)

    def converse(self, *words: str, typed: str, when: tuple[str, str]) -> Done:
        """Run a command of ctr, and type to it when its streams have said `when`."""
        words = "ctr", "--address", "/run/containerd.sock", *words
        return self.host.converse(*words, typed=typed, when=when)

    def terminal(self, *words: str, keys: str, leave: int | None = None) -> Done:
        """Run a command of ctr on a terminal, as `PrivateHost.terminal` does."""
        command = ("ctr", "--address", "/run/containerd.sock", *words)
        return self.host.terminal(*command, keys=keys, leave=leave)

    def close(self) -> None:
        """End the daemon, its shims and all containers."""
        self.host.close()


class ContainerdWith:
    """One test's view: containers run one of WAYS, in a namespace that is empty afterwards."""

    def __init__(self, daemon: Containerd, way: str) -> None:
        self.daemon = daemon
        self.host = daemon.host
        self.way = way
        self._options = [word.format(runtime=daemon.runtime) for word in WAYS[way]]
        self.ids: list[str] = []

    def __call__(self, *words: str, timeout: float = 180) -> Done:
        """Run any command of ctr."""
        return self.daemon(*words, timeout=timeout)

    def new_id(self) -> str:
        """An id that no container has; `remove_all` will remove it."""
        self.ids.append(f"c{next(_numbers)}-{self.way}")
        return self.ids[-1]

    def words(self, *words: str) -> list[str]:
        """The command line of `ctr run` for options, ``--`` and the container's command."""
        at = words.index("--")
        cgroup = ["--cgroup", f"{self.host.cgroup_parent}/{self.ids[-1]}"]
        return ["run", *self._options, *cgroup, *words[:at], IMAGE, self.ids[-1], *words[at + 1 :]]

    def run(self, *words: str) -> Done:
        """`ctr run --rm` of a new container: options, ``--``, its command."""
        self.new_id()
        return self(*self.words("--rm", *words))

    def up(self, *words: str) -> str:
        """`ctr run --detach`; returns the container's id."""
        self.new_id()
        self(*self.words("--detach", *words)).check()
        return self.ids[-1]

    def tasks(self) -> dict[str, tuple[int, str]]:
        """Pid and status of each task by its container's id."""
        lines = self("tasks", "list").check().stdout.splitlines()[1:]
        return {name: (int(pid), status) for name, pid, status in map(str.split, lines)}

    def cgroups(self, container: str) -> list[str]:
        """Those of the container, not of one that another host on this machine calls the same."""
        ours = f"{self.host.cgroup_parent}/"
        return [path for path in self.host.cgroups(container) if ours in path]

    def shims(self) -> dict[int, str]:
        """Command lines of our own shims, by pid on the private host."""
        script = """for pid in /proc/[0-9]*; do
            read -r name <$pid/comm && [ "$name" = ociruntime-shim ] || continue
            printf '%s ' ${pid#/proc/}; tr '\\0' ' ' <$pid/cmdline; echo
        done 2>/dev/null || true"""
        lines = self.host.shell(script).splitlines()
        return {int(line.split()[0]): line for line in lines}

    def processes(self, pattern: str) -> list[int]:
        """Pids on the private host whose command line has this text."""
        done = self.host.run("pgrep", "-f", "--", pattern)
        return [int(line) for line in done.stdout.split()]

    def wait_for(self, container: str, status: str) -> None:
        """Wait until the task has this status ("gone": until there is none)."""
        self.host.wait_until(
            lambda: self.tasks().get(container, (0, "gone"))[1] == status,
            f"{container} {status}",
            self.daemon.log,
        )

    def remove_all(self) -> None:
        """End the test's tasks and remove its containers; raises EngineError if any stays."""
        present = self("containers", "list", "-q").check().stdout.split()
        tasks = self.tasks()
        for name in (name for name in self.ids if name in present):
            if name in tasks:
                self("tasks", "delete", "--force", name)
            self("containers", "delete", name)
        left = set(self("containers", "list", "-q").check().stdout.split()) & set(self.ids)
        left |= set(self.tasks()) & set(self.ids)
        if left:
            raise EngineError(f"left: {left}\n{self.daemon.log.read_text()[-3000:]}")


def write_archive(directory: Path) -> Path:
    """An image for `ctr image import`: the layout that `docker save` writes."""
    layer = write_image(directory / "layer.tar").read_bytes()
    (directory / "layer.tar").unlink()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["sleep", "1000000000"], "Env": ["PATH=/bin:/usr/bin:/sbin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    files: Sequence[tuple[str, bytes]] = (
        ("layer.tar", layer),
        ("config.json", json.dumps(config).encode()),
        ("manifest.json", json.dumps(manifest).encode()),
    )
    archive = directory / "archive.tar"
    with tarfile.open(archive, "w") as tar:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive
