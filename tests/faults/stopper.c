/* Kills its process at the N-th call that changes a file, whichever of its threads makes it; strace counts for each thread apart.
 *
 *     cc -shared -fPIC -o stopper.so stopper.c
 *     STOPPER=<file of 4096 octets> LD_PRELOAD=stopper.so waxseal serve …
 *
 * The file is shared with who wrote it: how many calls are left, how many were made, and a letter for each.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
    atomic_int left, made;
    char letters[4088];
} *shared;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("STOPPER");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    shared = mapped == MAP_FAILED ? NULL : mapped;
    close(file);
}

static void step(char letter) {
    if (!shared) return;
    int made = atomic_fetch_add(&shared->made, 1);
    if (made >= 0 && made < (int)sizeof shared->letters) shared->letters[made] = letter;
    if (atomic_fetch_sub(&shared->left, 1) == 1) kill(getpid(), SIGKILL);
}

/* Sockets, pipes and the log change no file that matters. */
static int is_stored(int file) {
    struct stat facts;
    return file > 2 && fstat(file, &facts) == 0 && (S_ISREG(facts.st_mode) || S_ISDIR(facts.st_mode));
}

#define COUNTED(letter, when, type, name, parameters, arguments)          \
    type name parameters {                                                \
        static type(*real) parameters;                                    \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);    \
        if (when) step(letter);                                           \
        return real arguments;                                            \
    }

COUNTED('w', is_stored(file), ssize_t, write, (int file, const void *octets, size_t length), (file, octets, length))
COUNTED('w', is_stored(file), ssize_t, writev, (int file, const struct iovec *pieces, int count), (file, pieces, count))
COUNTED('w', is_stored(file), ssize_t, pwrite64, (int file, const void *octets, size_t length, off64_t at), (file, octets, length, at))
COUNTED('t', is_stored(file), int, ftruncate64, (int file, off64_t length), (file, length))
COUNTED('s', is_stored(file), int, fsync, (int file), (file))
COUNTED('s', is_stored(file), int, fdatasync, (int file), (file))
COUNTED('r', 1, int, rename, (const char *from, const char *to), (from, to))
COUNTED('l', 1, int, link, (const char *from, const char *to), (from, to))
COUNTED('l', 1, int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
COUNTED('u', 1, int, unlink, (const char *path), (path))
COUNTED('u', 1, int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
