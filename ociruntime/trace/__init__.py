"""What every step of a command cost: ``--trace FILE`` and ``ociruntime trace FILE``.

    session     one traced command: where its records go, and the file that is made of them
    probes      which functions are spans, and how they become so
    steps       spans of a plan's steps, on both sides
    times       what oci-init tells of its stages
    document    the trace as JSON (schemas/trace.json), which Perfetto and Chrome open
    chart       a trace file as rows on one clock
    text, svg   the two drawings of them

Nothing here is imported without --trace, and no module of the hot path has a line for it: a traced
command replaces the functions to be watched before it begins (``probes``). All moments are
nanoseconds of CLOCK_MONOTONIC as the host sees it; processes in a time namespace are corrected.
"""
