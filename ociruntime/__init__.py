"""ociruntime: an OCI low-level container runtime.

A bundle is turned into a validated spec, the spec into a plan, and the plan is executed against the
kernel (docs/architecture.md). Nothing is imported here: start-up time is a feature.
"""

__version__ = "0.1.0"
SPEC_VERSION = "1.3.0"
