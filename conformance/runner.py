"""Runs tests side by side, each in a corner of its own, and collects findings by sentence."""

from __future__ import annotations

import itertools
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from conformance import SPEC_VERSION, leaks
from conformance.container import UnfitError
from conformance.host import CGROUP_ROOT, Host
from conformance.registry import Check, fingerprint
from conformance.runtime import OverdueError, version
from conformance.sentences import catalogue
from conformance.trial import CGROUP_PARENT, SkipTrial, Trial, Verdict

# A sentence that holds, does not, could not be tried here, fails as callers want it to, and a
# test that is itself at fault.
PASS, FAIL, SKIP, DEVIATES, BROKEN = "pass", "fail", "skip", "deviates", "broken"
OUTCOMES = (PASS, FAIL, SKIP, DEVIATES, BROKEN)
OCI_VERSIONS = (SPEC_VERSION, "1.2.1", "1.1.0", "1.0.2", "1.0.0")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Finding:
    """What one test found about one sentence: `saw` says why the outcome is what it is."""

    sentence: str
    test: str
    outcome: str
    did: str
    saw: str
    seconds: float


class ReportError(ValueError):
    """Something is no report of this suite."""


@dataclass
class Run:
    """All findings about one runtime, what it was run on, and by which version of the suite."""

    runtime: str
    version: str
    host: dict[str, str]
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    spec: str = SPEC_VERSION
    suite: str = ""

    def count(self, outcome: str) -> int:
        """Return how many findings have this outcome."""
        return sum(finding.outcome == outcome for finding in self.findings)

    @property
    def passed(self) -> bool:
        """True unless a sentence fails or a test is broken."""
        return not self.count(FAIL) and not self.count(BROKEN)

    def to_data(self) -> dict[str, Any]:
        """Return everything as data that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Run:
        """Return the run that `to_data` was made of; raises ReportError for anything else."""
        try:
            findings = [Finding(**finding) for finding in data["findings"]]
            run = cls(**{**data, "findings": findings})
            facts = {"system", "kernel", "architecture", "cgroups", "ociVersion"}
            known = facts <= run.host.keys()
            known &= all(finding.outcome in OUTCOMES for finding in findings)
        except (TypeError, KeyError, AttributeError):
            raise ReportError from None
        if not known:
            raise ReportError
        return run


class Runner:
    """Runs tests against one binary; `jobs` at a time, each `scale` times as long as it may."""

    def __init__(self, binary: Path, host: Host, *, jobs: int = 1, scale: float = 1.0) -> None:
        self.binary = binary
        self.host = host
        self.jobs = jobs
        self.scale = scale
        self.oci_version = SPEC_VERSION
        self._lock = threading.Lock()

    def run(self, checks: Sequence[Check], tell: Callable[[Finding], None]) -> Run:
        """Run the tests; `tell` is called with each finding as soon as it is made."""
        begin = time.monotonic()
        found = Run(str(self.binary), version(self.binary), describe(self.host))
        found.suite = fingerprint()

        def one(entry: Check) -> None:
            findings = self._one(entry)
            with self._lock:
                for finding in findings:
                    found.findings.append(finding)
                    tell(finding)

        # No container is made in this thread, the one that signals interrupt.
        pool = ThreadPoolExecutor(self.jobs)
        try:
            self.oci_version = pool.submit(self._newest_version).result()
            found.host["ociVersion"] = self.oci_version
            for future in [pool.submit(one, entry) for entry in checks]:
                future.result()
        finally:  # when it is interrupted, tests that run end and clean up, others never begin
            with uninterrupted():
                pool.shutdown(cancel_futures=True)
                remove_cgroup_parents()
        order = {entry.name: number for number, entry in enumerate(checks)}
        found.findings.sort(key=lambda finding: order[finding.test])
        found.seconds = round(time.monotonic() - begin, 2)
        return found

    def _newest_version(self) -> str:
        """Return the newest ociVersion that the runtime takes in a config.json, of those there are.

        What comes after it could not be judged at all if everything were refused for its version.
        """
        for candidate in OCI_VERSIONS:
            accepted: list[str] = []

            def attempt(trial: Trial, accepted: list[str] = accepted) -> None:
                trial.create()
                accepted.append(trial.oci_version)

            self.oci_version = candidate
            self._one(Check("version", (), "", attempt))
            if accepted:
                return candidate
        return SPEC_VERSION

    def _one(self, entry: Check) -> list[Finding]:
        """Run one test and return a finding for each of its sentences."""
        prefix = f"oci-conf-{os.getpid()}-{next(_numbers)}"
        directory = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
        directory.chmod(0o711)
        begin = time.monotonic()
        trial = Trial(
            binary=self.binary,
            host=self.host,
            prefix=prefix,
            directory=directory,
            sentences=entry.sentences,
            seconds=entry.seconds,
            scale=self.scale,
            oci_version=self.oci_version,
        )
        skipped = unfit = broken = ""
        try:
            try:
                entry.function(trial)
            finally:
                trial.deadline = trial.runtime.deadline = time.monotonic() + 20 * self.scale
                trial.close()
            left = leaks.settled(prefix, directory, trial.root, self.scale)
        except SkipTrial as reason:
            skipped, left = str(reason), leaks.settled(prefix, directory, trial.root, self.scale)
        except (UnfitError, OverdueError) as error:
            unfit, left = str(error), leaks.settled(prefix, directory, trial.root, self.scale)
        except Exception:  # noqa: BLE001 - a fault of the suite is reported as such
            broken, left = traceback.format_exc(limit=-3), []
        leaks.clean(prefix, directory)
        shutil.rmtree(directory, ignore_errors=True)
        seconds = round(time.monotonic() - begin, 3)
        outcomes = judge(trial.verdicts, entry.sentences, skipped, unfit, broken)
        if left and not broken:
            failed = any(name in line for name in trial.refused for line in left)
            sentence = "errors.unchanged" if failed else "delete.resources"
            outcomes.append((sentence, FAIL, "left behind: " + "; ".join(left[:4])))
        return [
            Finding(
                sentence,
                entry.name,
                outcome,
                entry.did,
                shorten(saw.replace(str(self.binary), self.binary.name), prefix),
                seconds,
            )
            for sentence, outcome, saw in outcomes
        ]


def judge(
    verdicts: dict[str, Verdict], sentences: Iterable[str], skipped: str, unfit: str, broken: str
) -> list[tuple[str, str, str]]:
    """Return (sentence, outcome, what was seen) for each sentence of a test.

    Where the runtime could not do what a test needs, the sentences that were not judged yet fail
    for it; all do, where each had been judged at least once.
    """
    sentences = list(sentences)
    blamed = [name for name in sentences if name not in verdicts] or sentences
    outcomes = []
    for sentence in sentences:
        verdict = verdicts.get(sentence)
        bad = DEVIATES if catalogue()[sentence].contested else FAIL
        if verdict and verdict.faults:
            outcome, saw = bad, "; ".join(verdict.faults)
        elif broken:
            outcome, saw = BROKEN, broken
        elif unfit and sentence in blamed:
            outcome, saw = bad, unfit
        elif verdict:
            outcome, saw = PASS, "; ".join(dict.fromkeys(verdict.seen))
        elif skipped:
            outcome, saw = SKIP, skipped
        else:
            outcome, saw = BROKEN, "the test ended without judging this sentence"
        outcomes.append((sentence, outcome, saw))
    return outcomes


def shorten(text: str, prefix: str) -> str:
    """Return one printable line of bounded length without the names of one run."""
    words = " ".join(text.replace("\0", " ").split())
    words = "".join(char if char.isprintable() else "?" for char in words)
    words = re.sub(rf"{re.escape(tempfile.gettempdir())}/{re.escape(prefix)}-\w+", "DIR", words)
    words = re.sub(rf"{re.escape(prefix)}(-\d+)?", "ID", words)
    words = words.replace(CGROUP_PARENT, CGROUP_PARENT.rpartition("-")[0])
    return words[:600]


def describe(host: Host) -> dict[str, str]:
    """Return the facts about the machine that a report names."""
    os_release = Path("/etc/os-release")
    name = "Linux"
    if os_release.exists():
        pairs = [line.partition("=") for line in os_release.read_text().splitlines()]
        name = {key: value.strip('"') for key, _, value in pairs}.get("PRETTY_NAME", name)
    return {
        "system": name,
        "kernel": host.kernel,
        "architecture": platform.machine(),
        "cgroups": host.cgroup_version,
    }


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let no further SIGINT or SIGTERM end what removes everything; they are answered in words."""

    def answer(*_: object) -> None:
        print("conformance: the tests that run clean up first", file=sys.stderr)

    before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def remove_cgroup_parents() -> None:
    """Remove the empty cgroup that all containers' lie in: this run's, and those of killed runs."""
    name = CGROUP_PARENT.rpartition("-")[0]
    for path in (*CGROUP_ROOT.glob(f"{name}*"), *CGROUP_ROOT.glob(f"*/{name}*")):
        pid = path.name.rpartition("-")[2]
        if path.name != CGROUP_PARENT and Path("/proc", pid).exists():
            continue
        try:
            path.rmdir()
        except OSError:
            continue
