"""The filter of the annotation run.oci.seccomp_bpf_data, instead of the rules of linux.seccomp."""

from __future__ import annotations

from ociruntime.process.step import Step
from ociruntime.seccomp.profile import RAW_FILTER, filter_flags
from ociruntime.seccomp.raw import POINTER, read_filter
from ociruntime.steps.seccomp import refuse_what_cannot_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run
    from ociruntime.spec.documents import SeccompConfig


class TakeRawFilter(Step):
    """Have the filter ready in ``run.seccomp``.

    Parameters: ``text`` is the annotation, ``profile`` is linux.seccomp, of which only flags and
    listener count, ``no_new_privs`` as for ``PrepareSeccomp``.
    """

    __slots__ = ("no_new_privs", "profile", "text")

    kind = "take-raw-filter"

    def __init__(self, text: str, profile: SeccompConfig, *, no_new_privs: bool) -> None:
        super().__init__(POINTER, f"annotation {RAW_FILTER}")
        self.text = text
        self.profile = profile
        self.no_new_privs = no_new_privs

    def describe(self) -> str:
        return "take the system call filter of the annotation"

    def operands(self) -> dict[str, object]:
        warnings: list[str] = []
        return {"flags": filter_flags(self.profile, warnings)}

    def execute(self, run: Run) -> None:
        program = read_filter(self.text)
        flags = filter_flags(self.profile, run.warnings)
        refuse_what_cannot_start(
            program, flags, no_new_privs=self.no_new_privs, what=f"annotation {RAW_FILTER}"
        )
        run.seccomp = (program.code, flags)
