"""The messages of containerd that the shim reads and writes, by the names of their .proto files
(api/runtime/task/v2, api/events, api/types, ttrpc; v3 of the task service has the same ones).
"""

from __future__ import annotations

from ociruntime.protobuf import BOOL, BYTES, INT, STRING, TEXTS, UINT, Message

ANY = Message(type_url=(1, STRING), value=(2, BYTES))
TIMESTAMP = Message(seconds=(1, INT), nanos=(2, INT))
MOUNT = Message(type=(1, STRING), source=(2, STRING), target=(3, STRING), options=(4, [STRING]))
EMPTY = Message()

# ttrpc
KEY_VALUE = Message(key=(1, STRING), value=(2, STRING))
REQUEST = Message(
    service=(1, STRING),
    method=(2, STRING),
    payload=(3, BYTES),
    timeout_nano=(4, INT),
    metadata=(5, [KEY_VALUE]),
)
STATUS = Message(code=(1, INT), message=(2, STRING), details=(3, [ANY]))
RESPONSE = Message(status=(1, STATUS), payload=(2, BYTES))

# the task service
PROCESS_KEY = Message(id=(1, STRING), exec_id=(2, STRING))
CREATE = Message(
    id=(1, STRING),
    bundle=(2, STRING),
    rootfs=(3, [MOUNT]),
    terminal=(4, BOOL),
    stdin=(5, STRING),
    stdout=(6, STRING),
    stderr=(7, STRING),
    checkpoint=(8, STRING),
    parent_checkpoint=(9, STRING),
    options=(10, ANY),
)
PID = Message(pid=(1, UINT))
CHECKPOINT = Message(id=(1, STRING), path=(2, STRING), options=(3, ANY))
STATE = Message(
    id=(1, STRING),
    bundle=(2, STRING),
    pid=(3, UINT),
    status=(4, INT),
    stdin=(5, STRING),
    stdout=(6, STRING),
    stderr=(7, STRING),
    terminal=(8, BOOL),
    exit_status=(9, UINT),
    exited_at=(10, TIMESTAMP),
    exec_id=(11, STRING),
)
DELETE_RESPONSE = Message(pid=(1, UINT), exit_status=(2, UINT), exited_at=(3, TIMESTAMP))
EXEC = Message(
    id=(1, STRING),
    exec_id=(2, STRING),
    terminal=(3, BOOL),
    stdin=(4, STRING),
    stdout=(5, STRING),
    stderr=(6, STRING),
    spec=(7, ANY),
)
RESIZE_PTY = Message(id=(1, STRING), exec_id=(2, STRING), width=(3, UINT), height=(4, UINT))
CLOSE_IO = Message(id=(1, STRING), exec_id=(2, STRING), stdin=(3, BOOL))
KILL = Message(id=(1, STRING), exec_id=(2, STRING), signal=(3, UINT), all=(4, BOOL))
PROCESS_INFO = Message(pid=(1, UINT), info=(2, ANY))
PIDS_RESPONSE = Message(processes=(1, [PROCESS_INFO]))
PROCESS_DETAILS = Message(exec_id=(1, STRING))
UPDATE = Message(id=(1, STRING), resources=(2, ANY), annotations=(3, TEXTS))
WAIT_RESPONSE = Message(exit_status=(1, UINT), exited_at=(2, TIMESTAMP))
STATS_RESPONSE = Message(stats=(1, ANY))
CONNECT_RESPONSE = Message(shim_pid=(1, UINT), task_pid=(2, UINT), version=(3, STRING))
SHUTDOWN = Message(id=(1, STRING), now=(2, BOOL))

# options
RUNC_OPTIONS_URL = "containerd.runc.v1.Options"
RUNC_OPTIONS = Message(
    no_pivot_root=(1, BOOL),
    no_new_keyring=(2, BOOL),
    shim_cgroup=(3, STRING),
    io_uid=(4, UINT),
    io_gid=(5, UINT),
    binary_name=(6, STRING),
    root=(7, STRING),
    criu_path=(8, STRING),
    systemd_cgroup=(9, BOOL),
    criu_image_path=(10, STRING),
    criu_work_path=(11, STRING),
    task_api_address=(12, STRING),
    task_api_version=(13, UINT),
)
# What containerd's own client sends to any runtime but runc, for the owner of stdio and a few more.
OLD_OPTIONS_URL = "containerd.linux.runc.CreateOptions"
OLD_OPTIONS = Message(
    no_pivot_root=(1, BOOL),
    no_new_keyring=(8, BOOL),
    shim_cgroup=(9, STRING),
    io_uid=(10, UINT),
    io_gid=(11, UINT),
)
CRI_OPTIONS_URL = "runtimeoptions.v1.Options"
CRI_OPTIONS = Message(type_url=(1, STRING), config_path=(2, STRING), config_body=(3, BYTES))
PROCESS_DETAILS_URL = "containerd.runc.v1.ProcessDetails"

# start and -info (containerd 2.3: api/bootstrap; api/types/introspection.proto)
EXTENSION = Message(value=(1, ANY))
BOOTSTRAP = Message(
    instance_id=(1, STRING),
    namespace=(2, STRING),
    log_level=(3, INT),
    containerd_version=(4, STRING),
    containerd_ttrpc_address=(5, STRING),
    containerd_grpc_address=(6, STRING),
    containerd_binary=(7, STRING),
    extensions=(8, [EXTENSION]),
    socket_dir=(9, STRING),
)
RUNTIME_VERSION = Message(version=(1, STRING), revision=(2, STRING))
RUNTIME_INFO = Message(
    name=(1, STRING),
    version=(2, RUNTIME_VERSION),
    options=(3, ANY),
    features=(4, ANY),
    annotations=(5, TEXTS),
)

# events
TASK_IO = Message(stdin=(1, STRING), stdout=(2, STRING), stderr=(3, STRING), terminal=(4, BOOL))
TASK_CREATE = Message(
    container_id=(1, STRING),
    bundle=(2, STRING),
    rootfs=(3, [MOUNT]),
    io=(4, TASK_IO),
    checkpoint=(5, STRING),
    pid=(6, UINT),
)
TASK_START = Message(container_id=(1, STRING), pid=(2, UINT))
TASK_EXIT = Message(
    container_id=(1, STRING),
    id=(2, STRING),
    pid=(3, UINT),
    exit_status=(4, UINT),
    exited_at=(5, TIMESTAMP),
)
TASK_DELETE = Message(
    container_id=(1, STRING),
    pid=(2, UINT),
    exit_status=(3, UINT),
    exited_at=(4, TIMESTAMP),
    id=(5, STRING),
)
TASK_EXEC_ADDED = Message(container_id=(1, STRING), exec_id=(2, STRING))
TASK_EXEC_STARTED = Message(container_id=(1, STRING), exec_id=(2, STRING), pid=(3, UINT))
TASK_ID = Message(container_id=(1, STRING))
TASK_CHECKPOINTED = Message(container_id=(1, STRING), checkpoint=(2, STRING))
ENVELOPE = Message(
    timestamp=(1, TIMESTAMP), namespace=(2, STRING), topic=(3, STRING), event=(4, ANY)
)
FORWARD = Message(envelope=(1, ENVELOPE))


def timestamp(nanoseconds: int) -> dict[str, int] | None:
    """A Timestamp from nanoseconds since the epoch; none for 0."""
    if not nanoseconds:
        return None
    seconds, nanos = divmod(nanoseconds, 1_000_000_000)
    return {"seconds": seconds, "nanos": nanos}
