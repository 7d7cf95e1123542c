/* Makes the n-th file operation below a folder fail, for a process that has this library preloaded.
 *
 * fault_arm(folder, n, error, lasting) starts counting; only operations that can fail with that error count.
 * fault_count() says how many there were.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, CREATE = 2, NAME = 4, REMOVE = 8, WRITE = 16, FLUSH = 32 };

static char folder[PATH_MAX];
static volatile long nth, count;
static int error_code, lasting;

void fault_arm(const char *path, long n, int error, int lasts) {
    snprintf(folder, sizeof folder, "%s", path);
    error_code = error;
    lasting = lasts;
    count = 0;
    nth = n;
}

long fault_count(void) { return count; }

static int possible(int kind) {
    switch (error_code) {
    case ENOSPC: return kind & (CREATE | NAME | WRITE | FLUSH);
    case EROFS: return kind & (CREATE | NAME | REMOVE);
    case EMFILE: return kind & (OPEN | CREATE);
    default: return 1;
    }
}

static int fails(const char *path, int kind) {
    if (nth == 0 || strncmp(path, folder, strlen(folder)) != 0 || !possible(kind)) return 0;
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (number != nth && !(lasting && number > nth)) return 0;
    errno = error_code;
    return 1;
}

static int fails_fd(int fd, int kind) {
    char link[64], path[PATH_MAX];
    if (nth == 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path, kind);
}

static int fails_at(int dir, const char *name, int kind) {
    char link[64], path[2 * PATH_MAX];
    if (nth == 0) return 0;
    if (name[0] == '/') return fails(name, kind);
    if (dir == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    snprintf(path + length, PATH_MAX, "/%s", name);
    return fails(path, kind);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define KIND(flags) ((flags) & O_CREAT ? CREATE : OPEN)
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        MODE(flags) \
        REAL(int, name, const char *, int, ...); \
        return fails_at(AT_FDCWD, path, KIND(flags)) ? -1 : real(path, flags, mode); }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name) \
    int name(int dir, const char *path, int flags, ...) { \
        MODE(flags) \
        REAL(int, name, int, const char *, int, ...); \
        return fails_at(dir, path, KIND(flags)) ? -1 : real(dir, path, flags, mode); }
OPENING_AT(openat)
OPENING_AT(openat64)

#define ON_FD(type, name, kind, parameters, arguments) \
    type name parameters { \
        static type(*real) parameters; \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
        return fails_fd(fd, kind) ? -1 : real arguments; }
ON_FD(ssize_t, write, WRITE, (int fd, const void *data, size_t size), (fd, data, size))
ON_FD(ssize_t, pwrite, WRITE, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
ON_FD(ssize_t, pwrite64, WRITE, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
ON_FD(ssize_t, writev, WRITE, (int fd, const struct iovec *parts, int n), (fd, parts, n))
ON_FD(int, ftruncate, WRITE, (int fd, off_t size), (fd, size))
ON_FD(int, ftruncate64, WRITE, (int fd, off64_t size), (fd, size))
ON_FD(int, fsync, FLUSH, (int fd), (fd))
ON_FD(int, fdatasync, FLUSH, (int fd), (fd))

#define ON_PATH(name, kind, parameters, arguments, dir, path) \
    int name parameters { \
        static int(*real) parameters; \
        if (!real) real = (int(*) parameters)dlsym(RTLD_NEXT, #name); \
        return fails_at(dir, path, kind) ? -1 : real arguments; }
ON_PATH(mkdir, NAME, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
ON_PATH(mkdirat, NAME, (int dir, const char *path, mode_t mode), (dir, path, mode), dir, path)
ON_PATH(rename, NAME, (const char *path, const char *to), (path, to), AT_FDCWD, path)
ON_PATH(renameat, NAME, (int dir, const char *path, int to_dir, const char *to), (dir, path, to_dir, to), dir, path)
ON_PATH(unlink, REMOVE, (const char *path), (path), AT_FDCWD, path)
ON_PATH(unlinkat, REMOVE, (int dir, const char *path, int flags), (dir, path, flags), dir, path)
ON_PATH(rmdir, REMOVE, (const char *path), (path), AT_FDCWD, path)
