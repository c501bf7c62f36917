"""linux.netDevices: network devices of the host move into the container
(config-linux.md#network-devices).

A device is moved and renamed by one request, so that nobody sees it under a wrong name and a name
that is taken is the kernel's to refuse. Its permanent global addresses are put back, because the
kernel drops them on the way. Nothing is moved back when the container is deleted: the kernel
returns physical devices by itself. Only a create that fails brings them home.

pyroute2 is imported when the step is executed, on the host side, by a process that never enters
the container. The one thing done inside is opening a socket in its network namespace.
"""

from __future__ import annotations

import errno

from ociruntime.errors import OciError, StepError
from ociruntime.kernel import constants as c
from ociruntime.process.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.run import Run

# linux/if_addr.h, linux/rtnetlink.h, linux/if.h
IFA_F_PERMANENT = 0x80
IFA_F_NOPREFIXROUTE = 0x200
RT_SCOPE_UNIVERSE = 0
IFF_UP = 1


class Moved:
    """One device that has been moved: what it takes to bring it home."""

    __slots__ = ("addresses", "index", "name", "up")

    def __init__(self, name: str, index: int, addresses: list[dict[str, Any]], *, up: bool) -> None:
        self.name = name
        self.index = index
        self.addresses = addresses
        self.up = up


class MoveNetDevices(Step):
    """Move ``devices``, pairs (name on the host, name in the container), into init's network
    namespace, with their permanent global addresses, and set them up.
    """

    __slots__ = ("devices", "moved")

    kind = "move-net-devices"
    stage = "attach"

    def __init__(self, devices: list[tuple[str, str]]) -> None:
        super().__init__("/linux/netDevices", "linux.netDevices")
        self.devices = devices
        self.moved: list[Moved] = []

    def describe(self) -> str:
        texts = [f"{old} as {new}" if old != new else old for old, new in self.devices]
        return "move the network devices " + ", ".join(texts) + " into the container"

    def operands(self) -> dict[str, object]:
        return {"devices": [{"host": old, "container": new} for old, new in self.devices]}

    def execute(self, run: Run) -> None:
        target = run.kernel.open(f"/proc/{run.pid}/ns/net", c.O_RDONLY)
        try:
            with _host() as host, _inside(run.kernel, target) as inside:
                for old, new in self.devices:
                    self.label = f"linux.netDevices {old}"
                    self._move(host, inside, target, old, new)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - pyroute2's own is no OSError
            raise _as_step_error(self.label, error) from None
        finally:
            run.kernel.close(target)

    def _move(self, host: Any, inside: Any, target: int, old: str, new: str) -> None:
        link = _find(host, old)
        if link is None:
            raise OciError(
                f"{self.label}: the host has no such network device; correct the name (`ip link` "
                "shows all), or make it first"
            )
        if "%" not in new and _find(inside, new) is not None:
            raise OciError(
                f"{self.label}: the container's network namespace already has a device {new}; "
                "give another name"
            )
        addresses = _permanent_addresses(host, link["index"])
        before = {entry["index"] for entry in inside.get_links()}
        host.link("set", index=link["index"], net_ns_fd=target, ifname=new)
        index = _arrived(inside, new, before)
        up = bool(link["flags"] & IFF_UP)
        self.moved.append(Moved(old, index, addresses, up=up))
        _settle(inside, index, addresses, up=True)

    def undo(self, run: Run) -> None:
        """Bring home what was moved, while the container's network namespace still exists."""
        if not self.moved:
            return
        try:
            home = run.kernel.open("/proc/self/ns/net", c.O_RDONLY)
            target = run.kernel.open(f"/proc/{run.pid}/ns/net", c.O_RDONLY)
            with _host() as host, _inside(run.kernel, target) as inside:
                while self.moved:
                    device = self.moved.pop()
                    inside.link("set", index=device.index, net_ns_fd=home, ifname=device.name)
                    link = _find(host, device.name)
                    if link is not None:
                        _settle(host, link["index"], device.addresses, up=device.up)
        except Exception as error:  # noqa: BLE001 - an undo reports and goes on
            run.warnings.append(f"cannot bring home a network device: {error}")

    def explain(self, number: int) -> str:
        return explain(number)


def explain(number: int) -> str:
    """What an errno means for a device on its way."""
    return {
        errno.EPERM: "moving a device needs CAP_NET_ADMIN on the host and in the container's "
        "network namespace; run as root",
        errno.EINVAL: "the device is bound to its network namespace (a bridge, lo, ...), or the "
        "name is not allowed",
        errno.EEXIST: "the container's network namespace already has a device of this name",
        errno.EBUSY: "the device is in use; set it down first",
    }.get(number, "")


def _as_step_error(label: str, error: Exception) -> OciError:
    if isinstance(error, OciError):
        return error
    number = getattr(error, "code", 0)
    if not isinstance(number, int) or number <= 0:
        return OciError(f"{label}: {type(error).__name__}: {error}")
    return StepError(label, number, explain(number))


def _host() -> Any:
    """A netlink connection to our own network namespace, a context manager."""
    try:
        from pyroute2 import IPRoute
    except ImportError as error:
        raise OciError(
            f"linux.netDevices needs the Python package pyroute2 ({error}); install it"
        ) from None
    return IPRoute()


def _inside(kernel: Kernel, target: int) -> Any:
    """A netlink connection to the network namespace ``target``: a socket belongs to the one it was
    made in (network_namespaces(7)).
    """
    import socket

    from pyroute2 import IPRoute

    ours = kernel.open("/proc/self/ns/net", c.O_RDONLY)
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
    try:
        kernel.setns(target, c.CLONE_NEWNET)
        try:
            connection = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        finally:
            kernel.setns(ours, c.CLONE_NEWNET)
    finally:
        kernel.close(ours)
    return IPRoute(fileno=connection.detach())


def _find(netlink: Any, name: str) -> Any:
    for link in netlink.get_links():
        if link.get_attr("IFLA_IFNAME") == name:
            return link
    return None


def _arrived(inside: Any, name: str, before: set[int]) -> int:
    """The index of the device that has just been moved in as ``name``, which may be a template."""
    for link in inside.get_links():
        found = link.get_attr("IFLA_IFNAME")
        if found == name or ("%" in name and link["index"] not in before):
            index: int = link["index"]
            return index
    raise OSError(errno.ENODEV, "it has vanished on its way")


def _permanent_addresses(host: Any, index: int) -> list[dict[str, Any]]:
    """The addresses that MUST be kept: permanent ones of global scope, of any family."""
    kept = []
    for entry in host.get_addr(index=index):
        flags = entry.get_attr("IFA_FLAGS") or entry["flags"]
        if entry["scope"] != RT_SCOPE_UNIVERSE or not flags & IFA_F_PERMANENT:
            continue
        address = {
            "family": entry["family"],
            "prefixlen": entry["prefixlen"],
            "address": entry.get_attr("IFA_ADDRESS"),
            "local": entry.get_attr("IFA_LOCAL"),
            "broadcast": entry.get_attr("IFA_BROADCAST"),
            "IFA_FLAGS": flags & IFA_F_NOPREFIXROUTE,
        }
        kept.append({name: value for name, value in address.items() if value})
    return kept


def _settle(netlink: Any, index: int, addresses: list[dict[str, Any]], *, up: bool) -> None:
    for address in addresses:
        netlink.addr("add", index=index, **address)
    if up:
        netlink.link("set", index=index, state="up")
