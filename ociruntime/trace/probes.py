"""Which functions are spans of a trace, and how they become so.

As a debugger sets breakpoints, a traced command replaces the functions of ``SPANS`` by ones that
note begin and end and call the original: in their own module or class, and wherever else they were
imported to. So the code that is traced knows nothing of it, and an untraced command pays nothing.
A test holds that every name of the table exists.
"""

from __future__ import annotations

import builtins
import sys

from ociruntime.process.channel import Closed
from ociruntime.trace.records import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.trace.records import Session

    Function = Callable[..., Any]

PACKAGE = "ociruntime."
# Shorter imports are of modules that are there already (nanoseconds).
WORTH_TELLING = 20_000

# module -> function, or class and method -> what it does
SPANS = {
    "ociruntime.bundle": {
        "open_bundle": "open the bundle",
        "BundleDirectory.read_config": "read config.json",
    },
    "ociruntime.spec": {
        "load": "check the configuration",
        "load_process": "check the process",
        "load_resources": "check the resources",
    },
    "ociruntime.plan.host": {"read_host": "read the facts of the host"},
    "ociruntime.plan.build": {"build": "plan"},
    "ociruntime.cgroups.detect": {"detect": "find the cgroup hierarchies"},
    "ociruntime.cgroups.group": {
        "Group.remove": "remove the cgroup",
        "Group.freeze": "freeze the cgroup",
        "Group.thaw": "thaw the cgroup",
    },
    "ociruntime.cgroups.signals": {"signal_all": "signal every process of the cgroup"},
    "ociruntime.cgroups.update": {"update": "change the limits"},
    "ociruntime.kernel.ocinit": {"open_program": "copy oci-init to a sealed memfd"},
    "ociruntime.lifecycle.create": {"create": "create"},
    "ociruntime.lifecycle.delete": {"destroy": "delete"},
    "ociruntime.lifecycle.kill": {"kill": "kill"},
    "ociruntime.lifecycle.start": {"start": "start", "connect_agent": "connect to the agent"},
    "ociruntime.lifecycle.exec": {"exec_process": "exec"},
    "ociruntime.process.executor": {"undo": "undo what was done"},
    "ociruntime.process.foreground": {"stay": "wait for the process to end"},
    "ociruntime.process.hook": {"execute_hook": "run a hook"},
    "ociruntime.seccomp.cache": {
        "load": "look for the compiled filter",
        "store": "keep the compiled filter",
    },
    "ociruntime.seccomp.compiler": {"compile_program": "compile the filter"},
    "ociruntime.state.document": {"state_document": "make the state document"},
    "ociruntime.state.status": {"status": "find out the status"},
    "ociruntime.state.store": {
        "Container.config": "read the stored configuration",
        "Container.load": "read state.json",
        "Container.lock": "lock the container",
        "Container.remove": "remove the state directory",
        "Container.save": "write state.json",
        "Store.claim": "make the state directory",
    },
}

SPECIAL = (
    "ociruntime.process.executor",
    "ociruntime.process.spawn",
    "ociruntime.kernel.block",
    "ociruntime.steps.enter",
    "ociruntime.state.status",
    "ociruntime.process.report",
)
WATCHED = tuple(dict.fromkeys((*SPANS, *SPECIAL)))


class Probes:
    """Sets the probes, now and after each import that brings more modules."""

    __slots__ = ("_depth", "_import", "_replaced", "_seen", "_session", "_special")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen: set[str] = set()
        # (name, original, replacement) of functions
        self._replaced: list[tuple[str, Function, Function]] = []
        self._depth = 0
        self._import: Function = builtins.__import__
        self._special = special(session)

    def watch_imports(self) -> None:
        """Set the probes of what is loaded, and make imports spans from now on."""
        self._set()
        builtins.__import__ = self._traced_import

    def _traced_import(self, name: str, *rest: Any, **named: Any) -> Any:
        begin, known = clock(), len(sys.modules)
        self._depth += 1
        try:
            return self._import(name, *rest, **named)
        finally:
            self._depth -= 1
            loaded = clock()
            if loaded - begin >= WORTH_TELLING:
                self._session.record(begin, loaded, f"import {name}")
            if self._depth == 0 and len(sys.modules) != known:
                self._set()
                self._session.record(loaded, clock(), "prepare the trace")

    def _set(self) -> None:
        """Replace the functions of modules that are new; a module need not be there at all."""
        fresh = [name for name in WATCHED if name in sys.modules and name not in self._seen]
        for name in fresh:
            module = sys.modules[name]
            for path, title in SPANS.get(name, {}).items():
                self._replace(module, path, span(self._session, title))
            for path, wrap in self._special.get(name, {}).items():
                self._replace(module, path, wrap)
        self._seen.update(fresh)
        for name, module in list(sys.modules.items()):
            if name.startswith(PACKAGE):
                _follow(vars(module), self._replaced)

    def _replace(self, module: Any, path: str, wrap: Callable[[Function], Function]) -> None:
        class_name, _, function = path.rpartition(".")
        holder = getattr(module, class_name) if class_name else module
        original = getattr(holder, function)
        replacement = wrap(original)
        setattr(holder, function, replacement)
        if not class_name:
            self._replaced.append((function, original, replacement))


def _follow(names: dict[str, Any], replaced: list[tuple[str, Function, Function]]) -> None:
    """Replace what a module has imported from another one, under the same name."""
    for function, original, replacement in replaced:
        if names.get(function) is original:
            names[function] = replacement


def span(session: Session, title: str) -> Callable[[Function], Function]:
    """A wrapper that notes begin, end and error of each call."""

    def wrap(original: Function) -> Function:
        def traced(*arguments: Any, **named: Any) -> Any:
            begin, said = clock(), ""
            try:
                return original(*arguments, **named)
            except Closed:
                raise  # an end of the conversation, which is not always a failure
            except BaseException as error:
                said = f"\0{error}"
                raise
            finally:
                session.record(begin, clock(), title + said)

        return traced

    return wrap


def special(session: Session) -> dict[str, dict[str, Callable[[Function], Function]]]:
    """What is more than a span: where processes part, and what oci-init is to be asked."""
    from ociruntime.trace import steps, times

    return {
        "ociruntime.process.executor": {
            "execute": steps.execute(session),
        },
        "ociruntime.process.spawn": {
            "spawn": steps.spawn(session),
        },
        "ociruntime.kernel.block": {"pack_block": times.pack_block},
        "ociruntime.steps.enter": {"EnterContainer.take": steps.take(session)},
        "ociruntime.state.status": {"connect": times.connect(session)},
        "ociruntime.process.report": {"read_report": times.read_report(session)},
    }
