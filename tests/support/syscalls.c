/* Makes system calls by number and says what came of each; static, so that it runs in any rootfs.
 *
 *   syscalls [ABI:]NUMBER[,ARGUMENT...]...
 *
 * One line a call: "N" the result, "errno N", "killed by N" when its process died of signal N,
 * "trapped N" when SIGSYS came instead of a result, with N the number in si_syscall.
 * ABI is `x64` (the default), `x32` or `i386` on x86-64.  Each call is made in a process of its own;
 * `thread:` makes it in a second thread of one, and "survived" then tells that only the thread
 * died.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGUMENTS = 6, X32_BIT = 0x40000000 };

static void trapped(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	printf("trapped %d\n", info->si_syscall);
	fflush(stdout);
	_exit(0);
}

static long call_i386(long number, const unsigned long *a)
{
#ifdef __x86_64__
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
#else
	(void)number;
	(void)a;
	return -ENOSYS;
#endif
}

static void call(char *text)
{
	unsigned long a[ARGUMENTS] = {0};
	int i386 = !strncmp(text, "i386:", 5), x32 = !strncmp(text, "x32:", 4), count = 0;
	char *colon = strrchr(text, ':');
	char *next = colon ? colon + 1 : text;
	long number = strtol(next, &next, 0), result;

	while (*next == ',' && count < ARGUMENTS)
		a[count++] = strtoul(next + 1, &next, 0);
	if (i386) {
		result = call_i386(number, a);
		errno = result < 0 && result > -4096 ? (int)-result : 0;
		result = errno ? -1 : result;
	} else {
		errno = 0;
		result = syscall(x32 ? number | X32_BIT : number, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
	if (result == -1 && errno)
		printf("errno %d\n", errno);
	else
		printf("%ld\n", result);
	fflush(stdout);
}

static void *in_thread(void *text)
{
	call(text);
	return NULL;
}

static void make(char *text)
{
	struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
	int status = 0;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		sigaction(SIGSYS, &action, NULL);
		if (!strncmp(text, "thread:", 7)) {
			struct timespec pause = {.tv_nsec = 200000000};
			pthread_t thread;

			pthread_create(&thread, NULL, in_thread, text + 7);
			nanosleep(&pause, NULL);
			puts("survived");
			fflush(stdout);
		} else {
			call(text);
		}
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		printf("errno %d\n", errno);
	else if (WIFSIGNALED(status))
		printf("killed by %d\n", WTERMSIG(status));
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		make(argv[i]);
	return 0;
}
