"""Planning touches nothing: a plan is made of the config, the host's facts and the command's
options alone, so that `ociruntime plan` can show it to anybody.
"""

from __future__ import annotations

import _socket
import builtins
import copy
import os
import posix
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, ModuleType
from typing import Any

import pytest

from ociruntime import hostos
from ociruntime.kernel import _sys
from ociruntime.kernel.kernel import Kernel
from ociruntime.plan import build as creating
from ociruntime.plan import exec as executing
from ociruntime.plan.host import Powers
from ociruntime.plan.requests import CreateRequest, ExecRequest
from ociruntime.state.store import Container, Store
from tests.unit.process.configs import CONFIGS, engine_config
from tests.unit.process.inline import root_host

# What needs nothing of the machine.
PURE = {"fsdecode", "fsencode", "fspath", "major", "makedev", "minor", "strerror"}


class TouchedError(AssertionError):
    """Somebody has asked the machine."""


@contextmanager
def untouched() -> Iterator[None]:
    """Everything by which a process reaches the machine raises ``TouchedError``."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (posix, hostos, os, _sys, time):
            for name in reaching(module):
                patch.setattr(module, name, forbidden(f"{module.__name__}.{name}"))
        patch.setattr(builtins, "open", forbidden("open"))
        patch.setattr(_socket, "socket", forbidden("socket"))
        yield


def reaching(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, BuiltinFunctionType) and name not in PURE
    ]


def forbidden(name: str) -> Callable[..., None]:
    def touch(*_args: object, **_named: object) -> None:
        raise TouchedError(name)

    return touch


def plan_create(config: dict[str, Any]) -> object:
    wanted = CreateRequest("c1", Store("/run/x"), "/bundle")
    wanted.pid_file, wanted.pidfd_socket = "/x", "/y"
    return creating.build(config, b"{}", root_host(), wanted)


class Made(Container):
    """A container that exists nowhere; its descriptor is nobody's."""

    __slots__ = ()

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(Store("/run/x"), "c1", -1)
        self._config = config
        state: dict[str, Any] = plan_create(config).state  # type: ignore[attr-defined]
        self.data = {**state, "pid": 1, "start_time": 1, "root": [0, 1, 2]}


def plan_exec(config: dict[str, Any]) -> object:
    process = dict(config.get("process") or {"cwd": "/", "args": ["/"]}, terminal=False)
    process = executing.completed(Made(config), process)
    options, powers = ExecRequest(), Powers(0, (1 << 41) - 1, 40)
    options.pid_file, options.pidfd_socket = "/x", "/y"
    return executing.build(Made(config), process, options, Kernel(), powers)


def plan_hook(config: dict[str, Any]) -> object:
    process, options = executing.start_hook({"path": "/hook"}, config.get("process") or {})
    return executing.build(
        Made(config), {"cwd": "/", **process}, options, Kernel(), Powers(1, 0, 40)
    )


@pytest.mark.parametrize("plan", [plan_create, plan_exec, plan_hook])
@pytest.mark.parametrize("name", CONFIGS)
def test_planning_touches_nothing(name: str, plan: Callable[[dict[str, Any]], object]) -> None:
    config = CONFIGS[name]()
    before = copy.deepcopy(config)
    plan(config)  # imports what this config needs
    with untouched():
        plan(config)
    assert config == before


@pytest.mark.parametrize(
    "touch",
    [
        lambda: hostos.open("/", os.O_RDONLY),
        lambda: hostos.path.isdir("/"),
        lambda: os.stat("/"),
        lambda: hostos.geteuid() + 1,
        lambda: Kernel().stat(0),
        lambda: builtins.open("/dev/null"),  # noqa: SIM115
        lambda: _socket.socket(1),
        lambda: time.clock_gettime(1),
    ],
)
def test_a_planner_that_touches_something_is_found(
    monkeypatch: pytest.MonkeyPatch, touch: Callable[[], object]
) -> None:
    settled = creating.settled

    def touching(env: list[str]) -> list[str]:
        touch()
        return settled(env)

    config = engine_config()
    plan_create(config)
    monkeypatch.setattr(creating, "settled", touching)
    with untouched(), pytest.raises(TouchedError):
        plan_create(config)
