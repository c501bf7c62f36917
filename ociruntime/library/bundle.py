"""Bundles, and what can be said about them without doing anything."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from ociruntime.errors import SpecError
from ociruntime.kernel.kernel import Kernel
from ociruntime.library.configuration import BundlePlace, configuration
from ociruntime.lifecycle.create import make_plan, read_bundle
from ociruntime.plan.host import as_root, read_host
from ociruntime.plan.names import names
from ociruntime.plan.namespaces import needs_root
from ociruntime.plan.requests import CreateRequest
from ociruntime.spec.explain import explain
from ociruntime.state.ids import check_id
from ociruntime.state.store import Store

if TYPE_CHECKING:
    from ociruntime.library.connection import ZygoteConnection
    from ociruntime.library.options import ConfigOptions, PathLike

CONFIG = "config.json"


@dataclass(frozen=True)
class Fault:
    """A rule that a document breaks: ``level`` is ``error``, ``warning`` or ``note``, ``pointer``
    the RFC 6901 JSON pointer of the ``value``, ``line`` and ``column`` its place in the text
    (counted from 1), ``rule`` the section of the specification, ``cure`` what to do about it.
    """

    level: str
    pointer: str
    line: int
    column: int
    value: Any
    message: str
    rule: str
    cure: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.message}; {self.cure}"


@dataclass(frozen=True)
class PlannedStep:
    """A step that ``create`` would take: ``name`` is its kind and what it is about, ``kind`` what
    is done, ``side`` says who takes it (``host`` or ``container``), ``pointer`` where in the config
    it comes from (empty: from the specification), ``description`` what it does, ``operands`` its
    data.
    """

    name: str
    kind: str
    side: str
    stage: str
    pointer: str
    description: str
    operands: dict[str, Any]

    def __str__(self) -> str:
        return self.description


class Bundle:
    """A bundle directory and its configuration, which may be changed and saved.

    path    the directory
    config  the document of its config.json
    """

    def __init__(self, path: PathLike) -> None:
        """Read an existing bundle. Raises ``SpecError``."""
        self.path = Path(os.path.abspath(path))
        try:
            self.config: dict[str, Any] = json.loads((self.path / CONFIG).read_bytes())
        except OSError as error:
            raise SpecError(f"bundle {self.path}: {CONFIG}: {error.strerror}") from None
        except ValueError as error:
            raise SpecError(f"bundle {self.path}: {CONFIG}: {error}") from None

    @classmethod
    def make(
        cls,
        path: PathLike,
        rootfs: PathLike,
        args: Sequence[str],
        **options: Unpack[ConfigOptions],
    ) -> Self:
        """Write a bundle: what ``ociruntime spec`` writes for this user, without a terminal, for
        ``args`` in ``rootfs``. The directory ``path`` is made if need be.

        Parameters: ``options`` are those of ``ConfigOptions``. Raises ``TypeError`` and
        ``ValueError`` for what cannot be meant, before anything is written.
        """
        return cls._write(BundlePlace(os.path.abspath(path)), rootfs, args, options)

    @classmethod
    def temporary(
        cls, rootfs: PathLike, args: Sequence[str], **options: Unpack[ConfigOptions]
    ) -> Self:
        """``make`` in a new directory, which goes when nothing refers to the bundle any more: no
        variable, and no ``Container`` that was made of it.
        """
        return cls._write_temporary(BundlePlace(""), rootfs, args, options)

    @classmethod
    def for_runtime(
        cls,
        runtime: ZygoteConnection,
        rootfs: PathLike,
        args: Sequence[str],
        options: ConfigOptions,
    ) -> Self:
        """``temporary`` for the containers of ``runtime``."""
        place = BundlePlace("", runtime.launcher, runtime.root)
        return cls._write_temporary(place, rootfs, args, options)

    @classmethod
    def _write_temporary(
        cls, place: BundlePlace, rootfs: PathLike, args: Sequence[str], options: ConfigOptions
    ) -> Self:
        place.path = tempfile.mkdtemp(prefix="ociruntime-")
        try:
            bundle = cls._write(place, rootfs, args, options)
        except BaseException:
            shutil.rmtree(place.path, ignore_errors=True)
            raise
        weakref.finalize(bundle, _remove, place.path, os.getpid())
        return bundle

    @classmethod
    def _write(
        cls, place: BundlePlace, rootfs: PathLike, args: Sequence[str], options: ConfigOptions
    ) -> Self:
        bundle = cls.__new__(cls)
        bundle.path = Path(place.path)
        bundle.config = configuration(place, rootfs, args, options)
        os.makedirs(place.path, exist_ok=True)
        bundle.save()
        return bundle

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"<Bundle {self.path}>"

    def save(self) -> None:
        """Write ``config`` to config.json."""
        (self.path / CONFIG).write_text(json.dumps(self.config, indent=2))

    def validate(self) -> list[Fault]:
        """Every fault of ``config`` as it is now."""
        return validate(self.config)

    def plan(self, container_id: str = "container") -> list[PlannedStep]:
        """The steps that ``create`` would take; see ``plan``."""
        return plan(self, container_id)


def _remove(path: str, owner: int) -> None:
    """Remove a temporary bundle; a forked child of the program leaves it alone."""
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)


def validate(document: dict[str, Any] | str | bytes, kind: str = "config") -> list[Fault]:
    """Every fault of a document (its text, or the data), errors first; [] when there is none.

    Parameters: ``kind`` is config, process, resources, state or features. Raises ``SpecError`` for
    what is not JSON.
    """
    text = json.dumps(document, indent=2) if isinstance(document, dict) else document
    raw = text.encode() if isinstance(text, str) else text
    report = explain(raw, kind, kind)
    return [
        Fault(
            fault.level,
            fault.pointer,
            line,
            column,
            fault.value,
            fault.message,
            fault.rule,
            fault.cure,
        )
        for fault, line, column in report.placed
    ]


def plan(bundle: PathLike, container_id: str = "container") -> list[PlannedStep]:
    """The steps that ``create`` would take for a bundle on this host; none is taken.

    They are this program's steps; where only root could take them, root's. Raises ``SpecError`` or
    ``PlanError``.
    """
    path, raw, config, _ = read_bundle(os.fspath(bundle), CONFIG)
    options = CreateRequest(check_id(container_id), Store("/run/ociruntime"), path)
    if (config.get("process") or {}).get("terminal"):
        options.console_fd = 0  # asked for, but never used
    host = read_host(Kernel())
    if needs_root(config, host):
        host = as_root(host)
    steps = make_plan(config, raw, host, options).steps
    return [
        PlannedStep(name, s.kind, s.side, s.stage, s.pointer, s.describe(), s.operands())
        for name, s in zip(names(steps), steps, strict=True)
    ]
