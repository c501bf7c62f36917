"""Proofs for native/: the system call module, the launcher and oci-init."""
