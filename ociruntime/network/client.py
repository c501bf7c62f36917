"""Executes a network configuration for one attachment: the runtime's part of CNI (CNI spec
section 3).
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.network import cni
from ociruntime.network.cni import CniError, PluginCall
from ociruntime.network.conflist import Network
from ociruntime.network.invoke import OWN, call_plugin
from ociruntime.network.netlink import is_namespace
from ociruntime.network.plugin import as_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.network.attachments import Attachment, Attachments

    Json = dict[str, Any]


def agree(network: Network, path: str) -> Network:
    """The network with the highest version that its plugins know, where its ``cniVersions`` leave
    a choice: each is asked by VERSION, and one that does not say has no voice. Raises ``OciError``
    when they have none in common.
    """
    possible = network.versions
    others = [plugin["type"] for plugin in network.plugins]
    others += [(plugin.get("ipam") or {}).get("type") for plugin in network.plugins]
    others = [kind for kind in dict.fromkeys(others) if kind and kind not in OWN]
    if len(possible) < 2 or not others:
        return network
    for kind in others:
        request = PluginCall("VERSION", "", "", "", path, {"cniVersion": network.version})
        try:
            known = call_plugin(kind, request).get("supportedVersions")
        except CniError:
            continue  # ADD will say why, if it is more than that
        if not isinstance(known, list):
            continue
        left = [version for version in possible if version in known]
        if not left:
            raise OciError(
                f"network {network.name}: plugin {kind} knows none of the versions "
                f"{', '.join(possible)}; add one of its own to cniVersions"
            )
        possible = left
    document = network.document | {"cniVersion": possible[-1], "cniVersions": possible}
    return Network(document, f"network {network.name}")


def attach(attachments: Attachments, attachment: Attachment) -> Json:
    """ADD: call all plugins in their order; the result of the last.

    When one fails, DEL is called for all of them, and nothing is left. Raises ``OciError``.
    """
    network = _network(attachment)
    tried = 0
    try:
        if _needs_pin(network):
            _pin(attachments, attachment)
        result: Json | None = None
        for plugin in network.plugins:
            tried += 1
            result = _call(attachment, network, plugin, "ADD", result) or result
        attachment.data["result"] = result or {}
        attachments.save(attachment)
        return attachment.data["result"] or {}
    except BaseException as error:
        problems = detach(attachments, attachment, tried, str(error))
        if problems and isinstance(error, OciError):
            text = "; ".join(problems)
            raise OciError(f"{error}; and it could not be taken back: {text}") from None
        raise


def detach(
    attachments: Attachments, attachment: Attachment, count: int = -1, known: str = ""
) -> list[str]:
    """DEL: call the plugins in reverse order, whatever fails; the problems, one line each.

    Parameters: ``count`` is the number of those that ADD was called for, negative for all;
    ``known`` is why the last ADD failed: a plugin that refuses DEL in the very same words, because
    it is not installed or does not take its configuration, has made nothing. The attachment is
    forgotten only without problems, so that it can be done again.
    """
    network = _network(attachment)
    problems = []
    plugins = network.plugins if count < 0 else network.plugins[:count]
    for plugin in reversed(plugins):
        try:
            _call(attachment, network, plugin, "DEL", attachment.data["result"])
        except (OciError, OSError) as error:
            if str(error).replace("(DEL)", "(ADD)") != known:
                problems.append(str(error))
    if not problems:
        unpin(attachment)
        attachments.remove(attachment)
    return problems


def check(attachment: Attachment) -> None:
    """CHECK: raise ``CniError`` for the first plugin that does not find what it made."""
    network = _network(attachment)
    if network.document.get("disableCheck") or not cni.knows(network.version, "CHECK"):
        return
    for plugin in network.plugins:
        _call(attachment, network, plugin, "CHECK", attachment.data["result"])


def collect(network: Network, valid: list[Attachment], path: str) -> list[str]:
    """GC: let the plugins remove everything but ``valid``; the problems."""
    if network.document.get("disableGC") or not cni.knows(network.version, "GC"):
        return []
    entries = [{"containerID": a.container, "ifname": a.data["device"]} for a in valid]
    problems = []
    for plugin in network.plugins:
        config = network.plugin_config(plugin, None, {})
        config["cni.dev/valid-attachments"] = entries
        try:
            call_plugin(plugin["type"], PluginCall("GC", "", "", "", path, config))
        except (OciError, OSError) as error:
            problems.append(str(error))
    return problems


def status(network: Network, path: str) -> None:
    """STATUS: raise ``CniError`` when a plugin would refuse ADD."""
    if not cni.knows(network.version, "STATUS"):
        return
    for plugin in network.plugins:
        config = network.plugin_config(plugin, None, {})
        call_plugin(plugin["type"], PluginCall("STATUS", "", "", "", path, config))


def _call(
    attachment: Attachment, network: Network, plugin: Json, command: str, previous: Json | None
) -> Json:
    data = attachment.data
    config = network.plugin_config(plugin, previous, data["runtime"])
    netns = data["pin"] or data["netns"]
    if command == "DEL" and not is_namespace(netns):
        # Gone with its last process, or the hook was killed before it was mounted.
        netns = ""
    request = PluginCall(command, attachment.container, netns, data["device"], data["path"], config)
    try:
        result = call_plugin(plugin["type"], request)
    except CniError as error:
        raise CniError(
            error.code, f"network {network.name}: {error.message}", error.details
        ) from None
    except OSError as error:
        raise OciError(f"network {network.name}: {error}") from None
    return as_version(result, network.version) if result else {}


def _network(attachment: Attachment) -> Network:
    return Network(attachment.data["network"], "stored network configuration", stored=True)


def _needs_pin(network: Network) -> bool:
    """Standard plugins take back nothing but the lease when the network namespace is gone, and on
    poststop it is. Ours need no such help.
    """
    kinds = {plugin["type"] for plugin in network.plugins}
    kinds |= {(plugin.get("ipam") or {}).get("type") for plugin in network.plugins}
    return not kinds <= {*OWN, "host-local", "static", None}


def _pin(attachments: Attachments, attachment: Attachment) -> None:
    """Mount the network namespace on a file: it lives until that is unmounted."""
    directory = os.path.join(attachments.state, "netns")
    os.makedirs(directory, 0o700)
    path = os.path.join(directory, attachment.name)
    attachment.data["pin"] = path
    attachments.save(attachment)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    kernel = Kernel()
    target = kernel.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        flags = c.OPEN_TREE_CLONE
        mount = kernel.open_tree(c.AT_FDCWD, attachment.data["netns"], flags)
        try:
            kernel.move_mount(mount, target)
        finally:
            kernel.close(mount)
    except OSError as error:
        raise OciError(f"{path}: cannot keep the network namespace: {error.strerror}") from None
    finally:
        kernel.close(target)


def unpin(attachment: Attachment) -> None:
    """Let the network namespace go."""
    path = attachment.data["pin"]
    if not path:
        return
    try:
        Kernel().invoke("umount2", path.encode(), c.MNT_DETACH)
    except OSError:
        pass  # it was not mounted: the file alone is left
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
