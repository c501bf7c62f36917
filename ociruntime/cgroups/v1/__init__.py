"""cgroup v1: a hierarchy for each controller, and what a hybrid host has beside them."""
