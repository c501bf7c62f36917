"""The public library: containers for Python programs.

    with Runtime() as runtime:
        with runtime.run("bundle", "web", stdout=PIPE) as container:
            status = container.wait(timeout=10)

Everything may be used by any number of threads, and from asyncio (``await container.ended()``, and
``asyncio.to_thread`` for the rest, which takes milliseconds): forking and entering namespaces is
left to a small process of its own (``ociruntime.zygote``). The names are

    Runtime      a state directory and that process
    Container    create, start, exec, kill, pause, resume, update, wait, state, delete
    Process      a process in a container: wait, send_signal, communicate
    Bundle       a bundle: its config, make, save, validate, plan
    validate     every fault of a document
    plan         the steps that create would take
    State, ExitStatus, Fault, PlannedStep: plain data; PIPE, DEVNULL, STDOUT: for streams

Errors are those of ``ociruntime.errors``; each is one line for a person.
"""

from __future__ import annotations

from subprocess import DEVNULL, PIPE, STDOUT

from ociruntime.errors import (
    AlreadyExists,
    HookError,
    NotFound,
    OciError,
    PlanError,
    SpecError,
    StateError,
    StepError,
    UsageError,
    WrongStatus,
)
from ociruntime.library.bundle import Bundle, Fault, PlannedStep, plan, validate
from ociruntime.library.container import Container, State
from ociruntime.library.process import ExitStatus, Process
from ociruntime.library.runtime import Runtime
from ociruntime.zygote.client import ZygoteGone

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "AlreadyExists",
    "Bundle",
    "Container",
    "ExitStatus",
    "Fault",
    "HookError",
    "NotFound",
    "OciError",
    "PlanError",
    "PlannedStep",
    "Process",
    "Runtime",
    "SpecError",
    "State",
    "StateError",
    "StepError",
    "UsageError",
    "WrongStatus",
    "ZygoteGone",
    "plan",
    "validate",
]
