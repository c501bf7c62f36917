"""The command lines of checkpoint and restore."""

from __future__ import annotations

import pytest

from ociruntime.arguments import parse
from ociruntime.checkpoint.options import CHECKPOINT, RESTORE, CheckpointOptions, RestoreOptions
from ociruntime.errors import UsageError


def checkpoint(*words: str) -> CheckpointOptions:
    return CheckpointOptions(
        parse([*words, "c1"], CHECKPOINT, {}, stop_at_argument=False, command="checkpoint")
    )


def restore(*words: str) -> RestoreOptions:
    return RestoreOptions(
        parse([*words, "c1"], RESTORE, {}, stop_at_argument=False, command="restore")
    )


def test_defaults() -> None:
    """As runc's: ./checkpoint, cgroups softly, no network."""
    made = checkpoint()
    assert made.image_path.endswith("/checkpoint")
    assert made.work_path is None
    assert made.status_fd == -1
    assert made.messages == {
        "manage_cgroups": True,
        "manage_cgroups_mode": 3,
        "empty_ns": 0x40000000,
    }


@pytest.mark.parametrize(
    ("word", "number"), [("ignore", 0), ("soft", 3), ("full", 4), ("strict", 5)]
)
def test_cgroup_modes(word: str, number: int) -> None:
    assert checkpoint("--manage-cgroups-mode", word).messages["manage_cgroups_mode"] == number


def test_flags() -> None:
    made = checkpoint(
        "--tcp-established",
        "--tcp-skip-in-flight",
        "--ext-unix-sk",
        "--shell-job",
        "--lazy-pages",
        "--file-locks",
        "--link-remap",
        "--auto-dedup",
        "--leave-running",
        "--network-lock=skip",
        "--empty-ns=network",
        "--page-server",
        "[::1]:5000",
    )
    for name in (
        "tcp_established",
        "tcp_skip_in_flight",
        "ext_unix_sk",
        "shell_job",
        "lazy_pages",
        "file_locks",
        "link_remap",
        "auto_dedup",
        "leave_running",
    ):
        assert made.messages[name] is True
    assert made.messages["network_lock"] == 3
    assert made.messages["ps"] == {"address": "::1", "port": 5000}


def test_no_lock_without_connections() -> None:
    assert checkpoint().for_version((4, 2, 0))["network_lock"] == 3
    assert "network_lock" not in checkpoint().for_version((3, 17, 0))
    assert "network_lock" not in checkpoint("--tcp-established").for_version((4, 2, 0))
    assert checkpoint("--network-lock=nftables").for_version((4, 2, 0))["network_lock"] == 2


def test_lsm() -> None:
    made = restore("--lsm-profile", "apparmor:x", "--lsm-mount-context", "c")
    assert made.messages["lsm_profile"] == "apparmor:x"
    assert made.messages["lsm_mount_context"] == "c"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--manage-cgroups-mode", "hard"], "ignore, soft, full, strict"),
        (["--network-lock", "x"], "iptables, nftables, skip"),
        (["--empty-ns", "pid"], "network"),
        (["--page-server", "5000"], "ADDRESS:PORT"),
        (["--page-server", "a:0"], "ADDRESS:PORT"),
        (["--page-server", "a:65536"], "ADDRESS:PORT"),
        (["--parent-path", "/x"], "must be relative"),
        (["--status-fd", "999"], "not open for writing"),
        (["--status-fd", "x"], "not a number"),
    ],
)
def test_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checkpoint(*words)


@pytest.mark.parametrize("value", ["x", "apparmor:", ":x", "smack:x"])
def test_refused_profiles(value: str) -> None:
    with pytest.raises(UsageError, match="apparmor:PROFILE"):
        restore("--lsm-profile", value)
