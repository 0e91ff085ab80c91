/* Every kind of bad input: a specific status, a message that names the path or the argument and
 * says what to do, outputs that are written all the same, and nothing lost. */
#define _DEFAULT_SOURCE

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define BAD KVSTORE_ERR_INVALID_ARGUMENT

static void write_file(const char *path, const void *bytes, size_t len) {
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(fwrite(bytes, 1, len, file) == len);
    CHECK(fclose(file) == 0);
}

/* The bytes of a file, with a NUL behind them; the caller frees them. */
static char *read_file(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    char *bytes = malloc(1 << 20);
    CHECK(file != NULL && bytes != NULL);
    *len = fread(bytes, 1, (1 << 20) - 1, file);
    bytes[*len] = 0;
    fclose(file);
    return bytes;
}

/* Opens what cannot be opened; the error object is returned for a closer look. */
static kvstore_error *refused(kvstore_status expected, const char *directory,
                              const kvstore_options *options) {
    kvstore *store = STALE;
    kvstore_error *why = STALE;
    CHECK(kvstore_open(directory, options, &store, NULL) == expected);
    CHECK(store == NULL);
    store = STALE;
    CHECK(kvstore_open(directory, options, &store, &why) == expected);
    CHECK(store == NULL);
    CHECK(why != NULL && kvstore_error_code(why) == expected);
    return why;
}

static kvstore_options *options_with(uint32_t option, uint64_t value) {
    kvstore_options *options = kvstore_options_new();
    EXPECT(KVSTORE_OK, kvstore_options_set(options, option, value, &error));
    return options;
}

/* Whether a message names the path, and says more than that. */
static int names(const kvstore_error *why, const char *path) {
    const char *message = kvstore_error_message(why);
    printf("    %s\n", message);
    return strstr(message, path) != NULL && strlen(message) > strlen(path) + 20;
}

static void directories(void) {
    kvstore_options *no_create = options_with(KVSTORE_OPTION_CREATE, 0);
    kvstore_options *read_only = options_with(KVSTORE_OPTION_READ_ONLY, 1);
    char longest[5000];
    struct stat entry;
    kvstore_error *why;

    why = refused(KVSTORE_ERR_IO, "missing", no_create);
    CHECK(kvstore_error_os_code(why) == ENOENT && names(why, "missing"));
    CHECK(strstr(kvstore_error_path(why), "missing") != NULL);
    CHECK(kvstore_error_offset(why) == KVSTORE_OFFSET_NONE && kvstore_error_lock_holder(why) == 0);
    kvstore_error_free(why);
    why = refused(KVSTORE_ERR_IO, "missing", read_only);
    CHECK(kvstore_error_os_code(why) == ENOENT && names(why, "missing"));
    kvstore_error_free(why);
    CHECK(stat("missing", &entry) != 0);
    proved("a missing directory without create: KVSTORE_ERR_IO, ENOENT, and it stays missing");

    write_file("a-file", "text", 4);
    why = refused(KVSTORE_ERR_IO, "a-file", NULL);
    CHECK(kvstore_error_os_code(why) == ENOTDIR && names(why, "a-file"));
    kvstore_error_free(why);
    why = refused(KVSTORE_ERR_IO, "a-file/below", NULL);
    CHECK(kvstore_error_os_code(why) == ENOTDIR && names(why, "a-file"));
    kvstore_error_free(why);
    CHECK(stat("a-file", &entry) == 0 && entry.st_size == 4);
    proved("a file where a directory should be: KVSTORE_ERR_IO, ENOTDIR");

    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    why = refused(KVSTORE_ERR_IO, longest, NULL);
    CHECK(kvstore_error_os_code(why) == ENAMETOOLONG);
    kvstore_error_free(why);
    kvstore_error_free(refused(KVSTORE_ERR_INVALID_ARGUMENT, NULL, NULL));
    kvstore_error_free(refused(KVSTORE_ERR_INVALID_ARGUMENT, "", NULL));
    kvstore_options_free(no_create);
    kvstore_options_free(read_only);
    proved("a path that is too long, NULL or empty");
}

static void permissions(void) {
    pid_t child;
    int status;
    kvstore *store = check_open("private");

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("k"), BYTES("v"), &error));
    check_close(store);
    CHECK(chmod("private", 0700) == 0);
    CHECK(mkdir("unwritable", 0555) == 0 && mkdir("sealed", 0000) == 0);
    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        kvstore_error *why;
        /* Root may do everything; somebody else is refused. */
        if (geteuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
        else CHECK(chmod("private", 0000) == 0);
        why = refused(KVSTORE_ERR_IO, "private", NULL);
        CHECK(kvstore_error_os_code(why) == EACCES && names(why, "private"));
        kvstore_error_free(why);
        why = refused(KVSTORE_ERR_IO, "unwritable", NULL);
        CHECK(kvstore_error_os_code(why) == EACCES && names(why, "unwritable"));
        kvstore_error_free(why);
        why = refused(KVSTORE_ERR_IO, "sealed/below", NULL);
        CHECK(kvstore_error_os_code(why) == EACCES && names(why, "sealed"));
        kvstore_error_free(why);
        fflush(stdout);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(chmod("private", 0700) == 0 && chmod("sealed", 0700) == 0);
    store = check_open("private");
    EXPECT(KVSTORE_OK, kvstore_contains(store, BYTES("k"), &error));
    check_close(store);
    proved("no permission: KVSTORE_ERR_IO, EACCES, and the data is untouched");
}

static void limits(void) {
    kvstore_options *options = options_with(KVSTORE_OPTION_MAX_KEY_LEN, 8);
    kvstore *store;
    uint64_t count;

    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_MAX_VALUE_LEN, 16, &error));
    EXPECT(KVSTORE_OK, kvstore_open("limits", options, &store, &error));
    kvstore_options_free(options);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("12345678"), BYTES("1234567890123456"), &error));
    EXPECT_ERROR(KVSTORE_ERR_TOO_LARGE, kvstore_set(store, BYTES("123456789"), BYTES("v"), &error),
                 "key", "9", "8");
    EXPECT_ERROR(KVSTORE_ERR_TOO_LARGE,
                 kvstore_set(store, BYTES("k"), BYTES("12345678901234567"), &error), "value", "17",
                 "16");
    EXPECT(KVSTORE_NOT_FOUND, kvstore_contains(store, BYTES("123456789"), &error));
    EXPECT(KVSTORE_OK, kvstore_len(store, &count, &error));
    CHECK(count == 1);
    check_close(store);
    proved("a key or a value over the limit: KVSTORE_ERR_TOO_LARGE with both lengths");
}

static void options(void) {
    static const struct {
        uint32_t option;
        uint64_t value;
        const char *name, *accepted;
    } wrong[] = {
        {0, 0, "option 0", "KVSTORE_OPTION_DURABILITY (1)"},
        {99, 0, "option 99", "KVSTORE_OPTION_CHECKPOINT_BYTES (10)"},
        {KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS, UINT64_MAX, "TRANSACTION_TIMEOUT", "milliseconds"},
        {KVSTORE_OPTION_STRICT_RECOVERY, 2, "STRICT_RECOVERY", "0 (no) and 1 (yes)"},
        {KVSTORE_OPTION_DURABILITY, 2, "KVSTORE_OPTION_DURABILITY", "KVSTORE_DURABILITY_OS (1)"},
        {KVSTORE_OPTION_CREATE, 2, "KVSTORE_OPTION_CREATE", "0 (no) and 1 (yes)"},
        {KVSTORE_OPTION_READ_ONLY, UINT64_MAX, "KVSTORE_OPTION_READ_ONLY", "0 (no) and 1 (yes)"},
        {KVSTORE_OPTION_LOCK_TIMEOUT_MS, UINT64_MAX, "LOCK_TIMEOUT_MS", "milliseconds"},
        {KVSTORE_OPTION_MAX_KEY_LEN, KVSTORE_MAX_LEN + 1ull, "MAX_KEY_LEN", "4294967295"},
        {KVSTORE_OPTION_MAX_VALUE_LEN, KVSTORE_MAX_LEN + 1ull, "MAX_VALUE_LEN", "4294967295"},
        {KVSTORE_OPTION_CLOSE_CHECKPOINT, 3, "CLOSE_CHECKPOINT", "_NEVER (2)"},
    };
    kvstore_options *options = kvstore_options_new();
    kvstore *store;
    kvstore_cursor *cursor = STALE;
    struct {
        kvstore_range range;
        uint64_t later;
    } newer;
    kvstore_stats_info stats;
    kvstore_recovery_info report;
    size_t i;

    for (i = 0; i < sizeof wrong / sizeof *wrong; i++)
        EXPECT_ERROR(BAD, kvstore_options_set(options, wrong[i].option, wrong[i].value, &error),
                     wrong[i].name, "accept", wrong[i].accepted);
    EXPECT(KVSTORE_OK, kvstore_open("options", options, &store, &error));
    kvstore_options_free(options);
    proved("wrong options and values are named, with what is accepted, and change nothing");

    EXPECT_ERROR(BAD, kvstore_set_with(store, BYTES("k"), BYTES("v"), 2, &error), "durability 2",
                 "KVSTORE_DURABILITY_SYNC (0)");
    EXPECT_ERROR(BAD, kvstore_delete_with(store, BYTES("k"), 9, &error), "durability 9");
    EXPECT(KVSTORE_NOT_FOUND, kvstore_contains(store, BYTES("k"), &error));

    memset(&newer, 0, sizeof newer);
    EXPECT_ERROR(BAD, kvstore_cursor_open(store, &newer.range, &cursor, &error), "struct_size");
    CHECK(cursor == NULL);
    newer.range.struct_size = sizeof newer.range;
    newer.range.flags = 8;
    EXPECT_ERROR(BAD, kvstore_cursor_open(store, &newer.range, &cursor, &error), "0x8",
                 "KVSTORE_RANGE_REVERSE");
    newer.range.flags = 0;
    newer.range.struct_size = sizeof newer;
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, &newer.range, &cursor, &error));
    kvstore_cursor_close(cursor);
    newer.later = 1;
    EXPECT_ERROR(KVSTORE_ERR_UNSUPPORTED,
                 kvstore_cursor_open(store, &newer.range, &cursor, &error), "version");
    CHECK(cursor == NULL);
    memset(&stats, 7, sizeof stats);
    stats.struct_size = 8;
    EXPECT_ERROR(BAD, kvstore_stats(store, &stats, &error), "sizeof(kvstore_stats_info)");
    CHECK(stats.struct_size == 8 && stats.records != 0); /* not written: no known size */
    report.struct_size = 0;
    EXPECT_ERROR(BAD, kvstore_recovery_report(store, &report, &error), "struct_size");
    /* What is in a struct that nobody has set: not believed, neither to read nor to write. */
    newer.range.struct_size = (size_t)0x7ffc12345678;
    EXPECT_ERROR(BAD, kvstore_cursor_open(store, &newer.range, &cursor, &error),
                 "sizeof(kvstore_range)");
    stats.struct_size = (size_t)0x7ffc12345678;
    EXPECT_ERROR(BAD, kvstore_stats(store, &stats, &error), "sizeof(kvstore_stats_info)");
    CHECK(stats.records != 0);
    report.struct_size = 1 << 20;
    EXPECT_ERROR(BAD, kvstore_recovery_report(store, &report, &error), "struct_size");
    check_close(store);
    proved("wrong durability, range flags and struct sizes");
}

static void read_only(void) {
    kvstore *store = check_open("read-only");
    kvstore_options *options;
    kvstore_error *why;
    kvstore_buffer value;

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("k"), BYTES("v"), &error));
    check_close(store);
    store = check_open_with("read-only", KVSTORE_OPTION_READ_ONLY, 1);
    EXPECT(KVSTORE_ERR_READ_ONLY, kvstore_set(store, BYTES("k"), BYTES("w"), &error));
    EXPECT(KVSTORE_ERR_READ_ONLY, kvstore_delete(store, BYTES("k"), &error));
    EXPECT(KVSTORE_ERR_READ_ONLY, kvstore_set_with(store, BYTES("x"), BYTES("w"), 1, &error));
    EXPECT(KVSTORE_OK, kvstore_get(store, BYTES("k"), &value, &error));
    CHECK(same(value.data, value.len, BYTES("v")));
    kvstore_buffer_free(&value);
    check_close(store);
    proved("writes to a store that was opened read-only: KVSTORE_ERR_READ_ONLY");

    CHECK(mkdir("no-store", 0755) == 0);
    options = options_with(KVSTORE_OPTION_READ_ONLY, 1);
    why = refused(KVSTORE_ERR_IO, "no-store", options);
    CHECK(names(why, "no-store") && kvstore_error_os_code(why) == ENOENT);
    CHECK(rmdir("no-store") == 0); /* nothing was made in it */
    kvstore_error_free(why);
    kvstore_options_free(options);
    proved("a directory without a store, opened for reading: ENOENT, and left alone");
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void locked(void) {
    kvstore *store = check_open("locked");
    kvstore_options *patient = options_with(KVSTORE_OPTION_LOCK_TIMEOUT_MS, 300);
    kvstore_error *why;
    char holder[32];
    double begin;
    int ready[2], done[2], status;
    pid_t child;
    char byte;

    sprintf(holder, "%d", (int)getpid());
    why = refused(KVSTORE_ERR_LOCKED, "locked", NULL);
    CHECK(names(why, "locked") && strstr(kvstore_error_message(why), holder) != NULL);
    CHECK(kvstore_error_lock_holder(why) == getpid());
    CHECK(strstr(kvstore_error_path(why), "locked") != NULL);
    kvstore_error_free(why);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("k"), BYTES("v"), &error));
    check_close(store);
    proved("a second open in one process: KVSTORE_ERR_LOCKED with the holder, who goes on");

    CHECK(pipe(ready) == 0 && pipe(done) == 0);
    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        store = check_open("locked");
        CHECK(write(ready[1], "r", 1) == 1);
        CHECK(read(done[0], &byte, 1) == 1);
        _exit(0); /* without closing */
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    begin = seconds();
    {
        kvstore *none = STALE;
        CHECK(kvstore_open("locked", patient, &none, &why) == KVSTORE_ERR_LOCKED && none == NULL);
    }
    CHECK(seconds() - begin > 0.25);
    CHECK(kvstore_error_lock_holder(why) == child);
    kvstore_error_free(why);
    CHECK(write(done[1], "d", 1) == 1);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT(KVSTORE_OK, kvstore_open("locked", patient, &store, &error));
    EXPECT(KVSTORE_OK, kvstore_contains(store, BYTES("k"), &error));
    check_close(store);
    kvstore_options_free(patient);
    close(ready[0]), close(ready[1]), close(done[0]), close(done[1]);
    proved("held by another process: its pid, after the timeout; free once it has ended");
}

/* Opening must be refused as corrupt, and must not touch the snapshot. */
static void refused_snapshot(const char *directory, const char *path, const char *what) {
    size_t before_len, after_len;
    char *before = read_file(path, &before_len), *after, offset[32];
    kvstore_error *why = refused(KVSTORE_ERR_CORRUPT, directory, NULL);

    CHECK(names(why, path));
    CHECK(strstr(kvstore_error_path(why), "snapshot.dat") != NULL);
    CHECK(kvstore_error_offset(why) != KVSTORE_OFFSET_NONE);
    CHECK(kvstore_error_offset(why) <= before_len);
    sprintf(offset, "offset %llu", (unsigned long long)kvstore_error_offset(why));
    CHECK(strstr(kvstore_error_message(why), offset) != NULL);
    kvstore_error_free(why);
    after = read_file(path, &after_len);
    CHECK(same(after, after_len, before, before_len));
    free(before);
    free(after);
    proved(what);
}

static void snapshots(void) {
    kvstore *store = check_open("snapshot");
    size_t len, i;
    char *whole;

    for (i = 0; i < 100; i++) {
        char key[16];
        sprintf(key, "key:%03d", (int)i);
        EXPECT(KVSTORE_OK, kvstore_set_with(store, key, 7, BYTES("value"), 1, &error));
    }
    check_close(store);
    whole = read_file("snapshot/snapshot.dat", &len);
    CHECK(len > 1000);

    write_file("snapshot/snapshot.dat", whole, len / 2);
    refused_snapshot("snapshot", "snapshot/snapshot.dat", "a truncated snapshot is refused");
    write_file("snapshot/snapshot.dat", whole, 11);
    refused_snapshot("snapshot", "snapshot/snapshot.dat", "so is one cut within its header");
    write_file("snapshot/snapshot.dat", "", 0);
    refused_snapshot("snapshot", "snapshot/snapshot.dat", "and an empty one");
    whole[len / 2] ^= 0x10;
    write_file("snapshot/snapshot.dat", whole, len);
    refused_snapshot("snapshot", "snapshot/snapshot.dat", "a snapshot with one wrong bit");
    whole[len / 2] ^= 0x10;
    write_file("snapshot/snapshot.dat", BYTES("SQLite format 3\0 and so on, a foreign file"));
    refused_snapshot("snapshot", "snapshot/snapshot.dat", "a foreign file as snapshot.dat");

    write_file("snapshot/snapshot.dat", whole, len);
    store = check_open("snapshot");
    EXPECT(KVSTORE_OK, kvstore_contains(store, BYTES("key:099"), &error));
    check_close(store);
    free(whole);
    proved("with the right snapshot back in place, everything is there");
}

int main(void) {
    directories();
    permissions();
    limits();
    options();
    read_only();
    locked();
    snapshots();
    return 0;
}
