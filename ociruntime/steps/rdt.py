"""linux.intelRdt: the container's class of service and monitoring group in resctrl
(config-linux.md#intel-rdt, Documentation/filesystems/resctrl.rst).

    closID not set      a class named after the container, removed with it
    closID "/"          the root class, which is never made or removed
    closID and schemas  the class is made, or, when it exists, must have these very schemas
    closID alone        the class must exist
    enableMonitoring    a monitoring group named after the container, removed with it
"""

from __future__ import annotations

import errno
import os

from ociruntime.errors import OciError, StepError
from ociruntime.kernel.mountinfo import mount_points
from ociruntime.process.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.process.run import Run
    from ociruntime.state.stored import StoredRdt

ROOT_CLASS = "/"
TASKS, SCHEMATA, MONITORING = "tasks", "schemata", "mon_groups"
# The key in the container's state: {"class": directory, "group": directory or "",
# "remove": [directories that delete removes], "made": [more that only a failed create removes]}.


class MakeRdtClass(Step):
    """Make or find the class of service, and the monitoring group.

    Parameters: ``class_id`` is closID, empty for a class named ``container_id``; ``lines`` are the
    schemas to write, in their order; ``root`` is where resctrl is mounted, empty to look it up.
    """

    __slots__ = ("class_id", "container_id", "lines", "monitoring", "root")

    kind = "make-rdt-class"

    def __init__(
        self,
        container_id: str,
        class_id: str,
        lines: list[str],
        *,
        monitoring: bool,
        root: str = "",
    ) -> None:
        super().__init__("/linux/intelRdt", f"linux.intelRdt {class_id or container_id}")
        self.container_id = container_id
        self.class_id = class_id
        self.lines = lines
        self.monitoring = monitoring
        self.root = root

    def describe(self) -> str:
        group = " with a monitoring group" if self.monitoring else ""
        return f"use the resctrl class {self.class_id or self.container_id}{group}"

    def execute(self, run: Run) -> None:
        root = self.root or resctrl_root()
        directory = root
        if self.class_id != ROOT_CLASS:
            directory = os.path.join(root, self.class_id or self.container_id)
        exists = os.path.isdir(directory)
        if exists and not self.class_id:
            raise OciError(
                f"{self.label}: {directory} exists and is not ours; remove it, or name it in closID"
            )
        if self.class_id and not self.lines and not exists:
            raise OciError(
                f"{self.label}: there is no class {directory}; make it, or add schemata to have it "
                "made"
            )
        group = os.path.join(directory, MONITORING, self.container_id) if self.monitoring else ""
        self._announce(run, directory, group, exists=exists)
        if not exists:
            os.mkdir(directory, 0o755)
            for line in self.lines:
                _write(directory, SCHEMATA, line, f"{self.label}: {line}")
        elif self.lines:
            self._compare(directory)
        if group:
            self.label = f"linux.intelRdt.enableMonitoring {self.container_id}"
            os.mkdir(group, 0o755)

    def _announce(self, run: Run, directory: str, group: str, *, exists: bool) -> None:
        """Write down what is going to be ours before it exists, so that delete finds it."""
        assert run.container is not None
        ours = [] if exists else [directory]
        run.container.data["rdt"] = {
            "class": directory,
            "group": group,
            "remove": ([group] if group else []) + ([] if self.class_id else ours),
            "made": ours if self.class_id else [],
        }
        run.container.save()

    def _compare(self, directory: str) -> None:
        have = parse_schemata(_read(directory, SCHEMATA))
        for line in self.lines:
            for resource, domains in parse_schemata(line).items():
                there = have.get(resource, {})
                for domain, value in domains.items():
                    if there.get(domain) != value:
                        raise OciError(
                            f"{self.label}: the class exists with {resource}:{domain}="
                            f"{there.get(domain, 'nothing')}, not {value}; use its schemata, or "
                            "another closID"
                        )

    def undo(self, run: Run) -> None:
        if run.container is not None:
            saved = run.container.data.get("rdt")
            remove_rdt([*saved["remove"], *saved["made"]] if saved else [], run.warnings)

    def explain(self, number: int) -> str:
        return {
            errno.ENOSPC: "the processor has no class or monitoring id left; remove one of "
            "resctrl's directories",
            errno.EACCES: "only root of the host may change resctrl",
            errno.EPERM: "only root of the host may change resctrl",
            errno.ENOENT: "this resctrl cannot do it",
            errno.EEXIST: "a directory of this name exists and is not ours; remove it",
        }.get(number, "")


class JoinRdtClass(Step):
    """Put the process, and so all that it will fork, into the class and the monitoring group.

    ``saved`` is the container's state for ``exec``, None when ``MakeRdtClass`` has just made it.
    """

    __slots__ = ("saved",)

    kind = "join-rdt-class"
    stage = "attach"

    def __init__(self, saved: StoredRdt | None = None) -> None:
        super().__init__("/linux/intelRdt", "linux.intelRdt")
        self.saved = saved

    def describe(self) -> str:
        return "put the process into its resctrl class"

    def execute(self, run: Run) -> None:
        saved = self.saved
        if saved is None:
            assert run.container is not None
            saved = run.container.data.get("rdt")
        assert saved is not None
        for directory in (saved["class"], saved["group"]):
            if directory:
                _write(directory, TASKS, str(run.pid), f"linux.intelRdt {directory}/{TASKS}")


def resctrl_root() -> str:
    """Where resctrl is mounted (proc_pid_mountinfo(5)). Raises ``OciError`` when it is not."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        found = find_resctrl(file.read())
    if not found:
        raise OciError(
            "linux.intelRdt: resctrl is not mounted; the processor may lack it, else "
            "`mount -t resctrl resctrl /sys/fs/resctrl`"
        )
    return found


def find_resctrl(mountinfo: str) -> str:
    """The mount point of resctrl in a mountinfo text, empty without one."""
    return "".join(mount_points(mountinfo, ("resctrl",))[:1])


def parse_schemata(text: str) -> dict[str, dict[str, str]]:
    """Schemata as {resource: {domain: value}}; masks in hexadecimal without leading zeros."""
    result: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        resource, colon, rest = line.strip().partition(":")
        if not colon:
            continue
        domains = result.setdefault(resource.strip(), {})
        for item in rest.split(";"):
            domain, _, value = item.partition("=")
            if domain.strip():
                domains[domain.strip()] = value.strip().lower().lstrip("0") or "0"
    return result


def change_schemata(directory: str, lines: list[str]) -> list[str]:
    """Write ``lines`` to a class and return what takes them back; what is refused leaves the class
    as it was. Raises ``StepError``.
    """
    resources = {line.partition(":")[0].strip() for line in lines}
    have = [line.strip() for line in _read(directory, SCHEMATA).splitlines()]
    before = [line for line in have if line.partition(":")[0] in resources]
    try:
        for line in lines:
            _write(directory, SCHEMATA, line, f"linux.intelRdt {directory}: {line}")
    except StepError:
        for line in before:
            _write(directory, SCHEMATA, line, f"linux.intelRdt {directory}: {line}")
        raise
    return before


def remove_rdt(directories: list[str], warnings: list[str]) -> None:
    """Remove classes and groups; what is gone already is fine, what cannot go is a warning."""
    for directory in directories:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            warnings.append(f"cannot remove {directory}: {error.strerror}")


def _read(directory: str, name: str) -> str:
    with open(os.path.join(directory, name), encoding="utf-8") as file:
        return file.read()


def _write(directory: str, name: str, line: str, label: str) -> None:
    """Write one line in one write(2); resctrl's own words are in the error."""
    fd = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(fd, f"{line}\n".encode())
    except OSError as error:
        raise StepError(label, error.errno or 0, _last_status(directory)) from None
    finally:
        os.close(fd)


def _last_status(directory: str) -> str:
    """What resctrl says about the last refusal (info/last_cmd_status); empty when it says
    nothing.
    """
    while len(directory) > 1:
        path = os.path.join(directory, "info")
        if os.path.isdir(path):
            try:
                return " ".join(_read(path, "last_cmd_status").split())
            except OSError:
                return ""
        directory = os.path.dirname(directory)
    return ""
