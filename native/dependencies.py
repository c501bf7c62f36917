"""Copies what the package depends on out of this Python's own site-packages: no network, and no
script of a dependency.

    dependencies.py PROJECT TARGET

PROJECT is pyproject.toml. What is below TARGET of an older version is replaced.
"""

import re
import shutil
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path


def closure(requirements: list[str]) -> list[Distribution]:
    """The distributions that `requirements` name, and what they require in turn."""
    waiting, found = list(requirements), {}
    while waiting:
        requirement = waiting.pop()
        marker = requirement.partition(";")[2]
        if "extra" in marker:
            continue
        name = re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0].lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            if marker:  # for another Python or another system
                continue
            raise SystemExit(f"{name} is missing; run `make build`, which installs it") from None
        waiting += found[name].requires or []
    return list(found.values())


def main(arguments: list[str]) -> int:
    """Copy all of them."""
    with open(arguments[0], "rb") as file:
        requirements = tomllib.load(file)["project"]["dependencies"]
    target = Path(arguments[1])
    for found in closure(requirements):
        for path in found.files or []:
            # Scripts and data lie outside.
            if ".." in path.parts or path.suffix == ".pyc":
                continue
            place = target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(path.locate()), place)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
