/*
 * redirect.h: put before every source of a fuzz target by the compiler. Calls that would change this machine, or that
 * need a second process, go to kernel.c. Our sources are compiled as they are; only these names mean something else.
 */
#ifndef BELLADONNA_FUZZ_REDIRECT_H
#define BELLADONNA_FUZZ_REDIRECT_H

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

#define syscall(...) fuzz_syscall(__VA_ARGS__, 0L, 0L, 0L, 0L, 0L, 0L) /* so many can be read */
#define open(...) fuzz_open(__VA_ARGS__)
#define openat(...) fuzz_openat(__VA_ARGS__)
#define close(fd) fuzz_close(fd)
#define write(fd, bytes, size) fuzz_write(fd, bytes, size)
#define send(fd, bytes, size, flags) fuzz_send(fd, bytes, size, flags)
#define recv(fd, bytes, size, flags) fuzz_recv(fd, bytes, size, flags)
#define sendmsg(fd, message, flags) fuzz_sendmsg(fd, message, flags)
#define ioctl(fd, ...) fuzz_ioctl(fd, __VA_ARGS__, 0L)
#define isatty(fd) fuzz_isatty(fd)
#define tcgetattr(fd, settings) fuzz_tcgetattr(settings)
#define tcsetattr(fd, when, settings) fuzz_call()
#define fchown(fd, uid, gid) fuzz_call()
#define setpgid(pid, group) fuzz_call()
#define fstat(fd, st) fuzz_fstat(fd, st)
#define fcntl(...) fuzz_fcntl(__VA_ARGS__)
#define sendto(fd, bytes, size, flags, address, address_size) fuzz_send(fd, bytes, size, flags)
#define getxattr(path, name, value, size) fuzz_call()
#define socket(domain, type, protocol) fuzz_call()
#define socketpair(domain, type, protocol, pair) fuzz_socketpair(domain, type, protocol, pair)
#define accept4(fd, address, size, flags) fuzz_accept()
#define epoll_ctl(loop, operation, fd, event) 0
#define fork() (-1)
#define vfork() fuzz_vfork()
#define _exit(status) fuzz_exit(status)
#define waitid(type, id, info, options) 0
#define wait4(pid, status, options, usage) fuzz_wait4(status, usage)
#define sigtimedwait(set, info, limit) SIGCONT
#define sigwaitinfo(set, info) ((void)(info), SIGCHLD)
#define sigprocmask(how, set, old) 0
#define kill(pid, number) fuzz_call()
#define setsid() fuzz_call()
#define setns(fd, kind) fuzz_call()
#define unshare(kinds) fuzz_call()
#define mount(source, target, type, flags, data) fuzz_call()
#define umount2(target, flags) fuzz_call()
#define mkdir(path, mode) fuzz_call()
#define mkdirat(fd, path, mode) fuzz_call()
#define mknodat(fd, path, mode, device) fuzz_call()
#define symlinkat(text, fd, path) fuzz_call()
#define unlinkat(fd, path, flags) fuzz_call()
#define rmdir(path) fuzz_call()
#define chdir(path) fuzz_call()
#define fchdir(fd) fuzz_call()
#define dup2(from, to) fuzz_dup(to)
#define dup3(from, to, flags) fuzz_dup(to)
#define prctl(...) fuzz_prctl(__VA_ARGS__)
#define setitimer(kind, value, old) 0
#define setrlimit(resource, value) fuzz_call()
#define umask(mode) ((void)(mode))

long fuzz_syscall(long number, ...);
int fuzz_open(const char *path, int flags, ...);
int fuzz_openat(int directory, const char *path, int flags, ...);
int fuzz_close(int fd);
ssize_t fuzz_write(int fd, const void *bytes, size_t size);
ssize_t fuzz_send(int fd, const void *bytes, size_t size, int flags);
ssize_t fuzz_recv(int fd, void *bytes, size_t size, int flags);
ssize_t fuzz_sendmsg(int fd, const struct msghdr *message, int flags);
int fuzz_ioctl(int fd, unsigned long request, ...);
int fuzz_isatty(int fd);
int fuzz_tcgetattr(struct termios *settings);
int fuzz_fstat(int fd, struct stat *st);
int fuzz_fcntl(int fd, int command, ...);
int fuzz_socketpair(int domain, int type, int protocol, int pair[2]);
int fuzz_accept(void);
int fuzz_prctl(int option, ...);
int fuzz_call(void); /* one that only succeeds or fails */
int fuzz_dup(int to);
pid_t fuzz_vfork(void);
pid_t fuzz_wait4(int *status, struct rusage *usage);
_Noreturn void fuzz_exit(int status);

#endif
