/*
 * A system call that fails, each in turn: the first one that the library makes, the second, and so
 * on until a run is over before the fault would come. Once with a fault that passes, once with one
 * that stays. What must hold each time:
 *
 *   - a write that succeeded is there afterwards; one that failed is not, unless it was
 *     KVSTORE_ERR_INDETERMINATE, when it may or may not be;
 *   - reads go on, and see what succeeded;
 *   - after a failed sync every write is KVSTORE_ERR_POISONED until the store is opened again;
 *   - a failed open or close loses nothing, and what recovery cuts is kept in quarantine;
 *   - a call that was interrupted, or wrote only a part, is no fault at all.
 *
 * This program defines the system calls below itself, so the library calls them here.
 *
 *   faults [STEP]     at every call, or only at every STEPth
 */
#define _GNU_SOURCE

#include "check.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Calls that can be interrupted, those that can write only a part, and the rest. */
enum kind { WHOLE, INTERRUPTIBLE, WRITING };

static int step = 1;

enum { KEYS = 40, ABSENT = 0, SHORT = -1 };

/* What a child has seen, for its parent to check once the child is gone. */
static struct seen {
    int versions[KEYS];      /* of each key, as acknowledged */
    int indeterminate[KEYS]; /* what it may have instead, or the same */
    int calls, fault_at, fault, stays, writes, failures;
} *seen;

/* Whether this call is to fail, and then with which errno, or SHORT; otherwise 0. */
static int fault_of(enum kind kind) {
    int at;
    if (seen == NULL || seen->fault_at == 0) return 0;
    if (seen->fault == EINTR && kind == WHOLE) return 0;
    if (seen->fault == SHORT && kind != WRITING) return 0;
    at = ++seen->calls;
    return at == seen->fault_at || (seen->stays && at > seen->fault_at) ? seen->fault : 0;
}

#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

#define CALL(kind, failed, name, ...)                  \
    do {                                               \
        int fault = fault_of(kind);                    \
        if (fault != 0) return errno = fault, failed; \
        return REAL(name)(__VA_ARGS__);                \
    } while (0)

int open64(const char *path, int flags, ...) {
    va_list mode;
    unsigned bits;
    va_start(mode, flags);
    bits = flags & O_CREAT ? va_arg(mode, unsigned) : 0;
    va_end(mode);
    CALL(INTERRUPTIBLE, -1, open64, path, flags, bits);
}

#define WRITE(name, len, ...)                         \
    do {                                              \
        int fault = fault_of(WRITING);                \
        if (fault > 0) return errno = fault, -1;      \
        if (fault == SHORT) len -= len / 2;           \
        return REAL(name)(__VA_ARGS__);               \
    } while (0)

ssize_t pwrite64(int file, const void *bytes, size_t len, off64_t offset) {
    WRITE(pwrite64, len, file, bytes, len, offset);
}
ssize_t write(int file, const void *bytes, size_t len) { WRITE(write, len, file, bytes, len); }
int fallocate(int file, int mode, off_t from, off_t len) {
    CALL(INTERRUPTIBLE, -1, fallocate, file, mode, from, len);
}
int ftruncate64(int file, off64_t len) { CALL(INTERRUPTIBLE, -1, ftruncate64, file, len); }
int fsync(int file) { CALL(INTERRUPTIBLE, -1, fsync, file); }
int fdatasync(int file) { CALL(INTERRUPTIBLE, -1, fdatasync, file); }
int rename(const char *from, const char *to) { CALL(WHOLE, -1, rename, from, to); }
int unlink(const char *path) { CALL(WHOLE, -1, unlink, path); }
int mkdir(const char *path, mode_t mode) { CALL(WHOLE, -1, mkdir, path, mode); }
int flock(int file, int operation) { CALL(WHOLE, -1, flock, file, operation); }
DIR *opendir(const char *path) { CALL(WHOLE, NULL, opendir, path); }
int madvise(void *start, size_t len, int what) { CALL(WHOLE, -1, madvise, start, len, what); }
int statx(int at, const char *restrict path, int flags, unsigned mask, struct statx *restrict to) {
    CALL(WHOLE, -1, statx, at, path, flags, mask, to);
}
void *mmap64(void *start, size_t len, int access, int flags, int file, off64_t offset) {
    if (file < 0) return REAL(mmap64)(start, len, access, flags, file, offset);
    CALL(WHOLE, MAP_FAILED, mmap64, start, len, access, flags, file, offset);
}

static const char garbage[] = "KVLG what a crash has torn";

static size_t key_of(int number, char *text) { return (size_t)sprintf(text, "key %02d", number); }

/* Of few bytes mostly; some do not fit into what a log reserves at first. */
static size_t value_of(int number, int version, char *value) {
    size_t len = (size_t)(version % 5 == 0 ? 60000 + number : 10 * number + version);
    memset(value, 'a' + (number + version) % 26, len);
    return len;
}

/* Whether the store has a key in that version. */
static int has(kvstore *store, int number, int version) {
    char key[16], value[70000];
    kvstore_buffer copy;
    int equal, found;
    found = kvstore_get(store, key, key_of(number, key), &copy, NULL) == KVSTORE_OK;
    equal = found == (version != ABSENT) &&
            (!found || same(copy.data, copy.len, value, value_of(number, version, value)));
    kvstore_buffer_free(&copy);
    return equal;
}

/* Sets a key to a version, or deletes it, and notes what may be expected from then on. */
static kvstore_status change(kvstore *store, int number, int version, uint32_t durability) {
    char key[16], value[70000];
    size_t key_len = key_of(number, key);
    kvstore_status status;

    error = NULL;
    if (version == ABSENT) {
        status = kvstore_delete_with(store, key, key_len, durability, &error);
        if (status == KVSTORE_NOT_FOUND) status = KVSTORE_OK;
    } else {
        size_t len = value_of(number, version, value);
        status = kvstore_set_with(store, key, key_len, value, len, durability, &error);
    }
    kvstore_error_free(error);
    if (status == KVSTORE_OK) seen->versions[number] = version;
    if (status == KVSTORE_OK || status == KVSTORE_ERR_INDETERMINATE)
        seen->indeterminate[number] = version;
    CHECK(has(store, number, seen->versions[number]));
    return status;
}

/* Writes everywhere, and checks every refusal. */
static void write_all(kvstore *store, int version) {
    int number, failed = 0, poisoned = 0;
    kvstore_status status;

    for (number = 0; number < KEYS; number++) {
        uint32_t durability = number % 10 == 0 ? KVSTORE_DURABILITY_SYNC : KVSTORE_DURABILITY_OS;
        status = change(store, number, number % 7 == 3 ? ABSENT : version, durability);
        if (status == KVSTORE_OK && number == KEYS / 2) {
            status = kvstore_sync(store, NULL);
            CHECK(status != KVSTORE_ERR_INDETERMINATE);
            if (status != KVSTORE_OK) seen->failures++, failed = poisoned = 1;
            continue;
        }
        seen->writes += status == KVSTORE_OK;
        if (status == KVSTORE_OK) {
            CHECK(!poisoned);
            continue;
        }
        CHECK(status == KVSTORE_ERR_IO || status == KVSTORE_ERR_NO_SPACE ||
              status == KVSTORE_ERR_INDETERMINATE ||
              (status == KVSTORE_ERR_POISONED && failed));
        CHECK(!poisoned || status == KVSTORE_ERR_POISONED);
        poisoned |= status == KVSTORE_ERR_INDETERMINATE || status == KVSTORE_ERR_POISONED;
        failed = 1;
        seen->failures++;
    }
    for (number = 0; number < KEYS; number++) CHECK(has(store, number, seen->versions[number]));
    if (poisoned) CHECK(kvstore_sync(store, NULL) == KVSTORE_ERR_POISONED);
}

static kvstore *open_or_null(uint64_t close) {
    kvstore_options *options = kvstore_options_new();
    kvstore *store;
    kvstore_status status;
    CHECK(options != NULL);
    EXPECT(KVSTORE_OK,
           kvstore_options_set(options, KVSTORE_OPTION_CLOSE_CHECKPOINT, close, &error));
    status = kvstore_open("data", options, &store, &error);
    kvstore_options_free(options);
    kvstore_error_free(error);
    if (status == KVSTORE_OK) return store;
    CHECK(status == KVSTORE_ERR_IO || status == KVSTORE_ERR_NO_SPACE);
    seen->failures++;
    return NULL;
}

/* What a child does: opens, writes, and closes or just ends; twice. */
static void work(int closes) {
    static kvstore *store; /* not a leak when the child ends without closing it */
    int version, number;
    for (version = 4; version < 6; version++) {
        store = open_or_null(KVSTORE_CLOSE_CHECKPOINT_ALWAYS);
        if (store == NULL) store = open_or_null(KVSTORE_CLOSE_CHECKPOINT_ALWAYS);
        if (store == NULL) return;
        for (number = 0; number < KEYS; number++)
            if (!has(store, number, seen->versions[number]))
                seen->versions[number] = seen->indeterminate[number];
        write_all(store, version);
        if (!closes) return;
        if (kvstore_close(store, NULL) != KVSTORE_OK) seen->failures++;
    }
}

/* A directory with a snapshot, a log, and at its end what a crash left. */
static void prepare(void) {
    kvstore *store;
    FILE *log;
    int version;

    for (version = 1; version < 3; version++) {
        int number;
        store = open_or_null(version == 1 ? KVSTORE_CLOSE_CHECKPOINT_ALWAYS
                                          : KVSTORE_CLOSE_CHECKPOINT_NEVER);
        CHECK(store != NULL);
        for (number = version; number < KEYS; number += version + 1)
            CHECK(change(store, number, version, KVSTORE_DURABILITY_OS) == KVSTORE_OK);
        check_close(store);
    }
    log = fopen("data/wal.log", "a");
    CHECK(log != NULL && fwrite(garbage, 1, sizeof garbage - 1, log) == sizeof garbage - 1);
    CHECK(fclose(log) == 0 && rename("data", "prepared") == 0);
}

/* Whether a file in quarantine has just what was torn. */
static int is_kept(void) {
    const char *script = "for file in data/quarantine/*; do cmp -s torn \"$file\" && exit; done; "
                         "exit 1";
    return system(script) == 0;
}

/* After the child: all that was acknowledged, and nothing that was refused. */
static void check_all(void) {
    kvstore_recovery_info report;
    kvstore *store;
    int number, round;

    for (round = 0; round < 2; round++) {
        store = open_or_null(KVSTORE_CLOSE_CHECKPOINT_AUTO);
        CHECK(store != NULL);
        report.struct_size = sizeof report;
        EXPECT(KVSTORE_OK, kvstore_recovery_report(store, &report, &error));
        CHECK(!report.damaged);
        for (number = 0; number < KEYS; number++) {
            CHECK(has(store, number, seen->versions[number]) ||
                  has(store, number, seen->indeterminate[number]));
        }
        CHECK(change(store, round, 7, KVSTORE_DURABILITY_SYNC) == KVSTORE_OK);
        check_close(store);
    }
    CHECK(is_kept());
}

struct totals { int runs, writes, failures; };

/* Each call in turn fails, with that errno or SHORT. Returns how many calls there are. */
static int sweep(int fault, int stays, int closes, struct totals *totals) {
    const struct seen prepared = *seen;
    int at;
    for (at = 1;; at += step) {
        pid_t child;
        int status;

        *seen = prepared;
        CHECK(system("rm -rf data && cp -r prepared data") == 0);
        seen->fault = fault, seen->stays = stays;
        fflush(stdout);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            seen->fault_at = at;
            work(closes);
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        seen->fault_at = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fprintf(stderr, "fault %d at call %d, stays %d, closes %d\n", fault, at, stays, closes);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        check_all();
        totals->runs++, totals->writes += seen->writes, totals->failures += seen->failures;
        if (fault == SHORT || fault == EINTR || seen->calls < at) CHECK(seen->failures == 0);
        if (seen->calls < at) {
            int calls = seen->calls;
            *seen = prepared;
            return calls;
        }
    }
}

int main(int argc, char **argv) {
    static const struct { int fault, stays; const char *name; } faults[] = {
        {EIO, 0, "EIO, once"},       {EIO, 1, "EIO from then on"},
        {ENOSPC, 0, "ENOSPC, once"}, {ENOSPC, 1, "ENOSPC from then on"},
        {EINTR, 0, "EINTR, once"},   {SHORT, 0, "a write of half, once"},
        {SHORT, 1, "a write of half from then on"},
    };
    char line[200];
    FILE *torn = fopen("torn", "w");
    size_t i;

    if (argc > 1) step = atoi(argv[1]);
    CHECK(step > 0);
    CHECK(torn != NULL && fputs(garbage, torn) >= 0 && fclose(torn) == 0);
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    prepare();
    for (i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct totals totals = {0, 0, 0};
        int closing = sweep(faults[i].fault, faults[i].stays, 1, &totals);
        int ending = sweep(faults[i].fault, faults[i].stays, 0, &totals);
        CHECK(closing > 0 && ending > 0);
        sprintf(line,
                "%s, %d times, among %d calls with a close and %d without: %d writes succeeded, "
                "%d calls were refused",
                faults[i].name, totals.runs - 2, closing, ending, totals.writes, totals.failures);
        proved(line);
    }
    return 0;
}
