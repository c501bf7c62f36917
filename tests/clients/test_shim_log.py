"""Where the output of a container goes when its place is full."""

from __future__ import annotations

from tests.support.engines.containerd import ContainerdWith


def test_a_full_disk_does_not_stop_who_writes_to_it(shim: ContainerdWith) -> None:
    """What finds no space is lost, the program goes on, and so does its log once there is room."""
    place = "/run/small"
    shim.host.shell(f"mkdir {place}; mount -t tmpfs -o size=64k tmpfs {place}; : >{place}/log")
    script = """seq 100000; echo $? >/full; until test -e /room; do sleep 0.05; done
        echo more; echo $? >/more; exec sleep 1000"""
    shim.new_id()
    uri = ("--log-uri", f"file://{place}/log")
    shim(*shim.words("--detach", *uri, "--", "sh", "-c", script)).check()
    container = shim.ids[-1]
    root = f"/proc/{shim.tasks()[container][0]}/root"

    def said(name: str) -> str:
        return shim.host.run("cat", f"{root}/{name}").stdout

    shim.host.wait_until(lambda: said("full"), "the program's own word", shim.daemon.log)
    assert said("full") == "0\n"
    shim.host.shell(f": >{place}/log; : >{root}/room")
    shim.host.wait_until(lambda: said("more"), "its second one", shim.daemon.log)
    assert said("more") == "0\n"
    log = lambda: shim.host.shell(f"cat {place}/log")  # noqa: E731
    shim.host.wait_until(lambda: log().endswith("more\n"), "the log", shim.daemon.log)
    assert "log: no space left" in shim.daemon.log.read_text()
    shim("tasks", "delete", "--force", container)
    shim.host.shell(f"umount {place}")
