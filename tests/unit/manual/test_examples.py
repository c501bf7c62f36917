"""Every example of README and docs/ is run by a test, or is named here with the reason why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.pages import DOCS, blocks

TESTS = Path(__file__).resolve().parents[2]
# Made by programs, out of what they found.
MADE = {"conformance.md", "spec-conformance.md", "performance.md"}
USAGE = "kernel/test_usage_examples.py::test_"
DOCUMENTED = "clients/test_documented.py::test_"
IMAGES = "clients/test_documented_images.py::test_"
# page -> [(how an example begins, the test that runs it, word by word)]
RUN = {
    "../README.md": [
        ("ociruntime validate --bundle b", f"{USAGE}readme"),
    ],
    "docker.md": [("{\n", f"{DOCUMENTED}docker")],
    "images.md": [
        ("podman export", f"{IMAGES}podman_lines"),
        ("skopeo copy", f"{IMAGES}skopeo_and_umoci"),
    ],
    "kubernetes.md": [(f"version = {number}\n", f"{DOCUMENTED}containerd") for number in (2, 3)],
    "node.md": [(f"version = {number}\n", f"{DOCUMENTED}containerd") for number in (2, 3)],
    "mounts.md": [("ociruntime mounts add", f"{USAGE}mounts_of_a_running_container")],
    "moving.md": [("ociruntime doctor", f"{USAGE}moving")],
    "networking.md": [
        ("make build", "network/test_documented.py::test_in_two_minutes"),
        ("ociruntime spec --bundle b", f"{USAGE}a_configuration_with_a_network"),
        ("ociruntime net ls", "network/test_documented.py::test_in_two_minutes"),
    ],
    "podman.md": [("[engine]", f"{DOCUMENTED}podman")],
    "service.md": [("[Unit]", f"{IMAGES}the_unit_is_one")],
    "shim.md": [
        *[(f"version = {number}\n", f"{DOCUMENTED}containerd") for number in (2, 3)],
        ('{"runtimes"', f"{DOCUMENTED}docker"),
    ],
    "tracing.md": [
        ("ociruntime --trace run.json run web", f"{USAGE}tracing"),
        ("ociruntime --trace run.json run --bundle b c1", f"{USAGE}tracing"),
    ],
    "troubleshooting.md": [("ociruntime doctor", f"{USAGE}troubleshooting")],
    "usage.md": [
        ("mkdir -p b/rootfs", f"{USAGE}a_container_from_nothing_and_its_life"),
        ("mkdir b1", f"{USAGE}a_container_from_nothing_and_its_life"),
        ("$ ociruntime list", f"{USAGE}list"),
        ("ociruntime ps c1", f"{USAGE}ps"),
        ("ociruntime pause c1", f"{USAGE}commands"),
        ("ociruntime update --memory", f"{USAGE}commands"),
        ("ociruntime events --stats", f"{USAGE}commands"),
        ("ociruntime image ", f"{USAGE}commands"),
        ("ociruntime top --once", f"{USAGE}observing"),
        ("$ ociruntime metrics", f"{USAGE}metrics"),
        ("ociruntime metrics >", f"{USAGE}observing"),
        ("$ ociruntime explain", f"{USAGE}explain"),
        ("$ ociruntime plan --bundle", f"{USAGE}plan_and_its_difference"),
        ("$ ociruntime plan --diff", f"{USAGE}plan_and_its_difference"),
        ("$ ociruntime plan --syscalls", f"{USAGE}system_calls_of_a_plan"),
        ("$ ociruntime --trace", f"{USAGE}trace"),
    ],
}
DRAWING = "it is a drawing in letters"
SYNOPSIS = "it is a form, and no command"
INSTALLS = "it changes the machine that it is typed on"
BY_ENGINES = "{} run the same options with images of their own; this one fetches an image"
# page -> [(how an example begins, why no test runs it as it stands)]
NOT_RUN = {
    "../README.md": [
        ("sudo apt-get install -y make", "make distro-test types it in fresh Debians"),
        ("bundles/make shell", "the shell waits for somebody; kernel/test_bundles.py runs it"),
        ("sudo make install", INSTALLS + "; native/test_package.py installs below a DESTDIR"),
        ("podman --runtime", BY_ENGINES.format("clients/test_podman_*.py and test_containerd.py")),
    ],
    "architecture.md": [
        ("bundle  ->", DRAWING),
        ("errors", DRAWING),
        ("ociruntime.cgroups: the rest", DRAWING),
        ("ociruntime    native/front.c", DRAWING),
        ("host side     opens", DRAWING),
    ],
    "checkpoint.md": [("ociruntime checkpoint", "needs CRIU; kernel/test_checkpoint.py has it")],
    "conformance-suite.md": [
        ("make conformance RUNTIME", "minutes; unit/conformance/test_command.py has the forms"),
        ("make conformance-newer", "fetches packages, and takes minutes"),
    ],
    "containerd.md": [
        ("ctr run", BY_ENGINES.format("clients/test_containerd.py and test_shim.py")),
        ("ociruntime --root /run/containerd", "it is of containers that containerd has made"),
    ],
    "docker.md": [
        ("docker run", BY_ENGINES.format("clients/test_docker_*.py")),
        ("$ docker run", BY_ENGINES.format("clients/test_docker_*.py")),
        ("$ docker swarm", "three hosts; clients/test_swarm.py has them, and does all of it"),
    ],
    "images.md": [
        ("mkdir -p b && debootstrap", "fetches a distribution, which takes minutes; tried by hand"),
    ],
    "kubernetes.md": [
        ("[crio.", "CRI-O has no package in Debian; the page says that it is not tried"),
        ("apiVersion", "no cluster; clients/test_cri.py speaks as a kubelet does"),
    ],
    "mounts.md": [('"mounts"', "part of a file; kernel/test_idmap.py mounts so")],
    "networking.md": [
        ("bundles/make redis", "ANY-ADDRESS stands for one; network/test_bundles.py runs the pair"),
        ('"hooks"', "part of a file; network/test_client.py runs hooks so"),
        ("container first", DRAWING),
        ("{\n", "network/test_ranges.py and test_bridge.py have the members of it"),
    ],
    "node.md": [
        ("# ociruntime --root", "it is of a node's daemons; clients/test_shim_shared.py asks some")
    ],
    "package.md": [
        ("pip install", INSTALLS + "; native/test_package.py does it in a venv"),
        ("from ociruntime import api", "kernel/test_api_examples.py imports it"),
    ],
    "podman.md": [("podman --runtime", BY_ENGINES.format("clients/test_podman_*.py"))],
    "rootless.md": [
        ("ociruntime spec --rootless", "kernel/test_rootless.py does it as another user"),
        ('"uidMappings"', "part of a file; kernel/test_rootless.py maps ranges"),
    ],
    "seccomp.md": [('{"ociVersion"', "what an agent gets; kernel/test_seccomp_notify.py is one")],
    "service.md": [("sudo make install", INSTALLS)],
    "shim.md": [
        ("sudo make install", INSTALLS),
        ("apiVersion", "no cluster; clients/test_cri.py speaks as a kubelet does"),
    ],
    "tracing.md": [
        (
            "ociruntime --trace run.json run --bundle b c1",
            "its curl wants a collector; kernel/test_trace_otlp.py parses what it sends",
        )
    ],
    "troubleshooting.md": [("sudo ", INSTALLS), ("systemd-run", "wants a session of systemd's")],
    "usage.md": [
        ("ociruntime [OPTIONS]", SYNOPSIS),
        ("[Service]", "kernel/test_notify.py is the service manager"),
        ("bundles/make", "kernel/test_bundles.py runs every bundle"),
    ],
    "validation.md": [('{ "$schema"', "part of a file; unit/spec/test_editor.py opens one so")],
}
PAGES = sorted(f"{path.name}" for path in DOCS.glob("*.md") if path.name not in MADE)


@pytest.mark.parametrize("page", ["../README.md", *PAGES])
def test_every_example_is_known(page: str) -> None:
    known = [beginning for beginning, _ in RUN.get(page, []) + NOT_RUN.get(page, [])]
    used = set()
    for text in blocks(page):
        if page == "api.md":
            assert re.match(r"(from|import) ", text), "kernel/test_api_examples.py runs all of it"
            continue
        found = [beginning for beginning in known if text.startswith(beginning)]
        assert found, f"{page}: {text.splitlines()[0]}"
        used |= set(found)
    assert used == set(known), "an example that is no more"


def test_what_is_said_to_run_them_is_there() -> None:
    for entries in RUN.values():
        for _, test in entries:
            file, _, name = test.partition("::")
            assert re.search(rf"(?m)^def {name}\(", (TESTS / file).read_text()), test
    for entries in NOT_RUN.values():
        for _, reason in entries:
            for file in re.findall(r"(?:\b[a-z]+/)+test_[\w*]+\.py", reason):
                assert list(TESTS.glob(file)), file
