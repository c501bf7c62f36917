"""resolv.conf, hosts and hostname of a container, as Docker makes them.

They lie in the bundle and are bound into the container, so the root filesystem is not touched: it
may be read-only, or shared, or hostile. They are written in place, because the bind mounts may
exist already.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.bundle import read_file
from ociruntime.errors import OciError, SpecError
from ociruntime.network.files import write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

NAMES = ("resolv.conf", "hosts", "hostname")
HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
# systemd-resolved's stub answers on the host's loopback only; it keeps the real list here.
SOURCES = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
# What Docker's default bridge uses when the host has nothing a container could reach.
FALLBACK = ("8.8.8.8", "8.8.4.4")


def make_files(directory: str) -> None:
    """Make the directory and its empty files, so that there is something to bind. Raises
    ``OciError``.
    """
    try:
        os.makedirs(directory, 0o755)
        for name in NAMES:
            _write(directory, name, "")
    except OSError as error:
        raise OciError(f"{directory}: {error.strerror}") from None


def write_files(directory: str, hostname: str, results: list[Json]) -> None:
    """Fill the files for a container that is called ``hostname``, from the results of its networks.
    What a former container wrote there has no say. Raises ``OciError``.
    """
    try:
        _write(directory, "hostname", f"{hostname}\n")
        _write(directory, "hosts", hosts_text(hostname, results))
        _write(directory, "resolv.conf", resolv_text(results, SOURCES))
    except OSError as error:
        raise OciError(
            f"{directory}: {error.strerror}; make the files with `ociruntime spec --etc`"
        ) from None


def hosts_text(hostname: str, results: list[Json]) -> str:
    """hosts(5): the fixed names, and this container's own."""
    lines = [
        f"{entry['address'].partition('/')[0]}\t{hostname}\n"
        for result in results
        for entry in result.get("ips", [])
    ]
    return HOSTS + "".join(lines)


def resolv_text(results: list[Json], sources: tuple[str, ...]) -> str:
    """resolv.conf(5): what the network says, else what the host uses and a container can reach."""
    for result in results:
        dns = result.get("dns") or {}
        if dns.get("nameservers"):
            lines = [f"nameserver {address}" for address in dns["nameservers"]]
            if dns.get("search"):
                lines.append("search " + " ".join(dns["search"]))
            if dns.get("options"):
                lines.append("options " + " ".join(dns["options"]))
            return "\n".join(lines) + "\n"
    kept: list[str] = []
    for source in sources:
        kept, usable = _reachable(source)
        if usable:
            return "".join(kept)
    return "".join(kept) + "".join(f"nameserver {address}\n" for address in FALLBACK)


def _reachable(path: str) -> tuple[list[str], bool]:
    """(the file's lines without servers on the host's own loopback, whether a server is left)."""
    try:
        lines = read_file(path).decode("utf-8", "replace").splitlines()
    except SpecError:
        return [], False
    kept, usable = [], False
    for line in lines:
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            if words[1].startswith("127.") or words[1] == "::1":
                continue
            usable = True
        if words and words[0][0] not in "#;":
            kept.append(line + "\n")
    return kept, usable


def _write(directory: str, name: str, text: str) -> None:
    write_file(os.path.join(directory, name), text, 0o644)
