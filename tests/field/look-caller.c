/* What callers of a runtime are like, and the mount namespace that a case is played in. */
#define _GNU_SOURCE
#include "look.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(const char *word)
{
	fprintf(stderr, "look: %s: %s\n", word, strerror(errno));
	return 125;
}

static int set_affinity(const char *list)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (const char *at = list; *at; at += strspn(at, ",")) {
		char *rest;

		CPU_SET(strtol(at, &rest, 10), &set);
		at = rest;
	}
	return sched_setaffinity(0, sizeof set, &set);
}

static int set_limit(int which, const char *value)
{
	struct rlimit limit;
	char *rest;

	limit.rlim_cur = strtoull(value, &rest, 10);
	limit.rlim_max = *rest == ':' ? strtoull(rest + 1, NULL, 10) : limit.rlim_cur;
	return setrlimit(which, &limit);
}

static int enter(const char *path, int type)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || setns(fd, type) < 0 ? -1 : close(fd);
}

static int write_word(const char *path, const char *word)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, word, strlen(word)) < 0 ? -1 : close(fd);
}

/* One word "name=value"; -1 with errno where it cannot be done. */
static int become(const char *word)
{
	const char *value = strchr(word, '=');
	size_t length = value ? (size_t)(value - word) : 0;
	sigset_t mask;

#define IS(name) (length == strlen(name) && !strncmp(word, name, length))
	if (!value) {
		errno = EINVAL;
		return -1;
	}
	value++;
	if (IS("mounts"))
		return enter(value, CLONE_NEWNS);
	if (IS("cwd"))
		return chdir(value);
	if (IS("umask")) {
		umask(strtol(value, NULL, 8));
		return 0;
	}
	if (IS("ignore"))
		return signal(atoi(value), SIG_IGN) == SIG_ERR ? -1 : 0;
	if (IS("block")) {
		sigemptyset(&mask);
		sigaddset(&mask, atoi(value));
		return sigprocmask(SIG_BLOCK, &mask, NULL);
	}
	if (IS("affinity"))
		return set_affinity(value);
	if (IS("nofile"))
		return set_limit(RLIMIT_NOFILE, value);
	if (IS("core"))
		return set_limit(RLIMIT_CORE, value);
	if (IS("stack"))
		return set_limit(RLIMIT_STACK, value);
	if (IS("nice"))
		return setpriority(PRIO_PROCESS, 0, atoi(value));
	if (IS("close")) {
		close(atoi(value));
		return 0;
	}
	if (IS("group"))
		return setgroups(1, &(gid_t){atoi(value)});
	if (IS("user"))
		return setgroups(0, NULL) | setgid(atoi(value)) | setuid(atoi(value));
	if (IS("oom"))
		return write_word("/proc/self/oom_score_adj", value);
	if (IS("cgroup"))
		return write_word(value, "0");
	if (IS("dumpable"))
		return prctl(PR_SET_DUMPABLE, atoi(value));
	if (IS("subreaper"))
		return prctl(PR_SET_CHILD_SUBREAPER, atoi(value));
	if (IS("slack"))
		return prctl(PR_SET_TIMERSLACK, atoi(value));
	errno = EINVAL;
	return -1;
}

int be_caller(int argc, char **argv)
{
	int i = 0;

	for (; i < argc && strcmp(argv[i], "--"); i++)
		if (become(argv[i]) < 0)
			return refuse(argv[i]);
	if (i + 1 >= argc)
		return 2;
	execv(argv[i + 1], argv + i + 1);
	return refuse(argv[i + 1]);
}

/* Its mounts have no peer outside, so whatever a runtime leaves in it ends with it. */
int hold_namespace(const char *propagation)
{
	char byte;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return refuse("namespace");
	if (!strcmp(propagation, "shared") && mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
		return refuse("shared");
	if (write(1, "ready\n", 6) != 6)
		return 1;
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
