"""The example bundles with networks: one for each mode of ``spec --net``, and a pair of servers.

They are what ``ociruntime spec --net MODE --publish ... --etc`` writes, with another program.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bundles.recipes import script
from bundles.rootfs import RootfsError
from ociruntime.errors import NotFound
from ociruntime.network.configure import HOOK, Wish, configure
from ociruntime.network.files import STATE_DIRECTORY
from ociruntime.spec.default import default_config
from ociruntime.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    Config = dict[str, Any]

CHECKOUT = Path(__file__).resolve().parent.parent
# The container that net-container joins.
JOINED = "net-bridge"
REDIS = "usr/bin/redis-server"
REDIS_PORT = 6379


class Place:
    """Where the bundle's container is going to run: ``hook``, the path of ociruntime-net, empty
    for the first that this checkout has built; ``root``, the runtime's --root; ``state``, where
    networks keep their files; ``joined``, the container whose network net-container shares.
    """

    def __init__(
        self,
        hook: str = "",
        root: str = "/run/ociruntime",
        state: str = STATE_DIRECTORY,
        joined: str = JOINED,
    ) -> None:
        self.hook = hook or _built_hook()
        self.root = root
        self.state = state
        self.joined = joined


def net_bridge(bundle: str, place: Place) -> Config:
    """a web server on the bridge, published as port 8080 of the host"""
    config = script(
        "mkdir -p /tmp/www",
        'echo "Hello from $(hostname), $(hostname -i)" > /tmp/www/index.html',
        "exec httpd -f -p 80 -h /tmp/www",
        hostname="",
    )
    return _networked(config, bundle, place, "bridge", "8080:80")


def net_host(bundle: str, place: Place) -> Config:
    """the network of the host: its devices and addresses"""
    return _networked(script("ip -o addr", hostname=""), bundle, place, "host")


def net_none(bundle: str, place: Place) -> Config:
    """a network of its own with nothing but the loopback"""
    return _networked(script("ip -o addr", "ip route", hostname=""), bundle, place, "none")


def net_container(bundle: str, place: Place) -> Config:
    """the network of the running container net-bridge, whose web server is at 127.0.0.1"""
    config = script("wget -qO- http://127.0.0.1/", hostname="")
    try:
        return _networked(config, bundle, place, f"container:{place.joined}")
    except NotFound as error:
        raise RootfsError(f"{error}; run the bundle net-bridge by this name first") from None


def redis_6379(bundle: str, place: Place) -> Config:
    """redis on the bridge, published as port 6379 of the host"""
    return _redis(bundle, place, 6379)


def redis_6378(bundle: str, place: Place) -> Config:
    """another redis, at its own port 6379 as well, published as port 6378 of the host"""
    return _redis(bundle, place, 6378)


NETWORKS: dict[str, Callable[[str, Place], Config]] = {
    recipe.__name__.replace("_", "-"): recipe
    for recipe in (net_bridge, net_host, net_none, net_container, redis_6379, redis_6378)
}
# Programs of the host that a recipe needs: (theirs, its place in the root filesystem). The server
# of Debian's package redis-tools is the same file as redis-check-rdb; its name says what it does.
PROGRAMS = dict.fromkeys(
    ("redis-6379", "redis-6378"), (("redis-check-rdb", REDIS), ("redis-cli", "usr/bin/redis-cli"))
)


def _redis(bundle: str, place: Place, published: int) -> Config:
    config = default_config()
    config["process"]["terminal"] = False
    # No dump, since nothing can be written; no password, since this is an example.
    config["process"]["args"] = [f"/{REDIS}", "--save", "", "--protected-mode", "no"]
    return _networked(config, bundle, place, "bridge", f"{published}:{REDIS_PORT}")


def _networked(config: Config, bundle: str, place: Place, network: str, *published: str) -> Config:
    config["mounts"].append(
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}  # noqa: S108
    )
    wish = Wish([network], list(published), state=place.state, etc=True)
    configure(config, wish, place.hook, bundle, Store(place.root))
    return config


def _built_hook() -> str:
    for directory in (CHECKOUT / ".venv/bin", CHECKOUT / "build", Path("/usr/local/bin")):
        if os.access(directory / HOOK, os.X_OK):
            return str(directory / HOOK)
    raise RootfsError(f"{HOOK} is not built yet; run `make build`")
