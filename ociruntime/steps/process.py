"""What the container's process is given before it becomes oci-init: session, keyring, directory,
program.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import components
from ociruntime.plan.step import ContainerStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.inroot import InRoot
    from ociruntime.process.run import Run

PASSWD_LIMIT = 1 << 20
DEFAULT_HOME = "/"


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
        run.kernel.setsid()


class NewKeyring(ContainerStep):
    """A session keyring of its own, so that no key of the caller is reachable (keyctl(2),
    security.md 2.7).

    The owner may search it afterwards; kernels without keyrings, and profiles that forbid them, are
    tolerated.
    """

    __slots__ = ("name",)

    kind = "new-keyring"
    stage = "process"

    # keyctl_setperm(3): the possessor keeps all, the user may view, read and search.
    USER_VIEW_READ_SEARCH = 0x000B0000

    def __init__(self, container_id: str) -> None:
        super().__init__("", "session keyring")
        self.name = f"_ses.{container_id}"

    def describe(self) -> str:
        return f"join a new session keyring {self.name}"

    def execute(self, run: Run) -> None:
        kernel = run.kernel
        try:
            key = kernel.join_session_keyring(self.name)
            permissions = kernel.key_permissions(key) | self.USER_VIEW_READ_SEARCH
            kernel.set_key_permissions(key, permissions)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
            run.warnings.append(f"no session keyring of its own: {error.strerror}")

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
        try:
            run.kernel.close(run.inside().directory(self.path))
        except PermissionError as error:
            # It leads through a file system that serves its owner only (NFS, FUSE): if it is there,
            # the process itself will get there.
            if error.errno != errno.EACCES:
                raise

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
        kernel = run.kernel
        run.cwd = self.path
        try:
            self._enter(run)
        except PermissionError as error:
            if error.errno != errno.EACCES:
                raise
            run.away = True
            return
        if not kernel.getcwd().startswith("/"):
            raise outside(self)

    def _enter(self, run: Run) -> None:
        fd = run.inside().open(self.path, c.O_PATH | c.O_DIRECTORY)
        try:
            run.kernel.fchdir(fd)
        finally:
            run.kernel.close(fd)

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
            run.environment.append("HOME=" + home_of(run.inside(), self.uid))


def home_of(inroot: InRoot, uid: int) -> str:
    """The home directory of ``uid`` in the container's /etc/passwd, ``/`` when it has none."""
    kernel = inroot.kernel
    try:
        fd = inroot.open("/etc/passwd", c.O_PATH)
    except OSError:
        return DEFAULT_HOME
    try:
        if kernel.stat(fd).kind != c.S_IFREG:
            return DEFAULT_HOME
        text = inroot.open("/etc/passwd", c.O_RDONLY | c.O_NONBLOCK | c.O_NOCTTY)
    except OSError:
        return DEFAULT_HOME
    finally:
        kernel.close(fd)
    try:
        if kernel.stat(text).kind != c.S_IFREG:
            return DEFAULT_HOME
        lines = kernel.read_whole(text, PASSWD_LIMIT).split(b"\n")
    finally:
        kernel.close(text)
    wanted = str(uid).encode()
    for line in lines:
        fields = line.split(b":")
        if len(fields) >= 6 and fields[2] == wanted and fields[5] and b"\0" not in fields[5]:
            return os.fsdecode(fields[5])
    return DEFAULT_HOME


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
        problems: dict[str, str] = {}
        for path in candidates(self.program, self.env):
            problems[path] = self._problem(run, path)
        run.candidates = [path for path, problem in problems.items() if not problem]
        if run.candidates:
            return
        unfit = [path for path in problems if problems[path] != MISSING]
        path = unfit[0] if unfit else self.program
        raise no_program(self.program, path, problems.get(path, MISSING))

    def _problem(self, run: Run, path: str) -> str:
        full = path if path.startswith("/") else f"{self.cwd}/{path}"
        try:
            fd = run.inside().find(full)
        except OSError as error:
            return problem_words(error.errno or 0)
        stat = run.kernel.stat(fd)
        run.kernel.close(fd)
        if stat.kind == c.S_IFDIR:
            return problem_words(errno.EISDIR)
        return "" if stat.mode & 0o111 else problem_words(errno.EACCES)


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


def normal(path: str) -> str:
    """``path`` as an absolute path without empty components and ``.``."""
    return "/" + "/".join(components(path))
