"""containerd's runtime v2 shim, `io.containerd.ociruntime.v1` (docs/shim.md).

    containerd --exec--> bootstrap  binds the socket, forks the daemon, prints the address, ends
                         daemon     one process per pod, one thread, one epoll (resident)
                          |- ttrpc.py, service.py   requests: the Task service of containerd
                          |- stdio.py, terminal.py  fifos <-> pipes and terminals of containers
                          |- lifetimes.py, oom.py   what happens to containers by itself
                          |- events.py              what containerd is told about it
                          +- worker.py --fork-->    one short child for each create, start, exec
                                                    and delete, with every module loaded already

A daemon of many pods (shared.py) has a process above it, the keeper (keeper.py), and writes down
what a successor needs (journal.py, records.py): kill it, and that one goes on (succession.py).

The daemon never starts an interpreter again: a worker is a fork of it that runs the functions of
``ociruntime.lifecycle`` as the command line does. It has no threads, so it may fork at any moment.
"""
