"""config.md: the process, as /proc and the program itself tell."""

from __future__ import annotations

import os
from pathlib import Path

from conformance.registry import check
from conformance.terminal import ConsoleSocket
from conformance.trial import Trial


@check("process.args", "process.env", "process.cwd", "process.args-path")
def arguments_environment_directory(t: Trial) -> None:
    """Runs a program found in PATH with odd arguments, an environment and a directory."""
    bundle = t.bundle()
    (bundle.rootfs / "tmp" / "place").mkdir()
    bundle.process["env"] += ["EMPTY=", "WORDS=a b=c", "PATH=/absent:/work:/bin"]
    bundle.process["env"].remove("PATH=/bin")
    bundle.process["cwd"] = "/tmp/place"
    args = ["sleep", "600"]
    (bundle.rootfs / "bin" / "sleep").unlink()
    (bundle.rootfs / "work" / "sleep").symlink_to("/bin/busybox")
    bundle.process["args"] = args
    container = t.up(bundle)
    seen = container.proc("cmdline").split("\0")[:-1]
    t.expect("process.args", seen == args, f"arguments: {seen}")
    t.expect("process.args-path", seen == args, "sleep, which is only in /work, was found")
    env = container.proc("environ").split("\0")
    wanted = {"EMPTY=", "WORDS=a b=c", "PATH=/absent:/work:/bin"}
    t.expect("process.env", wanted <= set(env), f"environment: {sorted(set(env) & wanted)}")
    place = os.readlink(f"/proc/{container.pid}/cwd")
    t.expect("process.cwd", place.endswith("/tmp/place"), f"working directory: {place}")
    container.need("kill", "KILL")


@check("process.args")
def odd_arguments(t: Trial) -> None:
    """Runs a program with an empty argument, blanks, quotes, a line feed and UTF-8."""
    args = ["/bin/sh", "-c", "exec sleep 600", "", "two words", "'\"$(x)", "a\nb", "ä€"]
    bundle = t.bundle()
    bundle.process["args"] = [*args[:2], "sleep 600; true", *args[3:]]
    container = t.up(bundle)
    seen = container.proc("cmdline").split("\0")[3:-1]
    t.expect("process.args", seen == args[3:], f"arguments: {seen}")
    container.need("kill", "KILL")


@check("process.args-required", "process.cwd-absolute", "process.cwd", "process.args-path")
def invalid_processes(t: Trial) -> None:
    """Uses no args, empty args, a program that is not in PATH, a relative cwd and none."""
    for sentence, what, changes in (
        ("process.args-required", "no args", {"args": None}),
        ("process.args-required", "args []", {"args": []}),
        ("process.args-path", "sleep, PATH=/work", {"args": ["sleep"], "env": ["PATH=/work"]}),
        ("process.cwd-absolute", "cwd tmp", {"cwd": "tmp"}),
        ("process.cwd", "no cwd", {"cwd": None}),
    ):
        bundle = t.bundle()
        for key, value in changes.items():
            bundle.process[key] = value
            if value is None:
                del bundle.process[key]
        t.refuses(sentence, bundle, what=what)


@check("user.uid", "user.gid", "user.additional-gids", "user.umask")
def user(t: Trial) -> None:
    """Runs as 1234:2345 with two supplementary groups and a umask."""
    bundle = t.bundle()
    bundle.process["user"] = {"uid": 1234, "gid": 2345, "umask": 0o027, "additionalGids": [11, 22]}
    container = t.up(bundle)
    seen = container.proc_status("Uid").split()
    t.expect("user.uid", seen == ["1234"] * 4, f"Uid: {seen}")
    seen = container.proc_status("Gid").split()
    t.expect("user.gid", seen == ["2345"] * 4, f"Gid: {seen}")
    seen = container.proc_status("Groups").split()
    t.expect("user.additional-gids", set(seen) - {"2345"} == {"11", "22"}, f"Groups: {seen}")
    mask = container.proc_status("Umask")
    t.expect("user.umask", int(mask, 8) == 0o027, f"Umask: {mask}")


@check("user.uid", "user.gid", "user.additional-gids")
def user_in_a_user_namespace(t: Trial) -> None:
    """Runs as 12:34 with group 56 in a user namespace that begins at 100000 outside."""
    bundle = t.bundle()
    bundle.user_namespace()
    bundle.process["user"] = {"uid": 12, "gid": 34, "additionalGids": [56]}
    container = t.up(bundle)
    seen = container.proc_status("Uid").split()
    t.expect("user.uid", seen == ["100012"] * 4, f"Uid outside: {seen}")
    seen = container.proc_status("Gid").split()
    t.expect("user.gid", seen == ["100034"] * 4, f"Gid outside: {seen}")
    seen = container.proc_status("Groups").split()
    t.expect("user.additional-gids", set(seen) - {"100034"} == {"100056"}, f"Groups: {seen}")


@check("user.additional-gids", "user.uid", "user.gid")
def invalid_users(t: Trial) -> None:
    """Uses ids that are no numbers, negative or beyond 32 bits."""
    for sentence, user in (
        ("user.uid", {"uid": -1, "gid": 0}),
        ("user.uid", {"uid": "root", "gid": 0}),
        ("user.gid", {"uid": 0, "gid": 1 << 33}),
        ("user.additional-gids", {"uid": 0, "gid": 0, "additionalGids": [-5]}),
    ):
        bundle = t.bundle()
        bundle.process["user"] = user
        t.refuses(sentence, bundle, what=str(user))


@check("user.umask-unset")
def umask_of_the_caller(t: Trial) -> None:
    """Creates with the caller's umask at 027 and none in the configuration."""
    bundle = t.bundle()
    container = t.create(bundle, umask=0o027).execute()
    mask = container.proc_status("Umask")
    t.expect("user.umask-unset", int(mask, 8) == 0o027, f"called with 0027, the program has {mask}")


@check("rlimits.applied", "rlimits.soft", "rlimits.hard")
def resource_limits(t: Trial) -> None:
    """Sets a soft and a hard limit for every resource, within those of the caller."""
    names = {
        "RLIMIT_AS": "Max address space", "RLIMIT_CORE": "Max core file size",
        "RLIMIT_CPU": "Max cpu time", "RLIMIT_DATA": "Max data size",
        "RLIMIT_FSIZE": "Max file size", "RLIMIT_LOCKS": "Max file locks",
        "RLIMIT_MEMLOCK": "Max locked memory", "RLIMIT_MSGQUEUE": "Max msgqueue size",
        "RLIMIT_NICE": "Max nice priority", "RLIMIT_NOFILE": "Max open files",
        "RLIMIT_NPROC": "Max processes", "RLIMIT_RSS": "Max resident set",
        "RLIMIT_RTPRIO": "Max realtime priority", "RLIMIT_RTTIME": "Max realtime timeout",
        "RLIMIT_SIGPENDING": "Max pending signals", "RLIMIT_STACK": "Max stack size",
    }  # fmt: skip
    own = Path("/proc/self/limits").read_text().splitlines()[1:]
    most = {line[:26].strip(): line[26:].split()[1] for line in own}
    wanted = {}
    for name, words in names.items():
        hard = 1 << (40 if name == "RLIMIT_AS" else 20)
        if words not in most:
            continue
        if most[words] != "unlimited":
            hard = min(hard, int(most[words]))
        wanted[name] = (hard // 2, hard)
    bundle = t.bundle()
    bundle.process["rlimits"] = [
        {"type": name, "soft": soft, "hard": hard} for name, (soft, hard) in wanted.items()
    ]
    container = t.up(bundle)
    lines = container.proc("limits").splitlines()[1:]
    seen = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    for name, (soft, hard) in wanted.items():
        found = seen.get(names[name], [])
        t.expect("rlimits.applied", len(found) == 2, f"{name} can be read")
        t.expect("rlimits.soft", found[:1] == [str(soft)], f"{name} soft {found[:1]} ({soft})")
        t.expect("rlimits.hard", found[1:] == [str(hard)], f"{name} hard {found[1:]} ({hard})")


@check("rlimits.unknown", "rlimits.duplicate", "rlimits.soft")
def invalid_resource_limits(t: Trial) -> None:
    """Sets a limit that no kernel has, one of two types alike, and a soft one above the hard."""
    for sentence, entries in (
        ("rlimits.unknown", [("RLIMIT_NOSUCH", 1, 1)]),
        ("rlimits.unknown", [("NOFILE", 64, 64)]),
        ("rlimits.duplicate", [("RLIMIT_NOFILE", 64, 64), ("RLIMIT_NOFILE", 32, 32)]),
        ("rlimits.soft", [("RLIMIT_NOFILE", 65, 64)]),
    ):
        bundle = t.bundle()
        bundle.process["rlimits"] = [
            {"type": name, "soft": soft, "hard": hard} for name, soft, hard in entries
        ]
        t.refuses(sentence, bundle, what=str(entries))


@check("process.no-new-privileges")
def no_new_privileges(t: Trial) -> None:
    """Runs with noNewPrivileges true, false and unset."""
    for setting, wanted in ((True, "1"), (False, "0"), (None, "0")):
        bundle = t.bundle()
        bundle.process["noNewPrivileges"] = setting
        if setting is None:
            del bundle.process["noNewPrivileges"]
        seen = t.up(bundle).proc_status("NoNewPrivs")
        t.expect("process.no-new-privileges", seen == wanted, f"{setting}: NoNewPrivs {seen}")


@check("process.oom-score", "process.oom-score-unset")
def oom_score(t: Trial) -> None:
    """Sets oomScoreAdj, and leaves it with a caller that has another than the default."""
    bundle = t.bundle()
    bundle.process["oomScoreAdj"] = 321
    seen = t.up(bundle).proc("oom_score_adj").strip()
    t.expect("process.oom-score", seen == "321", f"321: {seen}")
    own = Path("/proc/self/oom_score_adj").read_text().strip()
    t.runtime.wrapper = ("sh", "-c", 'echo 77 >/proc/self/oom_score_adj && exec "$@"', "sh")
    seen = t.up(t.bundle()).proc("oom_score_adj").strip()
    t.expect("process.oom-score-unset", seen == "77", f"the caller has 77 ({own}): {seen}")


@check("process.terminal", "process.console-size", "default-devices.console")
def terminal(t: Trial) -> None:
    """Creates with a terminal of 40 times 100, takes it from the console socket, and reads it."""
    bundle = t.bundle(
        "tty; stty size; stat -Lc %t:%T /dev/console; stat -c %F /dev/console; "
        "test -t 2 && echo err; sleep 1"
    )
    bundle.process["terminal"] = True
    bundle.process["consoleSize"] = {"height": 40, "width": 100}
    with ConsoleSocket(t.directory / "console") as console:
        container = t.create(bundle, "--console-socket", str(console.path)).hold()
        master = console.receive(min(t.seconds_left(), 10))
        t.expect("process.terminal", os.isatty(master), "a pseudoterminal's master came")
        container.start()
        words = console.read(t.seconds_left(), "err")
        lines = words.split("\n")
        name = lines[0]
        t.expect("process.terminal", name.startswith("/dev/"), f"standard input is {name}")
        t.expect("process.terminal", "err" in words, "standard error is a terminal")
        t.expect("process.console-size", "40 100" in words, f"size: {lines[1:2]}")
        major = lines[2].partition(":")[0] if len(lines) > 2 else ""
        same = major == "88"  # 136, the major number of pseudoterminals, in hexadecimal
        t.expect("default-devices.console", same, f"/dev/console is {lines[2:3]} (88 is a pty)")
        mounted = "symbolic link" not in words
        t.expect("default-devices.console", mounted, f"it is bind mounted: a {lines[3:4]}")
        container.wait()


@check("process.no-terminal", "process.console-size-ignored")
def no_terminal(t: Trial) -> None:
    """Runs without a terminal, with a consoleSize."""
    bundle = t.bundle("tty; ls /dev/console 2>&1")
    bundle.process["consoleSize"] = {"height": 40, "width": 100}
    words = t.output(bundle)
    t.expect("process.no-terminal", "not a tty" in words, f"tty: {words.splitlines()[:1]}")
    t.expect("process.console-size-ignored", "not a tty" in words, "it ran, without a terminal")


@check("config.hostname", "config.domainname")
def host_and_domain_name(t: Trial) -> None:
    """Sets both names, and looks at them from inside; the host keeps its own."""
    before = os.uname().nodename
    bundle = t.bundle()
    bundle.config["hostname"] = "name-of-the-host"
    bundle.config["domainname"] = "name-of-the-domain"
    seen = t.report(bundle, "host", "domain")
    good = seen["host"] == "name-of-the-host" and os.uname().nodename == before
    t.expect("config.hostname", good, f"inside: {seen['host']}; outside as before")
    t.expect("config.domainname", seen["domain"] == "name-of-the-domain", seen["domain"])


@check("linux.descriptors")
def descriptors(t: Trial) -> None:
    """Creates with three more descriptors open in the caller, and lists those of the program."""
    with t.null.open("rb") as one, t.null.open("rb") as two:
        fds = [os.dup(file.fileno()) for file in (one, two)]
        try:
            container = t.create(t.bundle(), pass_fds=fds)
        finally:
            for number in fds:
                os.close(number)
    container.execute()
    seen = sorted(int(name) for name in os.listdir(f"/proc/{container.pid}/fd"))
    t.expect("linux.descriptors", seen == [0, 1, 2], f"open: {seen}")


@check("process.apparmor")
def apparmor(t: Trial) -> None:
    """Names an AppArmor profile: applied where the host has AppArmor, an error where not."""
    bundle = t.bundle()
    bundle.process["apparmorProfile"] = "oci-conformance-no-such-profile"
    words = "AppArmor is on, the profile is not loaded" if t.host.apparmor else "no AppArmor here"
    t.refuses("process.apparmor", bundle)
    if t.host.apparmor:
        bundle = t.bundle()
        bundle.process["apparmorProfile"] = "unconfined"
        seen = t.up(bundle).proc("attr/current").strip()
        t.expect("process.apparmor", seen == "unconfined", f"unconfined: {seen}")
    t.expect("process.apparmor", True, words)


@check("process.selinux", "config.mount-label")
def selinux(t: Trial) -> None:
    """Names SELinux labels of process and mounts on a host with SELinux."""
    t.need(t.host.selinux, "SELinux is not enabled here (/sys/fs/selinux)")
    label = "system_u:system_r:container_t:s0:c1,c2"
    bundle = t.bundle()
    bundle.process["selinuxLabel"] = label
    bundle.linux["mountLabel"] = "system_u:object_r:container_file_t:s0:c1,c2"
    container = t.up(bundle)
    seen = container.proc("attr/current").strip("\0\n")
    t.expect("process.selinux", seen == label, f"label: {seen}")
    labelled = "container_file_t" in container.proc("mountinfo")
    t.expect("config.mount-label", labelled, f"mounts have the context: {labelled}")
