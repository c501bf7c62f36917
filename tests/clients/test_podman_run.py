"""podman run and exec, with runc and with ociruntime."""

from __future__ import annotations

import tarfile

from tests.support.engines.image import write_image
from tests.support.engines.podman import PodmanWith

LINKS = {
    "etc/localtime": "../usr/share/zoneinfo/Etc/UTC",
    "etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf",
}


def test_streams_and_exit_status(podman: PodmanWith) -> None:
    script = "cat; echo err >&2; exit 7"
    done = podman.run("--rm", "-i", "--", "sh", "-c", script, stdin="typed")
    assert (done.stdout, done.stderr, done.status) == ("typed", "err\n", 7)


def test_terminal(podman: PodmanWith) -> None:
    words = podman.words("run", "--rm", "-it", "--", "sh")
    done = podman.host.terminal(*words, keys="tty", leave=5)
    assert done.status == 5, done
    assert "/dev/pts/0" in done.stdout
    assert "\n42\n" in done.stdout


def test_what_cannot_be_run(podman: PodmanWith) -> None:
    """podman makes the status out of the runtime's words, which it finds in the log."""
    absent = podman.run("--rm", "--", "no-such-program")
    assert absent.status == 127, absent
    assert 'exec: "no-such-program": executable file not found in $PATH' in absent.stderr
    assert podman.run("--rm", "--", "/no/such/program").status == 127
    for name in ("/etc/unreadable", "/etc"):
        refused = podman.run("--rm", "--", name)
        assert refused.status == 126, refused
        assert f'exec: "{name}"' in refused.stderr
    bad = podman.run("--rm", "--sysctl", "net.ipv4.no_such_thing=1", "--", "true")
    assert bad.status == 127, bad
    assert "no_such_thing" in bad.stderr


def test_reason_without_a_log(podman: PodmanWith) -> None:
    """podman gives --log only to runtimes it knows; of the others it reads standard error."""
    program = "/usr/sbin/runc" if podman.runtime == "runc" else str(podman.podman.runtime)
    unknown = f"/run/unknown-{podman.runtime}"
    script = f"""printf '#!/bin/sh\\nexec {program} "$@"' >{unknown}; chmod +x {unknown}"""
    podman.host.shell(script)
    words = podman.words("run", "--rm", "--", "no-such-program")
    done = podman.host.run("podman", "--runtime", unknown, *words[3:])
    assert done.status == 127, done
    assert "executable file not found in $PATH" in done.stderr


def test_without_cgroups(podman: PodmanWith) -> None:
    """podman has a device list in every config, and asks runc for no such thing."""
    done = podman.run("--rm", "--cgroups=disabled", "--", "cat", "/proc/self/cgroup")
    if podman.runtime == "runc":
        assert "not compatible with NoCgroups" in done.stderr
        return
    assert done.check().stdout == podman.host.shell("cat /proc/self/cgroup")


def test_isolation(podman: PodmanWith) -> None:
    container = podman.up("--", "sleep", "1000")
    inside = podman.shell(container, "hostname; ps -o pid,args").splitlines()
    assert inside[0] == container[:12]
    assert inside[2].split(None, 1) == ["1", "sleep 1000"]
    assert len(inside) == 4, inside  # name, title, sleep, ps
    pid = podman.inspect(container)["State"]["Pid"]
    assert podman.host.shell(f"cat /proc/{pid}/comm") == "sleep\n"
    cgroup = podman.host.shell(f"cat /proc/{pid}/cgroup")
    assert f"{podman.host.cgroup_parent}/libpod-{container}" in cgroup


def test_limits(podman: PodmanWith) -> None:
    """Those of the command line, and those of `podman update`."""
    options = ["-m", "64m", "--cpu-shares", "512", "--cpuset-cpus", "0", "--pids-limit", "20",
               "--oom-score-adj", "300", "--ulimit", "host", "--shm-size", "1m"]  # fmt: skip
    container = podman.up(*options, "--", "sleep", "1000")
    script = """cd /sys/fs/cgroup
        cat memory/memory.limit_in_bytes cpu/cpu.shares cpuset/cpuset.cpus pids/pids.max
        cat /proc/1/oom_score_adj; df -k /dev/shm | awk 'NR == 2 {print $2}'"""
    values = podman.shell(container, script).split()
    assert values == ["67108864", "512", "0", "20", "300", "1024"]
    podman("update", "--cpus", "0.5", "--memory", "32m", container).check()
    script = "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us memory/memory.limit_in_bytes"
    assert podman.shell(container, script).split() == ["50000", "33554432"]


def test_no_limit_of_processes(podman: PodmanWith) -> None:
    """Up to release 5.4 podman writes a limit of 0 for it."""
    done = podman.run("--rm", "--pids-limit", "-1", "--", "cat", "/sys/fs/cgroup/pids/pids.max")
    assert done.check().stdout == "max\n"


def test_users_and_privileges(podman: PodmanWith) -> None:
    script = "id; grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status; umask"
    options = ["--user", "1000:5", "--group-add", "7", "--umask", "0027",
               "--security-opt", "no-new-privileges", "--cap-drop", "all",
               "--cap-add", "net_bind_service"]  # fmt: skip
    who, *values = podman.run("--rm", *options, "--", "sh", "-c", script).check().stdout.split("\n")
    assert who == "uid=1000(user) gid=5(tty) groups=5(tty),7"
    # podman makes what is added ambient for a user who is not root.
    assert "\n".join(values).split() == [
        "CapEff:", f"{1 << 10:016x}", "NoNewPrivs:", "1", "Seccomp:", "2", "0027",
    ]  # fmt: skip
    privileged = podman.run("--rm", "--privileged", "--", "sh", "-c", "ls /dev | wc -l")
    assert int(privileged.check().stdout) > 20


def test_file_systems(podman: PodmanWith) -> None:
    podman.host.shell("mkdir -p /run/volume && echo from the host >/run/volume/file")
    options = ["--read-only", "--tmpfs", "/scratch:size=1m,mode=700", "-v", "/run/volume:/ro:ro",
               "-v", "/run/volume:/over:O", "-v", "named:/named"]  # fmt: skip
    script = """touch /x 2>/dev/null || echo root is read-only
        stat -c %a /scratch; df -k /scratch | awk 'NR == 2 {print $2}'
        cat /ro/file; touch /ro/x 2>/dev/null || echo /ro is read-only
        echo x >/over/new; ls /over | wc -l; echo kept >/named/file"""
    lines = podman.run("--rm", *options, "--", "sh", "-c", script).check().stdout.splitlines()
    assert lines == ["root is read-only", "700", "1024", "from the host", "/ro is read-only", "2"]
    assert podman.host.shell("ls /run/volume") == "file\n"
    kept = podman.run("--rm", "-v", "named:/named:ro", "--", "cat", "/named/file")
    assert kept.check().stdout == "kept\n"
    podman("volume", "rm", "named").check()


def test_what_everybody_takes_for_granted(podman: PodmanWith) -> None:
    """Loopback without a network, a working directory out of the user's reach, a mount below a
    tmpfs that is read-only.
    """
    ping = podman.run("--rm", "--network", "none", "--", "ping", "-c", "1", "-W", "9", "127.0.0.1")
    assert "1 packets received" in ping.check().stdout
    where = podman.run("--rm", "-w", "/root", "--user", "42:42", "--", "pwd")
    assert where.check().stdout == "/root\n"
    podman.host.shell("mkdir -p /run/volume && echo from the host >/run/volume/file")
    options = ["--tmpfs", "/scratch:ro", "-v", "/run/volume:/scratch/sub:ro"]
    script = "cat /scratch/sub/file; touch /scratch/x 2>/dev/null || echo read-only"
    done = podman.run("--rm", *options, "--", "sh", "-c", script).check()
    assert done.stdout == "from the host\nread-only\n"


def test_a_tmpfs_keeps_the_mode_of_what_it_covers(podman: PodmanWith) -> None:
    """--systemd mounts one on /run; it must not become a directory where anybody can write."""
    script = "stat -c %a /run /tmp"
    done = podman.run("--rm", "--systemd", "always", "--", "sh", "-c", script).check()
    assert done.stdout.split() == ["755", "1777"]


def test_user_namespace(podman: PodmanWith) -> None:
    mapping = ["--uidmap", "0:100000:65536"]
    container = podman.up(*mapping, "--", "sleep", "1000")
    script = "cat /proc/self/uid_map; touch /made; stat -c %u /made; id -u"
    text = podman("exec", "--user", "0", container, "sh", "-c", script).check().stdout
    assert text.split() == ["0", "100000", "65536", "0", "0"]
    pid = podman.inspect(container)["State"]["Pid"]
    assert podman.host.shell(f"stat -c %u /proc/{pid}") == "100000\n"


def test_descriptors(podman: PodmanWith) -> None:
    words = podman.words("run", "--rm", "--preserve-fds", "1", "--", "sh", "-c", "cat <&3")
    done = podman.host.run("sh", "-c", 'echo handed on >/run/it; exec "$@" 3</run/it', "sh", *words)
    assert done.check().stdout == "handed on\n"


def test_exec(podman: PodmanWith) -> None:
    container = podman.up("--env", "FROM=run", "--", "sleep", "1000")
    script = "id -u; id -g; pwd; echo $FROM $ADDED; echo err >&2; cat; exit 9"
    done = podman("exec", "-i", "--user", "1000:5", "--workdir", "/tmp", "--env", "ADDED=exec",
                  container, "sh", "-c", script, stdin="typed")  # fmt: skip
    assert (done.stdout, done.stderr) == ("1000\n5\n/tmp\nrun exec\ntyped", "err\n")
    assert done.status == 9
    assert podman("exec", container, "sh", "-c", "kill -9 $$").status == 137
    podman("exec", "--detach", container, "sh", "-c", "echo done >/proof; sleep 999").check()
    proof = "until grep -s done /proof; do sleep 0.05; done"
    assert podman.shell(container, proof) == "done"
    listed = podman("top", container, "pid", "args").check().stdout
    assert "sleep 999" in listed
    keys = "tty"
    words = ["podman", "--runtime", podman.runtime, "exec", "-it", container, "sh"]
    done = podman.host.terminal(*words, keys=keys, leave=5)
    assert done.status == 5, done
    assert "\n42\n" in done.stdout


def test_exec_of_what_cannot_be_run(podman: PodmanWith) -> None:
    container = podman.up("--", "sleep", "1000")
    statuses = {
        "no-such-program": 127,
        "/no/such/program": 127,
        "/etc/unreadable": 126,
        "/etc": 126,
    }
    for name, status in statuses.items():
        done = podman("exec", container, name)
        # podman 5 finds no word that it knows in what runc 1.3 says of a file without x bit.
        unknown = podman.runtime == "runc" and done.status == 255 and status == 126
        assert unknown or done.status == status, done
        assert f'exec: "{name}"' in done.stderr
    assert podman("exec", "--workdir", "/nowhere", container, "true").status == 127


def test_an_image_whose_files_are_links(podman: PodmanWith) -> None:
    """systemd's images have links where podman mounts files; most of them lead to nothing yet."""
    path = podman.podman.directory / f"links-{podman.runtime}.tar"
    write_image(path)
    with tarfile.open(path, "a") as tar:
        for name, target in LINKS.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    image = f"localhost/links-{podman.runtime}:latest"
    podman("import", str(path), image).check()
    path.unlink()
    podman.host.shell("mkdir -p /run/zone; echo the zone >/run/zone/info")
    done = podman(
        "run", "--rm", "--network", "none", "--cgroup-parent", podman.host.cgroup_parent,
        "-v", "/run/zone/info:/etc/localtime:ro", "-v", "/run/zone/info:/etc/resolv.conf", image,
        "sh", "-c", "cat /etc/localtime /etc/resolv.conf; readlink /etc/localtime",
    ).check()  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0] == "the zone"
    assert lines[1] == "the zone"
    assert lines[-1] == LINKS["etc/localtime"]
    podman("rmi", image).check()
