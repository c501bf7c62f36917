"""System call filters (config-linux.md#seccomp, seccomp(2)).

    profile   what a config asks for: flags, listener, key of the program   each create and exec
    cache     compiled programs under --root                                each create and exec
    listener  handing notifications to the agent                            SCMP_ACT_NOTIFY
    compiler  profile to program: libseccomp, prelude, bpf, newer           once a profile

Only the first two are imported when the program is in the cache.
"""
