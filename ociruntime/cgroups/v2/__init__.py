"""cgroup v2, the unified hierarchy: of a v2 host, and of a hybrid one."""
