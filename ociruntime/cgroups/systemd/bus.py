"""systemd's manager on D-Bus: the few calls of which a cgroup driver consists.

Sources: org.freedesktop.systemd1(5); D-Bus specification, "Authentication Protocol".

The messages are jeepney's, which is imported here and nowhere else: it takes 12 ms.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket
from time import monotonic, sleep

from jeepney import DBusAddress, HeaderFields, MatchRule, MessageType, Properties, new_method_call
from jeepney.bus import get_connectable_addresses
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, DBusConnectionBase
from jeepney.io.common import MessageFilters

from ociruntime.errors import OciError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from ociruntime.cgroups.unit import Property

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
INTERFACE = f"{NAME}.Manager"
SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
# systemd's own, for root alone, where there is no D-Bus daemon.
PRIVATE = "unix:path=/run/systemd/private"
# How long systemd may take for a call or a job (seconds); it answers late while it reloads.
CALL_SECONDS = 25.0
CONNECT_SECONDS = 5.0
RETRY_PAUSE = 0.02
# We are whoever the kernel says we are: with an id of our own words, root of a user namespace would
# not be believed.
AUTHENTICATE = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
AUTHENTICATED = (b"DATA", b"OK")
DONE = "done"
JOBS = MatchRule(type="signal", interface=INTERFACE, member="JobRemoved", path=PATH)
EXISTS = f"{NAME}.UnitExists"
MISSING = (f"{NAME}.NoSuchUnit", f"{NAME}.UnitNotLoaded")


class Refused(OciError):
    """systemd or the bus says no; ``name`` is the D-Bus error's."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name
        self.text = text


class Direct(DBusConnection):  # type: ignore[misc]
    """A connection to systemd itself: there is no bus to say Hello to."""

    def __init__(self, sock: socket) -> None:
        DBusConnectionBase.__init__(self, sock)
        self._filters = MessageFilters()
        self.unique_name = None


class Manager:
    """A connection to the system's systemd or, with ``user``, to that of the caller.

    Raises ``StepError`` when there is none. Used as a context, which closes it.
    """

    def __init__(self, *, user: bool) -> None:
        self._who = "the user's systemd" if user else "systemd"
        self._address = DBusAddress(PATH, bus_name=NAME, interface=INTERFACE)
        self._jobs: deque[Any] = deque()
        self._watching = False
        text = _bus_address(user=user)
        try:
            self._connection = DBusConnection(_connect(text))
        except (OSError, EOFError, RuntimeError, ValueError) as error:
            direct = None if user or os.geteuid() != 0 else _direct()
            if direct is None:
                number = _number(error)
                raise StepError(f"D-Bus {text}", number, _cure(error, user=user)) from None
            self._connection = direct
            self._watching = True
            self._connection.filter(JOBS, queue=self._jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def start(self, unit: str, properties: list[Property]) -> None:
        """Start a transient unit and wait until it runs; raises ``Refused``."""
        values = [(name, (signature, value)) for name, signature, value in properties]
        self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", values, [])

    def stop(self, unit: str) -> None:
        """Stop a unit and wait until it is gone; no effect on one that is unknown."""
        try:
            self._job("StopUnit", "ss", unit, "replace")
        except Refused as error:
            if error.name not in MISSING:
                raise

    def reset_failed(self, unit: str) -> None:
        """Forget the failure of a unit, so that its name is free; no effect without one."""
        try:
            self.call("ResetFailedUnit", "s", unit)
        except Refused as error:
            if error.name not in MISSING:
                raise

    def set_properties(self, unit: str, properties: list[Property]) -> None:
        """Change properties until the next boot; what they say is in the cgroup's files then."""
        values = [(name, (signature, value)) for name, signature, value in properties]
        runtime = True
        self.call("SetUnitProperties", "sba(sv)", unit, runtime, values)
        # systemd answers before it has written the files, but takes the next call only after that.
        self.call("GetUnit", "s", unit)

    def attach(self, unit: str, subgroup: str, pid: int) -> None:
        """Move a process into a unit: systemd may where its user may not. ``subgroup`` is the path
        below the unit's cgroup, ``/a/b``, empty for that one itself.
        """
        self.call("AttachProcessesToUnit", "ssau", unit, subgroup, [pid])

    def unit_property(self, unit: str, kind: str, name: str) -> Any:
        """A property of a loaded unit; ``kind`` is its interface: Unit, Scope or Slice."""
        (path,) = self.call("GetUnit", "s", unit)
        return self._get(DBusAddress(path, bus_name=NAME, interface=f"{NAME}.{kind}"), name)

    def control_group(self) -> str:
        """The cgroup below which this systemd keeps its units, ``/`` or ``/a/b``."""
        return str(self._get(self._address, "ControlGroup")) or "/"

    def version(self) -> int:
        """The number of systemd's release; 0 when it tells none."""
        digits = str(self._get(self._address, "Version")).removeprefix("v")
        count = next((i for i, x in enumerate(digits) if not x.isdecimal()), len(digits))
        return int(digits[:count] or 0)

    def call(self, member: str, signature: str, *body: object) -> tuple[Any, ...]:
        """Call a method of the manager and return what it returns; raises ``Refused``."""
        return self._send(new_method_call(self._address, member, signature, body))

    def _get(self, address: DBusAddress, name: str) -> Any:
        ((_, value),) = self._send(Properties(address).get(name))
        return value

    def _send(self, message: Any) -> tuple[Any, ...]:
        try:
            reply = self._connection.send_and_get_reply(message, timeout=CALL_SECONDS)
        except TimeoutError:
            text = f"{self._who} gave no answer within {CALL_SECONDS:g} s"
            raise Refused("org.freedesktop.DBus.Error.Timeout", text) from None
        except OSError as error:
            text = f"the connection to {self._who} broke: {error.strerror or error}"
            raise Refused("org.freedesktop.DBus.Error.Disconnected", text) from None
        if reply.header.message_type == MessageType.error:
            text = str(reply.body[0]) if reply.body else ""
            raise Refused(str(reply.header.fields.get(HeaderFields.error_name, "")), text)
        return tuple(reply.body)

    def _watch(self) -> None:
        """From here on keep the signals that tell the ends of jobs."""
        if not self._watching:
            self._send(message_bus.AddMatch(JOBS))
            self._connection.filter(JOBS, queue=self._jobs)
            self._watching = True

    def _job(self, member: str, signature: str, *body: object) -> None:
        """Call a method that queues a job, and wait for the job's end."""
        self._watch()
        (job,) = self.call(member, signature, *body)
        end = monotonic() + CALL_SECONDS
        while True:
            try:
                left = max(0.0, end - monotonic())
                signal = self._connection.recv_until_filtered(self._jobs, timeout=left)
            except TimeoutError:
                text = f"{member} was not finished within {CALL_SECONDS:g} s"
                raise Refused("org.freedesktop.DBus.Error.Timeout", text) from None
            except OSError as error:
                text = f"the connection to {self._who} broke: {error.strerror or error}"
                raise Refused("org.freedesktop.DBus.Error.Disconnected", text) from None
            _, path, _, result = signal.body
            if path == job:
                if result != DONE:
                    raise Refused("", f"the job of {member} ended with the result {result}")
                return


def _direct() -> Direct | None:
    """systemd by its own socket, which tells the ends of jobs unasked; None without one."""
    try:
        return Direct(_connect(PRIVATE))
    except (OSError, EOFError, RuntimeError, ValueError):
        return None


def _bus_address(*, user: bool) -> str:
    """The D-Bus address of the bus; raises ``StepError`` when a user has none."""
    if not user:
        return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS
    given = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    directory = os.environ.get("XDG_RUNTIME_DIR")
    if not given and not directory:
        raise StepError(
            "--systemd-cgroup",
            0,
            "there is no session bus: DBUS_SESSION_BUS_ADDRESS and XDG_RUNTIME_DIR are not set; "
            "log in anew, have `loginctl enable-linger` done, or use --cgroup-manager cgroupfs",
        )
    return given or f"unix:path={directory}/bus"


def _connect(address: str) -> socket:
    """An authenticated connection to the first bus of a D-Bus address that can be used."""
    end = monotonic() + CONNECT_SECONDS
    path = next(get_connectable_addresses(address))
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    connection.settimeout(CONNECT_SECONDS)
    try:
        while True:
            try:
                connection.connect(path)
                break
            except BlockingIOError:
                # More callers at once than the bus's queue holds.
                if monotonic() >= end:
                    raise
                sleep(RETRY_PAUSE)
        connection.sendall(AUTHENTICATE)
        _read_answers(connection)
    except BaseException:
        connection.close()
        raise
    connection.settimeout(None)
    return connection


def _read_answers(connection: socket) -> None:
    """The bus's side of the authentication, a line for each of ours but the last."""
    for wanted in AUTHENTICATED:
        line = b""
        while not line.endswith(b"\r\n"):
            # Byte by byte: behind the last line, messages begin.
            byte = connection.recv(1)
            if not byte:
                raise EOFError("the bus hung up")
            line += byte
        if line.split()[:1] != [wanted]:
            why = line.decode("ascii", "replace").strip()
            raise PermissionError(errno.EACCES, f"the bus does not accept us: {why}")


def _number(error: Exception) -> int:
    return (error.errno or 0) if isinstance(error, OSError) else 0


def _cure(error: Exception, *, user: bool) -> str:
    said = str(error) if not isinstance(error, OSError) else error.strerror or str(error)
    whose = (
        "is the user's systemd running (`systemctl --user status`)"
        if user
        else ("are systemd and dbus running")
    )
    return f"{said}; {whose}? Otherwise use --cgroup-manager cgroupfs"
