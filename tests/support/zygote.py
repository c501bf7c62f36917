"""A program that has a zygote, as tests of its protocol need one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ociruntime.zygote.client import Client, Exit, Reply
from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox


class User:
    """A program with a zygote: calls with this test's state directory, and exits by request."""

    def __init__(self, client: Client, sandbox: Sandbox) -> None:
        self.client = client
        self.sandbox = sandbox
        self.made: list[str] = []
        self.exits: dict[int, Exit] = {}
        self.replies: dict[int, Reply] = {}

    def call(self, operation: str, container: str, /, **parameters: Any) -> Reply:
        fds = parameters.pop("fds", None)
        if operation in ("create", "run"):
            self.made.append(container)
        known = {"root": str(self.sandbox.root), "id": container, **parameters}
        return self.client.call(operation, known, fds)

    def make(self, operation: str, bundle: Bundle, **parameters: Any) -> tuple[str, Reply]:
        """Create or run a container of `bundle`; its pidfd is closed."""
        container = self.sandbox.new_id()
        path = str(bundle.write().path)
        reply = self.call(operation, container, bundle=path, **parameters)
        for fd in reply.fds:
            os.close(fd)
        return container, reply

    def wait(self, number: int) -> Exit:
        """The exit of what request `number` made."""
        self.receive_until(lambda: number in self.exits)
        return self.exits[number]

    def receive_until(self, done: Callable[[], bool]) -> None:
        """Take messages until `done` says that it has come."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert self.client.wait_readable(deadline - time.monotonic()), "it was not told"
            for message in self.client.receive():
                if isinstance(message, Exit):
                    assert message.number not in self.exits
                    self.exits[message.number] = message
                else:
                    self.replies[message.number] = message
