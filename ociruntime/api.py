"""The public library: containers for Python programs.

    with Runtime() as runtime:
        with runtime.run("bundle", "web", stdout=PIPE) as container:
            status = container.wait(timeout=10)

Everything may be used by any number of threads; forking and entering namespaces is left to a small
process of its own (``ociruntime.zygote``). The names are

    Runtime      a state directory and that process
    Container    create, start, exec, kill, pause, resume, update, wait, state, stats, events, ps,
                 networks, checkpoint, add_mounts, remove_mounts, delete
    Process      a process in a container: wait, send_signal, communicate
    AsyncRuntime, AsyncContainer, AsyncProcess: the same for asyncio
    Bundle       a bundle: its config, make, temporary, save, validate, plan
    validate     every fault of a document
    plan         the steps that create would take
    State, Stats, Event, ProcessInfo, Attached, ExitStatus, Fault, PlannedStep: plain data
    PIPE, DEVNULL, STDOUT: for streams

Wrong use is a ``TypeError`` or ``ValueError`` before anything is asked for. All other errors are
those of ``ociruntime.errors``, and ProgramNotFound, PermissionDenied and Timeout; each is one line
for a person.
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
from ociruntime.library.aio import AsyncContainer, AsyncRuntime
from ociruntime.library.aioprocess import AsyncProcess
from ociruntime.library.bundle import Bundle, Fault, PlannedStep, plan, validate
from ociruntime.library.container import Container, State
from ociruntime.library.errors import PermissionDenied, ProgramNotFound, Timeout
from ociruntime.library.process import ExitStatus, Process
from ociruntime.library.runtime import Runtime
from ociruntime.library.usage import Attached, Event, ProcessInfo, Stats
from ociruntime.zygote.client import ZygoteGone

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "AlreadyExists",
    "AsyncContainer",
    "AsyncProcess",
    "AsyncRuntime",
    "Attached",
    "Bundle",
    "Container",
    "Event",
    "ExitStatus",
    "Fault",
    "HookError",
    "NotFound",
    "OciError",
    "PermissionDenied",
    "PlanError",
    "PlannedStep",
    "Process",
    "ProcessInfo",
    "ProgramNotFound",
    "Runtime",
    "SpecError",
    "State",
    "StateError",
    "Stats",
    "StepError",
    "Timeout",
    "UsageError",
    "WrongStatus",
    "ZygoteGone",
    "plan",
    "validate",
]
