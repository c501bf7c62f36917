"""Our containerd shim, side by side with Debian's that drives runc and crun.

    benchmarks/shim.py [--rounds N] [--output FILE]

Spoken to as containerd does, over its own protocol, without the daemon: what is measured is the
shim and its runtime. Each round takes turns (A B C A B C ...). Reported are medians of wall time:

- a container: `start` of the shim, Create, Start, Wait for the end of /bin/true, Delete, Shutdown;
- one more in a pod whose shim runs already: the same without `start` and Shutdown;
- exec: Exec, Start, Wait, Delete of /bin/true in a running container;

and the PSS of the shims of some pods with one container each. Run as root.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bundles import config, make_rootfs
from benchmarks.peers import OURS as RUNTIME
from benchmarks.peers import PEERS, newest, versions
from conformance.host import enter_own_mount_namespace
from ociruntime.shim import messages as m
from ociruntime.shim.ttrpc import IS_REQUEST, IS_RESPONSE, Frames, frame

if TYPE_CHECKING:
    from ociruntime.protobuf import Message

CHECKOUT = Path(__file__).resolve().parent.parent
OURS = CHECKOUT / ".venv" / "bin" / "containerd-shim-ociruntime-v1"
DEBIANS = "containerd-shim-runc-v2"
SERVICE = "containerd.task.v2.Task"
TIMEOUT = 120.0
PODS = 5
CGROUP = "ocirt-bench-shim"
CGROUPS = Path("/sys/fs/cgroup")
# Made before anything is timed: it takes as long as a part of an exec.
PROCESS = {
    "type_url": "types.containerd.io/opencontainers/runtime-spec/1/Process",
    "value": json.dumps(config(full=True, args=["/bin/true"])["process"]).encode(),
}


class Client:
    """A connection to a shim."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT)
        path = address.removeprefix("unix://")
        # Older shims of Debian listen on an abstract socket.
        self._socket.connect("\0" + path.lstrip("\0@") if path.startswith("\0") else path)
        self._stream = -1
        self._frames = Frames()
        self._answers: dict[int, bytes] = {}

    def __call__(self, method: str, request: Message, answer: Message, **values: Any) -> Any:
        """Send one request and return its answer; SystemExit when that is an error."""
        return self.answer(self.ask(method, request, **values), method, answer)

    def ask(self, method: str, request: Message, **values: Any) -> int:
        """Send one request; what its answer is asked for by."""
        self._stream += 2
        call = {"service": SERVICE, "method": method, "payload": request.encode(values),
                "timeout_nano": int(TIMEOUT * 1e9)}  # fmt: skip
        self._socket.sendall(frame(self._stream, IS_REQUEST, m.REQUEST.encode(call)))
        return self._stream

    def answer(self, number: int, method: str, message: Message) -> Any:
        """The answer to what was asked; SystemExit when it is an error."""
        while number not in self._answers:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError(f"{method}: the shim hung up")
            for stream, _, payload in self._frames.feed(data):
                self._answers[stream] = payload or b""
        response = m.RESPONSE.decode(self._answers.pop(number))
        if response["status"] and response["status"]["code"]:
            sys.exit(f"{method}: {response['status']['message']}")
        return message.decode(response["payload"])

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Events(threading.Thread):
    """What a shim sends its events to: accepts everything."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.address = str(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen(64)

    def run(self) -> None:
        """Serve each connection in a thread of its own."""
        while True:
            end, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    @staticmethod
    def _serve(end: socket.socket) -> None:
        frames = Frames()
        while data := end.recv(65536):
            for stream, kind, _ in frames.feed(data):
                if kind == IS_REQUEST:
                    end.sendall(frame(stream, IS_RESPONSE, m.RESPONSE.encode({"payload": b""})))


class Shims:
    """One kind of shim with one runtime, in a place of its own."""

    def __init__(
        self,
        name: str,
        binary: str,
        runtime: str,
        place: Path,
        events: str,
        *,
        shared: bool = False,
    ) -> None:
        """``shared``: all pods have one daemon of ours."""
        self.name = name
        self._binary = binary
        self._place = place
        self.root = place / "root" / "bench"
        self._environment = {**os.environ, "TTRPC_ADDRESS": events, "GRPC_ADDRESS": "/nowhere"}
        options = {"root": str(place / "root"), **({"binary_name": runtime} if runtime else {})}
        self._options = {"type_url": m.RUNC_OPTIONS_URL, "value": m.RUNC_OPTIONS.encode(options)}
        if shared:
            body = f'Root = "{place}/root"\nDaemon = "namespace"\n'.encode()
            value = m.CRI_OPTIONS.encode({"config_body": body})
            self._options = {"type_url": m.CRI_OPTIONS_URL, "value": value}
        self._number = 0
        self._logs: list[int] = []
        place.mkdir()

    def bundle(self, rootfs: Path, args: list[str], group: str) -> tuple[str, Path]:
        """A new id and a bundle for it."""
        self._number += 1
        container = f"bench-{self.name}-{self._number}"
        bundle = self._place / container
        bundle.mkdir()
        document = config(full=True, args=args)
        document["root"]["path"] = str(rootfs)
        document["annotations"] = {"io.kubernetes.cri.sandbox-id": group or container}
        document["linux"]["cgroupsPath"] = f"/{CGROUP}/{container}"
        (bundle / "config.json").write_text(json.dumps(document))
        os.mkfifo(bundle / "log")  # containerd reads it
        self._logs.append(os.open(bundle / "log", os.O_RDONLY | os.O_NONBLOCK))
        return container, bundle

    def start(self, container: str, bundle: Path) -> Client:
        """Run `start`, and connect."""
        command = [self._binary, "-namespace", "bench", "-id", container, "-address", "/nowhere",
                   "-publish-binary", "/bin/true", "start"]  # fmt: skip
        done = subprocess.run(
            command, cwd=bundle, env=self._environment, input=m.ANY.encode(self._options),
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        return Client(done.stdout.decode().strip())

    def create(self, client: Client, container: str, bundle: Path, **streams: str) -> int:
        """Create and Start; the pid. ``streams``: stdin, stdout, stderr as Create takes them."""
        client("Create", m.CREATE, m.PID, id=container, bundle=str(bundle), options=self._options,
               **streams)  # fmt: skip
        return int(client("Start", m.PROCESS_KEY, m.PID, id=container)["pid"])

    @staticmethod
    def finish(client: Client, container: str, exec_id: str = "") -> None:
        """Wait and Delete."""
        client("Wait", m.PROCESS_KEY, m.WAIT_RESPONSE, id=container, exec_id=exec_id)
        client("Delete", m.PROCESS_KEY, m.DELETE_RESPONSE, id=container, exec_id=exec_id)

    @staticmethod
    def execute(client: Client, container: str, exec_id: str) -> None:
        """Exec and Start of /bin/true."""
        client("Exec", m.EXEC, m.EMPTY, id=container, exec_id=exec_id, spec=PROCESS)
        client("Start", m.PROCESS_KEY, m.PID, id=container, exec_id=exec_id)

    @contextmanager
    def running(self, rootfs: Path) -> Iterator[tuple[Client, str]]:
        """A container that sleeps, and the connection to its shim."""
        container, bundle = self.bundle(rootfs, ["/bin/sleep", "1000"], "")
        client = self.start(container, bundle)
        self.create(client, container, bundle)
        try:
            yield client, container
        finally:
            client("Kill", m.KILL, m.EMPTY, id=container, signal=9)
            self.finish(client, container)
            self.end(client, container)

    @staticmethod
    def end(client: Client, container: str) -> None:
        """Shutdown."""
        try:
            client("Shutdown", m.SHUTDOWN, m.EMPTY, id=container)
        except OSError:
            pass  # it may hang up first
        client.close()


def pss(client: Client, container: str) -> int:
    """KiB of the shim's memory, shared pages by share."""
    said = client("Connect", m.PROCESS_KEY, m.CONNECT_RESPONSE, id=container)
    return pss_of(said["shim_pid"])


def pss_of(pid: int) -> int:
    """KiB of a process's memory, shared pages by share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError(line)


def timed(function: Callable[[], Any]) -> float:
    """Milliseconds."""
    before = time.perf_counter()
    function()
    return (time.perf_counter() - before) * 1000


def measure(kinds: list[Shims], rootfs: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Median of each kind of work by the shims' names."""
    samples: dict[str, dict[str, list[float]]] = {}

    def note(work: str, shims: Shims, value: float) -> None:
        samples.setdefault(work, {}).setdefault(shims.name, []).append(value)

    def whole(shims: Shims, container: str, bundle: Path) -> None:
        client = shims.start(container, bundle)
        shims.create(client, container, bundle)
        shims.finish(client, container)
        shims.end(client, container)

    def one_more(shims: Shims, client: Client, container: str, bundle: Path) -> None:
        shims.create(client, container, bundle)
        shims.finish(client, container)

    def exec_(shims: Shims, client: Client, container: str, name: str) -> None:
        shims.execute(client, container, name)
        shims.finish(client, container, name)

    for _ in range(rounds):
        for shims in kinds:
            container, bundle = shims.bundle(rootfs, ["/bin/true"], "")
            value = timed(lambda: whole(shims, container, bundle))  # noqa: B023
            note("a container", shims, value)
    for shims in kinds:
        with ExitStack() as stack:
            pods = [stack.enter_context(shims.running(rootfs)) for _ in range(PODS)]
            for client, pod in pods:
                note(f"PSS of a shim, {PODS} pods, KiB", shims, pss(client, pod))
    for _ in range(rounds):
        for shims in kinds:
            with shims.running(rootfs) as (client, pod):
                shims.execute(client, pod, "warm")
                shims.finish(client, pod, "warm")
                value = timed(lambda: exec_(shims, client, pod, "one"))  # noqa: B023
                note("exec", shims, value)
                container, bundle = shims.bundle(rootfs, ["/bin/true"], pod)
                value = timed(lambda: one_more(shims, client, container, bundle))  # noqa: B023
                note("one more in a pod", shims, value)
    return {
        work: {name: statistics.median(values) for name, values in by.items()}
        for work, by in samples.items()
    }


def table(medians: dict[str, dict[str, float]], names: list[str]) -> str:
    """The result in Markdown: ours first, the others, and the ratios."""
    head = ["", *names, *(f"ours : {name}" for name in names[1:])]
    lines = [" | ".join(["", *head, ""]).strip(), "| --- " * len(head) + "|"]
    for work, by in medians.items():
        digits = 0 if "KiB" in work else 1
        cells = [work, *(f"{by[name]:.{digits}f}" for name in names)]
        cells += [f"{by[names[0]] / by[name]:.2f}" for name in names[1:]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    enter_own_mount_namespace()  # crun asks for every controller that the kernel has
    place = Path(tempfile.mkdtemp(prefix="ocirt-bench-"))
    try:
        make_rootfs(place / "rootfs")
        events = Events(place / "events")
        events.start()
        kinds = [Shims("ociruntime", str(OURS), "", place / "ours", events.address)]
        found = {name: newest(name) for name in PEERS}
        kinds += [
            Shims(name, DEBIANS, path, place / name, events.address)
            for name, path in found.items()
            if path and shutil.which(DEBIANS)
        ]
        medians = measure(kinds, place / "rootfs", arguments.rounds)
        text = table(medians, [shims.name for shims in kinds])
        print(text)
        if arguments.output:
            arguments.output.write_text(
                "# Performance of the shim\n\nMade by `make bench`; not by hand.\n\n"
                f"Linux {platform.release()}, {os.cpu_count()} CPUs, {arguments.rounds} rounds; "
                "medians of wall time in ms.\n"
                f"The others are {DEBIANS} of containerd with the runtime named.\n\n"
                f"{versions([str(RUNTIME), *filter(None, found.values())])}\n{text}"
            )
    finally:
        shutil.rmtree(place, ignore_errors=True)
        remove_cgroups()
    return 0


@contextmanager
def as_a_service() -> Iterator[None]:
    """Be, with all that we start, in a CPU cgroup of our own, as containerd with its shims is in
    that of its unit: as many shares of the CPUs as the containers' cgroup has, whatever the number
    of processes. Otherwise each shim could have as many by itself (sched(7), autogroup).
    """
    joined = []
    for hierarchy in (CGROUPS, *CGROUPS.iterdir()):
        group = hierarchy / f"{CGROUP}-service"
        if (hierarchy / "cpu.shares").exists() and not hierarchy.is_symlink():
            before = hierarchy
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text("0")
            joined.append((before, group))
    try:
        yield
    finally:
        for before, group in joined:
            for pid in (group / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    (before / "cgroup.procs").write_text(pid)
            group.rmdir()


def remove_cgroups() -> None:
    """Ours; not by a search: other people's cgroups come and go meanwhile."""
    for hierarchy in (CGROUPS, *CGROUPS.iterdir()):
        directory = hierarchy / CGROUP
        if directory.is_dir():
            for path in (*directory.iterdir(), directory):
                if path.is_dir():
                    path.rmdir()


if __name__ == "__main__":
    sys.exit(main())
