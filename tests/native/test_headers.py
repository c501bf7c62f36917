"""No header of ours has the name of one of the system's: which of both is read would depend on the
order in which directories are searched.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

NATIVE = Path(__file__).parents[2] / "native"


def of_the_system(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that the compiler finds without a directory of ours."""
    compiler = shutil.which("cc")
    assert compiler is not None, "no C compiler; install gcc"
    text = "".join(f"#if __has_include(<{name}>)\nfound {name}\n#endif\n" for name in names)
    done = subprocess.run(
        [compiler, "-E", "-P", "-x", "c", "-"], input=text, capture_output=True, text=True,
        check=True, cwd="/",
    )  # fmt: skip
    return re.findall(r"^found (\S+)$", done.stdout, re.MULTILINE)


def test_no_header_shadows_one_of_the_system() -> None:
    names = sorted(path.name for path in NATIVE.glob("*.h"))
    assert len(names) > 30
    assert of_the_system(names) == []


def test_one_that_does_is_found() -> None:
    assert of_the_system(["block.h", "strings.h"]) == ["strings.h"]
