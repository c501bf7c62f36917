"""System call filters without loading one."""
