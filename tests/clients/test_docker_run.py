"""docker run: streams, exit statuses, isolation, options of the container."""

from __future__ import annotations

import re

from tests.support.engines.docker import DockerWith
from tests.support.engines.host import RESIZED


def test_streams_and_exit_status(docker: DockerWith) -> None:
    done = docker.run("--rm", "-i", "--", "sh", "-c", "cat; echo err >&2; exit 7", stdin="typed")
    assert (done.stdout, done.stderr, done.status) == ("typed", "err\n", 7)


def test_what_cannot_be_run(docker: DockerWith) -> None:
    """docker's client makes the status out of the runtime's words."""
    absent = docker.run("--rm", "--", "no-such-program")
    assert absent.status == 127, absent
    assert "executable file not found in $PATH" in absent.stderr
    assert docker.run("--rm", "--", "/no/such/program").status == 127
    refused = docker.run("--rm", "--", "/etc/unreadable")
    assert refused.status == 126, refused
    assert "permission denied" in refused.stderr
    assert docker.run("--rm", "--", "/etc").status == 126
    bad = docker.run("--rm", "--sysctl", "net.ipv4.no_such_thing=1", "--", "true")
    assert bad.status == 127, bad
    assert "no_such_thing" in bad.stderr


def test_isolation_story(docker: DockerWith) -> None:
    """PID 1 inside, another pid outside; the host name is the short id; nobody else is seen."""
    container = docker.up("--", "sleep", "1000")
    inside = docker.shell(container, "ps -o pid,args").splitlines()
    assert [line.split(None, 1) for line in inside[1:2]] == [["1", "sleep 1000"]]
    assert len(inside) == 3, inside  # the title, sleep, ps
    pid = docker.inspect(container)["State"]["Pid"]
    assert pid > 1
    assert docker.host.shell(f"cat /proc/{pid}/comm").strip() == "sleep"
    listed = docker("top", container).check().stdout.splitlines()
    assert len(listed) == 2
    assert listed[1].split()[1] == str(pid)
    assert docker.shell(container, "hostname") == container[:12]
    cgroup = docker.host.shell(f"cat /proc/{pid}/cgroup")
    assert f"{docker.host.cgroup_parent}/{container}" in cgroup


def test_terminal(docker: DockerWith) -> None:
    words = docker.words("run", "--rm", "-it", "--", "sh")
    done = docker.host.terminal(*words, keys=f"tty; {RESIZED}", leave=5)
    assert done.status == 5, done
    assert "/dev/pts/0" in done.stdout
    assert "\n40 100\n42\n" in done.stdout


def test_rm_leaves_nothing(docker: DockerWith) -> None:
    before = docker.host.shell("cat /proc/self/mountinfo | wc -l; ls /run/netns 2>&1 || true")
    container = docker.up("--rm", "--cidfile", "/run/cid", "--", "sleep", "1000")
    docker.host.shell("rm /run/cid")
    docker("kill", container).check()
    log = docker.docker.directory / "dockerd.log"
    gone = lambda: docker("inspect", container).status != 0  # noqa: E731
    docker.host.wait_until(gone, "the removal", log)
    after = docker.host.shell("cat /proc/self/mountinfo | wc -l; ls /run/netns 2>&1 || true")
    assert after == before
    assert docker.host.cgroups(f"*{container}*") == []
    assert docker.host.shell(f"find /run/docker -name '*{container}*'") == ""


def test_limits(docker: DockerWith) -> None:
    container = docker.up(
        "-m", "64m", "--memory-reservation", "32m", "--memory-swappiness", "10",
        "--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "0", "--pids-limit", "20",
        "--oom-score-adj", "300", "--ulimit", "nofile=100:200", "--ulimit", "core=0",
        "--shm-size", "1m",
        "--", "sleep", "1000",
    )  # fmt: skip
    script = """
        cd /sys/fs/cgroup
        cat memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes
        cat memory/memory.swappiness cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares
        cat cpuset/cpuset.cpus pids/pids.max /proc/1/oom_score_adj
        ulimit -Sn; ulimit -Hn; ulimit -c; nproc; df -k /dev/shm | awk 'NR == 2 {print $2}'
    """
    values = docker.shell(container, script).split()
    assert values == ["67108864", "33554432", "10", "50000", "100000", "512", "0", "20", "300",
                      "100", "200", "0", "1", "1024"]  # fmt: skip
    many = docker("exec", container, "sh", "-c", "for i in $(seq 30); do sleep 9 & done; wait")
    assert many.status != 0
    assert "fork" in many.stderr


def test_out_of_memory(docker: DockerWith) -> None:
    container = docker.up("-m", "16m", "--", "sh", "-c", "tail /dev/zero")
    docker("wait", container).check()
    state = docker.inspect(container)["State"]
    assert state["ExitCode"] == 137
    assert state["OOMKilled"] is True


def test_users_and_capabilities(docker: DockerWith) -> None:
    who = docker.output("--user", "1000:5", "--group-add", "7", "--", "id")
    assert re.match(r"uid=1000\(user\) gid=5\(tty\) groups=5\(tty\),7", who), who
    assert docker.output("--user", "user", "--", "sh", "-c", "id -u; echo $HOME") == "1000\n/home\n"
    caps = "grep ^Cap /proc/self/status"
    assert docker.output("--", "sh", "-c", caps).split()[1::2] == [
        "0000000000000000", "00000000a80425fb", "00000000a80425fb", "00000000a80425fb",
        "0000000000000000",
    ]  # fmt: skip
    options = ["--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE", "--cap-add", "SYS_ADMIN"]
    wanted = f"{1 << 10 | 1 << 21:016x}"
    assert docker.output(*options, "--", "sh", "-c", caps).split()[5] == wanted
    assert docker.output("--user", "1000", *options, "--", "sh", "-c", caps).split()[5] == "0" * 16


def test_what_everybody_takes_for_granted(docker: DockerWith) -> None:
    """Loopback without a network, a working directory out of the user's reach, a mount below a
    tmpfs that is read-only.
    """
    ping = docker.output("--network", "none", "--", "ping", "-c", "1", "-W", "9", "127.0.0.1")
    assert "1 packets received" in ping
    assert docker.output("-w", "/root", "--user", "42:42", "--", "pwd") == "/root\n"
    options = ["--tmpfs", "/scratch:ro", "-v", "below:/scratch/sub"]
    script = "touch /scratch/sub/x; touch /scratch/x 2>/dev/null || echo read-only"
    assert docker.output(*options, "--", "sh", "-c", script) == "read-only\n"
    docker("volume", "rm", "below").check()


def test_security_options(docker: DockerWith) -> None:
    words = "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status"
    values = {}
    for option in ("seccomp=unconfined", "no-new-privileges"):
        text = docker.output("--security-opt", option, "--", "sh", "-c", words)
        values[option] = dict(line.split() for line in text.splitlines())
    assert values["seccomp=unconfined"] == {"NoNewPrivs:": "0", "Seccomp:": "0"}
    assert values["no-new-privileges"] == {"NoNewPrivs:": "1", "Seccomp:": "2"}
    # The default profile forbids what needs CAP_SYS_ADMIN, and knows what is newer than it.
    denied = docker.run("--rm", "--", "unshare", "-m", "true")
    assert denied.status != 0
    assert "Operation not permitted" in denied.stderr
    masked = docker.output("--", "sh", "-c", "wc -c </proc/timer_list; ls /sys/firmware | wc -l")
    assert masked.split() == ["0", "0"]
    assert docker.run("--rm", "--", "sh", "-c", "echo 1 >/proc/sys/vm/swappiness").status != 0


def test_privileged(docker: DockerWith) -> None:
    """runc refuses a capability that the host lacks; the specification wants a warning."""
    asked, granted = docker.all_capabilities()
    script = "grep -E '^(CapEff|Seccomp):' /proc/self/status; ls /dev | wc -l"
    done = docker.run("--rm", "--privileged", "--", "sh", "-c", script)
    if docker.runtime == "runc" and asked != granted:
        assert done.status != 0
        return
    values = done.check().stdout.split()
    assert int(values[1], 16) == granted
    assert values[3] == "0"
    assert int(values[4]) > 20


def test_file_systems(docker: DockerWith) -> None:
    docker.host.shell("mkdir -p /var/tmp/volume && echo from the host >/var/tmp/volume/file")
    script = """
        touch /x 2>/dev/null && echo root is writable
        touch /scratch/x && stat -c %a /scratch && df -k /scratch | awk 'NR == 2 {print $2}'
        /scratch/x 2>/dev/null || echo $?
        cat /ro/file; touch /ro/x 2>/dev/null || echo /ro is read-only
        echo changed >/rw/file; echo kept >/named/file
    """
    options = [
        "--read-only", "--tmpfs", "/scratch:size=1m,mode=700,noexec",
        "-v", "/var/tmp/volume:/ro:ro", "-v", "/var/tmp/volume:/rw", "-v", "named:/named",
        "--mount", "type=tmpfs,dst=/other,tmpfs-size=65536",
    ]  # fmt: skip
    lines = docker.output(*options, "--", "sh", "-c", script).splitlines()
    assert lines == ["700", "1024", "126", "from the host", "/ro is read-only"]
    assert docker.host.shell("cat /var/tmp/volume/file") == "changed\n"
    assert docker.output("-v", "named:/named:ro", "--", "cat", "/named/file") == "kept\n"
    docker("volume", "rm", "named").check()


def test_devices_and_sysctls(docker: DockerWith) -> None:
    docker.host.shell("test -e /run/device || mknod /run/device c 10 237")
    options = ["--device", "/run/device:/dev/mine:r", "--sysctl", "kernel.msgmax=4096",
               "--sysctl", "net.ipv4.ip_unprivileged_port_start=7",
               "--hostname", "named", "--domainname", "dom"]  # fmt: skip
    script = """
        stat -c '%t:%T' /dev/mine
        # Forbidden is forbidden before any driver is asked, there may be none.
        (: </dev/mine) 2>&1 | grep -c permitted; (: >/dev/mine) 2>&1 | grep -c permitted
        mknod /dev/mem1 c 1 1 && (: </dev/mem1) 2>&1 | grep -c permitted
        cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax
        hostname; cat /proc/sys/kernel/domainname; ls /dev | tr '\\n' ' '
    """
    text = docker.output(*options, "--", "sh", "-c", script)
    assert text.splitlines()[:-1] == ["a:ed", "0", "1", "1", "7", "4096", "named", "dom"]
    assert text.splitlines()[-1].split() == [
        "fd", "full", "mem1", "mine", "mqueue", "null", "ptmx", "pts", "random", "shm",
        "stderr", "stdin", "stdout", "tty", "urandom", "zero",
    ]  # fmt: skip
