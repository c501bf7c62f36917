"""Docker's networks: published ports on docker0, none, host, and that of another container."""

from __future__ import annotations

from tests.support.engines.docker import DockerWith

SERVE = 'mkdir /www; echo "$1" >/www/name; exec httpd -f -p 6379 -h /www'
# Asked again until the server is there; wget(1) of a static busybox dies of its name service.
FETCH = """
fetch() { for try in $(seq 50); do
  printf 'GET /name HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 "$1" "$2" 2>/dev/null |
    tail -n 1 | grep . && return
  sleep 0.1
done; return 1; }
"""


def test_two_containers_published_on_docker0(docker: DockerWith) -> None:
    """The same port inside both, two ports of the host, and everything between them."""
    ports = {"6379": "first", "6378": "second"}
    containers = {
        port: docker.up("-p", f"{port}:6379", "--", "sh", "-c", SERVE, "sh", name)
        for port, name in ports.items()
    }
    host = docker.host
    rules = host.shell("iptables -t nat -S DOCKER; iptables -S DOCKER")
    addresses = set()
    for port, container in containers.items():
        network = docker.inspect(container)["NetworkSettings"]
        address = network["IPAddress"]
        addresses.add(address)
        assert f"--dport {port} -j DNAT --to-destination {address}:6379" in rules
        assert f"-d {address}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 6379" in rules
        inside = docker.shell(container, "ip -o -4 addr show eth0; ip route; cat /etc/hosts")
        assert f"inet {address}/16" in inside
        assert f"default via {network['Gateway']} dev eth0" in inside
        assert container[:12] in inside
        # Through docker-proxy on loopback, and through the bridge.
        reply = host.shell(f"{FETCH} fetch 127.0.0.1 {port}; fetch {address} 6379")
        assert reply.split() == [ports[port]] * 2
    assert len(addresses) == 2
    veths = host.shell("ip -o link show master docker0").splitlines()
    assert len(veths) == 2
    assert all("veth" in line and "LOWER_UP" in line for line in veths)
    first, second = containers.values()
    other = docker.inspect(second)["NetworkSettings"]["IPAddress"]
    assert docker.shell(first, f"{FETCH} fetch {other} 6379") == "second"
    assert docker("port", first).check().output.startswith("6379/tcp -> 0.0.0.0:6379")
    docker("rm", "--force", first, second).check()
    assert host.shell("ip -o link show master docker0") == ""
    assert "DNAT" not in host.shell("iptables -t nat -S DOCKER")


def test_none_and_host(docker: DockerWith) -> None:
    links = docker.output("--network", "none", "--", "ip", "-o", "link")
    assert links.count("\n") == 1
    assert links.startswith("1: lo: <LOOPBACK,UP")
    seen = docker.output("--network", "host", "--", "readlink", "/proc/self/ns/net")
    assert seen == docker.host.shell("readlink /proc/self/ns/net")
    name = docker.output("--network", "host", "--uts", "host", "--", "hostname")
    assert name == docker.host.shell("hostname")


def test_namespaces_of_another_container(docker: DockerWith) -> None:
    first = docker.up("--ipc", "shareable", "--", "sleep", "1000")
    of = f"container:{first}"
    script = "for name in net pid ipc uts mnt; do readlink /proc/self/ns/$name; done; hostname"
    own = docker.shell(first, script).split()
    options = ["--network", of, "--pid", of, "--ipc", of]
    seen = docker.output(*options, "--", "sh", "-c", script + "; ps -o pid,args").split("\n")
    assert seen[:3] == own[:3]
    assert seen[3] != own[3]
    assert seen[4] != own[4]
    assert seen[5] == first[:12]
    assert any(line.split() == ["1", "sleep", "1000"] for line in seen)
    # One that shares a PID namespace is killed as a whole, though no first process dies with it.
    second = docker.up("--pid", of, "--", "sh", "-c", "sleep 1001 & sleep 1002")
    docker("kill", second).check()
    docker("wait", second).check()
    assert "sleep 100" not in docker.shell(first, "ps -o args").replace("sleep 1000", "")


def test_user_defined_network(docker: DockerWith) -> None:
    """Names are resolved by dockerd's own server on 127.0.0.11, set up inside the namespace."""
    network = f"net-{docker.runtime}"
    docker("network", "create", network).check()
    docker.up("--network", network, "--network-alias", "server", "--", "sh", "-c", SERVE, "sh", "x")
    script = f"{FETCH} cat /etc/resolv.conf; fetch server 6379"
    text = docker.output("--network", network, "--", "sh", "-c", script)
    assert "nameserver 127.0.0.11" in text
    assert text.endswith("\nx\n")
    docker.remove_all()
    docker("network", "rm", network).check()
