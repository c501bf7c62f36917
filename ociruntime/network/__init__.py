"""Networks for containers by way of hooks and CNI (docs/networking.md).

The runtime itself leaves networking to hooks (config.md, "POSIX-platform Hooks"). Here are the
programs it can call: ``ociruntime-net``, a hook that executes CNI network configurations, and
two plugins for hosts without any, ``ociruntime-bridge`` and ``ociruntime-ipam``. None of it is
imported by the verbs that make containers.
"""
