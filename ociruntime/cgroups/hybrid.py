"""``linux.resources`` on a hybrid host that has some controllers in the unified hierarchy: each
section in the words of the version that its controller is in. Pure.
"""

from __future__ import annotations

from ociruntime.cgroups import sections
from ociruntime.cgroups.setting import dotted
from ociruntime.cgroups.v1 import resources as v1
from ociruntime.cgroups.v2 import resources as v2
from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.cgroups.setting import Setting
    from ociruntime.spec.documents import ResourcesConfig



def settings_mixed(
    resources: ResourcesConfig, unified: tuple[str, ...], warnings: list[str]
) -> list[Setting]:
    """The settings in the order of writing; devices apart. Raises ``PlanError``.

    Parameters: ``unified`` are the controllers of the unified hierarchy; ``warnings`` collects what
    is ignored on purpose.
    """
    processor = resources.get("cpu") or {}
    memory = resources.get("memory") or {}
    block = resources.get("blockIO") or {}
    pages = resources.get("hugepageLimits") or []
    return [
        *(v2.cpu(processor) if "cpu" in unified else v1.cpu(processor)),
        *(v2.memory(memory, warnings) if "memory" in unified else v1.memory(memory, warnings)),
        *sections.pids(resources.get("pids") or {}),
        *(v2.block_io(block) if "io" in unified else v1.block_io(block)),
        *sections.huge_pages(pages, v2.HUGE_PAGES if "hugetlb" in unified else v1.HUGE_PAGES),
        *v1.network(resources.get("network") or {}),
        *sections.rdma(resources.get("rdma") or {}),
        *_unified(resources.get("unified") or {}, unified),
    ]


def _unified(section: dict[str, str], controllers: tuple[str, ...]) -> list[Setting]:
    settings = v2.unified(section)
    for setting in settings:
        if setting.controller and setting.controller not in controllers:
            raise PlanError(
                f"{dotted(setting.pointer)}: {setting.file} is a file of cgroup v2, and on this "
                f"hybrid host the controller {setting.controller} is not in the unified hierarchy",
                setting.pointer,
                "use the other members of linux.resources",
            )
    return settings
