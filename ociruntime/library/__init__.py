"""What ``ociruntime.api`` is made of: one file per subject. Programs import from there."""
