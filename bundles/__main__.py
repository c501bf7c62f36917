"""bundles/make NAME DIR: build the example bundle NAME in the new directory DIR."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from bundles.networks import NETWORKS, PROGRAMS, Place
from bundles.recipes import RECIPES
from bundles.rootfs import RootfsError, add_program, make_rootfs
from ociruntime.errors import OciError


def main(words: list[str]) -> int:
    """Build, or without words list what there is; the status is 0, 1 (failed) or 2 (misused)."""
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if len(words) != 2 or words[0] not in RECIPES | NETWORKS:
        sys.stderr.write(_help())
        return 2
    try:
        build(words[0], Path(words[1]))
    except (RootfsError, OciError, OSError) as error:
        sys.stderr.write(f"bundles/make: {error}\n")
        return 1
    sys.stdout.write(f"{words[1]}: {words[0]}, ready for `ociruntime run --bundle {words[1]} ID`\n")
    return 0


def build(name: str, directory: Path, place: Place | None = None) -> None:
    """Make ``directory``, new or empty, the bundle ``name``: config.json and rootfs, and for one
    with a network, which depends on the ``place``, etc.

    After a failure the directory is as before. Raises ``RootfsError``, ``OciError`` or ``OSError``.
    """
    existed = directory.is_dir()
    if existed and any(directory.iterdir()):
        raise RootfsError(f"{directory}: not empty; name a new directory")
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        make_rootfs(directory / "rootfs")
        for program, target in PROGRAMS.get(name, ()):
            add_program(directory / "rootfs", program, target)
        if name in RECIPES:
            config = RECIPES[name]()
        else:
            config = NETWORKS[name](str(directory), place or Place())
        (directory / "config.json").write_text(json.dumps(config, indent=4) + "\n")
    except BaseException:
        for made in ("rootfs", "etc"):
            shutil.rmtree(directory / made, ignore_errors=True)
        if not existed:
            directory.rmdir()
        raise


def _help() -> str:
    lines = ["usage: bundles/make NAME DIR", "", "bundles:"]
    recipes = RECIPES | NETWORKS
    width = max(map(len, recipes))
    lines += [f"  {name.ljust(width)}  {recipe.__doc__}" for name, recipe in recipes.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
