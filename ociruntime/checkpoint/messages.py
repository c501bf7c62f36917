"""The messages of CRIU's RPC that are used here, by the names of its rpc.proto (proto2)."""

from __future__ import annotations

from ociruntime.protobuf import BOOL, INT, STRING, UINT, Message, Proto2Message

# criu_req_type
DUMP, RESTORE, PRE_DUMP, NOTIFY, FEATURE_CHECK, VERSION = 1, 2, 4, 6, 9, 10
# criu_cg_mode, by the words of --manage-cgroups-mode
CGROUP_MODES = {"ignore": 0, "soft": 3, "full": 4, "strict": 5}
# criu_network_lock_method, by CRIU's own words
NETWORK_LOCKS = {"iptables": 1, "nftables": 2, "skip": 3}

PAGE_SERVER = Proto2Message(address=(1, STRING), port=(2, INT))
EXTERNAL_MOUNT = Proto2Message(key=(1, STRING), val=(2, STRING))
JOIN_NAMESPACE = Proto2Message(ns=(1, STRING), ns_file=(2, STRING))
INHERIT_FD = Proto2Message(key=(1, STRING), fd=(2, INT))
CGROUP_ROOT = Proto2Message(ctrl=(1, STRING), path=(2, STRING))

OPTIONS = Proto2Message(
    images_dir_fd=(1, INT),
    pid=(2, INT),
    leave_running=(3, BOOL),
    ext_unix_sk=(4, BOOL),
    tcp_established=(5, BOOL),
    evasive_devices=(6, BOOL),
    shell_job=(7, BOOL),
    file_locks=(8, BOOL),
    log_level=(9, INT),
    log_file=(10, STRING),
    ps=(11, PAGE_SERVER),
    notify_scripts=(12, BOOL),
    root=(13, STRING),
    parent_img=(14, STRING),
    track_mem=(15, BOOL),
    auto_dedup=(16, BOOL),
    work_dir_fd=(17, INT),
    link_remap=(18, BOOL),
    ext_mnt=(23, [EXTERNAL_MOUNT]),
    manage_cgroups=(24, BOOL),
    cg_root=(25, [CGROUP_ROOT]),
    rst_sibling=(26, BOOL),
    inherit_fd=(27, [INHERIT_FD]),
    manage_cgroups_mode=(34, INT),
    external=(37, [STRING]),
    empty_ns=(38, UINT),
    join_ns=(39, [JOIN_NAMESPACE]),
    cgroup_dump_controller=(43, [STRING]),
    freeze_cgroup=(44, STRING),
    tcp_skip_in_flight=(46, BOOL),
    lazy_pages=(48, BOOL),
    status_fd=(49, INT),
    orphan_pts_master=(50, BOOL),
    config_file=(51, STRING),
    tcp_close=(52, BOOL),
    lsm_profile=(53, STRING),
    lsm_mount_context=(63, STRING),
    network_lock=(64, INT),
    skip_file_rwx_check=(66, BOOL),
)
FEATURES = Proto2Message(mem_track=(1, BOOL), lazy_pages=(2, BOOL))
REQUEST = Proto2Message(
    type=(1, INT),
    opts=(2, OPTIONS),
    notify_success=(3, BOOL),
    keep_open=(4, BOOL),
    features=(5, FEATURES),
)

RESPONSE = Message(
    type=(1, INT),
    success=(2, BOOL),
    dump=(3, Message(restored=(1, BOOL))),
    restore=(4, Message(pid=(1, INT))),
    notify=(5, Message(script=(1, STRING), pid=(2, INT))),
    cr_errno=(7, INT),
    features=(8, FEATURES),
    cr_errmsg=(9, STRING),
    version=(10, Message(major=(1, INT), minor=(2, INT), sublevel=(4, INT))),
)
