"""Where systemd makes the cgroup: its units, their properties, its D-Bus (docs/cgroups.md)."""
