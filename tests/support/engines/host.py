"""A private host for an engine: mount, network and PID namespaces of its own.

The engine's daemons, monitors, containers, mounts, bridges and firewall rules live in there, and
all of it ends with one process, whatever a test broke. Cgroups are shared with the machine: each
host has one parent for them, and removes it at the end.

With ENGINES in the environment, the /usr of that root directory (make engines-test) is the host's:
the engines of another release, with its C library and all of its tools.
"""

from __future__ import annotations

import itertools
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.patience import FACTOR

_POLL = 0.05
# For a shell on a terminal: clients tell the size after the program has started.
RESIZED = "until stty size | grep '40 100'; do :; done"
_numbers = itertools.count(1)

# What engines write to, empty in here; "$1" is the host's directory. PID 1 reaps what is orphaned.
_SETUP = """set -e
[ -z "$ENGINES" ] || mount --bind "$ENGINES/usr" /usr
[ -z "$NAME" ] || hostname "$NAME"
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
for place in /run /var/tmp /var/lib/docker /var/lib/containerd /var/lib/containers /var/lib/cni \\
    /var/lib/kubelet /opt /etc/docker /etc/containerd /etc/containers /etc/cni; do
  mkdir -p "$place"
  mount -t tmpfs -o mode=755 tmpfs "$place"
done
# Every v1 hierarchy that exists, mounted where engines look: containerd gives no statistics while
# one of a process's own is not to be found.
if [ "$(stat -fc %T /sys/fs/cgroup)" = tmpfs ]; then
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  while IFS=: read -r number names path; do
    kind=cgroup option="$names" place="${names#name=}"
    case "$number:$names" in
      0:) kind=cgroup2 option= place=unified ;;
      *:name=*) option="none,$names" ;;
    esac
    mkdir "/sys/fs/cgroup/$place"
    mount -t "$kind" -o "rw,$option" "$kind" "/sys/fs/cgroup/$place"
  done </proc/self/cgroup
fi
# Ids for user namespaces: dockerd's --userns-remap, podman's --userns=auto.
for name in nobody nogroup containers; do echo "$name:200000:65536"; done >"$1/subids"
for file in subuid subgid; do mount --bind "$1/subids" "/etc/$file"; done
mkdir /run/lock
chmod 1777 /var/tmp /run/lock
: >"$1/ready"
exec tini -s -- sleep infinity
"""


class EngineError(AssertionError):
    """A command on the private host failed; the message has its output."""


class Done:
    """What one command on the private host did."""

    def __init__(self, command: Sequence[str], status: int, stdout: str, stderr: str) -> None:
        self.command = tuple(command)
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    def check(self) -> Done:
        """Return this; raises EngineError with all output unless the exit status is 0."""
        if self.status != 0:
            raise EngineError(str(self))
        return self

    @property
    def output(self) -> str:
        """stdout without white space around it."""
        return self.stdout.strip()

    def __str__(self) -> str:
        return (
            f"{' '.join(self.command)}\nexit status {self.status}\n"
            f"stdout: {self.stdout[-3000:]}\nstderr: {self.stderr[-3000:]}"
        )


class PrivateHost:
    """Start it in a `directory` that outlives it; `cgroup_parent` is absolute, unique, and ours.

    With a ``name`` it is called so, and has a UTS namespace, too.
    """

    def __init__(self, directory: Path, name: str = "") -> None:
        self.directory = directory
        self.cgroup_parent = f"/ocirt-clients-{os.getpid()}-{next(_numbers)}"
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(directory),
            "TMPDIR": "/var/tmp",
            "LANG": "C.UTF-8",
            "ENGINES": os.environ.get("ENGINES", ""),
            "NAME": name,
        }
        kinds = ["--mount", "--net", "--pid", *(["--uts"] if name else [])]
        command = ["unshare", *kinds, "--fork", "--kill-child", "--mount-proc"]
        with (directory / "host.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "sh", "-c", _SETUP, "sh", str(directory)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
                start_new_session=True,
            )  # fmt: skip
        self.wait_until((directory / "ready").exists, "the private host", directory / "host.log")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        self._init = children.read_text().split()[0]
        self._inside = ["nsenter", "--target", self._init, *kinds, "--"]

    @property
    def init(self) -> str:
        """The host's PID 1, as this machine knows it."""
        return self._init

    def run(
        self,
        *command: str,
        timeout: float = 180,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> Done:
        """Run a command to its end; raises EngineError when it takes longer than `timeout` s."""
        try:
            done = subprocess.run(
                [*self._inside, *command],
                input=(stdin or "").encode(),
                capture_output=True, timeout=timeout * FACTOR, check=False, cwd="/",
                env={**self.environment, **(env or {})},
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            text = b"".join(part or b"" for part in (error.stdout, error.stderr)).decode()
            message = (
                f"{' '.join(command)}\nnot finished after {timeout * FACTOR:g} s\n{text[-3000:]}"
            )
            raise EngineError(message) from None
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return Done(command, done.returncode, out, err)

    def converse(
        self, *command: str, typed: str, when: tuple[str, str], timeout: float = 180
    ) -> Done:
        """Run a command, and type to it once its stdout and stderr have said the texts `when`.

        Clients of containerd open the streams of a process at their leisure, and give up what they
        have not opened when it ends; so a program must not end before it was heard.
        """
        deadline = time.monotonic() + timeout * FACTOR
        with subprocess.Popen(
            [*self._inside, *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
            env=self.environment,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None
            said = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
            wanted = dict(zip(said, (text.encode() for text in when), strict=True))
            while open_ends := [fd for fd, text in said.items() if wanted[fd] not in text]:
                left = deadline - time.monotonic()
                readable = select.select(open_ends, [], [], max(0.0, left))[0]
                parts = {fd: os.read(fd, 65536) for fd in readable}
                if not parts or b"" in parts.values():
                    process.kill()  # late, or over: what it said is told
                    break
                for fd, part in parts.items():
                    said[fd] += part
            rest = process.communicate(typed.encode(), max(1.0, deadline - time.monotonic()))
        texts = [(a + b).decode(errors="replace") for a, b in zip(said.values(), rest, strict=True)]
        return Done(command, process.returncode, *texts)

    def shell(self, script: str) -> str:
        """Return what a shell script prints on the private host; asserts exit status 0."""
        return self.run("sh", "-ec", script).check().stdout

    def start(self, *command: str, log: Path, env: Mapping[str, str] | None = None) -> int:
        """Start a daemon and return its pid on this machine; it ends with the host."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                [*self._inside, *command],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd="/",
                env={**self.environment, **(env or {})}, start_new_session=True,
            )  # fmt: skip
        return process.pid

    def terminal(
        self, *command: str, keys: str = "", leave: int | None = None, timeout: float = 90
    ) -> Done:
        """Run a command on a terminal of 40 rows and 100 columns; its output is all in `stdout`.

        `keys` are typed to it. With `leave` it is a shell, which prints 42 then, and is told to
        exit with that status once this has arrived: engines lose what a terminal says last.
        """
        lines = [("", keys)]
        if leave is not None:
            lines = [("", f"{keys}; echo $((20 + 22))\n"), ("\n42", f"exit {leave}\n")]
        pid, master = pty.fork()
        if pid == 0:
            try:
                os.execvpe(self._inside[0], [*self._inside, *command], self.environment)
            finally:
                os._exit(127)
        try:
            import fcntl
            import struct
            import termios

            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 0, 0))
            text = _talk(master, lines, time.monotonic() + timeout * FACTOR)
        finally:
            os.close(master)
            _, status = os.waitpid(pid, 0)
        plain = text.decode(errors="replace").replace("\r\n", "\n")
        return Done(command, os.waitstatus_to_exitcode(status), plain, "")

    def cgroups(self, name: str) -> list[str]:
        """Cgroups of any hierarchy whose name matches a shell pattern; others come and go."""
        done = self.run("find", "/sys/fs/cgroup", "-type", "d", "-name", name)
        return done.stdout.split()

    def wait_until(
        self, ready: object, what: str, log: Path, seconds: float = 90, every: float = _POLL
    ) -> None:
        """Wait until the callable `ready`, which is called `every` so many seconds, returns
        something true; raises EngineError with the end of `log`.
        """
        assert callable(ready)
        deadline = time.monotonic() + seconds * FACTOR
        while not ready():
            if time.monotonic() > deadline:
                text = log.read_text(errors="replace") if log.exists() else ""
                raise EngineError(
                    f"{what} is not there after {seconds * FACTOR:g} s\n{text[-3000:]}"
                )
            time.sleep(every)

    def close(self) -> None:
        """End every process in here, and remove the cgroups; raises EngineError for those that
        stay.
        """
        # The mounts end with the host, and the hierarchies may be mounted nowhere else: one
        # descriptor each keeps them within reach.
        top = Path(f"/proc/{self._init}/root/sys/fs/cgroup")
        places = [top, *(path for path in top.iterdir() if path.is_dir())]
        roots = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in places]
        try:
            os.kill(int(self._init), signal.SIGKILL)
            self._process.wait(90 * FACTOR)
            self._remove_cgroups([Path(f"/proc/self/fd/{root}") for root in roots])
        finally:
            for root in roots:
                os.close(root)

    def _remove_cgroups(self, roots: Sequence[Path]) -> None:
        deadline = time.monotonic() + 90 * FACTOR
        while left := self._cgroups(roots):
            if time.monotonic() > deadline:
                names = ", ".join(f"{path.resolve()}" for path in left)
                raise EngineError(f"cgroups of the private host do not go: {names}")
            for path in left:
                _thaw(path)
                try:
                    path.rmdir()
                except OSError:
                    time.sleep(_POLL)

    def _cgroups(self, roots: Sequence[Path]) -> list[Path]:
        """Our cgroups in every hierarchy, deepest first."""
        tops = [root / self.cgroup_parent.strip("/") for root in roots]
        below = [Path(where) for top in tops for where, _, _ in os.walk(top)]
        return sorted(below, key=lambda path: -len(path.parts))


def _talk(master: int, lines: list[tuple[str, str]], deadline: float) -> bytes:
    """Type each line, (words, keys), once the other side has said something with those words, and
    read until it hangs up.
    """
    text = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([master], [], [], left)[0]:
            break
        try:
            piece = os.read(master, 65536)
        except OSError:  # EIO: the last slave was closed
            return text
        text += piece
        if lines and text and lines[0][0].encode() in text:
            os.write(master, lines.pop(0)[1].encode())
    raise EngineError(f"still on the terminal at the deadline: {text[-3000:]!r}")


def _thaw(path: Path) -> None:
    try:
        (path / "freezer.state").write_text("THAWED")
    except OSError:
        return
