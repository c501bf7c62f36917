"""The test harness: throw-away bundles, a runtime under test, canaries, probes and the leak check.

Nothing here imports the runtime's own package, so that every test built on it runs against any
OCI runtime binary (`pytest --runtime PATH`).
"""
