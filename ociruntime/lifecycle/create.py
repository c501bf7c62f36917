"""create: everything but executing the program (runtime.md#create)."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.bundle import open_bundle
from ociruntime.clock import now
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.pids import start_time
from ociruntime.plan.build import build
from ociruntime.plan.host import read_host
from ociruntime.process.descriptors import check_preserved
from ociruntime.process.executor import execute
from ociruntime.process.run import CONSOLE_FD, Run
from ociruntime.spec import load

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.plan.build import Plan
    from ociruntime.plan.host import Host
    from ociruntime.plan.requests import CreateRequest
    from ociruntime.process.run import Observer
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import Config


def read_bundle(bundle: str, config: str) -> tuple[str, bytes, Config, list[str]]:
    """(real path of the bundle, text of the config, the config, warnings); raises ``SpecError``."""
    with open_bundle(bundle) as opened:
        raw, document = opened.read_config(config)
        source = os.path.join(opened.path, config)
        return opened.path, raw, document, load(raw, document, source=source)


def make_plan(config: Config, raw: bytes, host: Host, options: CreateRequest) -> Plan:
    """The plan, with what only the moment of creation knows."""
    if options.systemd and not host.privileged:
        from ociruntime.cgroups.systemd.owner import whose_systemd

        options.systemd = whose_systemd(host.euid)
    plan = build(config, raw, host, options)
    plan.state["created"] = now()
    plan.state["owner"] = str(os.getuid())
    plan.state["maker"] = {"pid": os.getpid(), "start_time": start_time(os.getpid())}
    return plan


def create(
    config: Config,
    raw: bytes,
    options: CreateRequest,
    observer: Observer | None = None,
    kernel: Kernel | None = None,
) -> Run:
    """Create the container; on failure nothing is left. ``kernel``: the way to the system, where
    the caller has one of its own.

    Returns the executed run with ``pid``, ``pidfd``, ``container`` (still locked) and ``warnings``.
    Raises ``OciError``.
    """
    kernel = kernel or Kernel()
    check_preserved(options.preserve_fds)
    plan = make_plan(config, raw, read_host(kernel), options)
    return carry_out(kernel, plan.steps, plan.warnings, options, observer)


def carry_out(
    kernel: Kernel,
    steps: list[Step],
    warnings: list[str],
    options: CreateRequest,
    observer: Observer | None = None,
) -> Run:
    """Execute the steps of a plan that makes a container; the run, as ``create`` returns it."""
    run = Run(kernel, steps)
    run.warnings += warnings
    run.observer = observer
    run.streams, run.preserve_fds = options.streams, options.preserve_fds
    if options.console_fd >= 0:
        run.fds[CONSOLE_FD] = run.lent = options.console_fd
    # Descriptors that the caller left open are not the container's (CVE-2024-21626), nor a hook's.
    kernel.close_on_exec_from(3 + options.preserve_fds)
    # Modes are what we say they are, whatever the caller's umask is.
    run.umask = os.umask(0)
    try:
        execute(run)
    finally:
        os.umask(run.umask)
    return run
