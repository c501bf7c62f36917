"""What ``spec --net`` writes into a configuration: namespaces, hooks, host name, files of /etc.

bridge, NAME, FILE   on the networks of these configurations, by the hook ociruntime-net
host                 the host's network
none                 a network of its own with nothing but its loopback
container:ID         the network of a container that runs
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import OciError, UsageError
from ociruntime.network.conflist import load_network
from ociruntime.network.etcfiles import NAMES, make_files
from ociruntime.network.files import STATE_DIRECTORY
from ociruntime.network.portspec import parse_publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.state.store import Store

    Config = dict[str, Any]

HOOK = "ociruntime-net"
# Seconds: a hook waits for locks that others hold, and for standard plugins.
TIMEOUT = 60
JOIN = "container:"
SINGLE = ("host", "none")
ETC = "etc"


class Wish:
    """What is asked for: ``networks`` and ``publish`` as on the command line, ``hostname`` (empty:
    the container's id), ``etc``: whether to make the files of /etc, ``state``: where networks keep
    their files.
    """

    __slots__ = ("etc", "hostname", "networks", "publish", "state")

    def __init__(
        self,
        networks: list[str],
        publish: list[str],
        hostname: str = "",
        state: str = STATE_DIRECTORY,
        *,
        etc: bool = False,
    ) -> None:
        self.networks = networks
        self.publish = publish
        self.hostname = hostname
        self.state = state
        self.etc = etc


def configure(config: Config, wish: Wish, hook: str, bundle: str, store: Store) -> None:
    """Change ``config`` for ``wish``.

    Parameters: ``hook`` is the path of ociruntime-net, ``bundle`` the directory that ``etc`` is
    made in, ``store`` knows the containers whose network may be joined. Raises ``OciError``.
    """
    alone = [name for name in wish.networks if name in SINGLE or name.startswith(JOIN)]
    if alone and len(wish.networks) > 1:
        raise UsageError(f"--net {alone[0]} cannot be combined with another network")
    if alone and wish.publish:
        raise UsageError(
            f"--publish: with --net {alone[0]} there is nothing to publish; use bridge"
        )
    if not os.access(hook, os.X_OK):
        from ociruntime.absence import why

        raise OciError(f"{hook}: {why(hook)}; it is installed together with ociruntime")
    mode = alone[0] if alone else ""
    arguments = [HOOK]
    if wish.state != STATE_DIRECTORY:
        arguments += ["--state", os.path.abspath(wish.state)]
    if alone:
        arguments += ["--network", "none"]
        _set_namespace(config, mode, store)
    for name in [] if alone else wish.networks:
        load_network(name)
        arguments += ["--network", os.path.abspath(name) if "/" in name else name]
    for text in wish.publish:
        parse_publish(text)
        arguments += ["--publish", text]
    hostname = wish.hostname or (os.uname().nodename if mode == "host" else "")
    if hostname:
        config["hostname"] = hostname
    else:
        config.pop("hostname", None)
        arguments.append("--hostname-from-id")
    if wish.etc:
        arguments += ["--etc", ETC]
        if hostname:
            arguments += ["--hostname", hostname]
        _bind_files(config, bundle)
    if mode != "host" or wish.etc:
        entry = {"path": hook, "args": arguments, "timeout": TIMEOUT}
        hooks = config.setdefault("hooks", {})
        hooks.setdefault("createRuntime", []).append(entry)
        if not alone:
            hooks.setdefault("poststop", []).append(dict(entry))


def _set_namespace(config: Config, mode: str, store: Store) -> None:
    linux = config["linux"]
    namespaces = [entry for entry in linux["namespaces"] if entry["type"] != "network"]
    if mode.startswith(JOIN):
        path = _namespace_of(mode.removeprefix(JOIN), store)
        namespaces.append({"type": "network", "path": path})
    elif mode == "none":
        namespaces.append({"type": "network"})
    linux["namespaces"] = namespaces


def _namespace_of(container_id: str, store: Store) -> str:
    """The path of a running container's network namespace. Raises ``OciError``."""
    from ociruntime.state.ids import check_id
    from ociruntime.state.status import pid_of, status

    container = store.open(check_id(container_id))
    try:
        word = status(container)
        pid = pid_of(container, word)
    finally:
        container.close()
    if not pid:
        raise OciError(f"--net {JOIN}{container_id}: the container is {word}; start it first")
    return f"/proc/{pid}/ns/net"


def _bind_files(config: Config, bundle: str) -> None:
    directory = os.path.join(os.path.abspath(bundle), ETC)
    make_files(directory)
    options = ["bind", "rprivate", "nosuid", "nodev", "noexec"]
    if config["root"].get("readonly"):
        options.append("ro")
    for name in NAMES:
        config["mounts"].append(
            {
                "destination": f"/etc/{name}",
                "type": "bind",
                "source": os.path.join(directory, name),
                "options": list(options),
            }
        )
