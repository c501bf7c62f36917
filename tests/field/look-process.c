/* Identity, attributes, signals, session and descriptors of the process: see look.c. */
#define _GNU_SOURCE
#include "look.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

static void capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	unsigned long long bounding = 0, ambient = 0;
	char word[64];

	memset(data, 0, sizeof data);
	syscall(SYS_capget, &header, data);
	for (int i = 0; i < 64; i++) {
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			bounding |= 1ULL << i;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
			ambient |= 1ULL << i;
	}
	begin("capabilities", '{');
	snprintf(word, sizeof word, "%08x%08x", data[1].effective, data[0].effective);
	text("effective", word);
	snprintf(word, sizeof word, "%08x%08x", data[1].permitted, data[0].permitted);
	text("permitted", word);
	snprintf(word, sizeof word, "%08x%08x", data[1].inheritable, data[0].inheritable);
	text("inheritable", word);
	snprintf(word, sizeof word, "%016llx", bounding);
	text("bounding", word);
	snprintf(word, sizeof word, "%016llx", ambient);
	text("ambient", word);
	end('}');
}

void look_identity(void)
{
	unsigned r, e, s;
	char word[64];
	gid_t groups[256];
	int count = getgroups(256, groups);

	getresuid(&r, &e, &s);
	snprintf(word, sizeof word, "%u %u %u", r, e, s);
	text("uids", word);
	getresgid(&r, &e, &s);
	snprintf(word, sizeof word, "%u %u %u", r, e, s);
	text("gids", word);
	begin("groups", '[');
	for (int i = 0; i < count; i++) {
		snprintf(word, sizeof word, "%u", groups[i]);
		element(word);
	}
	end(']');
	capabilities();
	begin("namespaces", '{');
	for (const char *const *kind = (const char *const[]){"cgroup", "ipc", "mnt", "net", "pid",
							     "time", "user", "uts", NULL};
	     *kind; kind++) {
		char path[64], link[64] = "";

		snprintf(path, sizeof path, "/proc/self/ns/%s", *kind);
		if (readlink(path, link, sizeof link - 1) < 0)
			result(*kind, -1);
		else
			text(*kind, link);
	}
	end('}');
}

static void limits(void)
{
	char name[16], word[64];

	begin("rlimits", '{');
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit limit = {0, 0};

		getrlimit(i, &limit);
		snprintf(name, sizeof name, "%d", i);
		snprintf(word, sizeof word, "%lld %lld", (long long)limit.rlim_cur,
			 (long long)limit.rlim_max);
		text(name, word);
	}
	end('}');
}

void look_attributes(void)
{
	char word[4096] = "";
	cpu_set_t *cpus = CPU_ALLOC(4096);
	size_t size = CPU_ALLOC_SIZE(4096);
	struct sched_param param = {0};
	mode_t mask = umask(0);
	int mode = -1, value = 0;
	unsigned long nodes = 0;

	umask(mask);
	snprintf(word, sizeof word, "%04o", mask);
	text("umask", word);
	if (syscall(SYS_getcwd, word, sizeof word) < 0)
		result("cwd", -1);
	else
		text("cwd", word);
	CPU_ZERO_S(size, cpus);
	sched_getaffinity(0, size, cpus);
	begin("affinity", '[');
	for (int i = 0; i < 4096; i++)
		if (CPU_ISSET_S(i, size, cpus)) {
			snprintf(word, sizeof word, "%d", i);
			element(word);
		}
	end(']');
	limits();
	begin("attributes", '{');
	result("nice", getpriority(PRIO_PROCESS, 0));
	result("policy", sched_getscheduler(0));
	sched_getparam(0, &param);
	number("priority", param.sched_priority);
	result("ioprio", syscall(SYS_ioprio_get, 1, 0));
	result("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	result("dumpable", prctl(PR_GET_DUMPABLE));
	result("keepcaps", prctl(PR_GET_KEEPCAPS));
	result("securebits", prctl(PR_GET_SECUREBITS));
	prctl(PR_GET_PDEATHSIG, &value);
	number("pdeathsig", value);
	value = 0;
	prctl(PR_GET_CHILD_SUBREAPER, &value);
	number("subreaper", value);
	result("timerslack", prctl(PR_GET_TIMERSLACK));
	result("thp_disable", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	result("speculation", prctl(PR_GET_SPECULATION_CTRL, 0, 0, 0, 0));
	result("personality", personality(0xffffffff));
	syscall(SYS_get_mempolicy, &mode, &nodes, 64, NULL, 0);
	number("mempolicy", mode);
	number("mempolicy_nodes", nodes);
	end('}');
	char keyring[512] = "";

	if (syscall(SYS_keyctl, 6 /* KEYCTL_DESCRIBE */, -3, keyring, sizeof keyring - 1) < 0)
		result("keyring", -1);
	else
		text("keyring", keyring);
}

void look_signals(void)
{
	char ignored[65] = "", blocked[65] = "";
	sigset_t mask;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i <= 64; i++) {
		struct sigaction action = {0};

		ignored[i - 1] = sigaction(i, NULL, &action)      ? '?'
				 : action.sa_handler == SIG_IGN   ? 'i'
				 : action.sa_handler == SIG_DFL   ? '-'
								  : 'h';
		blocked[i - 1] = sigismember(&mask, i) == 1 ? 'b' : '-';
	}
	text("signals_ignored", ignored);
	text("signals_blocked", blocked);
}

void look_session(void)
{
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios attributes;
	struct winsize size;

	begin("session", '{');
	number("pid", getpid());
	number("parent_inside", getppid() != 0);
	number("leads_session", getsid(0) == getpid());
	number("leads_group", getpgrp() == getpid());
	result("tty", tty < 0 ? -1 : 0);
	if (tty >= 0) {
		number("foreground", tcgetpgrp(tty) == getpgrp());
		close(tty);
	}
	if (tcgetattr(0, &attributes) == 0) {
		number("iflag", attributes.c_iflag);
		number("oflag", attributes.c_oflag);
		number("lflag", attributes.c_lflag);
		ioctl(0, TIOCGWINSZ, &size);
		number("rows", size.ws_row);
		number("columns", size.ws_col);
		text("name", ttyname(0) ? ttyname(0) : "?");
	}
	end('}');
}

static const char *kind_of(mode_t mode)
{
	return S_ISREG(mode)    ? "file"
	       : S_ISDIR(mode)  ? "directory"
	       : S_ISCHR(mode)  ? "character"
	       : S_ISBLK(mode)  ? "block"
	       : S_ISFIFO(mode) ? "pipe"
	       : S_ISSOCK(mode) ? "socket"
				: "other";
}

void look_descriptors(void)
{
	begin("descriptors", '{');
	for (int fd = 0; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFL);
		char name[32], word[128];
		struct stat status;

		if (flags < 0)
			continue;
		fstat(fd, &status);
		snprintf(name, sizeof name, "%d", fd);
		begin(name, '{');
		if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))
			snprintf(word, sizeof word, "%s %u:%u", kind_of(status.st_mode),
				 major(status.st_rdev), minor(status.st_rdev));
		else
			snprintf(word, sizeof word, "%s", kind_of(status.st_mode));
		text("kind", word);
		snprintf(word, sizeof word, "%s%s%s%s",
			 (flags & O_PATH)                     ? "path"
			 : (flags & O_ACCMODE) == O_RDONLY    ? "r"
			 : (flags & O_ACCMODE) == O_WRONLY    ? "w"
							      : "rw",
			 flags & O_APPEND ? " append" : "", flags & O_NONBLOCK ? " nonblock" : "",
			 fcntl(fd, F_GETFD) & FD_CLOEXEC ? " cloexec" : "");
		text("flags", word);
		snprintf(word, sizeof word, "%04o %u:%u", status.st_mode & 07777, status.st_uid,
			 status.st_gid);
		text("mode", word);
		if (fd < 3) {
			static const char *const links[] = {"/dev/stdin", "/dev/stdout",
							    "/dev/stderr"};
			int how = (fd ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
			int again = S_ISSOCK(status.st_mode) ? -2 : open(links[fd], how);

			if (fd)
				result("write", write(fd, "", 0));
			result("reopen", again < 0 ? -1 : 0);
			if (again >= 0)
				close(again);
		}
		end('}');
	}
	end('}');
}
