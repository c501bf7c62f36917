"""runtime.md: what an operation that fails leaves behind, and what a warning does not stop."""

from __future__ import annotations

from conformance.registry import check
from conformance.trial import Trial


@check("errors.unchanged", "create.cannot-apply", "create.cannot-apply-not-created",
       "lifecycle.environment-error")  # fmt: skip
def create_that_cannot_be_done(t: Trial) -> None:
    """Creates with a mount whose source is not there, after mounts and cgroups that can be made."""
    bundle = t.bundle()
    bundle.add_mount("/work", "tmpfs")
    bundle.bind(t.directory / "absent", "/tmp", ["bind"])
    name = bundle.path.name
    result = t.attempt_create(bundle, name)
    for sentence in ("create.cannot-apply", "lifecycle.environment-error"):
        t.expect(sentence, result.refused, result.text)
    state = t.runtime.call("state", name)
    t.expect("create.cannot-apply-not-created", state.refused, f"state: {state.text}")
    left = t.left(name)
    t.expect("errors.unchanged", not left, f"left: {left}" if left else "nothing is left")


@check("errors.unchanged")
def create_that_fails_late(t: Trial) -> None:
    """Creates with a cgroup limit and a root that cannot be made: nothing of either is left."""
    bundle = t.bundle()
    bundle.resources["pids"] = {"limit": 10}
    bundle.linux["sysctl"] = {"kernel.no_such_parameter": "1"}
    name = bundle.path.name
    result = t.attempt_create(bundle, name)
    t.expect("errors.unchanged", result.refused, result.text)
    if result.ok:
        t.adopt(name, bundle)
        return
    left = t.left(name)
    t.expect("errors.unchanged", not left, f"left: {left}" if left else "nothing is left")


@check("errors.unchanged", "start.runs")
def start_of_a_program_that_is_not_there(t: Trial) -> None:
    """Starts a container whose program does not exist: an error, by create or by start."""
    bundle = t.bundle()
    bundle.process["args"] = ["/bin/absent"]
    name = bundle.path.name
    result = t.attempt_create(bundle, name)
    if result.ok:
        result = t.adopt(name, bundle).attempt("start")
    t.expect("start.runs", result.refused, f"{t.verb(result)}: {result.text}")
    t.runtime.call("delete", "--force", name)
    left = t.left(name)
    t.expect("errors.unchanged", not left, f"left: {left}" if left else "nothing is left")


@check("warnings.continue", "capabilities.warning", "capabilities.unknown")
def warning_about_a_capability(t: Trial) -> None:
    """Runs with a capability that no kernel knows: a warning names it, and the program runs."""
    bundle = t.bundle("echo ran")
    for names in bundle.process["capabilities"].values():
        names.append("CAP_NO_SUCH_THING")
    name = bundle.path.name
    log, path = t.directory / "log", bundle.write().path
    how = ("--debug", "--log", str(log), "create", "--bundle", str(path))
    result = t.runtime.call(*how, name, stdin=str(t.null), stdout=bundle.output)
    if not result.ok:
        for sentence in ("capabilities.unknown", "capabilities.warning"):
            t.expect(sentence, None, f"create: {result.text}")
        t.skip("the runtime gave an error where a warning is asked for")
    container = t.adopt(name, bundle).hold()
    start = container.attempt("start")
    words = result.stderr + start.stderr + (log.read_text() if log.exists() else "")
    said = "NO_SUCH_THING" in words.upper()
    t.expect("capabilities.unknown", start.ok, "start: " + ("done" if start.ok else start.text))
    t.expect("capabilities.warning", said, "a log names it" if said else "no log names it")
    container.wait()
    ran = container.output().strip() == "ran"
    t.expect("warnings.continue", ran, f"after the warning the program ran: {ran}")


@check("bundle.config", "json.utf8")
def config_that_cannot_be_read(t: Trial) -> None:
    """Creates from a bundle without config.json, with it elsewhere, and with one of no JSON."""
    bundle = t.bundle()
    bundle.write()
    config = bundle.path / "config.json"
    text = config.read_bytes()
    for what, content in (
        ("no config.json", None), ("an empty one", b""), ("half of one", text[:200]),
        ("an array", b"[]"), ("not in UTF-8", text.replace(b'"conformance"', b'"\xff\xfe"')),
    ):  # fmt: skip
        if content is None:
            config.rename(bundle.rootfs / "config.json")
        else:
            config.write_bytes(content)
        sentence = "json.utf8" if what == "not in UTF-8" else "bundle.config"
        name = t.new_id()
        result = t.runtime.call("create", "--bundle", str(bundle.path), name, stdin=str(t.null))
        t.expect(sentence, result.refused, f"{what}: {result.text}")
        if result.ok:
            t.adopt(name, bundle)
        else:
            t.refused.append(name)
