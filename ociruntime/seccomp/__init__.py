"""System call filters (config-linux.md#seccomp, seccomp(2)).

    profile   what a config asks for: flags, listener, the key of its program     every create, exec
    cache     compiled programs under --root                                       every create, exec
    listener  handing notifications to the agent                                   SCMP_ACT_NOTIFY
    compiler  profile to program, with libseccomp, prelude, bpf and newer          once a profile

Only the first two are imported when the program is in the cache.
"""
