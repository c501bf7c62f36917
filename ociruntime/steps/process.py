"""What the container's process is given before it becomes oci-init: session, keyring, directory,
program.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.inside import Answer
from ociruntime.process.step import ContainerStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run


class NewSession(ContainerStep):
    """A session and process group of its own, without a controlling terminal (setsid(2))."""

    __slots__ = ()

    kind = "new-session"
    stage = "process"

    def __init__(self) -> None:
        super().__init__("/process", "new session")

    def describe(self) -> str:
        return "start a new session"

    def execute(self, run: Run) -> None:
        run.inner.setsid()


class NewKeyring(ContainerStep):
    """A session keyring of its own, so that no key of the caller is reachable (keyctl(2),
    security.md 2.7).

    The owner may search it afterwards; kernels without keyrings, and profiles that forbid them, are
    tolerated.
    """

    __slots__ = ("name",)

    kind = "new-keyring"
    stage = "process"

    def __init__(self, container_id: str) -> None:
        super().__init__("", "session keyring")
        self.name = f"_ses.{container_id}"

    def describe(self) -> str:
        return f"join a new session keyring {self.name}"

    def execute(self, run: Run) -> None:
        def note(number: int) -> None:
            run.warnings.append(f"no session keyring of its own: {os.strerror(number)}")

        tolerated = (errno.ENOSYS, errno.EPERM)
        run.inner.queue(p.KEYRING, os.fsencode(self.name), tolerated=tolerated, note=note)

    def explain(self, number: int) -> str:
        if number == errno.EDQUOT:
            return (
                "the quota of keys is used up (/proc/sys/kernel/keys/maxkeys); raise it "
                "or use --no-new-keyring"
            )
        return ""


class MakeDirectory(ContainerStep):
    """Create process.cwd while the root filesystem is still writable (as runc and crun do)."""

    __slots__ = ("path",)

    kind = "make-directory"

    def __init__(self, path: str) -> None:
        super().__init__("/process/cwd", f"process.cwd {path}")
        self.path = path

    def describe(self) -> str:
        return f"create the working directory {self.path} if it is missing"

    def execute(self, run: Run) -> None:
        # Where it leads through a file system that serves its owner only (NFS, FUSE), the process
        # itself will get there, if it is there.
        first = run.inner.position()
        fd = run.inside().directory(self.path, tolerated=(errno.EACCES,))
        run.inner.close(fd)
        run.inner.skip_from(first)

    def explain(self, number: int) -> str:
        return explain_directory(number)


class EnterDirectory(ContainerStep):
    """Enter process.cwd by fd and prove that it is inside (CVE-2024-21626).

    With the powers of the container's root: an image's /root, for one, is the working directory of
    users who may not enter it. oci-init enters it again as the user, where that one may; where root
    is refused (NFS, FUSE), it must.
    """

    __slots__ = ("path",)

    kind = "enter-directory"
    stage = "process"

    def __init__(self, path: str) -> None:
        super().__init__("/process/cwd", f"process.cwd {path}")
        self.path = path

    def describe(self) -> str:
        return f"enter the working directory {self.path}"

    def execute(self, run: Run) -> None:
        kernel = run.inner
        run.cwd = self.path

        def away(_number: int) -> None:
            run.away = True

        closed = (errno.EACCES,)
        root, path = run.inside().root, os.fsencode(self.path)
        first = kernel.position()
        flags = c.O_PATH | c.O_DIRECTORY
        fd = kernel.queue(p.OPEN, root, path, flags, 0, opens=True, tolerated=closed, note=away)
        second = kernel.position()
        kernel.call("fchdir", fd, tolerated=closed, note=away)
        kernel.close(fd)
        kernel.queue(p.PLACE, explain=self._outside)
        kernel.skip_from(first)
        kernel.skip_from(second)

    def _outside(self, number: int, why: int, _text: bytes) -> OSError | OciError:
        return outside(self) if why == p.OUTSIDE else OSError(number, os.strerror(number))

    def explain(self, number: int) -> str:
        return explain_directory(number)


def outside(step: EnterDirectory) -> OciError:
    """The error for a working directory that is not in the container."""
    return OciError(
        f"{step.label}: it is outside of the container's root filesystem; "
        "choose a directory of the image"
    )


def explain_directory(number: int) -> str:
    """What an errno means for the working directory."""
    return {
        errno.ENOTDIR: "it is not a directory in the container",
        errno.ELOOP: "it leads through a magic link, or through too many symlinks",
        errno.EROFS: "it does not exist and the filesystem there is read-only; create it "
        "in the image",
    }.get(number, "")


class PrepareEnvironment(ContainerStep):
    """process.env, with HOME from the container's passwd when it is not given (as runc and crun
    do).

    The image's passwd is opened O_NONBLOCK, must be a regular file, and only its first MiB is read:
    a FIFO or an endless file cannot hold us up.
    """

    __slots__ = ("adds_home", "env", "uid")

    kind = "prepare-environment"
    stage = "process"

    def __init__(self, env: list[str], uid: int, *, adds_home: bool = True) -> None:
        super().__init__("/process/env", "process.env")
        self.env = env
        self.uid = uid
        self.adds_home = adds_home

    def describe(self) -> str:
        home = f", HOME of uid {self.uid}" if self.adds_home else ""
        return f"prepare the environment ({len(self.env)} variables{home})"

    def operands(self) -> dict[str, object]:
        # Values may be secrets; a plan is something people paste into bug reports.
        return {"names": [entry.partition("=")[0] for entry in self.env], "uid": self.uid}

    def execute(self, run: Run) -> None:
        run.environment = list(self.env)
        if self.adds_home and not any(entry.startswith("HOME=") for entry in self.env):
            run.home = Answer()
            run.inner.queue(p.HOME, run.inside().root, self.uid, answer=run.home)


class FindProgram(ContainerStep):
    """Find process.args[0] in the container, so that a missing program is an error of create.

    The texts are those that engines turn into exit status 126 and 127.
    """

    __slots__ = ("cwd", "env", "program")

    kind = "find-program"
    stage = "process"

    def __init__(self, program: str, env: list[str], cwd: str) -> None:
        super().__init__("/process/args/0", f'exec: "{program}"')
        self.program = program
        self.env = env
        self.cwd = cwd

    def describe(self) -> str:
        return f"find the program {self.program}"

    def operands(self) -> dict[str, object]:
        return {"program": self.program, "cwd": self.cwd}

    def execute(self, run: Run) -> None:
        kernel, root = run.inner, run.inside().root
        answers: dict[str, Answer] = {}
        for path in candidates(self.program, self.env):
            answers[path] = answer = Answer()
            full = path if path.startswith("/") else f"{self.cwd}/{path}"
            every = (p.EVERY_ERRNO,)
            kernel.queue(p.PROGRAM, root, os.fsencode(full), tolerated=every, answer=answer)
        kernel.carry_out()
        run.candidates = [path for path, answer in answers.items() if not answer.number]
        if run.candidates:
            return
        unfit = [path for path, answer in answers.items() if answer.number != errno.ENOENT]
        path = unfit[0] if unfit else self.program
        problem = problem_words(answers[path].number) if path in answers else MISSING
        raise no_program(self.program, path, problem)


MISSING = "no such file or directory"


def problem_words(number: int) -> str:
    """Why a path cannot be executed, for the errno of it."""
    return {
        errno.ENOENT: MISSING,
        errno.ENOTDIR: "not a directory",
        errno.ELOOP: "too many levels of symbolic links",
        # Both of the words that docker's clients have looked for to say 126.
        errno.EISDIR: "is a directory: permission denied",
    }.get(number, os.strerror(number).lower())


def no_program(program: str, path: str, problem: str) -> OciError:
    """The error for a program that cannot be executed: ``path`` is what was tried, and ``problem``
    what is wrong with it.
    """
    if "/" in program:
        place = f"stat {program}: " if problem == MISSING else ""
        return OciError(f'exec: "{program}": {place}{problem}')
    # What $PATH leads to and cannot be executed counts as not found, as with runc.
    hint = "" if problem == MISSING else f"; {path} cannot be executed"
    return OciError(f'exec: "{program}": executable file not found in $PATH{hint}')


def candidates(program: str, env: list[str]) -> list[str]:
    """Where execvp(3) would look for ``program`` with this environment."""
    if not program:
        return []
    if "/" in program:
        return [program]
    for entry in reversed(env):
        if entry.startswith("PATH="):
            # An empty entry means the working directory; Go and POSIX agree.
            return ["/".join([place or ".", program]) for place in entry[5:].split(":")]
    return []
