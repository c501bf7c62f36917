"""Whether the calls that ``plan --syscalls`` foretells are those that strace(1) has seen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

LINE = re.compile(r"(\w+)\((.*)\)\s+= (.*)$")
OPENERS, CLOSERS = "{[(", "}])"
NOT_SAID = "AT_STATX_SYNC_AS_STAT"


class Seen:
    """One call of a trace: name, operands, whether it failed with which errno ("" for none)."""

    def __init__(self, name: str, arguments: list[str], result: str) -> None:
        self.name = name
        self.arguments = arguments
        self.result = result
        words = result.split()
        self.errno = words[1] if words[0] == "-1" else ""

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)}) = {self.result}"


def split(text: str) -> list[str]:
    """Operands, at commas outside of quotes and brackets."""
    parts, depth, quoted, at = [""], 0, False, 0
    while at < len(text):
        letter = text[at]
        if quoted and letter == "\\":
            parts[-1] += text[at : at + 2]
            at += 2
            continue
        quoted ^= letter == '"'
        depth += (letter in OPENERS) - (letter in CLOSERS) if not quoted else 0
        if letter == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
        at += 1
    return [part.strip() for part in parts if part.strip()]


def trace_of(path: Path) -> list[Seen]:
    """The calls of one process, as ``strace -ff -o`` has written them."""
    text = re.sub(r" /\* .*? \*/", "", path.read_text())
    found = [LINE.match(line) for line in text.splitlines()]
    return [Seen(m[1], split(m[2]), m[3]) for m in found if m]


def container_side(directory: Path) -> list[Seen]:
    """What oci-setup did in both of its processes, but for its channel."""
    named = 'prctl(PR_SET_NAME, "oci-setup")'
    # Both processes have a trace, and only the first names itself.
    (first,) = [path for path in directory.iterdir() if named in path.read_text()]
    calls = trace_of(first)
    start = next(at for at, call in enumerate(calls) if call.arguments[1:] == ['"oci-setup"']) + 2
    channel = calls[start - 1].arguments[0]
    (clone,) = [call for call in calls[start:] if call.name == "clone3"]
    init = trace_of(first.with_name(f"{first.stem}.{clone.result}"))
    end = next(at for at, call in enumerate(init) if call.name == "execveat") + 1
    both = [*calls[start : calls.index(clone) + 1], *init[:end]]
    transport = ("recvmsg", "sendto")
    return [c for c in both if not (c.name in transport and c.arguments[0] == channel)]


def entering_side(directory: Path) -> list[Seen]:
    """What oci-exec did, and after it its process until that was the program."""
    named = 'prctl(PR_SET_NAME, "oci-init")'
    (first,) = [path for path in directory.iterdir() if named in path.read_text()]
    calls = trace_of(first)
    start = next(at for at, call in enumerate(calls) if call.name == "execveat") + 1
    (clone,) = [call for call in calls[start:] if call.name == "clone3"]
    process = trace_of(first.with_name(f"{first.stem}.{clone.result}"))
    end = next(
        at for at, call in enumerate(process) if call.name == "execve" and not call.errno
    )
    return [*calls[start:], *process[: end + 1]]


def same_operand(foretold: str, seen: str) -> bool:
    """Whether ``foretold`` is what strace shows, or leaves it open."""
    if foretold.startswith("<") or seen == foretold:
        return True
    if foretold.startswith("{") and seen.startswith("{"):
        mine, theirs = fields(foretold), fields(seen)
        return all(same_operand(value, theirs.get(name, "")) for name, value in mine.items())
    if '"' in foretold or '"' in seen:
        return False
    if re.fullmatch(r"-?\d+", foretold) and re.search(r"[A-Z]{2}", seen):
        return True  # a number of which this program has no name
    return words(foretold) == words(seen)


def fields(text: str) -> dict[str, str]:
    """Of a structure."""
    pairs = (part.partition("=") for part in split(text[1:-1]))
    return {name: value for name, _, value in pairs}


def words(text: str) -> set[str]:
    """The flags of an operand; O_RDONLY and the like are none."""
    return {word.replace("0x0)", "0)") for word in text.split("|")} - {NOT_SAID}


# What operands are known to be: a register or a descriptor of the host, and its number.
Known = tuple[tuple[str, str], ...]
State = tuple[int, Known]


def learnt(known: Known, name: str, value: str | None) -> Known:
    """``known`` with another value of ``name``, None for one that is not known."""
    rest = tuple(pair for pair in known if pair[0] != name)
    return rest if value is None else tuple(sorted([*rest, (name, value)]))


class Comparison:
    """All ways through the foretold operations that fit the trace."""

    def __init__(self, trace: list[Seen], descriptors: list[str]) -> None:
        self.trace = trace
        self.named = {f"<{name}>" for name in descriptors}
        self.furthest = 0

    def same(self, call: dict[str, Any], seen: Seen, known: Known) -> Known | None:
        """What is known when ``seen`` is the foretold ``call``, None when it is another."""
        if call["call"] != seen.name:
            return None
        for mine, theirs in zip(call["arguments"], seen.arguments, strict=False):
            if mine.startswith("$") or mine in self.named:
                if not theirs.isdigit() or dict(known).get(mine, theirs) != theirs:
                    return None
                known = learnt(known, mine, theirs)
            elif not same_operand(mine, theirs):
                return None
        return known

    def ends(self, item: dict[str, Any], state: State) -> set[State]:
        """Where the trace may go on behind ``item``, which begins at ``state``."""
        at, known = state
        self.furthest = max(self.furthest, at)
        if "call" in item:
            while at < len(self.trace):
                now = self.same(item, self.trace[at], known)
                if now is None:
                    break
                at += 1
                if not (item.get("again") and self.trace[at - 1].errno == "EAGAIN"):
                    return {(at, now)}
            return set()
        found, new = {state}, {state}
        while new:
            new = {end for begin in new for end in self.sequence(item["calls"], begin)} - found
            found |= new
            if not item["repeats"]:
                break
        return found

    def sequence(self, items: list[dict[str, Any]], state: State) -> set[State]:
        """The same for several, one behind the other."""
        states = {state}
        for item in items:
            states = {end for one in states for end in self.ends(item, one)}
        return states

    def after(self, operations: list[dict[str, Any]], states: set[State]) -> set[State]:
        """The same for the operations of one step, from any of ``states``."""
        begins: list[set[State]] = [set(states), *(set() for _ in operations)]
        for index, one in enumerate(operations):
            skipped = index + 1 + one["leaves_out"]
            for begin in begins[index]:
                for at, known in self.sequence(one["calls"], begin):
                    failed, value = self.outcome(one, begin[0], at)
                    if failed and not one["tolerated"]:
                        continue
                    end = at, learnt(known, one["result"] or "", value)
                    skips = failed == (one["leaves_out_after"] == "failure")
                    if failed is None or not skips:
                        begins[index + 1].add(end)
                    if failed is None or skips:
                        begins[skipped].add(end)
        return begins[-1]

    def outcome(
        self, one: dict[str, Any], begin: int, end: int
    ) -> tuple[bool | None, str | None]:
        """Whether an operation has failed and its result, where it is one system call."""
        if one["operation"] in ("call", "open"):
            last = self.trace[end - 1]
            return bool(last.errno), None if last.errno else last.result.split()[0]
        made = [seen for seen in self.trace[begin:end] if seen.name == "fsmount"]
        return None, made[-1].result if one["operation"] == "filesystem" and made else None


def compare(document: dict[str, Any], trace: list[Seen]) -> None:
    """Every foretold call was made, in this order and on these descriptors, and no other."""
    comparison = Comparison(trace, document["descriptors"])
    states: set[State] = {(0, ())}
    for step in document["steps"]:
        assert not step["untold"], step["name"]
        states = comparison.after(step["operations"], states)
        near = trace[max(0, comparison.furthest - 3) : comparison.furthest + 2]
        assert states, f"{step['name']}: the trace goes on otherwise, near {near}"
    end = max(at for at, _ in states)
    assert end == len(trace), f"more was done: {trace[end:]}"
