"""A network namespace that is made for a container has its loopback device up, before anybody can
look; one that is joined is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.test_namespaces import holder, with_user_namespace
from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., Bundle]
ADDRESSES = "cat /proc/net/fib_trie /proc/net/if_inet6"
V6 = f"{1:032x}"
HAS_V6 = Path("/proc/net/if_inet6").exists()


def assert_up(said: str) -> None:
    assert "127.0.0.1\n" in said
    assert V6 in said or not HAS_V6


@pytest.mark.parametrize("owner", ["host", "user namespace"])
def test_a_new_one(runtime: Runtime, bundle: MakeBundle, owner: str) -> None:
    made = bundle() if owner == "host" else with_user_namespace(bundle())
    assert_up(runtime.run_output(made, ADDRESSES))
    assert runtime.run_output(made, "ping -c 1 127.0.0.1 >/dev/null && echo yes") == "yes\n"


def test_before_the_first_hook(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    output = sandbox.directory / "output"
    hook = sandbox.directory / "hook"
    script = (
        'read -r state; pid=${state#*\\"pid\\":}; pid=${pid# }; pid=${pid%%[,\\}]*}\n'
        f"cat /proc/$pid/net/fib_trie /proc/$pid/net/if_inet6 >{output}\n"
    )
    hook.write_text("#!/bin/sh\n" + script)
    hook.chmod(0o755)
    made = bundle().set("/hooks", {"prestart": [{"path": str(hook), "env": ["PATH=/bin"]}]})
    runtime.create(made).check()
    assert_up(output.read_text())


def test_a_joined_one(runtime: Runtime, bundle: MakeBundle) -> None:
    """Its owner may want it down, or has not come to it yet."""
    with holder("network") as member:
        made = bundle().drop_namespace("network")
        made.add_namespace("network", f"/proc/{member}/ns/net")
        assert "127.0.0.1" not in runtime.run_output(made, ADDRESSES)


def test_no_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    """The host's is not touched; the plan says where it is."""
    made = bundle().drop_namespace("network")
    made.mount("/sys").update(type="bind", source="/sys", options=["rbind", "ro"])
    with_it = bundle().write()
    kinds = []
    for planned in (made.write(), with_it):
        plan = runtime.call("plan", "--format", "json", "--bundle", str(planned.path), "c").json()
        kinds.append([step["step"] for step in plan["steps"]])
    assert "raise-loopback" not in kinds[0]
    assert kinds[1].count("raise-loopback") == 1
    first_hook_could_be = kinds[1].index("attach-rootfs")
    assert kinds[1].index("raise-loopback") < first_hook_could_be
