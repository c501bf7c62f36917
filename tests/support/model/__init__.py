"""A kernel and oci-setup in Python, for tests: a plan carried out on them needs no privileges and
changes nothing.

    recorder      the double of ``Kernel``: records calls, makes them fail, tells what would be left
    calls         what each call does to the model
    files         its filesystems, mounts and inodes
    process       its processes and their descriptors
    emulator      oci-setup on it: programs carried out at once
    operations    what each operation of oci-setup does
    places        its walks in a rootfs
"""
