"""A case: a seed and changes, all of it data, so that it can be written to a file and made smaller.

A change is one of

    {"set": POINTER, "to": VALUE}       in config.json; the last token `-` appends to a list
    {"remove": POINTER}                 from config.json
    {"put": PATH, "kind": KIND, ...}    below the case's directory: `rootfs/...` is the image,
                                        `host/...` what binds come from. KIND: file (`text`),
                                        directory, link (`to`), fifo, socket; `mode`, `owner`
    {"lose": PATH}                      takes a file or directory of it away
    {"caller": WORD}                    what the caller is like: a word of `look as`
    {"environment": {NAME: VALUE}}      the caller's
    {"streams": [IN, OUT, ERR]}         the caller's: null, null-r, pipe, file, closed, tty
    {"life": WORD}                      create (and start, kill, delete), run, detach
    {"rootless": UID}                   the caller is that user, and all files are his
    {"inside": true}                    each call is by root of a user namespace that the caller
                                        makes for it, with mounts of its own: for `life` run
    {"mounts": "shared"}                mounts of the caller's namespace have peers
    {"process": [WORD, ...]}            more words for the probe in the container
    {"hook": KIND, ...}                 a hook of that kind that runs the probe; other members are
                                        the hook's (env, timeout)
    {"before": VERB, ...}               a call before the container is made: `options`
    {"call": VERB, ...}                 a call while the container runs: `options`; for exec
                                        `process` (then by --process), `words`; for update
                                        `resources` (then by --resources); `fifo`: it is given
                                        by one; for kill `signal`

Strings may contain @CASE@ (the case's directory), @ID@ and @LOOK@ (the probe, on the host).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.config import base_config

Change = dict[str, Any]
Config = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """`seed` is a name in SEEDS or a configuration; `changes` are made in their order."""

    changes: tuple[Change, ...]
    seed: str | Config = "default"

    @classmethod
    def of(cls, *changes: Change, seed: str | Config = "default") -> Case:
        """Return the case of these changes."""
        return cls(changes, seed)

    @classmethod
    def from_json(cls, text: str) -> Case:
        """Return the case of a found file; raises ValueError and KeyError for other texts."""
        data = json.loads(text)
        return cls(tuple(data["changes"]), data.get("seed", "default"))

    def to_json(self, **more: Any) -> str:
        """Return the text of a found file; `more` are members that only people read."""
        data = {**more, "seed": self.seed, "changes": list(self.changes)}
        return json.dumps(data, indent=1, sort_keys=True) + "\n"

    def without(self, number: int) -> Case:
        """Return the case without one change."""
        return Case(self.changes[:number] + self.changes[number + 1 :], self.seed)

    def all(self, kind: str) -> Iterator[Change]:
        """The changes of one kind, in their order."""
        return (change for change in self.changes if kind in change)

    def last(self, kind: str, default: Any) -> Any:
        """What the last change of a kind says, for the kinds of which one counts."""
        found = [change[kind] for change in self.all(kind)]
        return found[-1] if found else default

    def config(self, seeds: dict[str, Callable[[], Config]]) -> Config:
        """Return config.json, placeholders and the probe's command line not yet filled in."""
        made = copy.deepcopy(self.seed) if isinstance(self.seed, dict) else seeds[self.seed]()
        for change in self.changes:
            if "set" in change:
                set_at(made, change["set"], copy.deepcopy(change["to"]))
            elif "remove" in change:
                remove_at(made, change["remove"])
        return made


def default_seed() -> Config:
    """The configuration that all tests begin with, its own names not yet filled in."""
    return base_config("@ID@", "FIELD=1")


def set_at(config: Any, pointer: str, value: Any) -> None:
    """Set the value at a JSON pointer, making the objects on the way; `-` appends."""
    *parents, last = _tokens(pointer)
    for token, following in zip(parents, [*parents, last][1:], strict=True):
        if isinstance(config, list):
            config = config[int(token)]
        else:
            config = config.setdefault(token, [] if following == "-" else {})
    if isinstance(config, list):
        if last == "-":
            config.append(value)
        else:
            config[int(last)] = value
    else:
        config[last] = value


def get_at(config: Any, pointer: str) -> Any:
    """Return the value at a JSON pointer, None where there is none."""
    for token in _tokens(pointer):
        if isinstance(config, list) and token.isdecimal() and int(token) < len(config):
            config = config[int(token)]
        elif isinstance(config, dict):
            config = config.get(token)
        else:
            return None
    return config


def remove_at(config: Any, pointer: str) -> None:
    """Remove the member or element at a JSON pointer, if it is there."""
    *parents, last = _tokens(pointer)
    for token in parents:
        if isinstance(config, list):
            config = config[int(token)]
        elif token in config:
            config = config[token]
        else:
            return
    if isinstance(config, list):
        del config[int(last)]
    else:
        config.pop(last, None)


def fill(value: Any, names: dict[str, str]) -> Any:
    """Return a copy of JSON data with the placeholders of every string, keys too, filled in."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(name, text)
        return value
    if isinstance(value, list):
        return [fill(one, names) for one in value]
    if isinstance(value, dict):
        return {fill(name, names): fill(one, names) for name, one in value.items()}
    return value


def _tokens(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
