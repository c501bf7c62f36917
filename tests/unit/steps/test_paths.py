"""No step that runs inside the container touches a path by its name: `kernel/inroot.py` does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ociruntime.steps

FOLDER = Path(ociruntime.steps.__file__).parent
# Functions of posix and os that take a path, and the builtin open.
BY_PATH = {
    "access", "chdir", "chmod", "chown", "chroot", "execv", "execve", "getxattr",
    "lchown", "link", "listdir", "listxattr", "lstat", "makedirs", "mkdir", "mkfifo",
    "mknod", "open", "open_code", "readlink", "remove", "rename", "renames", "replace",
    "rmdir", "scandir", "setxattr", "stat", "statvfs", "symlink", "truncate", "unlink",
    "utime", "walk",
}  # fmt: skip


def by_path(source: str) -> list[str]:
    """`class.method: call` for each call by path in classes that are ContainerSteps."""
    found = []
    for cls in ast.walk(ast.parse(source)):
        if not isinstance(cls, ast.ClassDef):
            continue
        if not any(isinstance(base, ast.Name) and base.id == "ContainerStep" for base in cls.bases):
            continue
        for node in ast.walk(cls):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                module, _, function = name.rpartition(".")
                if name == "open" or (module in ("os", "posix") and function in BY_PATH):
                    found.append(f"{cls.name}: {name}")
    return found


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_container_side_goes_by_descriptor(file: Path) -> None:
    assert by_path(file.read_text()) == []


def test_calls_are_found() -> None:
    source = """
class Bad(ContainerStep):
    def execute(self, run):
        os.mkdir(self.path)
        open(self.path)
        run.kernel.open(self.path)

class Host(Step):
    def execute(self, run):
        os.mkdir(self.path)
"""
    assert by_path(source) == ["Bad: os.mkdir", "Bad: open"]
