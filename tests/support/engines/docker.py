"""dockerd with a private data root, its own containerd, and runtimes to choose from."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.engines.host import Done, PrivateHost
from tests.support.engines.image import NAME, write_image

# Another client may come first in PATH: ours is the one of the daemon's own package.
CLIENT = "/usr/bin/docker"
PORT = 2375
_numbers = itertools.count(1)


class Docker:
    """A running daemon. `docker("ps", "-a")` is a command of its client."""

    def __init__(
        self,
        directory: Path,
        runtime: Path,
        *options: str,
        path: str = "",
        host: PrivateHost | None = None,
        default: str = "runc",
    ) -> None:
        """``path`` is a further directory of PATH; the ``host`` is ours from now on; ``default`` is
        the runtime that containers have who ask for none.
        """
        self.directory = directory
        self.host = host or PrivateHost(directory)
        self.host.environment["DOCKER_CONFIG"] = str(directory / "config")
        # Where containerd looks for our own shim.
        others = self.host.environment["PATH"]
        self.host.environment["PATH"] = ":".join(filter(None, (str(runtime.parent), others, path)))
        self.host.environment["DOCKER_HOST"] = "unix:///run/docker.sock"
        log = directory / "dockerd.log"
        (directory / "daemon.json").write_text(
            json.dumps(
                {"runtimes": {"ociruntime": {"path": str(runtime)}}, "default-runtime": default}
            )
        )
        try:
            self.host.start(
                "dockerd", "--config-file", str(directory / "daemon.json"),
                "--host", "unix:///run/docker.sock", "--host", f"tcp://127.0.0.1:{PORT}",
                "--cgroup-parent", self.host.cgroup_parent, *options,
                log=log,
            )  # fmt: skip
            self.host.wait_until(lambda: self("version").status == 0, "dockerd", log)
            image = write_image(directory / "image.tar")
            self("import", "--change", 'CMD ["sh"]', str(image), NAME).check()
            image.unlink()
        except BaseException:
            self.host.close()
            raise

    def __call__(self, *words: str, timeout: float = 180, stdin: str | None = None) -> Done:
        return self.host.run(CLIENT, *words, timeout=timeout, stdin=stdin)

    def close(self) -> None:
        """End the daemon and all of its containers."""
        self.host.close()


class DockerWith:
    """One test's view: containers run with one `runtime`, and are removed when the test ends."""

    def __init__(self, docker: Docker, runtime: str) -> None:
        self.docker = docker
        self.host = docker.host
        self.runtime = runtime
        self._mine = f"ocirt={next(_numbers)}"

    def __call__(self, *words: str, timeout: float = 180, stdin: str | None = None) -> Done:
        """Run any command of the client."""
        return self.docker(*words, timeout=timeout, stdin=stdin)

    def words(self, verb: str, *words: str) -> list[str]:
        """Return the command line of `run` or `create`: options, then the container's command."""
        options, command = _split(words)
        runtime = ["--runtime", self.runtime, "--label", self._mine, "--network"]
        network = [] if "--network" in options or "-p" in options else ["none"]
        return [CLIENT, verb, *(runtime if network else runtime[:-1]), *network,
                *options, NAME, *command]  # fmt: skip

    def run(self, *words: str, stdin: str | None = None) -> Done:
        """`docker run OPTIONS IMAGE COMMAND`: words before `--` are options; no network unless
        they ask for one.
        """
        return self.host.run(*self.words("run", *words), stdin=stdin)

    def up(self, *words: str) -> str:
        """`docker run --detach`; returns the container's id."""
        return self.run("--detach", *words).check().output

    def output(self, *words: str) -> str:
        """`docker run --rm`: what the container prints; asserts exit status 0."""
        done = self.run("--rm", *words).check()
        if not done.stdout:
            # On a busy machine Docker may lose all of what a short program says, with any runtime.
            done = self.run("--rm", *words).check()
        return done.stdout

    def shell(self, container: str, script: str) -> str:
        """Return what a shell script prints in the container; asserts exit status 0."""
        return self("exec", container, "sh", "-c", script).check().output

    def inspect(self, container: str) -> dict[str, Any]:
        """`docker inspect`, of one container."""
        found: list[dict[str, Any]] = json.loads(self("inspect", container).check().stdout)
        return found[0]

    def all_capabilities(self) -> tuple[int, int]:
        """What `--privileged` asks for, and what of it this host has: bits of capabilities.

        Docker asks for those it knows, up to 37; since release 23 for its own.
        """
        own = int(self.host.shell("grep ^CapBnd /proc/self/status").split()[1], 16)
        release = self("version", "--format", "{{.Server.Version}}").check().output
        asked = 0x3FFFFFFFFF if int(release.partition(".")[0]) < 23 else own
        return asked, asked & own

    def wait_for(self, container: str, condition: Any, what: str, seconds: float = 90) -> None:
        """Wait until `condition(inspect)` is true."""
        log = self.docker.directory / "dockerd.log"
        self.host.wait_until(lambda: condition(self.inspect(container)), what, log, seconds)

    def remove_all(self) -> None:
        """Remove the test's containers by force, and their volumes."""
        listed = self("ps", "-aq", "--filter", f"label={self._mine}").check().output.split()
        if listed:
            self("rm", "--force", "--volumes", *listed).check()


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """(options, command): what stands before and behind ``--``."""
    if "--" not in words:
        return list(words), []
    at = words.index("--")
    return list(words[:at]), list(words[at + 1 :])
