#!/bin/sh
# The program in the container, one verb each:
#
#   probe report NAME...    what this process is, one "NAME: VALUE" a line (see below)
#   probe cat PATH          the file's content, or "error" and the reason
#   probe write PATH TEXT   writes, and says "written" or "error" and the reason
#   probe sleep             until the container is killed
#   probe signals FILE      writes "ready" to FILE, then the name of each signal that comes
verb=$1
shift
case $verb in
report)
	for name; do
		printf '%s: ' "$name"
		case $name in
		args) printf '%s ' "$0" "$@" && echo ;;
		cwd) pwd ;;
		host) hostname ;;
		domain) cat /proc/sys/kernel/domainname ;;
		umask) umask ;;
		uid) id -u ;;
		gid) id -g ;;
		groups) id -G ;;
		machine) uname -m ;;
		tty) tty ;;
		ns/*) readlink "/proc/self/$name" ;;
		*) eval "echo \"\$$name\"" ;;
		esac
	done
	;;
cat)
	cat "$1" 2>&1 || echo "error: $1"
	;;
write)
	if message=$( (echo "$2" >"$1") 2>&1); then
		echo written
	else
		echo "error: $message"
	fi
	;;
sleep)
	exec sleep 600
	;;
signals)
	file=$1
	for name in HUP USR1 USR2 ALRM TERM WINCH; do
		trap "echo $name >>$file" "$name"
	done
	echo ready >"$file"
	while :; do
		sleep 0.02
	done
	;;
esac
