"""podman with storage and run directories of its own; it has no daemon."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.engines.host import Done, PrivateHost
from tests.support.engines.image import NAME, write_image

IMAGE = f"localhost/{NAME}:latest"
CONTAINERS_CONF = """[containers]
default_sysctls = []
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime_supports_json = ["runc", "crun", "ociruntime"]
[engine.runtimes]
ociruntime = ["{runtime}"]
runc = ["/usr/sbin/runc"]
crun = ["/usr/bin/crun"]
"""
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
_numbers = itertools.count(1)


class Podman:
    """A private host on which podman runs; its image is there already."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self.directory = directory
        self.runtime = runtime
        self.host = PrivateHost(directory)
        try:
            conf = directory / "containers.conf"
            conf.write_text(CONTAINERS_CONF.format(runtime=runtime))
            self.host.environment["CONTAINERS_CONF"] = str(conf)
            (directory / "policy.json").write_text(POLICY)
            self.host.shell(f"cp {directory}/policy.json /etc/containers/policy.json")
            image = write_image(directory / "image.tar")
            self("import", "--change", "CMD sh", str(image), IMAGE).check()
            image.unlink()
        except BaseException:
            self.host.close()
            raise

    def __call__(self, *words: str, timeout: float = 60, stdin: str | None = None) -> Done:
        return self.host.run("podman", *words, timeout=timeout, stdin=stdin)

    def close(self) -> None:
        """End everything that runs on the host."""
        # Pods of kube files lie in there, whatever the options are.
        self.host.run("sh", "-c", "rmdir /sys/fs/cgroup/*/libpod_parent 2>/dev/null")
        self.host.close()


class PodmanWith:
    """One test's view: containers run with one `runtime`, and are removed when the test ends."""

    def __init__(self, podman: Podman, runtime: str) -> None:
        self.podman = podman
        self.host = podman.host
        self.runtime = runtime
        self._mine = f"ocirt={next(_numbers)}"

    def __call__(self, *words: str, timeout: float = 60, stdin: str | None = None) -> Done:
        """Run any command of podman with this runtime."""
        return self.podman("--runtime", self.runtime, *words, timeout=timeout, stdin=stdin)

    def words(self, verb: str, *words: str) -> list[str]:
        """The command line of `run` or `create`: options, ``--``, the container's command."""
        at = words.index("--")
        options: Sequence[str] = words[:at]
        network = [] if {"--network", "--pod"} & set(options) else ["--network", "none"]
        return ["podman", "--runtime", self.runtime, verb, "--label", self._mine,
                "--cgroup-parent", self.host.cgroup_parent, *network, *options, IMAGE,
                *words[at + 1 :]]  # fmt: skip

    def run(self, *words: str, stdin: str | None = None) -> Done:
        """`podman run`: options, ``--``, the command."""
        return self.host.run(*self.words("run", *words), stdin=stdin)

    def up(self, *words: str) -> str:
        """`podman run --detach`; returns the container's id."""
        return self.run("--detach", *words).check().output

    def shell(self, container: str, script: str) -> str:
        """What a shell script prints in the container; asserts exit status 0."""
        return self("exec", container, "sh", "-c", script).check().output

    def inspect(self, container: str) -> dict[str, Any]:
        """`podman inspect`, of one container."""
        found: list[dict[str, Any]] = json.loads(self("inspect", container).check().stdout)
        return found[0]

    def wait_for(self, container: str, condition: Any, what: str, seconds: float = 20) -> None:
        """Wait until `condition(inspect)` is true."""
        log = self.podman.directory / "host.log"
        self.host.wait_until(lambda: condition(self.inspect(container)), what, log, seconds)

    def remove_all(self) -> None:
        """Remove the test's containers by force."""
        # podman's own clean-up, which conmon starts, may be unmounting what `rm` removes.
        log = self.podman.directory / "host.log"
        self.host.wait_until(self._removed, "the removal of all containers", log)

    def _removed(self) -> bool:
        listed = self("ps", "-aq", "--filter", f"label={self._mine}").check().output.split()
        return not listed or self("rm", "--force", "--time", "0", *listed).status == 0
