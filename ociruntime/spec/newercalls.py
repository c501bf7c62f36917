"""System calls that are younger than many an installed libseccomp.

Since Linux 5.1 a new system call has one number everywhere (asm-generic/unistd.h), shifted by what
the architecture's table starts with. So rules about them can be kept without the library's help;
peers drop them without a word.
"""

from __future__ import annotations

# asm-generic/unistd.h as of Linux 6.17; libseccomp 2.5.4, the oldest in use, ends with 450.
NUMBERS = {
    "futex_waitv": 449,
    "set_mempolicy_home_node": 450,
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
    "file_getattr": 468,
    "file_setattr": 469,
}

X32_BIT = 0x40000000
# Where the table of an architecture starts (asm/unistd.h), by libseccomp's token; 0 elsewhere.
BASES = {
    "SCMP_ARCH_X32": X32_BIT,
    "SCMP_ARCH_MIPS": 4000,
    "SCMP_ARCH_MIPSEL": 4000,
    "SCMP_ARCH_MIPS64": 5000,
    "SCMP_ARCH_MIPSEL64": 5000,
    "SCMP_ARCH_MIPS64N32": 6000,
    "SCMP_ARCH_MIPSEL64N32": 6000,
}

# The last of the calls that 32 bit architectures got in Linux 5.1 for what socketcall(2) and ipc(2)
# do (msgctl, asm/unistd_32.h): who names one of the old calls knows the new ones.
LAST_DIRECT = 402


def base_of(architecture: str) -> int:
    """The number that the table of ``architecture`` (SCMP_ARCH_*) starts with."""
    return BASES.get(architecture, 0)
