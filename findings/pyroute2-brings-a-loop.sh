#!/bin/sh
# pyroute2 0.9.7: its synchronous IPRoute works everywhere but in a function that asyncio has called.
#
# Since 0.9 the synchronous classes are the asynchronous ones with an event loop of their own, which
# they run to the end of each request. A thread has one running loop: under asyncio.run(), pytest's
# asyncio plugins, a web server, `IPRoute()` raises before it has sent anything, although the caller's
# function is an ordinary one that awaits nothing, and the same lines work in a thread and in a fork.
# The message is asyncio's and says whose loop it is neither; a coroutine is left that nobody awaits.
#
# Seen: `lo` outside, in a thread of a coroutine's program; RuntimeError, "This event loop is already
# running", in the coroutine.
. "$(dirname "$0")/lib.sh"
pypi pyroute2==0.9.7
out=$("$python" -W ignore - <<'PYTHON'
import asyncio

from pyroute2 import IPRoute


def first():
    """The name of the first interface, or why there is none."""
    try:
        with IPRoute() as route:
            return route.get_links()[0].get("ifname")
    except RuntimeError as error:
        return f"RuntimeError: {error}"


async def main():
    print(first())
    print(await asyncio.to_thread(first))


print(first())
asyncio.run(main())
PYTHON
)
expect "outside" "$(echo "$out" | sed -n 1p)" lo
expect "called by a coroutine" "$(echo "$out" | sed -n 2p)" \
    "RuntimeError: This event loop is already running"
expect "in a thread beside it" "$(echo "$out" | sed -n 3p)" lo
finish
