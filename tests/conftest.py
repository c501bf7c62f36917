"""Options, markers and fixtures of all tests.

Tests under tests/kernel, tests/security, tests/clients and tests/fault, or marked so, need root:
without it they are skipped with the reason. Each of them gets the leak check: what carries the
test's names must be gone when it ends.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

CHECKOUT = Path(__file__).resolve().parent.parent
if str(CHECKOUT) not in sys.path:  # `tests.support` must import under every import mode
    sys.path.insert(0, str(CHECKOUT))

from conformance.host import enter_own_mount_namespace  # noqa: E402
from tests.support import tally  # noqa: E402
from tests.support.bundle import Bundle  # noqa: E402
from tests.support.canary import Canary  # noqa: E402
from tests.support.compiled import compiled  # noqa: E402
from tests.support.criu import COUNTING, criu  # noqa: E402
from tests.support.reaper import fork_below_a_reaper  # noqa: E402
from tests.support.runtime import Runtime  # noqa: E402
from tests.support.sandbox import CGROUP_PARENT, MARKER, Sandbox  # noqa: E402

# Properties are tried on the same examples each time, however slow a machine is; `pytest
# --hypothesis-profile search` tries others.
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", SLOW, derandomize=True)
settings.register_profile("search", SLOW)
settings.load_profile("suite")

ROOT_MARKERS = ("kernel", "security", "race", "clients")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose the runtime and the length of races."""
    default = os.environ.get("OCIRUNTIME", str(CHECKOUT / ".venv" / "bin" / "ociruntime"))
    group = parser.getgroup("ociruntime")
    group.addoption("--runtime", default=default, help=f"OCI runtime binary (now {default})")
    group.addoption(
        "--race-seconds", type=float, default=6.0, help="longest time of one race test (6)"
    )
    group.addoption("--tally", type=Path, metavar="PAGE", help="write what was tried into PAGE")
    group.addoption("--tally-scope", default="a part of it", help="what of the tests that was")
    group.addoption(
        "--leaks", choices=("fail", "ignore"), default="fail", help="what a leak does (fail)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and leave the machine's mounts and its choice of cgroup mounts.

    crun, for one, works only where every v1 controller is mounted: see the namespace's docstring.
    Workers inherit the namespace of the controlling process.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # As a shell leaves it to what it starts in the background; tests interrupt themselves.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() == 0 and not hasattr(config, "workerinput"):
        fork_below_a_reaper()
        enter_own_mount_namespace()
    for line in (
        "kernel: uses the real kernel; needs root",
        "security: a guard of ours; needs root",
        "clients: a scenario of docker, containerd or podman; needs root",
        "race: a race against the runtime; bounded by --race-seconds; needs root",
        "slow: takes more than five seconds",
    ):
        config.addinivalue_line("markers", line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests after their directory, and skip those that need root when there is none."""
    for item in items:
        folder = item.path.relative_to(CHECKOUT).parts[1:2]
        if folder in (("kernel",), ("security",), ("clients",)):
            item.add_marker(folder[0])
        if os.geteuid() != 0 and any(item.get_closest_marker(name) for name in ROOT_MARKERS):
            item.add_marker(pytest.mark.skip(reason="needs root: namespaces, mounts, cgroups"))


# Slashes in the path of a directory that may hold ours; another session may have nested its own.
DEEPEST = 12


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the cgroup that all tests' cgroups lie in, from the controlling process."""
    if hasattr(session.config, "workerinput"):
        session.config.workeroutput["tally"] = dict(tally.COUNTS)
        return
    if "OCIRT_BESIDE" in os.environ:  # a test of another session has started this one
        return
    # os.walk passes over cgroups that somebody else removes meanwhile; glob raises.
    for where, names, _ in os.walk("/sys/fs/cgroup"):
        if where.count("/") > DEEPEST:
            names.clear()  # os.walk calls itself
        if CGROUP_PARENT in names:
            try:
                Path(where, CGROUP_PARENT).rmdir()
            except OSError:
                continue  # another session is using it


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker has counted; one that died has nothing to say."""
    tally.COUNTS.update(getattr(node, "workeroutput", {}).get("tally", {}))


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """With --tally: the figures of a run that came to its end and in which nothing failed."""
    page = config.getoption("--tally")
    if page is None or hasattr(config, "workerinput"):  # a worker sees its own part only
        return
    terminalreporter.section("what was tried")
    if exitstatus != pytest.ExitCode.OK:
        terminalreporter.line(f"{page} stays as it is: not all tests passed")
        return
    passed = len(terminalreporter.stats.get("passed", ()))
    seconds, scope = config.getoption("--race-seconds"), config.getoption("--tally-scope")
    terminalreporter.write(tally.write(page, passed, seconds, scope))


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """The test's names and directories; fails the test for what it leaves behind."""
    box = Sandbox()
    try:
        yield box
        leaks = box.settled_leaks()
        tally.count("sandboxes")
        tally.count("left", len(leaks))
    finally:
        box.clean()
    if leaks and request.config.getoption("--leaks") == "fail":
        pytest.fail("left behind:\n  " + "\n  ".join(leaks), pytrace=False)


@pytest.fixture(autouse=True)
def leak_check(request: pytest.FixtureRequest) -> None:
    """Give every test that needs root the leak check, whatever fixtures it names."""
    if any(request.node.get_closest_marker(name) for name in ROOT_MARKERS):
        request.getfixturevalue("sandbox")


@pytest.fixture(scope="session")
def runtime_binary(request: pytest.FixtureRequest) -> Path:
    """The runtime under test, as an absolute path."""
    binary = Path(request.config.getoption("--runtime")).absolute()
    if not os.access(binary, os.X_OK):
        pytest.fail(f"no runtime at {binary}: run `make build`, or give --runtime PATH")
    return binary


@pytest.fixture(scope="session")
def oci_launcher(runtime_binary: Path) -> Path:
    """The runtime under test, for the fixtures of ociruntime.pytest_plugin."""
    return runtime_binary


@pytest.fixture
def runtime(
    request: pytest.FixtureRequest, runtime_binary: Path, sandbox: Sandbox
) -> Iterator[Runtime]:
    """The runtime with a --root of its own.

    At the end its containers are deleted by force; what is left after that is a leak. An id whose
    create failed must have left nothing without any delete.
    """
    under_test = Runtime(runtime_binary, sandbox)
    yield under_test
    problems = []
    if under_test.failed and not under_test.created:
        problems = [f"after a failed create: {line}" for line in sandbox.settled_leaks()]
    problems += under_test.remove_all()
    if problems and request.config.getoption("--leaks") == "fail":
        pytest.fail("left behind:\n  " + "\n  ".join(problems), pytrace=False)


@pytest.fixture
def bundle(sandbox: Sandbox) -> Callable[..., Bundle]:
    """Make a bundle: `bundle(args=[...], hostname="x", linux={...})`.

    `args` is short for process.args; other keywords are merged into the configuration.
    """

    def make(args: list[str] | None = None, **overrides: Any) -> Bundle:
        name = sandbox.new_id()
        made = Bundle(sandbox.bundles / name, name, f"{MARKER}={sandbox.prefix}", overrides)
        if args is not None:
            made.args = args
        return made

    return make


@pytest.fixture
def canary(sandbox: Sandbox) -> Iterator[Canary]:
    """A directory of the host that must not change; checked again when the test ends."""
    made = Canary(sandbox.directory / "canary")
    yield made
    made.check()


@pytest.fixture
def criu_host(runtime: Runtime) -> Runtime:
    """The runtime, with a CRIU that works here; the test is skipped without one."""
    runtime.global_options = ("--criu", str(criu()))
    return runtime


@pytest.fixture
def images(sandbox: Sandbox) -> Path:
    """Where checkpoints are written; not made."""
    return sandbox.directory / "images"


@pytest.fixture
def counter(bundle: Callable[..., Bundle]) -> Bundle:
    """A container that counts in a tmpfs of its own."""
    return bundle().shell(COUNTING).add_mount("/tmp", "tmpfs", "tmpfs", ["nosuid", "nodev"])


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled probe (tests/support/probe.c): it does inside what busybox cannot."""
    return compiled("probe", tmp_path_factory)


@pytest.fixture(scope="session")
def syscalls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that makes system calls by number (tests/support/syscalls.c)."""
    return compiled("syscalls", tmp_path_factory)
