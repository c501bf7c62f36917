"""podman with storage and run directories of its own, of root and of a user; it has no daemon."""

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
runtime_supports_nocgroup = ["crun", "ociruntime"]
[engine.runtimes]
ociruntime = ["{runtime}"]
runc = ["/usr/sbin/runc"]
crun = ["/usr/bin/crun"]
"""
UID = 1500
HOME = "/var/tmp/home"
AS_USER = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
_MAKE_USER = f"""
echo 'ocirt:x:{UID}:{UID}::{HOME}:/bin/sh' >/run/passwd
echo 'ocirt:x:{UID}:' >/run/group
for file in subuid subgid; do echo 'ocirt:300000:65536' >/run/$file; done
for file in passwd group; do cat /etc/$file >>/run/$file; done
for file in passwd group subuid subgid; do mount --bind /run/$file /etc/$file; done
for place in {HOME} /run/user/{UID}; do
  mkdir -p $place
  chown {UID}:{UID} $place
  chmod 700 $place
done
# A user's networks are made by slirp4netns, with a device that is root's alone on many machines.
if [ -e /dev/net/tun ]; then
  mknod -m 666 /run/tun c 10 200
  mount --bind /run/tun /dev/net/tun
fi
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
            (directory / "containers.conf").write_text(CONTAINERS_CONF.format(runtime=runtime))
            (directory / "policy.json").write_text(POLICY)
            # Where everybody may read them: the directory is root's alone.
            write_image(directory / "image.tar")
            names = "containers.conf policy.json image.tar"
            self.host.shell(
                f"cd {directory}; mv {names} /etc/containers; chmod -R a+rX /etc/containers"
            )
            self.host.environment["CONTAINERS_CONF"] = "/etc/containers/containers.conf"
            self.host.environment["PODMAN_IGNORE_CGROUPSV1_WARNING"] = "1"
            self._prepare()
            self("import", "--change", "CMD sh", "/etc/containers/image.tar", IMAGE).check()
            self.host.shell("rm /etc/containers/image.tar")
        except BaseException:
            self.host.close()
            raise

    def _prepare(self) -> None:
        """What else podman needs."""

    def words(self, *words: str) -> list[str]:
        """A command line of podman, for the private host."""
        return ["podman", *words]

    def __call__(self, *words: str, timeout: float = 180, stdin: str | None = None) -> Done:
        return self.host.run(*self.words(*words), timeout=timeout, stdin=stdin)

    def close(self) -> None:
        """End everything that runs on the host."""
        # Pods of kube files and their monitors lie in there, whatever the options are. Those of
        # another podman that runs are not empty, and stay.
        self.host.run("sh", "-c", "cd /sys/fs/cgroup; rmdir */libpod_parent/conmon */libpod_parent")
        self.host.close()


class RootlessPodman(Podman):
    """podman of a user with 65536 subordinate ids; on cgroup v1 his containers have no cgroup."""

    def _prepare(self) -> None:
        self.host.shell(_MAKE_USER)

    def words(self, *words: str) -> list[str]:
        own = (f"HOME={HOME}", f"XDG_RUNTIME_DIR=/run/user/{UID}")
        return [*AS_USER, "env", *own, "podman", *words]


class PodmanWith:
    """One test's view: containers run with one `runtime`, and are removed when the test ends."""

    def __init__(self, podman: Podman, runtime: str) -> None:
        self.podman = podman
        self.host = podman.host
        self.runtime = runtime
        self._mine = f"ocirt={next(_numbers)}"

    def __call__(self, *words: str, timeout: float = 180, stdin: str | None = None) -> Done:
        """Run any command of podman with this runtime."""
        return self.podman("--runtime", self.runtime, *words, timeout=timeout, stdin=stdin)

    def words(self, verb: str, *words: str) -> list[str]:
        """The command line of `run` or `create`: options, ``--``, the container's command."""
        at = words.index("--")
        options: Sequence[str] = words[:at]
        network = [] if {"--network", "--pod"} & set(options) else ["--network", "none"]
        rootless = isinstance(self.podman, RootlessPodman)
        own = rootless or "--cgroups=disabled" in options
        parent = [] if own else ["--cgroup-parent", self.host.cgroup_parent]
        return self.podman.words(
            "--runtime", self.runtime, verb, "--label", self._mine, *parent, *network, *options,
            IMAGE, *words[at + 1 :],
        )  # fmt: skip

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

    def wait_for(self, container: str, condition: Any, what: str, seconds: float = 90) -> None:
        """Wait until `condition(inspect)` is true."""
        log = self.podman.directory / "host.log"
        self.host.wait_until(lambda: condition(self.inspect(container)), what, log, seconds)

    def remove_cgroups(self, pod: str) -> None:
        """Remove what runtimes leave of the cgroup of a pod that is gone: they made it, in every
        hierarchy, as the parent of a container's; podman removes some.
        """
        script = f"""find /sys/fs/cgroup -depth -type d -path '*/libpod_parent/{pod}*' \
            -exec rmdir {{}} + 2>/dev/null || true"""
        self.host.shell(script)

    def remove_all(self) -> None:
        """Remove the test's containers by force."""
        # podman's own clean-up, which conmon starts, may be unmounting what `rm` removes.
        log = self.podman.directory / "host.log"
        self.host.wait_until(self._removed, "the removal of all containers", log)

    def _removed(self) -> bool:
        listed = self("ps", "-aq", "--filter", f"label={self._mine}").check().output.split()
        return not listed or self("rm", "--force", "--time", "0", *listed).status == 0
