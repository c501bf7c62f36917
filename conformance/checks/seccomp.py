"""config-linux.md: seccomp, by what system calls do in the container."""

from __future__ import annotations

import errno
import platform
import socket
from functools import partial
from typing import Any

from conformance.agent import Agent
from conformance.bundle import Bundle
from conformance.registry import add, check
from conformance.trial import Trial

CHMOD = ["chmod", "fchmod", "fchmodat", "fchmodat2"]
SCRIPT = "chmod 700 /work; echo status $?"
# What a shell and a runtime need to get as far as chmod(2) where everything else is refused.
NEEDED = (
    "accept4 access alarm arch_prctl bind brk capget capset chdir clock_getres clock_gettime "
    "clock_nanosleep clone clone3 close close_range connect dup dup2 dup3 epoll_create "
    "epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 execve execveat "
    "exit exit_group faccessat faccessat2 fchdir fchown fchownat fcntl fgetxattr fork fstat "
    "fstatfs futex getcwd getdents getdents64 getegid geteuid getgid getgroups getpeername "
    "getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit "
    "getsid getsockname getsockopt gettid gettimeofday getuid ioctl kill "
    "landlock_restrict_self listen lseek lstat madvise membarrier memfd_create mmap mprotect "
    "mremap munmap nanosleep newfstatat open openat openat2 pause pidfd_open "
    "pidfd_send_signal pipe pipe2 poll ppoll prctl pread64 prlimit64 pselect6 pwrite64 read "
    "readlink readlinkat readv recvfrom recvmsg restart_syscall rseq rt_sigaction "
    "rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "sched_getaffinity sched_yield seccomp select sendmsg sendto set_robust_list "
    "set_tid_address setgid setgroups setpgid setresgid setresuid setsid setuid shutdown "
    "sigaltstack socket socketpair splice stat statfs statx sysinfo tgkill time timer_create "
    "timer_delete timer_settime times tkill umask uname vfork wait4 waitid write writev "
).split()
SIGNALS = {"CHLD": 17, "URG": 23, "WINCH": 28}
# operator: (value, valueTwo, which of the three signals match)
OPERATORS = {
    "NE": (23, 0, {"CHLD", "WINCH"}),
    "LT": (23, 0, {"CHLD"}),
    "LE": (23, 0, {"CHLD", "URG"}),
    "EQ": (23, 0, {"URG"}),
    "GE": (23, 0, {"URG", "WINCH"}),
    "GT": (23, 0, {"WINCH"}),
    "MASKED_EQ": (4, 4, {"URG", "WINCH"}),
}
# action: what chmod's status and words are; 159 is 128 and SIGSYS
ACTIONS = {
    "KILL": "status 159",
    "KILL_THREAD": "status 159",
    "KILL_PROCESS": "status 159",
    "TRAP": "status 159",
    "ERRNO": "Operation not permitted",
    "TRACE": "Function not implemented",
    "LOG": "status 0",
}


def filtered(t: Trial, script: str, rule: dict[str, Any], **more: Any) -> Bundle:
    """Return a bundle with one rule, and ALLOW for the rest."""
    bundle = t.bundle(f"{{ {script}; }} 2>&1")
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule], **more}
    return bundle


def action(t: Trial, name: str) -> None:
    """Give chmod(2) this action."""
    rule = {"names": CHMOD, "action": f"SCMP_ACT_{name}"}
    seen = " ".join(t.output(filtered(t, SCRIPT, rule)).split())
    t.expect(f"seccomp.act-{name}", ACTIONS[name] in seen, f"chmod: {seen}")


def operator(t: Trial, name: str) -> None:
    """Give kill(2) ERRNO where its second argument matches."""
    number, second, wanted = OPERATORS[name]
    test = {"index": 1, "value": number, "valueTwo": second, "op": f"SCMP_CMP_{name}"}
    rule = {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [test]}
    script = f"for s in {' '.join(SIGNALS)}; do kill -$s $$ 2>/dev/null || echo $s; done"
    seen = set(t.output(filtered(t, script, rule)).split())
    saw = f"of {SIGNALS}, against {number}: {sorted(seen)}"
    t.expect(f"seccomp.cmp-{name}", seen == wanted, saw)


@check("seccomp.default-action", "seccomp.default-errno", "seccomp.default-errno-eperm",
       "seccomp.act-ALLOW")  # fmt: skip
def default_action(t: Trial) -> None:
    """Refuses everything but what a shell needs, with and without defaultErrnoRet."""
    for number, sentence, words in (
        (None, "seccomp.default-errno-eperm", "Operation not permitted"),
        (errno.EXDEV, "seccomp.default-errno", "Invalid cross-device link"),
    ):
        bundle = filtered(t, SCRIPT, {"names": NEEDED, "action": "SCMP_ACT_ALLOW"})
        bundle.linux["seccomp"]["defaultAction"] = "SCMP_ACT_ERRNO"
        if number is not None:
            bundle.linux["seccomp"]["defaultErrnoRet"] = int(number)
        seen = " ".join(t.output(bundle).split())
        t.expect(sentence, words in seen, f"chmod: {seen}")
        t.expect("seccomp.default-action", words in seen, f"chmod: {seen}")
        t.expect("seccomp.act-ALLOW", "status" in seen, "what is allowed works")
    bundle = filtered(t, SCRIPT, {"names": CHMOD, "action": "SCMP_ACT_ERRNO"})
    del bundle.linux["seccomp"]["defaultAction"]
    t.refuses("seccomp.default-action", bundle, what="no defaultAction")


@check("seccomp.errno-eperm")
def errno_by_default(t: Trial) -> None:
    """Gives chmod(2) ERRNO without errnoRet."""
    rule = {"names": CHMOD, "action": "SCMP_ACT_ERRNO"}
    seen = " ".join(t.output(filtered(t, SCRIPT, rule)).split())
    t.expect("seccomp.errno-eperm", "Operation not permitted" in seen, f"chmod: {seen}")


@check("seccomp.errno")
def errno_of_a_rule(t: Trial) -> None:
    """Gives chmod(2) ERRNO with errnoRet EXDEV, then with ENOSPC, in two containers.

    One after the other, under one --root: a cache of filters must tell the two apart.
    """
    for number, words in (
        (errno.EXDEV, "Invalid cross-device link"),
        (errno.ENOSPC, "No space left on device"),
    ):
        rule = {"names": CHMOD, "action": "SCMP_ACT_ERRNO", "errnoRet": int(number)}
        seen = " ".join(t.output(filtered(t, SCRIPT, rule)).split())
        t.expect("seccomp.errno", words in seen, f"{number}: chmod: {seen}")


@check("seccomp.architectures", "seccomp.flags")
def architectures_and_flags(t: Trial) -> None:
    """Uses the architectures of this machine, and each flag."""
    t.need(platform.machine() == "x86_64", "the architectures are those of x86-64")
    rule = {"names": CHMOD, "action": "SCMP_ACT_ERRNO"}
    archs = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    seen = " ".join(t.output(filtered(t, SCRIPT, rule, architectures=archs)).split())
    t.expect("seccomp.architectures", "not permitted" in seen, f"{archs}: chmod: {seen}")
    for flag in ("TSYNC", "LOG", "SPEC_ALLOW"):
        name = f"SECCOMP_FILTER_FLAG_{flag}"
        seen = " ".join(t.output(filtered(t, SCRIPT, rule, flags=[name])).split())
        t.expect("seccomp.flags", "not permitted" in seen, f"{flag}: chmod: {seen}")


@check("seccomp.names-empty", "seccomp.errno-unsupported", "seccomp.default-errno-unsupported",
       "seccomp.invalid", "seccomp.metadata-alone")  # fmt: skip
def invalid_filters(t: Trial) -> None:
    """Uses rules without names, errnos where none are taken, and names that do not exist."""
    good = {"names": CHMOD, "action": "SCMP_ACT_ERRNO"}
    test = {"index": 0, "value": 1, "op": "SCMP_CMP_NOSUCH"}
    rows: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("seccomp.names-empty", {"names": []}, {}),
        ("seccomp.errno-unsupported", {"action": "SCMP_ACT_ALLOW", "errnoRet": 1}, {}),
        ("seccomp.errno-unsupported", {"action": "SCMP_ACT_KILL", "errnoRet": 1}, {}),
        ("seccomp.default-errno-unsupported", {}, {"defaultErrnoRet": 1}),
        ("seccomp.invalid", {"action": "SCMP_ACT_NOSUCH"}, {}),
        ("seccomp.invalid", {"args": [test]}, {}),
        ("seccomp.invalid", {}, {"architectures": ["SCMP_ARCH_NOSUCH"]}),
        ("seccomp.invalid", {}, {"flags": ["SECCOMP_FILTER_FLAG_NOSUCH"]}),
        ("seccomp.invalid", {}, {"defaultAction": "SCMP_ACT_NOSUCH"}),
        ("seccomp.metadata-alone", {}, {"listenerMetadata": "words"}),
    )
    for sentence, rule, more in rows:
        bundle = filtered(t, SCRIPT, {**good, **rule}, **more)
        t.refuses(sentence, bundle, what=str(rule or more))


@check("seccomp.act-NOTIFY", "seccomp.listener", "seccomp.listener-once", "seccomp.listener-closed",
       "seccomp.listener-stream", "seccomp.metadata", "seccomp.fd", "process-state.json",
       "process-state.first-message", "process-state.oci-version", "process-state.fds",
       "process-state.pid", "process-state.metadata", "process-state.state")  # fmt: skip
def listener(t: Trial) -> None:
    """Gives chmod(2) NOTIFY; an agent takes the state and answers the call with EXDEV."""
    rule = {"names": CHMOD, "action": "SCMP_ACT_NOTIFY"}
    agent = Agent(t.directory / "agent", int(errno.EXDEV))
    t.closers.append(agent.close)
    more = {"listenerPath": str(agent.path), "listenerMetadata": "some = words"}
    container = t.create(filtered(t, f"{SCRIPT}; sleep 600", rule, **more)).hold().start()
    t.wait_for("the agent's answer", lambda: "status" in container.output() and agent.asked)
    t.wait_for("a delivery", lambda: agent.deliveries)
    seen = " ".join(container.output().split())
    answered = "Invalid cross-device link" in seen and agent.asked > 0
    t.expect("seccomp.act-NOTIFY", answered, f"the agent's errno came to chmod: {seen}")
    delivery = agent.deliveries[0]
    document = delivery.document
    t.expect("seccomp.listener", bool(document), f"it sent {sorted(document)}")
    count = len(agent.deliveries)
    t.expect("seccomp.listener-once", count == 1 and document, f"{count} connection, one document")
    t.expect("seccomp.listener-stream", bool(document), "it came over a stream socket")
    t.expect("seccomp.listener-closed", delivery.closed, f"closed afterwards: {delivery.closed}")
    kinds = delivery.links
    t.expect("seccomp.fd", kinds == ["anon_inode:seccomp notify"], f"descriptors: {kinds}")
    t.expect("process-state.json", bool(document) and kinds, "JSON, and descriptors")
    first = delivery.counts[:1] == [1] and not any(delivery.counts[1:])
    t.expect("process-state.first-message", first, f"descriptors by message: {delivery.counts}")
    good = isinstance(document.get("ociVersion"), str)
    t.expect("process-state.oci-version", good, f"{document.get('ociVersion')!r}")
    t.expect("process-state.fds", document.get("fds") == ["seccompFd"], f"{document.get('fds')}")
    same = document.get("pid") == container.pid
    t.expect("process-state.pid", same, f"pid of the process: {same}")
    words = document.get("metadata")
    for sentence in ("seccomp.metadata", "process-state.metadata"):
        t.expect(sentence, words == "some = words", f"{words!r}")
    state = document.get("state")
    state = state if isinstance(state, dict) else {}
    good = state.get("id") == container.id and state.get("bundle") == str(container.bundle.path)
    good = good and state.get("status") in {"creating", "created"}
    t.expect("process-state.state", good, f"status {state.get('status')!r}, id and bundle of it")
    container.need("kill", "KILL")


@check("seccomp.listener-fails", "seccomp.listener-ignored", "seccomp.listener-stream")
def listener_that_is_not_there(t: Trial) -> None:
    """Uses NOTIFY with no socket, with one for datagrams, and a path without NOTIFY."""
    rule = {"names": CHMOD, "action": "SCMP_ACT_NOTIFY"}
    absent = str(t.directory / "absent")
    t.refuses("seccomp.listener-fails", filtered(t, SCRIPT, rule, listenerPath=absent),
              what="no socket")  # fmt: skip
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    t.closers.append(datagrams.close)
    datagrams.bind(str(t.directory / "datagrams"))
    bundle = filtered(t, SCRIPT, rule, listenerPath=str(t.directory / "datagrams"))
    t.refuses("seccomp.listener-stream", bundle, what="a datagram socket")
    rule = {"names": CHMOD, "action": "SCMP_ACT_ERRNO"}
    seen = t.output(filtered(t, SCRIPT, rule, listenerPath=absent))
    t.expect("seccomp.listener-ignored", "not permitted" in seen, f"chmod: {seen.strip()}")


def _register() -> None:
    for name in ACTIONS:
        did = f"Gives chmod(2) SCMP_ACT_{name} and calls it in the container."
        add(f"seccomp.action[{name}]", [f"seccomp.act-{name}"], did, partial(action, name=name))
    for name in OPERATORS:
        did = f"Compares the signal of kill(2) by SCMP_CMP_{name} with three signals."
        add(f"seccomp.operator[{name}]", [f"seccomp.cmp-{name}"], did, partial(operator, name=name))


_register()
