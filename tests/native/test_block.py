"""native/block.h and ociruntime/kernel/block.py describe one layout."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from typing import Any

import pytest

from ociruntime.kernel import block
from ociruntime.kernel import execblock as exec_module
from ociruntime.kernel.execblock import ExecBlock
from tests.native.driver import CHECKOUT

HEADER = CHECKOUT / "native" / "block.h"
FIELDS = re.findall(r"^    __([us]\d\d) (\w+);\s+/\*\s+(\d+)", HEADER.read_text(), re.MULTILINE)
BLOCK_FIELDS = FIELDS[: [name for _, name, _ in FIELDS].index("seccomp_offset") + 1]

EXEC_FIELDS = FIELDS[[name for _, name, _ in FIELDS].index("container_fd") :][:21]

VALUES: dict[str, Any] = {
    "channel_fd": 101,
    "proc_fd": 102,
    "keep_fds": 7,
    "uid": 1001,
    "gid": 1002,
    "umask": 0o27,
    "groups": [5, 6, 7],
    "rlimits": [(7, 10, 20), (6, 1, 2**64 - 1)],
    "bounding": 0x1111,
    "effective": 0x2222,
    "permitted": 0x3333,
    "inheritable": 0x4444,
    "ambient": 0x5555,
    "last_cap": 40,
    "candidates": 3,
    "cwd": b"/work dir",
    "lsm": (b"apparmor/exec", b"exec profile"),
    "seccomp": bytes(range(16)),
    "seccomp_flags": 8,
    "wait": True,
    "no_new_privs": True,
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """Offset and size of every field, as the C compiler sees them."""
    directory = tmp_path_factory.mktemp("layout")
    lines = [
        f'printf("%s %zu %zu\\n", "{name}", offsetof(struct block, {name}),'
        f" sizeof(((struct block *)0)->{name}));"
        for _, name, _ in BLOCK_FIELDS
    ]
    lines += [
        f'printf("exec_{name} %zu %zu\\n", offsetof(struct block_exec, {name}),'
        f" sizeof(((struct block_exec *)0)->{name}));"
        for _, name, _ in EXEC_FIELDS
    ]
    lines.append('printf("block %zu %zu\\n", (size_t)0, sizeof(struct block));')
    lines.append('printf("exec %zu %zu\\n", (size_t)0, sizeof(struct block_exec));')
    lines.append('printf("rlimit %zu %zu\\n", (size_t)0, sizeof(struct block_rlimit));')
    lines.append('printf("report %zu %zu\\n", (size_t)0, sizeof(struct report));')
    source = directory / "layout.c"
    source.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "{HEADER}"\n'
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
    )
    compiler = shutil.which("cc")
    assert compiler is not None, "no C compiler; install gcc"
    command = [compiler, "-Wpadded", "-Werror", "-o", str(directory / "layout"), str(source)]
    subprocess.run(command, check=True)
    result = subprocess.run([directory / "layout"], check=True, capture_output=True, text=True)
    rows = (line.split() for line in result.stdout.splitlines())
    return {name: (int(offset), int(size)) for name, offset, size in rows}


def test_sizes(layout: dict[str, tuple[int, int]]) -> None:
    assert layout["block"][1] == block.HEADER.size
    assert layout["exec"][1] == exec_module.HEADER.size
    assert layout["rlimit"][1] == block.RLIMIT.size
    assert layout["report"][1] == block.REPORT.size


def test_documented_offsets(layout: dict[str, tuple[int, int]]) -> None:
    assert {name: int(offset) for _, name, offset in BLOCK_FIELDS} == {
        name: layout[name][0] for _, name, _ in BLOCK_FIELDS
    }
    assert {name: int(offset) for _, name, offset in EXEC_FIELDS} == {
        name: layout[f"exec_{name}"][0] for _, name, _ in EXEC_FIELDS
    }


def test_packed_where_c_reads(layout: dict[str, tuple[int, int]]) -> None:
    packed = block.pack_block(**VALUES)

    def read(name: str) -> int:
        offset, size = layout[name]
        signed = name.endswith("_fd")
        return int.from_bytes(packed[offset : offset + size], "little", signed=signed)

    def text(offset: int) -> bytes:
        return packed[offset : packed.index(b"\0", offset)]

    for name in VALUES.keys() - {"groups", "rlimits", "cwd", "lsm", "seccomp", "wait",
                                 "no_new_privs"}:  # fmt: skip
        assert read(name) == VALUES[name], name
    assert (read("magic"), read("version")) == (block.MAGIC, block.VERSION)
    assert read("size") == len(packed)
    assert packed[-1] == 0
    assert len(BLOCK_FIELDS) == 27, "the pattern above misses lines of block.h"
    flags = block.WAIT | block.NO_NEW_PRIVS | block.SET_GROUPS | block.SECCOMP
    assert read("flags") == flags
    assert read("groups_count") == 3
    assert struct.unpack_from("=3I", packed, read("groups_offset")) == (5, 6, 7)
    assert read("rlimits_count") == 2
    assert read("rlimits_offset") % 8 == 0
    assert struct.unpack_from("=IIQQ", packed, read("rlimits_offset")) == (7, 0, 10, 20)
    assert read("seccomp_count") == 2
    assert packed[read("seccomp_offset") :][:16] == VALUES["seccomp"]
    assert text(read("cwd_offset")) == b"/work dir"
    assert text(read("lsm_attr_offset")) == b"self/attr/apparmor/exec"
    assert text(read("lsm_label_offset")) == b"exec profile"


def for_exec() -> ExecBlock:
    """One with another value in each field."""
    made = ExecBlock(b"_ses.x")
    made.container, made.namespaces, made.cgroup = 21, 0x20000, 22
    made.cgroup_namespace, made.root, made.console = 23, 24, 28
    made.flags = exec_module.HOME
    made.joins = [25, 26, 27]
    made.known = (8, 1, 1 << 40 | 2)
    made.cpus, made.memory, made.persona = b"\x03" + bytes(7), (4, b"\x05" + bytes(15)), 8
    made.size = (24, 80)
    return made


def test_entry_packed_where_c_reads(layout: dict[str, tuple[int, int]]) -> None:
    values = {**VALUES, "wait": False, "proc_fd": -1, "for_exec": for_exec()}
    packed = block.pack_block(**values)
    start = layout["block"][1]

    def read(name: str) -> int:
        offset, size = layout[f"exec_{name}"]
        return int.from_bytes(packed[start + offset : start + offset + size], "little")

    got = {name: read(name) for _, name, _ in EXEC_FIELDS if not name.endswith("_offset")}
    assert got == {
        "container_fd": 21,
        "namespaces": 0x20000,
        "cgroup_fd": 22,
        "cgroup_ns_fd": 23,
        "root_fd": 24,
        "console_fd": 28,
        "flags": exec_module.HOME
        | exec_module.KNOWN
        | exec_module.MEMORY
        | exec_module.PERSONA,
        "joins_count": 3,
        "cpus_count": 1,
        "nodes_count": 2,
        "memory_mode": 4,
        "persona": 8,
        "rows": 24,
        "columns": 80,
        "root_major": 8,
        "root_minor": 1,
        "root_ino": 1 << 40 | 2,
    }
    assert read("cpus_offset") % 8 == 0
    assert struct.unpack_from("=Q", packed, read("cpus_offset")) == (3,)
    assert struct.unpack_from("=2Q", packed, read("nodes_offset")) == (5, 0)
    name = read("keyring_offset")
    assert packed[name : packed.index(b"\0", name)] == b"_ses.x"
    assert read("joins_offset") % 4 == 0
    assert struct.unpack_from("=3i", packed, read("joins_offset")) == (25, 26, 27)
    # What every block has lies behind it.
    offset = layout["rlimits_offset"][0]
    (rlimits,) = struct.unpack_from("=I", packed, offset)
    assert rlimits % 8 == 0
    assert struct.unpack_from("=IIQQ", packed, rlimits) == (7, 0, 10, 20)
    assert sorted(for_exec().descriptors()) == [21, 22, 23, 24, 25, 26, 27, 28]
    assert ExecBlock(b"").descriptors() == []


def constants(pattern: str) -> dict[str, int]:
    """The constants of block.h whose definition matches `pattern` (name, value)."""
    found = re.findall(pattern, HEADER.read_text(), re.MULTILINE)
    return {name: eval(value.replace("U", "")) for name, value in found}


def test_same_constants() -> None:
    stages = constants(r"^    (STAGE_\w+) = (\d+),")
    assert stages == {name: getattr(block, name) for name in dir(block) if name[:6] == "STAGE_"}
    assert set(block.STAGES) == set(stages.values())
    flags = constants(r"^    BLOCK_(\w+) = (1U << \d+),")
    assert flags == {name: getattr(block, name) for name in flags}
    assert len(flags) == 8
    flags = constants(r"^    EXEC_(\w+) = (1U << \d+),")
    assert flags == {name: getattr(exec_module, name) for name in flags}
    assert len(flags) == 8
    defines = constants(r"^#define (\w+) (0x\w+|[\d(][^/\n]*)")
    assert defines == {
        "BLOCK_MAGIC": block.MAGIC,
        "BLOCK_VERSION": block.VERSION,
        "BLOCK_SIZE_MAX": block.SIZE_MAX,
        "REPORT_MAGIC": block.REPORT_MAGIC,
        "REPORT_TIME": block.REPORT_TIME,
        "REPORT_NOTE": block.REPORT_NOTE,
    }


def test_no_filter_and_no_groups() -> None:
    packed = block.pack_block(**{**VALUES, "seccomp": None, "groups": None, "wait": False})
    assert struct.unpack_from("=I", packed, 12) == (block.NO_NEW_PRIVS,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channel_fd": 9}, "channel_fd 9"),
        ({"channel_fd": -1}, "channel_fd -1"),
        ({"proc_fd": 3}, "proc_fd 3"),
        ({"proc_fd": -1}, "proc_fd -1"),
        ({"uid": 2**32 - 1}, "id 4294967295"),
        ({"gid": -1}, "id -1"),
        ({"groups": [2**32]}, "id 4294967296"),
        ({"ambient": 1 << 64}, "capability mask"),
        ({"last_cap": 64}, "last_cap 64"),
        ({"candidates": 0}, "no path"),
        ({"cwd": b"relative"}, "not absolute"),
        ({"cwd": b"/nul\0"}, "NUL"),
        ({"lsm": (b"exec", b"a\0b")}, "NUL"),
        ({"seccomp": bytes(9)}, "filter of 9 bytes"),
        ({"seccomp": bytes(8 * 65536)}, "filter"),
        ({"for_exec": for_exec()}, "needs no procfs"),
        ({"for_exec": for_exec(), "wait": False}, "needs no procfs"),
        (
            {"for_exec": for_exec(), "wait": False, "proc_fd": -1, "channel_fd": -1},
            "needs no procfs",
        ),
        ({"for_exec": for_exec(), "wait": False, "proc_fd": -1, "keep_fds": 20}, "21 is not above"),
        ({"for_exec": ExecBlock(b"a\0b"), "wait": False, "proc_fd": -1}, "NUL"),
        ({"cwd": b"/" + bytes([97]) * (1 << 20)}, "at most"),
    ],
)
def test_refuses(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        block.pack_block(**{**VALUES, **change})


def test_report_round_trip() -> None:
    report = block.unpack_report(struct.pack("=IIiI", block.REPORT_MAGIC, 18, 2, 1))
    assert (report.stage, report.errno, report.detail) == (block.STAGE_EXEC, 2, 1)


@pytest.mark.parametrize("message", [b"", b"S", bytes(16), bytes(17)])
def test_foreign_report(message: bytes) -> None:
    with pytest.raises(ValueError, match="report"):
        block.unpack_report(message)


def test_init_argv() -> None:
    argv = block.init_argv(12, [b"/bin/a", b"/usr/bin/a"], [b"a", b"-x"])
    assert argv == [b"oci-init 12", b"/bin/a", b"/usr/bin/a", b"a", b"-x"]
