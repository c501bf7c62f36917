"""The step that has the container's system call filter ready."""

from __future__ import annotations

from ociruntime.plan.annotations import fails_on_unknown
from ociruntime.seccomp.profile import RAW_FILTER

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.process.step import Step
    from ociruntime.spec.documents import Config, ProcessConfig


def has_filter(config: Config) -> bool:
    """Whether the container's processes get one."""
    linux = config.get("linux") or {}
    return bool(linux.get("seccomp")) or RAW_FILTER in (config.get("annotations") or {})


def filter_steps(config: Config, root: str, process: ProcessConfig) -> list[Step]:
    """Nothing, or the one step.

    Parameters: ``root`` is the state directory that compiled filters are kept in, ``process`` the
    one that gets the filter.
    """
    if not has_filter(config):
        return []
    profile = (config.get("linux") or {}).get("seccomp") or {}
    privileges = bool(process.get("noNewPrivileges"))
    text = (config.get("annotations") or {}).get(RAW_FILTER)
    if text is not None:
        from ociruntime.steps.rawfilter import TakeRawFilter

        return [TakeRawFilter(text, profile, no_new_privs=privileges)]
    from ociruntime.steps.seccomp import PrepareSeccomp

    strict = fails_on_unknown(config)
    return [PrepareSeccomp(profile, root, no_new_privs=privileges, strict=strict)]
