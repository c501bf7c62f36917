/* Network devices, calls that filters refuse, and the files of the root: see look.c. */
#define _GNU_SOURCE
#include "look.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void look_network(void)
{
	struct ifaddrs *list = NULL;
	char address[INET6_ADDRSTRLEN], word[160];

	begin("network", '[');
	if (getifaddrs(&list) == 0)
		for (struct ifaddrs *one = list; one; one = one->ifa_next) {
			const void *bytes = NULL;

			if (!one->ifa_addr)
				continue;
			if (one->ifa_addr->sa_family == AF_INET)
				bytes = &((struct sockaddr_in *)one->ifa_addr)->sin_addr;
			else if (one->ifa_addr->sa_family == AF_INET6)
				bytes = &((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr;
			snprintf(word, sizeof word, "%s %s %s", one->ifa_name,
				 one->ifa_flags & IFF_UP ? "up" : "down",
				 bytes ? inet_ntop(one->ifa_addr->sa_family, bytes, address,
						   sizeof address)
				       : "link");
			element(word);
		}
	freeifaddrs(list);
	end(']');
}

/* Calls that do nothing with these operands; a filter or a missing capability changes the errno. */
void look_calls(void)
{
	int fd;

	begin("calls", '{');
	result("chmod", chmod("", 0));
	result("mount", mount("", "", "", 0, NULL));
	result("umount", umount2("", 0));
	result("unshare", unshare(0));
	result("setns", setns(-1, 0));
	result("chroot", chroot(""));
	result("pivot_root", syscall(SYS_pivot_root, "", ""));
	result("ptrace", syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, -1, 0, 0));
	result("bpf", syscall(SYS_bpf, -1, NULL, 0));
	result("keyctl", syscall(SYS_keyctl, -1, 0, 0, 0, 0));
	result("io_uring_setup", syscall(SYS_io_uring_setup, 0, NULL));
	result("userfaultfd", syscall(SYS_userfaultfd, -1));
	result("open_by_handle_at", syscall(SYS_open_by_handle_at, -1, NULL, 0));
	result("sethostname", syscall(SYS_sethostname, "", -1));
	result("clone3", syscall(SYS_clone3, NULL, 0));
	result("getcpu", syscall(SYS_getcpu, NULL, NULL, NULL));
	result("sched_yield", syscall(SYS_sched_yield));
	result("unknown", syscall(1023));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	result("socket", fd < 0 ? -1 : 0);
	if (fd >= 0)
		close(fd);
	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	result("socket_vsock", fd < 0 ? -1 : 0);
	if (fd >= 0)
		close(fd);
	end('}');
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void describe(const char *path, const struct stat *status)
{
	char word[600], extra[300] = "";
	mode_t mode = status->st_mode;
	char kind = S_ISREG(mode)    ? 'f'
		    : S_ISDIR(mode)  ? 'd'
		    : S_ISLNK(mode)  ? 'l'
		    : S_ISCHR(mode)  ? 'c'
		    : S_ISBLK(mode)  ? 'b'
		    : S_ISFIFO(mode) ? 'p'
				     : 's';

	if (kind == 'l')
		extra[readlink(path, extra, sizeof extra - 1) < 0 ? 0 : strlen(extra)] = '\0';
	else if (kind == 'c' || kind == 'b')
		snprintf(extra, sizeof extra, "%u:%u", major(status->st_rdev), minor(status->st_rdev));
	else if (kind == 'f')
		snprintf(extra, sizeof extra, "%lld", (long long)status->st_size);
	snprintf(word, sizeof word, "%c %04o %u:%u %s", kind, kind == 'l' ? 0777 : mode & 07777,
		 status->st_uid, status->st_gid, extra);
	text(path, word);
}

static void walk(const char *path, int depth)
{
	char *names[1024];
	int count = 0;
	DIR *directory = opendir(path);
	struct dirent *entry;

	while (directory && count < 1024 && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			names[count++] = strdup(entry->d_name);
	if (directory)
		closedir(directory);
	qsort(names, count, sizeof *names, compare);
	for (int i = 0; i < count; i++) {
		char below[512];
		struct stat status;

		snprintf(below, sizeof below, "%s/%s", strcmp(path, "/") ? path : "", names[i]);
		free(names[i]);
		if (lstat(below, &status) < 0) {
			result(below, -1);
			continue;
		}
		describe(below, &status);
		if (S_ISDIR(status.st_mode) && depth > 1 && strcmp(below, "/proc") &&
		    strcmp(below, "/sys") && strcmp(below, "/report"))
			walk(below, depth - 1);
	}
}

void look_tree(void)
{
	struct stat status;

	begin("tree", '{');
	if (stat("/", &status) == 0)
		describe("/", &status);
	walk("/", 5);
	end('}');
}
