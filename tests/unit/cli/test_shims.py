"""What daemons count, as OpenMetrics; whatever else listens in their directory."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from ociruntime.cli.shims import collect
from ociruntime.errors import OciError
from ociruntime.metrics.exposition import exposition
from ociruntime.shim import messages as m
from ociruntime.shim import ttrpc
from ociruntime.shim.counts import COUNTS, Counts


def answering(path: Path, answer: bytes) -> threading.Thread:
    """Somebody who listens at ``path``, and answers the first request so."""
    end = socket.socket(socket.AF_UNIX)
    end.bind(str(path))
    end.listen(1)

    def serve() -> None:
        peer, _ = end.accept()
        with peer, end:
            peer.recv(ttrpc.PIECE)
            peer.sendall(ttrpc.frame(1, ttrpc.IS_RESPONSE, answer))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_daemons_and_others(tmp_path: Path) -> None:
    counts = Counts()
    began = time.monotonic_ns()
    counts.note("Start", began, failed=False)
    counts.note("Start", began - 10**9, failed=True)
    counts.note("Kill", began, failed=False)
    said = COUNTS.encode(
        {
            "pid": 812,
            "namespace": "k8s.io",
            "version": "1",
            "containers": 3,
            "adopted": 2,
            "shared": 1,
            "requests": counts.requests(),
        }
    )
    refusal = {"status": {"code": ttrpc.UNIMPLEMENTED, "message": "not here"}}
    threads = [
        answering(tmp_path / "a", m.RESPONSE.encode({"payload": said})),
        answering(tmp_path / "b", m.RESPONSE.encode(refusal)),
        answering(tmp_path / "c", b"\xff"),
    ]
    (tmp_path / "d").touch()
    families, warnings = collect(str(tmp_path))
    for thread in threads:
        thread.join()
    assert [warning.partition(": ")[0] for warning in warnings] == [str(tmp_path / "c")]
    text = exposition(families)
    about = 'pid="812",namespace="k8s.io",daemon="namespace",version="1"'
    assert f"ociruntime_shim_info{{{about}}} 1\n" in text
    assert 'ociruntime_shim_containers{pid="812"} 3\n' in text
    assert 'ociruntime_shim_adopted_containers{pid="812"} 2\n' in text
    assert 'ociruntime_shim_requests_total{pid="812",method="Start"} 2\n' in text
    assert 'ociruntime_shim_request_errors_total{pid="812",method="Start"} 1\n' in text
    assert 'ociruntime_shim_request_errors_total{pid="812",method="Kill"} 0\n' in text
    found = text.partition('request_longest_seconds{pid="812",method="Start"} ')[2]
    assert float(found.split()[0]) >= 1


def test_no_directory_and_no_directory_at_all(tmp_path: Path) -> None:
    families, warnings = collect(str(tmp_path / "none"))
    assert (exposition(families), warnings) == ("# EOF\n", [])
    (tmp_path / "file").touch()
    with pytest.raises(OciError, match="Not a directory"):
        collect(str(tmp_path / "file"))
