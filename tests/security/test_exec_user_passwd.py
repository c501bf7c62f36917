"""CVE-2016-3697: a number is a number, whatever names the image's /etc/passwd has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

TRICKS = {
    "name": "1000:x:0:0:root:/root:/bin/sh\n",
    "name and uid": "1000:x:0:0::/root:/bin/sh\nuser:x:1000:0::/:/bin/sh\n",
    "colons": "root:x:0:0\n1000:0:0:0:0:0:0:0:0\n:::::::::\n",
}


@pytest.mark.parametrize("passwd", TRICKS.values(), ids=list(TRICKS))
def test_run_keeps_the_number(runtime: Runtime, bundle: MakeBundle, passwd: str) -> None:
    made = bundle(process={"user": {"uid": 1000, "gid": 1000}})
    (made.rootfs / "etc/passwd").write_text(passwd)
    assert runtime.run_output(made, "id -u; id -g").split() == ["1000", "1000"]


@pytest.mark.parametrize("passwd", TRICKS.values(), ids=list(TRICKS))
def test_exec_keeps_the_number(runtime: Runtime, bundle: MakeBundle, passwd: str) -> None:
    made = bundle(args=["sleep", "100"])
    (made.rootfs / "etc/passwd").write_text(passwd)
    container = runtime.up(made)
    result = runtime.exec(container, "id", "-u", options=["-u", "1000:1000"]).check()
    assert result.stdout.strip() == "1000"
