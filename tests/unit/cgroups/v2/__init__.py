"""Control groups without root: pure functions, groups on a directory that plays cgroupfs."""
