#!/bin/sh
# CNI plugins 1.1.1 (Debian 12), host-device: the device comes back, and its alias is its name.
#
# A device's alias (`ip link set dev eth7 alias "uplink, rack 7"`) is free text that inventories and
# SNMP (ifAlias) show. This plugin moves a device of the host into the container, calls it eth0 there,
# and has to know at DEL what it was called. It keeps nothing on disk: the alias is its memory. What
# was in it is gone after ADD, also where both names are the same, and DEL leaves there what ADD has
# written. No result and no message mentions it.
#
# Seen: `rack 7` before ADD; `dev7` in the container, and `dev7` after DEL, when all else is undone.
. "$(dirname "$0")/lib.sh"
needs_root "network namespaces"
debian containernetworking-plugins=1.1.1+ds1-3+b5
cat >"$work/look.py" <<'PYTHON'
import json
import os
import subprocess
import sys

plugin = sys.argv[1]


def alias(pid, name):
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-j", "link", "show", name]
    found = subprocess.run(command, check=True, capture_output=True).stdout
    return json.loads(found)[0].get("ifalias", "none")


def call(command, pid, name):
    subprocess.run(
        [plugin],
        check=True,
        stdout=subprocess.DEVNULL,
        input=b'{"cniVersion": "1.0.0", "name": "net", "type": "host-device", "device": "dev7"}',
        env={
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "one",
            "CNI_NETNS": f"/proc/{pid}/ns/net",
            "CNI_IFNAME": name,
            "CNI_PATH": os.path.dirname(plugin),
        },
    )


here = os.getpid()
holder = subprocess.Popen(
    ["unshare", "--net", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE
)
there = holder.pid
holder.stdout.readline()
try:
    subprocess.run(["ip", "link", "add", "dev7", "type", "veth", "peer", "name", "peer7"], check=True)
    for name in ("eth0", "dev7"):
        subprocess.run(["ip", "link", "set", "dev7", "alias", "rack 7"], check=True)
        seen = [alias(here, "dev7")]
        call("ADD", there, name)
        seen.append(alias(there, name))
        call("DEL", there, name)
        seen.append(alias(here, "dev7"))
        print(", ".join(seen))
finally:
    holder.kill()
    holder.wait()
PYTHON
out=$(unshare --net /usr/bin/python3 "$work/look.py" "$root/usr/lib/cni/host-device")
expect "as eth0: before, in the container, after" "$(echo "$out" | sed -n 1p)" "rack 7, dev7, dev7"
expect "as dev7: before, in the container, after" "$(echo "$out" | sed -n 2p)" "rack 7, dev7, dev7"
finish
