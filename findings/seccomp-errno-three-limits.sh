#!/bin/sh
# Linux 6.18, libseccomp 2.5.4, runc 1.1.5 (Debian 12): how large an errno a filter may return is answered three times.
#
# The field for it has 16 bits, and seccomp(2) names no other bound. The kernel takes any of them, and
# makes 4095 of what is above. libseccomp takes numbers up to 4094, one less, and refuses the next one
# with EINVAL. runc hands that on in the words of a table: "two checks on same syscall argument", with
# the name of the system call, of a rule that has no argument at all. Who looks for the second check
# finds none; the schema of the specification says uint32.
#
# Seen: 4094, 4095 and 5000 of the kernel: 4094, 4095, 4095; of libseccomp: 0, -22, -22; runc's words
# for 4095.
. "$(dirname "$0")/lib.sh"
needs_root "containers"
debian runc=1.1.5+ds1-1+deb12u1 libseccomp2=2.5.4-1+deb12u1 busybox-static=1:1.35.0-4+deb12u1+b1
echo "with Linux $(uname -r)"
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
out=$(/usr/bin/python3 - "$LD_LIBRARY_PATH/libseccomp.so.2" <<'PYTHON'
import ctypes
import os
import struct
import sys

NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2
LOAD, EQUALS, RETURN = 0x20, 0x15, 0x06
ERRNO, ALLOW = 0x00050000, 0x7FFF0000
libc = ctypes.CDLL(None, use_errno=True)
library = ctypes.CDLL(sys.argv[1])
library.seccomp_init.restype = ctypes.c_void_p
number = library.seccomp_syscall_resolve_name(b"getpgid")


def of_kernel(data):
    """What getpgid(2) fails with under a filter that returns `data`; in a process of its own."""
    code = [(LOAD, 0, 0, 0), (EQUALS, 0, 1, number), (RETURN, 0, 0, ERRNO | data), (RETURN, 0, 0, ALLOW)]
    program = b"".join(struct.pack("=HBBI", *line) for line in code)
    near, far = os.pipe()
    if os.fork() == 0:
        held = ctypes.create_string_buffer(program)
        header = struct.pack("@HP", len(code), ctypes.addressof(held))
        libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(SET_SECCOMP, FILTER, header)
        libc.syscall(number, 0)
        os.write(far, str(ctypes.get_errno()).encode())
        os._exit(0)
    os.wait()
    return os.read(near, 9).decode()


def of_library(data):
    context = ctypes.c_void_p(library.seccomp_init(ALLOW))
    done = library.seccomp_rule_add_array(context, ctypes.c_uint32(ERRNO | data), number, 0, None)
    library.seccomp_release(context)
    return done


for asked in (of_kernel, of_library):
    print(*(asked(data) for data in (4094, 4095, 5000)))
PYTHON
)
expect "the kernel, of 4094, 4095, 5000" "$(echo "$out" | sed -n 1p)" "4094 4095 4095"
expect "libseccomp, of the same" "$(echo "$out" | sed -n 2p)" "0 -22 -22"
mkdir -p "$work/b/rootfs/bin" "$work/b/rootfs/proc" "$work/b/rootfs/dev"
cp "$root"/bin/busybox "$work/b/rootfs/bin/" 2>/dev/null || cp "$root"/usr/bin/busybox "$work/b/rootfs/bin/"
runc=$(find "$root/usr" -path "*bin/runc" -type f)
for errno in 4094 4095; do
    id=finding-$$-$errno
    cat >"$work/b/config.json" <<CONFIG
{"ociVersion": "1.0.2", "root": {"path": "rootfs"},
 "process": {"cwd": "/", "args": ["/bin/busybox", "echo", "runs"], "env": [], "user": {"uid": 0, "gid": 0}},
 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
 "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}], "cgroupsPath": "/$id",
           "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
             {"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": $errno}]}}}
CONFIG
    "$runc" --root "$work/state" run --bundle "$work/b" "$id" </dev/null >"$work/said" 2>&1 || :
    said=$(grep -o 'two checks on same syscall argument\|runs' "$work/said" || cat "$work/said")
    [ "$errno" = 4094 ] && wanted=runs || wanted="two checks on same syscall argument"
    expect "runc, with errnoRet $errno" "$said" "$wanted"
done
finish
