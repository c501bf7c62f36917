"""The only place that touches the system: one ``Kernel`` object, one method per syscall."""
