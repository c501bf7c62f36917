"""What containerd's options for a checkpoint become."""

from __future__ import annotations

from typing import Any

import pytest

from ociruntime.shim import ttrpc
from ociruntime.shim.checkpoints import OPTIONS, OPTIONS_URL, checkpoint_words
from ociruntime.shim.options import ShimOptions
from ociruntime.shim.ttrpc import RpcError


def request(url: str = OPTIONS_URL, **values: object) -> dict[str, Any]:
    options = {"type_url": f"types/{url}", "value": OPTIONS.encode(values)}
    return {"id": "c", "path": "/images", "options": options}


def test_words() -> None:
    none = ShimOptions({})
    assert checkpoint_words({"id": "c", "path": "/i", "options": None}, none) == [
        "--image-path=/i",
        "--leave-running",
    ]
    made = checkpoint_words(
        request(
            exit=True,
            open_tcp=True,
            external_unix_sockets=True,
            terminal=True,
            file_locks=True,
            empty_namespaces=["network"],
            cgroups_mode="ignore",
            image_path="/other",
            work_path="/work",
        ),
        none,
    )
    assert made == [
        "--image-path=/other",
        "--work-path=/work",
        "--tcp-established",
        "--ext-unix-sk",
        "--shell-job",
        "--file-locks",
        "--empty-ns=network",
        "--manage-cgroups-mode=ignore",
    ]


def test_the_engine_s_work_path() -> None:
    options = ShimOptions({"criu_work_path": "/work", "criu_path": "/opt/criu"})
    assert options.criu_path == "/opt/criu"
    assert "--work-path=/work" in checkpoint_words(request(exit=True), options)


def test_unknown_options() -> None:
    with pytest.raises(RpcError) as caught:
        checkpoint_words(request("x.Options"), ShimOptions({}))
    assert caught.value.code == ttrpc.INVALID_ARGUMENT
