"""The hosts, containers and conversations of these tests."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ociruntime.network.netlink import InNamespace
from tests.support.patience import PATIENCE
from tests.support.runtime import Result, Runtime
from tests.support.sandbox import MARKER, Sandbox

OUTSIDE, HOST = "192.0.2.2", "192.0.2.1"
OUTSIDE6, HOST6 = "2001:db8::2", "2001:db8::1"
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


class Space:
    """A network namespace, alive while the process `pid` is."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "600"], env=environment)
        self.pid = self.process.pid
        ours = os.stat("/proc/self/ns/net").st_ino
        deadline = time.monotonic() + PATIENCE
        while os.stat(self.path).st_ino == ours:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        self.closed = threading.Event()

    @property
    def path(self) -> str:
        """The namespace's path."""
        return f"/proc/{self.pid}/ns/net"

    def run(self, *words: str, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a program in the namespace."""
        command = ["nsenter", f"--net={self.path}", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE, **how
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    def ip(self, *words: str) -> Any:
        """`ip -j WORDS`, parsed."""
        text = self.run("ip", "-j", *words).stdout
        return json.loads(text) if text.strip() else []

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The test's main thread is in the namespace."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with InNamespace(fd):
                yield
        finally:
            os.close(fd)

    def socket(self, address: str, kind: int) -> socket.socket:
        """A new socket of the namespace, for an address of this family."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.entered():
            made = socket.socket(family, kind)
        made.settimeout(PATIENCE)
        return made

    def serve(self, port: int, name: str, *, kind: int = TCP, at: str = "::") -> None:
        """Answer every connection or datagram with `NAME PEER`, until `close`."""
        server = self.socket(at, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((at, port))
        if kind == socket.SOCK_STREAM:
            server.listen()
        server.settimeout(0.05)
        threading.Thread(target=self._answer, args=(server, name), daemon=True).start()

    def _answer(self, server: socket.socket, name: str) -> None:
        with server:
            while not self.closed.is_set():
                try:
                    if server.type == socket.SOCK_STREAM:
                        connection, peer = server.accept()
                        with connection:
                            connection.sendall(_said(name, peer))
                    else:
                        _, peer = server.recvfrom(100)
                        server.sendto(_said(name, peer), peer)
                except TimeoutError:
                    continue

    def ask(self, address: str, port: int, *, kind: int = TCP) -> list[str]:
        """What the server there answers: its name and the address it saw. Raises OSError."""
        with self.socket(address, kind) as client:
            client.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                client.send(b"?")
            return client.recv(200).decode().split()

    def is_deaf(self, address: str, port: int) -> bool:
        """Whether nobody answers there, within a short time."""
        with self.socket(address, socket.SOCK_STREAM) as client:
            client.settimeout(0.4)
            try:
                client.connect((address, port))
            except OSError:
                return True
        return False

    def end(self) -> None:
        """Kill the process, and wait until the namespace is gone with it."""
        self.closed.set()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Container(Space):
    """What a runtime would hand to the hook: a process in a network namespace, an id, a bundle."""

    def __init__(self, host: Host, name: str) -> None:
        super().__init__(host.sandbox.environment())
        self.host = host
        self.id = name
        self.ended = False

    def hook(self, *options: str, status: str = "creating", check: bool = True) -> Any:
        """Call ociruntime-net on the host for this container."""
        document = {
            "ociVersion": "1.0.2",
            "id": self.id,
            "status": status,
            "pid": 0 if status == "stopped" else self.pid,
            "bundle": f"/nowhere/{self.id}",
        }
        command = [str(self.host.program), "--state", str(self.host.state), *options]
        return self.host.run(*command, check=check, input=json.dumps(document), env={})

    def stop(self) -> None:
        """End the container as a runtime does: its process first, then the hook."""
        self.end()
        self.ended = True
        self.hook(status="stopped")

    def address(self, family: str = "inet", device: str = "eth0") -> str:
        """The container's address of global scope."""
        entries = self.ip("addr", "show", "dev", device)[0]["addr_info"]
        return next(
            str(e["local"]) for e in entries if e["family"] == family and e["scope"] == "global"
        )


class Host(Space):
    """A host with eth0 (192.0.2.1, 2001:db8::1) and a neighbour outside."""

    def __init__(self, sandbox: Sandbox, binary: Path, name: str = "net") -> None:
        self.program = binary.parent / "ociruntime-net"
        assert self.program.exists(), f"{binary} has no ociruntime-net beside it"
        super().__init__(sandbox.environment())
        self.sandbox = sandbox
        self.binary = binary
        self.name = name
        self.state = sandbox.directory / name
        self.containers: list[Container] = []
        self._numbers = itertools.count(1)
        self.outside = Space(sandbox.environment())
        self.run("ip", "link", "set", "lo", "up")
        peer = ["peer", "name", "eth0", "netns", str(self.outside.pid)]
        self.run("ip", "link", "add", "eth0", "type", "veth", *peer)
        for space, four, six in ((self, HOST, HOST6), (self.outside, OUTSIDE, OUTSIDE6)):
            space.run("ip", "addr", "add", f"{four}/24", "dev", "eth0")
            space.run("ip", "addr", "add", f"{six}/64", "dev", "eth0", "nodad")
            space.run("ip", "link", "set", "eth0", "up")

    def container(self, *options: str, attach: bool = True) -> Container:
        """A new container; `options` are those of the hook."""
        made = Container(self, f"{self.sandbox.prefix}-{self.name}{next(self._numbers)}")
        self.containers.append(made)
        if attach:
            made.hook(*options)
        return made

    def net(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`ociruntime net WORDS`."""
        return self.run(str(self.binary), "net", "--state", str(self.state), *words, check=check)

    def stop_containers(self) -> None:
        """Stop what the test did not."""
        for container in self.containers:
            if not container.ended:
                container.stop()

    def leftovers(self) -> list[str]:
        """What is still there after all containers are gone, but for the bridges themselves."""
        gc = self.net("gc").stdout
        lines = [f"gc {line}" for line in gc.splitlines() if not line.startswith("removed bridge")]
        lines += [
            f"device {link['ifname']}"
            for link in self.ip("link")
            if link["ifname"] not in ("lo", "eth0")
        ]
        lines += self.run("nft", "list", "table", "inet", "ociruntime", check=False).stdout.split()
        lines += [
            f"{program}: {line}"
            for program in ("iptables-save", "ip6tables-save")
            for line in self.run(program).stdout.splitlines()
            if "ociruntime" in line.lower()
        ]
        for path in self.state.rglob("*.json"):
            if path.parent.name != "leases" or json.loads(path.read_text())["leases"]:
                lines.append(f"file {path}: {path.read_text()}")
        netns = self.state / "netns"
        lines += map(str, netns.iterdir()) if netns.exists() else []
        return lines

    def close(self) -> None:
        """End everything."""
        for space in (*self.containers, self.outside, self):
            space.end()


class HostRuntime(Runtime):
    """The runtime, called in the network namespace of `host`."""

    def __init__(self, binary: Path, sandbox: Sandbox, host: Host) -> None:
        super().__init__(binary, sandbox)
        self.host = host

    def call(self, *args: str, wrapper: Sequence[str] = (), **how: Any) -> Result:
        return super().call(*args, wrapper=("nsenter", f"--net={self.host.path}", *wrapper), **how)


def environment_of(sandbox: Sandbox) -> str:
    """The variable that lets the leak check find a process."""
    return f"{MARKER}={sandbox.prefix}"


def _said(name: str, peer: tuple[Any, ...]) -> bytes:
    return f"{name} {peer[0].removeprefix('::ffff:')}".encode()
