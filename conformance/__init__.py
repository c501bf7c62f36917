"""A conformance suite for OCI runtimes: any binary, against runtime-spec 1.3.0, by sentence.

It knows nothing of the runtime in the same repository: it builds its bundles itself and drives a
runtime through its command line only. Needs Python 3.11 or newer, a static busybox, and root.
"""

SPEC_VERSION = "1.3.0"
SPEC_URL = "https://github.com/opencontainers/runtime-spec/blob/v1.3.0/"
