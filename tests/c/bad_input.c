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

/* Something that an output must not keep. */
#define STALE ((void *)0x51a1e)

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

static void null_pointers(void) {
    kvstore *store = check_open("nulls");
    kvstore_buffer buffer;
    kvstore_pin *pin;
    kvstore_slice key, value;
    kvstore_pair pair;
    kvstore_values *values;
    kvstore_cursor *cursor;
    kvstore_stats_info stats;
    kvstore_recovery_info report;
    uint64_t len;
    size_t size;
    char byte;
#define BAD KVSTORE_ERR_INVALID_ARGUMENT

    /* No store, as after a close that set the pointer to NULL. */
    EXPECT_ERROR(BAD, kvstore_set(NULL, BYTES("k"), BYTES("v"), &error), "store", "kvstore_open");
    EXPECT_ERROR(BAD, kvstore_set_with(NULL, BYTES("k"), BYTES("v"), 0, &error), "store");
    EXPECT_ERROR(BAD, kvstore_delete(NULL, BYTES("k"), &error), "store");
    EXPECT_ERROR(BAD, kvstore_delete_with(NULL, BYTES("k"), 0, &error), "store");
    EXPECT_ERROR(BAD, kvstore_contains(NULL, BYTES("k"), &error), "store");
    EXPECT_ERROR(BAD, kvstore_sync(NULL, &error), "store");
    len = 7;
    EXPECT_ERROR(BAD, kvstore_len(NULL, &len, &error), "store");
    CHECK(len == 0);
    memset(&buffer, 7, sizeof buffer);
    EXPECT_ERROR(BAD, kvstore_get(NULL, BYTES("k"), &buffer, &error), "store");
    CHECK(buffer.data == NULL && buffer.len == 0 && buffer.owner == NULL);
    size = 7;
    EXPECT_ERROR(BAD, kvstore_get_into(NULL, BYTES("k"), &byte, 1, &size, &error), "store");
    CHECK(size == 0);
    pin = STALE, value = SLICE("x");
    EXPECT_ERROR(BAD, kvstore_get_pinned(NULL, BYTES("k"), &pin, &value, &error), "store");
    CHECK(pin == NULL && value.data == NULL && value.len == 0);
    values = STALE;
    EXPECT_ERROR(BAD, kvstore_get_many(NULL, &value, 1, &values, &error), "store");
    CHECK(values == NULL);
    cursor = STALE;
    EXPECT_ERROR(BAD, kvstore_cursor_open(NULL, NULL, &cursor, &error), "store");
    CHECK(cursor == NULL);
    memset(&stats, 7, sizeof stats);
    stats.struct_size = sizeof stats;
    EXPECT_ERROR(BAD, kvstore_stats(NULL, &stats, &error), "store");
    CHECK(stats.struct_size == sizeof stats && stats.records == 0 && stats.writes == 0);
    memset(&report, 7, sizeof report);
    report.struct_size = sizeof report;
    EXPECT_ERROR(BAD, kvstore_recovery_report(NULL, &report, &error), "store");
    CHECK(report.bytes_cut == 0 && report.quarantine == NULL);
    proved("a NULL store, in every function; outputs are written all the same");

    /* No other handle. */
    EXPECT_ERROR(BAD, kvstore_options_set(NULL, 1, 1, &error), "options");
    key = value = SLICE("x");
    EXPECT_ERROR(BAD, kvstore_cursor_next(NULL, &key, &value, &error), "cursor");
    CHECK(key.data == NULL && value.data == NULL);
    size = 7;
    EXPECT_ERROR(BAD, kvstore_cursor_next_batch(NULL, &pair, 1, &size, &error), "cursor");
    CHECK(size == 0);
    value = SLICE("x");
    EXPECT_ERROR(BAD, kvstore_values_at(NULL, 0, &value, &error), "values");
    CHECK(value.data == NULL);

    /* No place for the result. */
    EXPECT_ERROR(BAD, kvstore_open("nulls", NULL, NULL, &error), "out");
    EXPECT_ERROR(BAD, kvstore_len(store, NULL, &error), "out");
    EXPECT_ERROR(BAD, kvstore_get(store, BYTES("k"), NULL, &error), "out");
    EXPECT_ERROR(BAD, kvstore_get_into(store, BYTES("k"), &byte, 1, NULL, &error), "value_len");
    size = 7;
    EXPECT_ERROR(BAD, kvstore_get_into(store, BYTES("k"), NULL, 1, &size, &error), "buffer");
    CHECK(size == 0);
    EXPECT_ERROR(BAD, kvstore_get_pinned(store, BYTES("k"), NULL, &value, &error), "pin");
    pin = STALE;
    EXPECT_ERROR(BAD, kvstore_get_pinned(store, BYTES("k"), &pin, NULL, &error), "value");
    CHECK(pin == NULL);
    EXPECT_ERROR(BAD, kvstore_get_many(store, NULL, 0, NULL, &error), "out");
    EXPECT_ERROR(BAD, kvstore_cursor_open(store, NULL, NULL, &error), "out");
    EXPECT_ERROR(BAD, kvstore_stats(store, NULL, &error), "out");
    EXPECT_ERROR(BAD, kvstore_recovery_report(store, NULL, &error), "out");
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, NULL, &cursor, &error));
    EXPECT_ERROR(BAD, kvstore_cursor_next(cursor, NULL, &value, &error), "key");
    EXPECT_ERROR(BAD, kvstore_cursor_next(cursor, &key, NULL, &error), "value", "KEYS_ONLY");
    EXPECT_ERROR(BAD, kvstore_cursor_next_batch(cursor, NULL, 1, &size, &error), "out");
    EXPECT_ERROR(BAD, kvstore_cursor_next_batch(cursor, &pair, 0, &size, &error), "capacity");
    EXPECT_ERROR(BAD, kvstore_cursor_next_batch(cursor, &pair, 1, NULL, &error), "count");
    kvstore_cursor_close(cursor);
    EXPECT_BARE(BAD, kvstore_len(store, NULL, NULL));
    proved("NULL in place of every other handle and output");

    CHECK(kvstore_error_code(NULL) == KVSTORE_OK && kvstore_error_os_code(NULL) == 0);
    CHECK(kvstore_error_path(NULL) == NULL && kvstore_error_lock_holder(NULL) == 0);
    CHECK(kvstore_error_offset(NULL) == KVSTORE_OFFSET_NONE);
    CHECK(strcmp(kvstore_error_message(NULL), "no error") == 0);
    kvstore_error_free(NULL);
    check_close(store);
    proved("NULL in place of an error object is no error");
}

static void null_bytes(void) {
    kvstore *store = check_open("bytes");
    kvstore_buffer buffer;
    kvstore_pin *pin;
    kvstore_slice keys[2], value;
    kvstore_values *values;
    kvstore_cursor *cursor;
    kvstore_range range;
    size_t len;
    uint64_t count;
    char byte;

    EXPECT_ERROR(BAD, kvstore_set(store, NULL, 3, BYTES("v"), &error), "key", "3");
    EXPECT_ERROR(BAD, kvstore_set(store, BYTES("k"), NULL, 3, &error), "value", "3");
    EXPECT_ERROR(BAD, kvstore_set_with(store, NULL, 3, BYTES("v"), 0, &error), "key");
    EXPECT_ERROR(BAD, kvstore_delete(store, NULL, 3, &error), "key");
    EXPECT_ERROR(BAD, kvstore_delete_with(store, NULL, 3, 0, &error), "key");
    EXPECT_ERROR(BAD, kvstore_contains(store, NULL, 3, &error), "key");
    EXPECT_ERROR(BAD, kvstore_get(store, NULL, 3, &buffer, &error), "key");
    EXPECT_ERROR(BAD, kvstore_get_into(store, NULL, 3, &byte, 1, &len, &error), "key");
    EXPECT_ERROR(BAD, kvstore_get_pinned(store, NULL, 3, &pin, &value, &error), "key");
    keys[0] = SLICE("k");
    keys[1].data = NULL, keys[1].len = 3;
    EXPECT_ERROR(BAD, kvstore_get_many(store, keys, 2, &values, &error), "keys[1]");
    EXPECT_ERROR(BAD, kvstore_get_many(store, NULL, 2, &values, &error), "keys");
    memset(&range, 0, sizeof range);
    range.struct_size = sizeof range;
    range.start.len = 3;
    EXPECT_ERROR(BAD, kvstore_cursor_open(store, &range, &cursor, &error), "range.start");
    range.start.len = 0, range.end.len = 3;
    EXPECT_ERROR(BAD, kvstore_cursor_open(store, &range, &cursor, &error), "range.end");
    range.end.len = 0, range.prefix.len = 3;
    EXPECT_ERROR(BAD, kvstore_cursor_open(store, &range, &cursor, &error), "range.prefix");
    EXPECT(KVSTORE_ERR_TOO_LARGE, kvstore_set(store, "k", SIZE_MAX, BYTES("v"), &error));
    EXPECT(KVSTORE_ERR_TOO_LARGE, kvstore_get_many(store, keys, SIZE_MAX, &values, &error));
    EXPECT(KVSTORE_OK, kvstore_len(store, &count, &error));
    CHECK(count == 0);
    check_close(store);
    proved("NULL with a length, or an impossible length, in place of every key and value");
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
        {99, 0, "option 99", "KVSTORE_OPTION_STRICT_RECOVERY (8)"},
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
    check_close(store);
    proved("wrong durability, range flags and struct sizes");
}

static void read_only(void) {
    kvstore *store = check_open("read-only");
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

static void closed(void) {
    kvstore *store = check_open("closed");
    kvstore_buffer value;

    check_close(store);
    store = NULL; /* as the header advises */
    EXPECT_ERROR(BAD, kvstore_get(store, BYTES("k"), &value, &error), "kvstore_close()");
    EXPECT_ERROR(BAD, kvstore_set(store, BYTES("k"), BYTES("v"), &error), "kvstore_close()");
    EXPECT(KVSTORE_OK, kvstore_close(store, &error));
    proved("a closed store, whose pointer was set to NULL: the message says so");
}

int main(void) {
    directories();
    permissions();
    null_pointers();
    null_bytes();
    limits();
    options();
    read_only();
    locked();
    snapshots();
    closed();
    return 0;
}
