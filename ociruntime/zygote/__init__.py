"""The zygote: a small single-threaded process that does the forking for programs that cannot.

A program with threads, an event loop or much memory must not fork and enter namespaces. It starts
one zygote (the sealed launcher with all modules of the hot path loaded), and sends it requests. The
zygote forks children for them, so a failing one harms nothing (one that has served a request well
serves another), and it is the child subreaper: the containers' processes become its own, and it
tells when and how each of them ended.

    program --request--> zygote --fork--> child: carries out a request, reports, waits for another
            <--reply----        <-report-   |
            <--exit-----        <-reparent- '--oci-setup--> init of a container

``client.Client`` is the program's end. It needs no thread and never blocks unless asked to:

    client = Client.spawn()                executes the launcher; safe in a threaded program
    client.fileno()                        readable when ``receive`` has something
    number = client.send(operation, parameters, fds)
    for message in client.receive(): ...   Reply or Exit, oldest first; raises ``ZygoteGone``
    reply = client.call(operation, parameters, fds)
                                           send, and wait for that reply; other messages are kept
                                           for ``receive``. Raises the ``OciError`` of the operation
    client.close()                         the zygote ends after the requests that it works on

``parameters`` is a dict of JSON values, ``fds`` a dict of descriptors that stay the caller's:
``stdin``, ``stdout``, ``stderr`` (/dev/null where they are missing), ``console`` (a connected
stream socket that gets the terminal's master by SCM_RIGHTS), ``preserve0``, ``preserve1``, ... (the
process's descriptors from 3 on). Paths are absolute. ``root`` is the state directory (--root) and
``id`` the container:

    create   root id bundle [config console_socket pid_file pidfd_socket pivot new_keyring
             cgroup_manager]                       {"pid": N, "warnings": [...]}, fd pidfd
    start    root id                               {"warnings": [...]}
    run      as create; create and start in one    {"pid": N, "warnings": [...]}, fd pidfd
    exec     root id [process changes env console_socket pid_file pidfd_socket ignore_paused
             cgroups]; ``process`` as in           {"pid": N, "warnings": [...]}, fd pidfd
             config.json, else the container's
             own; ``changes`` replace its members,
             ``env`` is added, ``cgroups`` are the
             values of --cgroup
    state    root id                               the state document, plus "warnings"
    kill     root id signal [all]                  {"warnings": []}; ``signal`` is a number
    delete   root id [force]                       {"warnings": [...]}
    pause, resume   root id                        {"warnings": []}
    update   root id resources                     {"warnings": [...]}; as linux.resources
    command  arguments                             {"status": N}: any command line of ociruntime,
             global options included, on the given standard streams (``ps``, ``update``, ...)

A ``Reply`` has ``number``, ``result`` (a dict, None when it failed), ``fds`` (now the caller's) and
``error`` (an exception of ``ociruntime.errors``: ``NotFound``, ``StepError``, ...). An ``Exit`` has
``number`` (of the create, run or exec request that made the process), ``pid``, ``code`` (exit
status, 128 + n for signal n), ``signal`` (0 unless it was killed) and ``time`` (nanoseconds since
the epoch).

Guaranteed: a process's Exit comes after the Reply with its pid, exactly once, and the number is not
reused by the kernel before the Exit was sent (only the pidfd is safe for ever); processes of which
no Reply told (orphans of the containers) are reaped silently; replies come in the order in which
the operations end; operations on one container exclude each other by its lock; the zygote ignores
signals meant for the program's terminal; when the program dies the zygote ends and the containers
stay, as after ``ociruntime run --detach``.

Security: the zygote runs from a sealed memfd (CVE-2019-5736), is not dumpable, and has no
descriptor that a child could inherit into a container: the child closes everything but its own
before it works. A request is decoded in the child only and wiped from the zygote's memory, which
every child has a copy of; no container's process has one of either.
"""
