"""ociruntime-net: the hook that puts a container on networks (createRuntime) and takes it off
(poststop). The state document on standard input says which.

    ociruntime-net [--network NAME|FILE|none]... [--publish [IP:]HOST:CONTAINER[/udp]]...
                   [--ip ADDRESS] [--mac ADDRESS] [--cni-path DIRS] [--state DIR]
                   [--hostname-from-id] [--etc DIR [--hostname NAME]]

--etc fills resolv.conf, hosts and hostname in a directory of the bundle; there the container is
called NAME, else by its id.

Nothing of the container's image and no environment variable has a say in it. It works with any
runtime that follows the specification (config.md, "POSIX-platform Hooks").
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.arguments import FLAG, LIST, VALUE, parse
from ociruntime.bundle import parse_object, read_all
from ociruntime.errors import OciError, UsageError
from ociruntime.network.attachments import Attachments
from ociruntime.network.client import agree, attach, detach
from ociruntime.network.conflist import load_network
from ociruntime.network.files import STATE_DIRECTORY
from ociruntime.network.invoke import default_path
from ociruntime.network.netlink import Netlink
from ociruntime.network.portspec import parse_publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.arguments import Options

    Json = dict[str, Any]

OPTIONS = {
    "network": LIST,
    "publish": LIST,
    "ip": LIST,
    "mac": VALUE,
    "cni-path": VALUE,
    "state": VALUE,
    "hostname": VALUE,
    "hostname-from-id": FLAG,
    "etc": VALUE,
}
OVER = ("stopped",)


def main(words: list[str]) -> int:
    """Attach or detach the container of the state document on standard input. Raises
    ``OciError``.
    """
    options = parse(words, OPTIONS, {}, stop_at_argument=False, command="net hook")
    if options.arguments:
        raise UsageError(f"ociruntime-net: takes no arguments, not {options.arguments[0]!a}")
    state = _read_state()
    attachments = Attachments(options.text("state") or STATE_DIRECTORY)
    with attachments.held():
        if state.get("status") in OVER:
            leave(attachments, state)
        else:
            join(attachments, state, options)
    return 0


def join(attachments: Attachments, state: Json, options: Options) -> None:
    """Put the container on its networks, all or none."""
    names = options.texts("network") or ["bridge"]
    path = options.text("cni-path") or default_path()
    networks = [agree(load_network(name), path) for name in names if name != "none"]
    published = [parse_publish(text) for text in options.texts("publish")]
    _drop_dead(attachments, state)
    _raise_loopback(state["pid"], has_networks=bool(networks))
    results = []
    try:
        for number, network in enumerate(networks):
            runtime: Json = {"portMappings": published} if published and not number else {}
            if options.texts("ip") and not number:
                runtime["ips"] = options.texts("ip")
            if options.text("mac") and not number:
                runtime["mac"] = options.text("mac")
            document = _with_state(network.document, attachments.state)
            made = attachments.new(state, f"eth{number}", document, runtime, path)
            results.append(attach(attachments, made))
        _settle(state, options, results)
    except BaseException:
        leave(attachments, state)
        raise


def leave(attachments: Attachments, state: Json) -> None:
    """Take the container off its networks; one that is on none is no error.

    A container of the same id below another --root has another bundle or another time of creation,
    and stays. Raises ``OciError``.
    """
    problems = []
    for attachment in reversed(attachments.of(state["id"])):
        same = attachment.data["bundle"] == state.get("bundle", "")
        if same and attachment.data["created"] == state.get("created", ""):
            problems += detach(attachments, attachment)
    if problems:
        raise OciError("; ".join(problems) + "; try again with `ociruntime net gc`")


def _settle(state: Json, options: Options, results: list[Json]) -> None:
    if options.flag("hostname-from-id"):
        from ociruntime.network.hostname import set_hostname

        set_hostname(state["pid"], state["id"])
    directory = options.text("etc")
    if directory:
        from ociruntime.network.etcfiles import write_files

        name = options.text("hostname") or state["id"]
        write_files(os.path.join(state.get("bundle", "/"), directory), name, results)


def _drop_dead(attachments: Attachments, state: Json) -> None:
    """An attachment of the same id is a dead container's, or makes this one wait for a better id.

    Raises ``OciError``.
    """
    for attachment in attachments.of(state["id"]):
        if attachment.holder_lives():
            raise OciError(
                f"container id {state['id']} is on a network already: process "
                f"{attachment.data['pid']}, bundle {attachment.data['bundle']}; choose another id"
            )
        problems = detach(attachments, attachment)
        if problems:
            raise OciError("; ".join(problems))


def _raise_loopback(pid: int, *, has_networks: bool) -> None:
    """What a CNI runtime owes every container: 127.0.0.1. Raises ``OciError``."""
    try:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise OciError(f"the container's process {pid} is gone: {error.strerror}") from None
    try:
        if os.fstat(fd).st_ino == os.stat("/proc/self/ns/net").st_ino:
            if not has_networks:
                return
            raise OciError(
                "the container has the host's network; give it a network namespace, or no networks"
            )
        with Netlink(fd) as inside:
            loopback = inside.link("lo")
            if loopback is not None and not loopback.up:
                inside.set_up(loopback.index, "lo")
    finally:
        os.close(fd)


def _with_state(document: Json, state: str) -> Json:
    """The conflist with the places where our own plugins keep their files, unless it names them."""
    if state == STATE_DIRECTORY:
        return document
    plugins = []
    for plugin in document["plugins"]:
        changed = dict(plugin)
        if plugin["type"] == "ociruntime-bridge":
            changed.setdefault("dataDir", os.path.join(state, "bridge"))
        ipam = plugin.get("ipam")
        if ipam and ipam.get("type") == "ociruntime-ipam":
            changed["ipam"] = {"dataDir": os.path.join(state, "leases")} | ipam
        plugins.append(changed)
    return document | {"plugins": plugins}


def _read_state() -> Json:
    state = parse_object(read_all(0, "state document"), "state document")
    for name, kind in (("id", str), ("status", str)):
        if not isinstance(state.get(name), kind):
            raise OciError(f"the state document on standard input has no {name}")
    if state["status"] not in OVER and not (type(state.get("pid")) is int and state["pid"] > 0):
        raise OciError("the state document on standard input has no pid")
    return state
