"""`spec --from-image`: image configurations as registries and engines have them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ociruntime.features import UNSAFE_ANNOTATIONS
from ociruntime.spec import load

from .caller import Outcome, call

IMAGE = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-01-02T03:04:05Z",
    "rootfs": {"type": "layers", "diff_ids": []},
    "config": {
        "Entrypoint": ["/entry"],
        "Cmd": ["serve", "--fast"],
        "Env": ["PATH=/opt/bin:/bin", "WORD=w"],
        "WorkingDir": "/srv",
        "User": "1000:1001",
        "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
        "StopSignal": "SIGINT",
        "Labels": {"org.example": "x"},
    },
}
PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/srv:/bin/sh\nbroken\nodd:x:a:b::/:\n"
GROUP = "root:x:0:\nweb:x:44:\nlog:x:50:web,other\nextra:x:51:web\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    etc = tmp_path / "b/rootfs/etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text(PASSWD)
    (etc / "group").write_text(GROUP)
    return tmp_path / "b"


def spec(bundle: Path, image: Any, *words: str) -> Outcome:
    file = bundle.parent / "image.json"
    file.write_text(image if isinstance(image, str) else json.dumps(image))
    return call(None, "spec", "--bundle", str(bundle), "--from-image", str(file), *words)


def written(bundle: Path, image: Any, *words: str) -> dict[str, Any]:
    (bundle / "config.json").unlink(missing_ok=True)
    done = spec(bundle, image, *words)
    assert done.status == 0, done.stderr
    raw = (bundle / "config.json").read_bytes()
    config: dict[str, Any] = json.loads(raw)
    load(raw, config, source="config.json")
    return config


def user(bundle: Path, text: str) -> dict[str, Any]:
    found: dict[str, Any] = written(bundle, {"config": {"User": text}})["process"]["user"]
    return found


def test_everything(bundle: Path) -> None:
    config = written(bundle, IMAGE)
    process = config["process"]
    assert process["args"] == ["/entry", "serve", "--fast"]
    assert process["env"] == ["PATH=/opt/bin:/bin", "WORD=w", "TERM=xterm"]
    assert process["cwd"] == "/srv"
    assert process["user"] == {"uid": 1000, "gid": 1001}
    assert config["root"]["readonly"] is False
    prefix = "org.opencontainers.image."
    assert config["annotations"] == {
        f"{prefix}os": "linux",
        f"{prefix}architecture": "amd64",
        f"{prefix}created": "2026-01-02T03:04:05Z",
        f"{prefix}exposedPorts": "443/tcp,80/tcp",
        f"{prefix}stopSignal": "SIGINT",
        "org.example": "x",
    }


def test_labels_that_would_be_orders(bundle: Path) -> None:
    """Whoever made the image chooses no file of the host, and nothing else there."""
    named = [f"{name}X" if name.endswith(".") else name for name in UNSAFE_ANNOTATIONS]
    labels = {**dict.fromkeys(named, "1"), "run.oci.later": "1", "": "1", "run.ocix": "1"}
    image = {"config": {"Labels": labels}}
    assert written(bundle, image)["annotations"] == {"run.ocix": "1"}
    (bundle / "config.json").unlink()
    said = spec(bundle, image).stderr
    for name in (*named, "run.oci.later"):
        assert f"the label {name} is left out" in said


def test_what_engines_print(bundle: Path) -> None:
    inspected = [{"Id": "sha256:x", "Os": "linux", "RootFS": {}, "Config": {"Cmd": ["sh"]}}]
    config = written(bundle, inspected)
    assert config["process"]["args"] == ["sh"]
    assert config["process"]["env"][0].startswith("PATH=")
    assert config["annotations"] == {"org.opencontainers.image.os": "linux"}
    assert written(bundle, {"config": {"Cmd": None, "Env": None, "User": ""}})["process"][
        "user"
    ] == {"uid": 0, "gid": 0}


def test_a_command_wins(bundle: Path) -> None:
    process = written(bundle, IMAGE, "--", "ls", "-l")["process"]
    assert (process["args"], process["terminal"]) == (["ls", "-l"], False)
    assert process["cwd"] == "/srv"
    assert written(bundle, IMAGE)["process"]["terminal"] is True
    assert "behind --" in call(None, "spec", "--bundle", str(bundle), "ls").stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web", {"uid": 33, "gid": 44, "additionalGids": [50, 51]}),
        ("web:log", {"uid": 33, "gid": 50}),
        ("web:7", {"uid": 33, "gid": 7}),
        ("33", {"uid": 33, "gid": 0}),
        ("77:log", {"uid": 77, "gid": 50}),
        ("33:log", {"uid": 33, "gid": 50}),
        ("root", {"uid": 0, "gid": 0}),
    ],
)
def test_users(bundle: Path, text: str, expected: dict[str, Any]) -> None:
    assert user(bundle, text) == expected


@pytest.mark.parametrize("text", ["nobody", "web:nogroup", "odd", "broken"])
def test_unknown_names_are_told(bundle: Path, text: str) -> None:
    done = spec(bundle, {"config": {"User": text}})
    assert done.status == 1
    assert text.rpartition(":")[2] in done.stderr
    assert not (bundle / "config.json").exists()


def test_names_need_the_root_filesystem(tmp_path: Path) -> None:
    bare = tmp_path / "b"
    bare.mkdir()
    done = spec(bare, {"config": {"User": "web"}})
    assert done.status == 1
    assert "unpack the image there first" in done.stderr
    assert user(bare, "1000") == {"uid": 1000, "gid": 0}


def test_the_root_filesystem_is_not_followed_out(bundle: Path, tmp_path: Path) -> None:
    """An image is a stranger's: its passwd may lead anywhere, or be anything."""
    outside = tmp_path / "passwd"
    outside.write_text("spy:x:4711:4711::/:\n")
    passwd = bundle / "rootfs/etc/passwd"
    passwd.unlink()
    passwd.symlink_to(outside)
    assert "no user 'spy'" in spec(bundle, {"config": {"User": "spy"}}).stderr
    passwd.unlink()
    os.mkfifo(passwd)
    assert "no user 'web'" in spec(bundle, {"config": {"User": "web"}}).stderr
    passwd.unlink()
    passwd.mkdir()
    assert "no user 'web'" in spec(bundle, {"config": {"User": "web"}}).stderr


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not an image configuration"),
        ('"x"', "not an image configuration"),
        ("{}", "it has no config"),
        ({"schemaVersion": 2, "layers": [], "config": {"digest": "x"}}, "this is a manifest"),
        ({"config": []}, "config is no object"),
        ({"config": {"Cmd": "sh"}}, "config.Cmd is not an array of strings"),
        ({"config": {"Env": [1]}}, "config.Env is not an array of strings"),
        ({"config": {"User": 0.5}}, "config.User is not a string"),
        ({"config": {"Labels": ["x"]}}, "config.Labels is not an object"),
    ],
)
def test_what_is_no_image_configuration(bundle: Path, image: Any, words: str) -> None:
    done = spec(bundle, image)
    assert done.status == 1
    assert words in done.stderr
    assert "internal error" not in done.stderr
    assert not (bundle / "config.json").exists()
