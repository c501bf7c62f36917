#!/bin/sh
# Linux 6.18: how much memory a program has that reads one byte of a file depends on who brought the file in.
#
# ext4 (since 6.16) and xfs keep files in large folios: a program that writes much at once, or reads in
# order, leaves pieces of up to 2 MiB in the page cache. A mapping that touches one byte is given the
# whole piece, since all of it is there. So the resident set of the same program, with the same file
# and the same calls, is one page, or 500 times as much, whether the file was just installed, copied, or
# is cold; a budget of memory that is tested after an installation fails, and holds the day after.
# MADV_NOHUGEPAGE stops only that one entry of the page table covers it, not that it is counted: RSS and
# PSS are as large. MADV_RANDOM helps for a cold file and not for one that is there.
#
# Seen, eight bytes read, a megabyte apart: of a file written at once more than 1 MiB is resident,
# with MADV_NOHUGEPAGE as much, and none of it by huge entries; dropped from the cache, 32 KiB.
. "$(dirname "$0")/lib.sh"
echo "with Linux $(uname -r), $(stat -f -c %T "$work")"
out=$(/usr/bin/python3 - "$work/file" <<'PYTHON'
import mmap
import os
import sys

path = sys.argv[1]
SIZE, MEGABYTE, NOHUGEPAGE = 8 << 20, 1 << 20, 15
with open(path, "wb") as file:
    file.write(os.urandom(SIZE))
    file.flush()
    os.fsync(file.fileno())


def resident(fd, advice):
    """KiB of a new mapping that are resident after eight bytes were read, and KiB by huge entries."""
    with mmap.mmap(fd, SIZE, prot=mmap.PROT_READ) as mapping:
        mapping.madvise(advice)
        for offset in range(0, SIZE, MEGABYTE):
            mapping[offset]
        lines = open("/proc/self/smaps").read().split(path)[1].partition("VmFlags")[0].splitlines()
    values = dict(line.split(":", 1) for line in lines[1:] if line.endswith("kB"))
    return [int(values[name].split()[0]) for name in ("Rss", "FilePmdMapped")]


fd = os.open(path, os.O_RDONLY)
written, _ = resident(fd, mmap.MADV_NORMAL)
advised, huge = resident(fd, NOHUGEPAGE)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
cold, _ = resident(fd, mmap.MADV_RANDOM)
print(written > 1024, advised == written, huge, cold)
PYTHON
)
case $(uname -r) in [1-5].* | 6.[0-9].* | 6.1[0-5].*) give_up "needs Linux 6.16" ;; esac
case $(stat -f -c %T "$work") in ext2/ext3 | xfs) ;; *) give_up "the temporary folder is not on ext4 or xfs" ;; esac
expect "more than 1 MiB, as much with MADV_NOHUGEPAGE, KiB by huge entries, KiB when cold" "$out" "True True 0 32"
finish
