/* What a process can see of itself, as JSON: the container's process, a hook, what exec starts.
 *
 *   look report FILE NAME [tree] [stdin] [hold] [exit=N] [read=PATH ...]
 *       writes one line to FILE (a FIFO that somebody holds open for reading): an object with all
 *       that look-*.c ask the kernel. `tree`: with the files of the root; `stdin`: with what is
 *       read from standard input; `hold`: then wait for SIGTERM or SIGUSR1, which end it with 7.
 *   look as WORD... -- COMMAND...   become a caller of some kind, and execute: see look-caller.c
 *   look namespace private|shared   hold a mount namespace of its own until standard input ends
 *
 * Static, and nothing else is needed in a root file system. It asks by system calls wherever there
 * is one, because /proc may be anything.
 */
#define _GNU_SOURCE
#include "look.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

FILE *out;
static int empty; /* nothing was written since the last { or [ */

static void string(const char *value)
{
	fputc('"', out);
	for (const unsigned char *c = (const unsigned char *)value; *c; c++)
		if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else if (*c < 0x20 || *c >= 0x7f)
			fprintf(out, "\\u%04x", *c); /* bytes, as latin-1 */
		else
			fputc(*c, out);
	fputc('"', out);
}

static void separate(void)
{
	if (!empty)
		fputc(',', out);
	empty = 0;
}

void member(const char *name)
{
	separate();
	string(name);
	fputc(':', out);
}

void element(const char *value)
{
	separate();
	string(value);
}

void text(const char *name, const char *value)
{
	member(name);
	string(value);
}

void number(const char *name, long long value)
{
	member(name);
	fprintf(out, "%lld", value);
}

void result(const char *name, long long value)
{
	number(name, value == -1 ? -errno : value);
}

void begin(const char *name, char kind)
{
	if (name)
		member(name);
	fputc(kind, out);
	empty = 1;
}

void end(char kind)
{
	fputc(kind, out);
	empty = 0;
}

static void contents(const char *name, int fd)
{
	size_t size = 1 << 18, got = 0;
	char *buffer = malloc(size);
	ssize_t n;

	while (fd >= 0 && got < size - 1 && (n = read(fd, buffer + got, size - 1 - got)) > 0)
		got += n;
	for (size_t i = 0; i < got; i++)
		if (!buffer[i])
			buffer[i] = '\n';
	buffer[got] = '\0';
	text(name, buffer);
	free(buffer);
}

void file(const char *name, const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		result(name, -1);
		return;
	}
	contents(name, fd);
	close(fd);
}

static void look_files(int argc, char **argv)
{
	static const char *const files[] = {
		"mountinfo", "cgroup", "uid_map", "gid_map", "setgroups", "timens_offsets",
		"oom_score_adj", "coredump_filter", "comm", "attr/current", "status",
	};
	static const char *const sysctls[] = {
		"kernel/hostname", "kernel/domainname", "kernel/shmmni", "kernel/msgmax",
		"kernel/sem", "fs/mqueue/msg_max", "net/ipv4/ip_forward",
		"net/ipv4/ip_unprivileged_port_start", "net/ipv4/ping_group_range",
		"net/ipv6/conf/all/disable_ipv6", "net/core/somaxconn", "user/max_user_namespaces",
	};
	char path[256];

	begin("proc", '{');
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "/proc/self/%s", files[i]);
		file(files[i], path);
	}
	end('}');
	begin("sysctl", '{');
	for (size_t i = 0; i < sizeof sysctls / sizeof *sysctls; i++) {
		snprintf(path, sizeof path, "/proc/sys/%s", sysctls[i]);
		file(sysctls[i], path);
	}
	end('}');
	begin("read", '{');
	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], "read=", 5))
			file(argv[i] + 5, argv[i] + 5);
	end('}');
}

static void look_system(void)
{
	struct utsname name;

	uname(&name);
	text("hostname", name.nodename);
	text("domainname", name.domainname);
	text("machine", name.machine);
}

static void finish(int number)
{
	(void)number;
	_exit(7);
}

static int has(int argc, char **argv, const char *word)
{
	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], word))
			return 1;
	return 0;
}

static int report(int argc, char **argv, char **words)
{
	const char *path = argv[0], *name = argv[1];
	int options = argc - 2, status = 0;
	char *buffer, **option = argv + 2;
	size_t size;

	/* First, because everything below opens descriptors and changes signals. */
	out = open_memstream(&buffer, &size);
	begin(NULL, '{');
	text("name", name);
	look_descriptors();
	look_signals();
	look_identity();
	look_attributes();
	look_session();
	look_system();
	begin("argv", '[');
	for (int i = 0; words[i]; i++)
		element(words[i]);
	end(']');
	begin("environment", '[');
	for (char **variable = environ; *variable; variable++)
		element(*variable);
	end(']');
	look_files(options, option);
	look_network();
	look_calls();
	if (has(options, option, "tree"))
		look_tree();
	if (has(options, option, "stdin"))
		contents("stdin", 0);
	end('}');
	fputc('\n', out);
	fclose(out);

	int fd = open(path, O_WRONLY | O_CLOEXEC);

	for (size_t done = 0; fd >= 0 && done < size;) {
		ssize_t n = write(fd, buffer + done, size - done);

		if (n < 0)
			return 3;
		done += n;
	}
	if (fd < 0)
		return 4;
	close(fd);
	for (int i = 0; i < options; i++)
		if (!strncmp(option[i], "exit=", 5))
			status = atoi(option[i] + 5);
	if (has(options, option, "hold")) {
		sigset_t none;

		signal(SIGTERM, finish);
		signal(SIGUSR1, finish);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		for (;;)
			pause();
	}
	return status;
}

int main(int argc, char **argv)
{
	if (argc >= 4 && !strcmp(argv[1], "report"))
		return report(argc - 2, argv + 2, argv);
	if (argc >= 4 && !strcmp(argv[1], "as"))
		return be_caller(argc - 2, argv + 2);
	if (argc == 3 && !strcmp(argv[1], "namespace"))
		return hold_namespace(argv[2]);
	fprintf(stderr, "look: no such verb\n");
	return 2;
}
