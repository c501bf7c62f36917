"""The operations of the specification (runtime.md#operations), one file each; the command line is a
thin layer above.
"""
