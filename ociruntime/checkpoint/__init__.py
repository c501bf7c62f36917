"""checkpoint and restore: the container's processes go into files, and come back from them, by the
hand of CRIU (criu.org), which is asked over its RPC.

    messages.py    what is said to CRIU
    program.py     finding it, starting it, talking to it
    options.py     what the command line can ask for
    externals.py   the mounts that CRIU is given, and does not make
    directory.py   the image and work directories, hostile as they may be
    dump.py        checkpoint
    plan.py        the plan of restore, and its steps in restore.py, stage.py and verify.py

No command but these two imports anything of it.
"""
