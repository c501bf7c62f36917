#!/bin/sh
# apt 2.6.2 (Debian 12): FILE:NUMBER of a source is a line in one format and a stanza in the other.
#
# `apt-get indextargets` says with $(SOURCESENTRY) where a source is written down. For a one-line
# source the number is that of the line, for deb822 that of the stanza; nothing in the output says
# which. It matters to who wants the entry itself: Signed-By is no field of indextargets.
#
# Seen: for the second source, which begins in line 6 of both files: `.list:6` and `.sources:2`.
. "$(dirname "$0")/lib.sh"
debian apt=2.6.2 libapt-pkg6.0=2.6.2
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
expect "version" "$("$root/usr/bin/apt-get" --version | sed -n '1s/ (.*//p')" "apt 2.6.2"
arch=$(dpkg --print-architecture)
mkdir -p "$work/etc/sources.list.d" "$work/etc/apt.conf.d" "$work/state/lists/partial"
: >"$work/state/status"
cat >"$work/apt.conf" <<CONF
Dir::Etc "$work/etc"; Dir::State "$work/state"; Dir::State::status "$work/state/status";
Dir::Cache "$work/cache";
CONF
# What apt has fetched, or it tells of nothing.
for suite in one two; do : >"$work/state/lists/mirror.invalid_d_dists_${suite}_main_binary-${arch}_Packages"; done
entries() {
    APT_CONFIG=$work/apt.conf "$root/usr/bin/apt-get" indextargets --format '$(RELEASE) $(SOURCESENTRY)' \
        'Created-By: Packages' | sed -n 's,^two .*/,,p'
}
sources=$work/etc/sources.list.d
printf 'deb http://mirror.invalid/d one main\n\n\n\n\ndeb http://mirror.invalid/d two main\n' >"$sources/a.list"
expect "one line a source" "$(entries)" a.list:6
rm "$sources/a.list"
stanza='Types: deb\nURIs: http://mirror.invalid/d\nSuites: %s\nComponents: main\n'
# shellcheck disable=SC2059
printf "$stanza\n$stanza" one two >"$sources/a.sources"
expect "deb822" "$(entries)" a.sources:2
finish
