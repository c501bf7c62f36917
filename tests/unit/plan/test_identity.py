"""Who the process will be: never more than the config asks for and the host has."""

from __future__ import annotations

from typing import Any

from ociruntime.plan.host import Powers
from ociruntime.plan.identity import plan_identity
from ociruntime.process.identity import Identity
from ociruntime.spec.tables import CAPABILITIES

KILL, CHOWN, ADMIN = (1 << CAPABILITIES[f"CAP_{name}"] for name in ("KILL", "CHOWN", "SYS_ADMIN"))
HOST = Powers(0, KILL | CHOWN, 40)


def planned(capabilities: dict[str, Any], *, new_user: bool = False) -> tuple[Identity, list[str]]:
    warnings: list[str] = []
    process = {"capabilities": capabilities}
    identity = plan_identity(process, HOST, warnings, new_user=new_user, may_setgroups=True)
    return identity, warnings


def test_what_the_host_lacks_is_left_out_and_told() -> None:
    wanted = ["CAP_KILL", "CAP_SYS_ADMIN"]
    sets = {"bounding": wanted, "permitted": wanted, "effective": wanted}
    identity, warnings = planned(sets)
    assert (identity.bounding, identity.permitted, identity.effective) == (KILL, KILL, KILL)
    assert len(warnings) == 1
    assert "CAP_SYS_ADMIN: not available on this host" in warnings[0]
    # In a user namespace of its own all of them exist.
    identity, warnings = planned(sets, new_user=True)
    assert (identity.permitted, warnings) == (KILL | ADMIN, [])


def test_effective_is_within_permitted() -> None:
    identity, _ = planned({"permitted": ["CAP_KILL"], "effective": ["CAP_KILL", "CAP_CHOWN"]})
    assert identity.effective == KILL


def test_inheritable_is_within_bounding() -> None:
    identity, _ = planned({"bounding": ["CAP_KILL"], "inheritable": ["CAP_KILL", "CAP_CHOWN"]})
    assert identity.inheritable == KILL


def test_ambient_is_within_permitted_and_inheritable() -> None:
    both = ["CAP_KILL", "CAP_CHOWN"]
    sets = {"bounding": both, "permitted": both, "inheritable": ["CAP_KILL"], "ambient": both}
    assert planned(sets)[0].ambient == KILL
    sets = {"bounding": both, "permitted": ["CAP_CHOWN"], "inheritable": both, "ambient": both}
    assert planned(sets)[0].ambient == CHOWN


def test_nothing_is_added_to_a_set() -> None:
    identity, _ = planned({"permitted": ["CAP_KILL"]})
    assert identity.permitted == KILL
    assert (identity.bounding, identity.effective, identity.inheritable, identity.ambient) == (
        0, 0, 0, 0,
    )  # fmt: skip
