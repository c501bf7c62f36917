"""What the zygote of the library and the daemon of the shim both are: one process with one thread
that serves many requests, with a forked child for each that has to change or enter something.

    loop.py     one epoll: callbacks for descriptors, timers, and coroutines
    exits.py    the ends of all processes below it, told to whoever announced a process
    worker.py   the child: forked with every module loaded, with its own descriptors and no others

How requests come in and answers go out is not here: packets of one program with descriptors beside
them (``zygote``), or ttrpc from many clients (``shim``).
"""
