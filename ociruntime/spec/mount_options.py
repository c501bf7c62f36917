"""The options of one mount, translated into what the new mount API takes.

``parse`` never fails: what it does not know is data for the file system, exactly as mount(8) does
it (config.md, "Mounts": options).  Later options win over earlier ones.
"""

from __future__ import annotations

from ociruntime.spec.tables import (
    MOUNT_ACTIONS,
    MOUNT_ATIMES,
    MOUNT_ATTR_ATIME,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTRIBUTES,
    MOUNT_IF_KNOWN,
    MOUNT_NOTHING,
    MOUNT_SUPERBLOCK,
    PROPAGATION,
)

IDMAP_PREFIXES = ("idmap=", "ridmap=")


class CopyBound:
    """How many bytes tmpcopyup may copy at most, and what says so."""

    __slots__ = ("name", "size")

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size


class MountOptions:
    """Meaning of a list of mount options.

    attr_set, attr_clr
        MOUNT_ATTR_* bits for mount_setattr(2) on the mount alone.  When the access time is chosen
        the whole MOUNT_ATTR_ATIME field is in attr_clr, as the system call demands.
    atime_undone
        MOUNT_ATTR_NOATIME and MOUNT_ATTR_STRICTATIME, or one of them, where an option takes that
        back and none chose another: a mount that has it becomes relatime, others stay as they are.
    recursive_set, recursive_clr
        the same for the whole tree (AT_RECURSIVE), from rro, rnosuid and so on.
    sb_flags
        flag names for fsconfig(FSCONFIG_SET_FLAG) of a *new* file system: ro, rw, sync, async,
        dirsync, lazytime, nolazytime, mand, nomand; one per subject, the last one asked for.
    sb_flags_if_known
        flags that many file systems refuse and for which EINVAL shall be ignored (iversion).
    propagation
        MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE, each with or without MS_REC, to be applied
        in this order, each by a call of its own.
    bind, rbind
        ``bind`` is true for both options, ``rbind`` for the recursive one alone.
    idmap, ridmap
        ``idmap`` is true for both options, ``ridmap`` for the recursive one alone.
    idmap_text
        the option idmap or ridmap when it has mappings inside (``spec.idmap_option``), else empty.
    remount, tmpcopyup, src_nofollow, dest_nofollow, copy_symlink
        the option of that name was given (the last three are crun's, used by podman).
    data
        the file system's own options, "key" or "key=value", in order, double quotes removed.
    """

    __slots__ = (
        "atime_undone",
        "attr_clr",
        "attr_set",
        "bind",
        "copy_bound",
        "copy_symlink",
        "data",
        "dest_nofollow",
        "idmap",
        "idmap_text",
        "propagation",
        "rbind",
        "recursive_clr",
        "recursive_set",
        "remount",
        "ridmap",
        "sb_flags",
        "sb_flags_if_known",
        "src_nofollow",
        "tmpcopyup",
    )

    def __init__(self) -> None:
        self.attr_set = 0
        self.atime_undone = 0
        self.attr_clr = 0
        self.recursive_set = 0
        self.recursive_clr = 0
        self.sb_flags: list[str] = []
        self.sb_flags_if_known: list[str] = []
        self.propagation: list[int] = []
        self.bind = False
        self.rbind = False
        self.idmap = False
        self.ridmap = False
        self.idmap_text = ""
        self.remount = False
        self.tmpcopyup = False
        self.src_nofollow = False
        self.dest_nofollow = False
        self.copy_symlink = False
        self.copy_bound: CopyBound | None = None
        self.data: list[str] = []

    @property
    def read_only(self) -> bool:
        """True if the mount itself is to be read-only."""
        return bool(self.attr_set & MOUNT_ATTR_RDONLY)


def parse(options: list[str], *, split: bool = True) -> MountOptions:
    """Translate the options of one mount; with ``split`` an entry may hold several, separated by
    commas.
    """
    result = MountOptions()
    subjects: dict[str, str] = {}
    for entry in options:
        if split and "," in entry:
            for option in _split(entry):
                _add(result, subjects, option)
        else:
            _add(result, subjects, entry)
    result.sb_flags = list(subjects.values())
    if result.rbind:
        result.bind = True
    if result.ridmap:
        result.idmap = True
    return result


def known_options() -> list[str]:
    """All option names with a meaning of their own, sorted; what ``features`` shows."""
    names = {*MOUNT_ATTRIBUTES, *MOUNT_ATIMES, *MOUNT_SUPERBLOCK, *PROPAGATION, *MOUNT_ACTIONS}
    names.update(MOUNT_NOTHING, MOUNT_IF_KNOWN)
    names.update("r" + name for name in (*MOUNT_ATTRIBUTES, *MOUNT_ATIMES))
    return sorted(names)


def _is_recursive(option: str) -> bool:
    name = option[1:]
    return option[:1] == "r" and (name in MOUNT_ATTRIBUTES or name in MOUNT_ATIMES)


def _add(result: MountOptions, subjects: dict[str, str], option: str) -> None:
    if option in MOUNT_ATTRIBUTES:
        switch_on, switch_off = MOUNT_ATTRIBUTES[option]
        result.attr_set = result.attr_set & ~switch_off | switch_on
        result.attr_clr = result.attr_clr & ~switch_on | switch_off
    elif option in MOUNT_ATIMES:
        result.attr_set, result.attr_clr = _atime(result.attr_set, result.attr_clr, option)
        value, wanted = MOUNT_ATIMES[option]
        undone = result.atime_undone | (0 if wanted else value)
        result.atime_undone = 0 if result.attr_clr & MOUNT_ATTR_ATIME else undone
    elif option in PROPAGATION:
        result.propagation.append(PROPAGATION[option])
    elif option in MOUNT_ACTIONS:
        setattr(result, MOUNT_ACTIONS[option], True)
    elif _is_recursive(option):
        _add_recursive(result, option[1:])
    elif option in MOUNT_IF_KNOWN:
        result.sb_flags_if_known.append(option)
    elif option == "noiversion":
        result.sb_flags_if_known = [one for one in result.sb_flags_if_known if one != "iversion"]
    elif option.startswith(IDMAP_PREFIXES):
        result.idmap, result.ridmap, result.idmap_text = True, option[0] == "r", option
    elif option and option not in MOUNT_NOTHING and option not in MOUNT_SUPERBLOCK:
        result.data.append(option.replace('"', "") if '="' in option else option)
    if option in MOUNT_SUPERBLOCK:
        subject, flag = MOUNT_SUPERBLOCK[option]
        subjects[subject] = flag


def _add_recursive(result: MountOptions, name: str) -> None:
    if name in MOUNT_ATIMES:
        bits, clear = _atime(result.recursive_set, result.recursive_clr, name)
        value, wanted = MOUNT_ATIMES[name]
        # Of a whole tree nobody knows which mounts have what is taken back.
        result.recursive_set = bits
        result.recursive_clr = clear if wanted or not value else clear | MOUNT_ATTR_ATIME
        return
    switch_on, switch_off = MOUNT_ATTRIBUTES[name]
    result.recursive_set = result.recursive_set & ~switch_off | switch_on
    result.recursive_clr = result.recursive_clr & ~switch_on | switch_off


def _atime(bits_set: int, bits_clr: int, name: str) -> tuple[int, int]:
    """Apply an access time option to (bits to set, bits to clear) and return both anew.

    The kernel knows a field of three values, mount(8) knows six words: taking back a value that was
    not asked for leaves the choice alone, and taking back the chosen one returns to relatime, the
    kernel's default.
    """
    value, wanted = MOUNT_ATIMES[name]
    chosen = bool(bits_clr & MOUNT_ATTR_ATIME)
    if not wanted and (not chosen or bits_set & MOUNT_ATTR_ATIME != value):
        return bits_set, bits_clr
    new = value if wanted else 0
    return bits_set & ~MOUNT_ATTR_ATIME | new, bits_clr | MOUNT_ATTR_ATIME


def _split(entry: str) -> list[str]:
    """Split at commas, but not inside double quotes (SELinux), after a backslash (overlay), nor
    before a digit (tmpfs(5), the list of nodes in ``mpol=bind:0,2``): no option begins with one.
    """
    parts: list[str] = []
    start = 0
    quoted = False
    for index, char in enumerate(entry):
        if char == '"':
            quoted = not quoted
        elif char == "," and not (
            quoted or entry[index - 1 : index] == "\\" or "0" <= entry[index + 1 : index + 2] <= "9"
        ):
            parts.append(entry[start:index])
            start = index + 1
    parts.append(entry[start:])
    return parts
