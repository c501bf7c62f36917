"""The command line of a shim, the bootstrap's input, options, and logging URIs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ociruntime.errors import OciError
from ociruntime.shim import bootstrap
from ociruntime.shim import messages as m
from ociruntime.shim.flags import Flags
from ociruntime.shim.logger import parse as parse_uri
from ociruntime.shim.options import DEFAULT_ROOT, read_options
from ociruntime.shim.rootfs import compact
from ociruntime.shim.rootfs import parse as parse_mount
from ociruntime.shim.ttrpc import RpcError

WORDS = ["-namespace", "n", "-address=/a", "--id", "i", "--publish-binary=/b", "-debug"]


def test_go_style_flags() -> None:
    flags = Flags([*WORDS, "-unknown", "-other=1", "start"])
    assert flags.action == "start"
    assert [flags.text(name) for name in ("namespace", "address", "id")] == ["n", "/a", "i"]
    assert flags.text("publish-binary") == "/b"
    assert flags.switch("debug")
    assert not Flags(["-debug=false"]).switch("debug")


def boot(data: bytes) -> bootstrap.Boot:
    return bootstrap.Boot(Flags([*WORDS, "start"]), data)


def test_options_of_the_first_runtime() -> None:
    """ctr sends these to every runtime whose name is not io.containerd.runc."""
    old = m.OLD_OPTIONS.encode({"io_uid": 100000, "io_gid": 5, "no_new_keyring": True})
    found = read_options({"type_url": m.OLD_OPTIONS_URL, "value": old})
    assert (found.io_uid, found.io_gid, found.no_new_keyring) == (100000, 5, True)


def test_other_options_are_an_error_for_people() -> None:
    with pytest.raises(OciError, match=r"type x\.Y: use containerd\.runc\.v1\.Options"):
        read_options({"type_url": "x.Y", "value": b""})


def test_stdin_of_older_daemons_is_the_options() -> None:
    options = m.RUNC_OPTIONS.encode({"shim_cgroup": "/s"})
    found = boot(m.ANY.encode({"type_url": m.RUNC_OPTIONS_URL, "value": options}))
    assert read_options(found.options).shim_cgroup == "/s"
    assert found.socket_dir == bootstrap.SOCKET_DIRECTORY


def test_stdin_of_newer_daemons_are_parameters() -> None:
    options = {"type_url": m.RUNC_OPTIONS_URL, "value": m.RUNC_OPTIONS.encode({"root": "/r"})}
    data = m.BOOTSTRAP.encode(
        {
            "instance_id": "i",
            "namespace": "n",
            "containerd_ttrpc_address": "/t",
            "containerd_grpc_address": "/g",
            "containerd_binary": "/c",
            "socket_dir": "/d",
            "log_level": -4,
            "extensions": [{"value": options}],
        }
    )
    found = boot(data)
    assert (found.ttrpc, found.address, found.binary, found.socket_dir) == ("/t", "/g", "/c", "/d")
    assert read_options(found.options).root == "/r"


def test_parameters_for_somebody_else_are_none() -> None:
    found = boot(m.BOOTSTRAP.encode({"instance_id": "other", "namespace": "n", "socket_dir": "/d"}))
    assert found.socket_dir == bootstrap.SOCKET_DIRECTORY


def test_garbage_on_stdin_is_no_reason_to_fail() -> None:
    assert read_options(boot(b"\xff\xff\xff").options).root == DEFAULT_ROOT


def test_a_pod_is_one_group() -> None:
    assert bootstrap.group_of({"io.kubernetes.cri.sandbox-id": "pod"}, "i") == "pod"
    assert bootstrap.group_of({"io.containerd.runc.v2.group": "g"}, "i") == "g"
    assert bootstrap.group_of({}, "i") == "i"


def test_socket_paths_fit_and_differ() -> None:
    first, second = (bootstrap.socket_path(boot(b""), group) for group in ("a", "b"))
    assert first != second
    assert len(first) <= 106


def test_a_socket_is_taken_once_and_a_dead_one_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "d" / "s")
    first = bootstrap.listen(path)
    assert first is not None
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(tmp_path / "d").st_mode & 0o777 == 0o700
    assert bootstrap.listen(path) is None
    first.close()
    second = bootstrap.listen(path)
    assert second is not None
    second.close()


def test_options_of_cri_are_toml() -> None:
    body = m.CRI_OPTIONS.encode({"config_body": b'Root = "/r"\nSystemdCgroup = true\n'})
    options = read_options({"type_url": m.CRI_OPTIONS_URL, "value": body})
    assert (options.root, options.systemd_cgroup) == ("/r", True)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(RpcError, match="kata"):
        read_options({"type_url": "kata.Options", "value": b""})


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("binary:///bin/log", ("/bin/log", [])),
        ("binary:///a%20b?k=v&k=w&x=1+2", ("/a b", ["k", "v", "x", "1 2"])),
        ("binary:///p?only", ("/p", ["only", ""])),
        ("binary:///100%zz", ("/100%zz", [])),
    ],
)
def test_logging_uris(uri: str, expected: tuple[str, list[str]]) -> None:
    assert parse_uri(uri) == expected


def test_a_relative_logging_program_is_refused() -> None:
    with pytest.raises(RpcError, match="absolute"):
        parse_uri("binary://log")


def test_mount_options() -> None:
    flags, propagation, data = parse_mount(
        ["ro", "rbind", "rprivate", "X-containerd.x=1", "lowerdir=/a:/b"]
    )
    assert (flags, propagation, data) == (1 | 4096 | 16384, [(1 << 18) | 16384], ["lowerdir=/a:/b"])


def test_layers_are_shortened_by_what_they_share() -> None:
    data = ["index=off", "workdir=/w", "lowerdir=/long/1/fs:/long/2/fs"]
    assert compact(data) == ("/long", "index=off,workdir=/w,lowerdir=1/fs:2/fs")
