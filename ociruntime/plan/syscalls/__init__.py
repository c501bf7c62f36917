"""The system calls of a container's side, as they will be made: ``plan --syscalls``.

``foretell`` compiles the steps of a plan and makes none of their calls, ``decode`` reads what was
compiled, ``primitives`` has the calls of operations that are more than one, ``notation`` the
operands in words, ``entering`` and ``becoming`` tell of ``exec``; ``tell`` makes text and JSON.
"""
