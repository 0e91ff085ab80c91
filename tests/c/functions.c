/* Every function of the header, used as its documentation says. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <sys/stat.h>

static void versions_and_names(void) {
    char number[32];
    int status;

    CHECK(strcmp(kvstore_version(), KVSTORE_VERSION) == 0);
    CHECK(kvstore_version_number() == KVSTORE_VERSION_NUMBER);
    snprintf(number, sizeof number, "%d.%d.%d", KVSTORE_VERSION_MAJOR, KVSTORE_VERSION_MINOR,
             KVSTORE_VERSION_PATCH);
    CHECK(strcmp(kvstore_version(), number) == 0);
    CHECK(strcmp(kvstore_status_name(KVSTORE_OK), "KVSTORE_OK") == 0);
    CHECK(strcmp(kvstore_status_name(KVSTORE_ERR_CLOSED), "KVSTORE_ERR_CLOSED") == 0);
    for (status = KVSTORE_ERR_CANCELLED; status <= KVSTORE_CONFLICT; status++)
        CHECK(strcmp(kvstore_status_name(status), "KVSTORE_UNKNOWN") != 0);
    CHECK(strcmp(kvstore_status_name(KVSTORE_ERR_CANCELLED - 1), "KVSTORE_UNKNOWN") == 0);
    CHECK(strcmp(kvstore_status_name(KVSTORE_CONFLICT + 1), "KVSTORE_UNKNOWN") == 0);
    proved("the versions of header and library agree, and every status has a name");
}

static void set_get_delete(void) {
    static const char binary[] = "a\0b\xff";
    kvstore *store = check_open("basic");
    kvstore_buffer value;
    uint64_t len = 99;

    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == 0);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("user:1"), BYTES("alice"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("user:1"), BYTES("alicia"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, NULL, 0, BYTES("the empty key"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("empty"), NULL, 0, &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES(binary), BYTES(binary), &error));
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == 4);

    EXPECT(KVSTORE_OK, kvstore_get(store, BYTES("user:1"), &value, &error));
    CHECK(same(value.data, value.len, BYTES("alicia")));
    value.data[0] = 'A'; /* a copy: it belongs to the caller */
    kvstore_buffer_free(&value);
    CHECK(value.data == NULL && value.len == 0 && value.owner == NULL);
    kvstore_buffer_free(&value);
    kvstore_buffer_free(NULL);
    EXPECT(KVSTORE_OK, kvstore_get(store, "", 0, &value, &error));
    CHECK(same(value.data, value.len, BYTES("the empty key")));
    kvstore_buffer_free(&value);
    EXPECT(KVSTORE_OK, kvstore_get(store, BYTES("empty"), &value, &error));
    CHECK(same(value.data, value.len, "", 0));
    kvstore_buffer_free(&value);
    EXPECT(KVSTORE_OK, kvstore_get(store, BYTES(binary), &value, &error));
    CHECK(same(value.data, value.len, BYTES(binary)));
    kvstore_buffer_free(&value);
    memset(&value, 7, sizeof value);
    EXPECT(KVSTORE_NOT_FOUND, kvstore_get(store, BYTES("user:2"), &value, &error));
    CHECK(value.data == NULL && value.len == 0 && value.owner == NULL);

    EXPECT(KVSTORE_OK, kvstore_contains(store, BYTES("user:1"), &error));
    EXPECT(KVSTORE_NOT_FOUND, kvstore_contains(store, BYTES("user:"), &error));
    EXPECT(KVSTORE_OK, kvstore_delete(store, BYTES("user:1"), &error));
    EXPECT(KVSTORE_NOT_FOUND, kvstore_delete(store, BYTES("user:1"), &error));
    EXPECT(KVSTORE_NOT_FOUND, kvstore_contains(store, BYTES("user:1"), &error));
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == 3);

    EXPECT(KVSTORE_OK, kvstore_set_with(store, BYTES("os"), BYTES("1"), KVSTORE_DURABILITY_OS, &error));
    EXPECT(KVSTORE_OK, kvstore_set_with(store, BYTES("sync"), BYTES("2"), KVSTORE_DURABILITY_SYNC, &error));
    EXPECT(KVSTORE_OK, kvstore_delete_with(store, BYTES("os"), KVSTORE_DURABILITY_OS, &error));
    EXPECT(KVSTORE_NOT_FOUND, kvstore_delete_with(store, BYTES("os"), KVSTORE_DURABILITY_SYNC, &error));
    EXPECT(KVSTORE_OK, kvstore_sync(store, &error));
    EXPECT_BARE(KVSTORE_OK, kvstore_sync(store, NULL));
    EXPECT(KVSTORE_OK, kvstore_checkpoint(store, &error));
    kvstore_stats_info after = {.struct_size = sizeof after};
    EXPECT(KVSTORE_OK, kvstore_stats(store, &after, &error));
    CHECK(after.checkpoints == 1 && after.log_bytes == 0 && after.sealed_logs == 0);
    EXPECT(KVSTORE_OK, kvstore_checkpoint_error(store, &error));
    CHECK(mkdir("basic/snapshot.dat.tmp", 0777) == 0);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("while none can be made"), BYTES("x"), &error));
    EXPECT_ERROR(KVSTORE_ERR_IO, kvstore_checkpoint(store, &error), "snapshot.dat.tmp");
    EXPECT_ERROR(KVSTORE_ERR_IO, kvstore_checkpoint_error(store, &error), "snapshot.dat.tmp");
    CHECK(rmdir("basic/snapshot.dat.tmp") == 0);
    EXPECT(KVSTORE_OK, kvstore_delete(store, BYTES("while none can be made"), &error));
    EXPECT(KVSTORE_OK, kvstore_checkpoint(store, &error));
    EXPECT(KVSTORE_OK, kvstore_checkpoint_error(store, &error));
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_checkpoint_error(NULL, &error), "store");
    CHECK(kvstore_path(NULL) == NULL);
    CHECK(strstr(kvstore_path(store), "basic") != NULL);
    check_close(store);
    proved("set, get, delete, contains, len, sync, path; empty and binary keys and values");

    store = check_open("basic");
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == 4);
    EXPECT(KVSTORE_OK, kvstore_get(store, BYTES("sync"), &value, &error));
    CHECK(same(value.data, value.len, BYTES("2")));
    kvstore_buffer_free(&value);
    check_close(store);
    EXPECT(KVSTORE_OK, kvstore_close(NULL, &error));
    EXPECT_BARE(KVSTORE_OK, kvstore_close(NULL, NULL));
    proved("what was closed is there when it is opened again; closing NULL is allowed");
}

static void get_into(void) {
    kvstore *store = check_open("into");
    char buffer[8];
    size_t len = 99;

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("k"), BYTES("12345678"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("empty"), NULL, 0, &error));
    EXPECT(KVSTORE_OK, kvstore_get_into(store, BYTES("k"), buffer, sizeof buffer, &len, &error));
    CHECK(same(buffer, len, BYTES("12345678")));

    memset(buffer, '-', sizeof buffer);
    EXPECT_ERROR(KVSTORE_ERR_BUFFER_TOO_SMALL,
                 kvstore_get_into(store, BYTES("k"), buffer, 7, &len, &error), "8 bytes", "7",
                 "kvstore_get()");
    CHECK(len == 8 && memcmp(buffer, "--------", 8) == 0);
    EXPECT_BARE(KVSTORE_ERR_BUFFER_TOO_SMALL,
                kvstore_get_into(store, BYTES("k"), NULL, 0, &len, NULL));
    CHECK(len == 8);
    EXPECT(KVSTORE_OK, kvstore_get_into(store, BYTES("empty"), NULL, 0, &len, &error));
    CHECK(len == 0);
    len = 99;
    EXPECT(KVSTORE_NOT_FOUND, kvstore_get_into(store, BYTES("?"), buffer, 8, &len, &error));
    CHECK(len == 0 && memcmp(buffer, "--------", 8) == 0);
    check_close(store);
    proved("get_into copies, tells the length that is needed, and then copies nothing");
}

static void pins(void) {
    kvstore *store = check_open("pins");
    kvstore_pin *first, *empty, *none = (kvstore_pin *)&store;
    kvstore_slice first_value, value;

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("k"), BYTES("before"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("empty"), NULL, 0, &error));
    EXPECT(KVSTORE_OK, kvstore_get_pinned(store, BYTES("k"), &first, &first_value, &error));
    CHECK(same(first_value.data, first_value.len, BYTES("before")));
    EXPECT(KVSTORE_OK, kvstore_get_pinned(store, BYTES("empty"), &empty, &value, &error));
    CHECK(same(value.data, value.len, "", 0));
    EXPECT(KVSTORE_NOT_FOUND, kvstore_get_pinned(store, BYTES("?"), &none, &value, &error));
    CHECK(none == NULL && value.data == NULL && value.len == 0);

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("k"), BYTES("after"), &error));
    CHECK(same(first_value.data, first_value.len, BYTES("before")));
    EXPECT(KVSTORE_OK, kvstore_delete(store, BYTES("k"), &error));
    check_close(store);
    CHECK(same(first_value.data, first_value.len, BYTES("before")));
    kvstore_pin_release(first);
    kvstore_pin_release(empty);
    kvstore_pin_release(NULL);
    proved("a pinned value stays as it was after set, delete and close");
}

static void many(void) {
    enum { COUNT = 300 };
    kvstore *store = check_open_with("many", KVSTORE_OPTION_DURABILITY, KVSTORE_DURABILITY_OS);
    kvstore_values *values = NULL;
    kvstore_slice keys[COUNT], value;
    char texts[COUNT][16], long_value[5000];
    int i;

    memset(long_value, 'x', sizeof long_value);
    for (i = 0; i < COUNT; i++) {
        keys[i].len = (size_t)sprintf(texts[i], "key:%d", i);
        keys[i].data = (const uint8_t *)texts[i];
        if (i % 3 != 0)
            EXPECT(KVSTORE_OK, kvstore_set(store, texts[i], keys[i].len, long_value,
                                           (size_t)(i % 7 == 0 ? 5000 : i % 10), &error));
    }
    keys[COUNT - 1] = keys[1]; /* the same key twice */
    EXPECT(KVSTORE_OK, kvstore_get_many(store, keys, COUNT, &values, &error));
    CHECK(kvstore_values_count(values) == COUNT);
    for (i = 0; i < COUNT - 1; i++) {
        if (i % 3 == 0) {
            EXPECT(KVSTORE_NOT_FOUND, kvstore_values_at(values, (size_t)i, &value, &error));
            CHECK(value.data == NULL && value.len == 0);
        } else {
            EXPECT(KVSTORE_OK, kvstore_values_at(values, (size_t)i, &value, &error));
            CHECK(same(value.data, value.len, long_value, (size_t)(i % 7 == 0 ? 5000 : i % 10)));
        }
    }
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_values_at(values, COUNT, &value, &error),
                 "300");
    check_close(store);
    EXPECT_BARE(KVSTORE_OK, kvstore_values_at(values, COUNT - 1, &value, NULL));
    CHECK(same(value.data, value.len, "x", 1));
    kvstore_values_free(values);
    kvstore_values_free(NULL);

    store = check_open("many");
    EXPECT(KVSTORE_OK, kvstore_get_many(store, NULL, 0, &values, &error));
    CHECK(values != NULL && kvstore_values_count(values) == 0);
    kvstore_values_free(values);
    CHECK(kvstore_values_count(NULL) == 0);
    check_close(store);
    proved("get_many returns each value in the order of the keys, and outlives the store");
}

/* Checks that a cursor yields exactly these keys, whose values are "v" and the key. */
static void check_keys(kvstore *store, const kvstore_range *range, const char *expected) {
    kvstore_cursor *cursor = NULL;
    kvstore_slice key, value;
    char keys[256] = "", value_expected[64];
    size_t used = 0;
    int keys_only = range != NULL && (range->flags & KVSTORE_RANGE_KEYS_ONLY) != 0;

    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, range, &cursor, &error));
    while (kvstore_cursor_next(cursor, &key, &value, NULL) == KVSTORE_OK) {
        used += (size_t)sprintf(keys + used, "%.*s ", (int)key.len, (const char *)key.data);
        snprintf(value_expected, sizeof value_expected, "v%.*s", (int)key.len,
                 (const char *)key.data);
        CHECK(same(value.data, value.len, value_expected, keys_only ? 0 : strlen(value_expected)));
    }
    EXPECT(KVSTORE_DONE, kvstore_cursor_next(cursor, &key, &value, &error));
    CHECK(key.data == NULL && key.len == 0 && value.data == NULL && value.len == 0);
    kvstore_cursor_close(cursor);
    if (strcmp(keys, expected) != 0) {
        fprintf(stderr, "keys: %s\n", keys);
        CHECK(!"the keys that were expected");
    }
}

static void ranges(void) {
    static const char *const all[] = {"b", "a", "ab", "c", "aa", "ba", "abc"};
    kvstore *store = check_open_with("ranges", KVSTORE_OPTION_DURABILITY, KVSTORE_DURABILITY_OS);
    kvstore_range range;
    kvstore_cursor *cursor;
    kvstore_slice key;
    size_t i;

    for (i = 0; i < sizeof all / sizeof *all; i++) {
        char value[8];
        sprintf(value, "v%s", all[i]);
        EXPECT(KVSTORE_OK, kvstore_set(store, all[i], strlen(all[i]), value, strlen(value), &error));
    }
    check_keys(store, NULL, "a aa ab abc b ba c ");
    memset(&range, 0, sizeof range);
    range.struct_size = sizeof range;
    check_keys(store, &range, "a aa ab abc b ba c ");
    range.start = SLICE("ab");
    check_keys(store, &range, "ab abc b ba c ");
    range.end = SLICE("ba");
    check_keys(store, &range, "ab abc b ");
    range.flags = KVSTORE_RANGE_REVERSE;
    check_keys(store, &range, "b abc ab ");
    range.flags = KVSTORE_RANGE_REVERSE | KVSTORE_RANGE_KEYS_ONLY;
    check_keys(store, &range, "b abc ab ");
    range.prefix = SLICE("ab");
    check_keys(store, &range, "abc ab ");
    range.flags = 0;
    range.start.data = NULL, range.start.len = 0;
    range.end.data = NULL, range.end.len = 0;
    check_keys(store, &range, "ab abc ");
    range.prefix = SLICE("x");
    check_keys(store, &range, "");
    range.prefix = SLICE("");
    check_keys(store, &range, "a aa ab abc b ba c ");
    range.start = SLICE("c");
    range.end = SLICE("a");
    check_keys(store, &range, "");
    range.start = SLICE("");
    range.end = SLICE(""); /* the empty key: nothing comes before it */
    check_keys(store, &range, "");
    range.end.data = NULL;
    range.flags = KVSTORE_RANGE_KEYS_ONLY;
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, &range, &cursor, &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_next(cursor, &key, NULL, &error));
    CHECK(same(key.data, key.len, BYTES("a")));
    kvstore_cursor_close(cursor);
    kvstore_cursor_close(NULL);
    check_close(store);
    proved("ranges: all, start, end, prefix, both directions, keys only, empty ones");
}

static void cursors(void) {
    enum { COUNT = 1000 };
    kvstore *store = check_open_with("cursors", KVSTORE_OPTION_DURABILITY, KVSTORE_DURABILITY_OS);
    kvstore_cursor *cursor, *batches;
    kvstore_pair pairs[64];
    kvstore_slice key, value;
    char text[16], *large = malloc(3000000);
    size_t count = 99, seen = 0, i;
    kvstore_status status;

    CHECK(large != NULL);
    memset(large, 'L', 3000000);
    for (i = 0; i < COUNT; i++) {
        sprintf(text, "%06d", (int)i);
        if (i == 500)
            EXPECT(KVSTORE_OK, kvstore_set(store, text, 6, large, 3000000, &error));
        else
            EXPECT(KVSTORE_OK, kvstore_set(store, text, 6, text, i % 7, &error));
    }
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, NULL, &cursor, &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, NULL, &batches, &error));
    EXPECT(KVSTORE_OK, kvstore_delete(store, BYTES("000999"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("000003"), BYTES("changed"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("zzz"), BYTES("new"), &error));
    check_close(store);

    for (i = 0; i < COUNT; i++) {
        sprintf(text, "%06d", (int)i);
        EXPECT(KVSTORE_OK, kvstore_cursor_next(cursor, &key, &value, &error));
        CHECK(same(key.data, key.len, text, 6));
        CHECK(i == 500 ? value.len == 3000000 : same(value.data, value.len, text, i % 7));
    }
    EXPECT(KVSTORE_DONE, kvstore_cursor_next(cursor, &key, &value, &error));
    kvstore_cursor_close(cursor);
    proved("a cursor sees the instant at which it was opened, also after the store is closed");

    while ((status = kvstore_cursor_next_batch(batches, pairs, 64, &count, NULL)) == KVSTORE_OK) {
        CHECK(count >= 1 && count <= 64);
        for (i = 0; i < count; i++, seen++) {
            sprintf(text, "%06d", (int)seen);
            CHECK(same(pairs[i].key.data, pairs[i].key.len, text, 6));
            if (seen == 500)
                CHECK(same(pairs[i].value.data, pairs[i].value.len, large, 3000000));
            else
                CHECK(same(pairs[i].value.data, pairs[i].value.len, text, seen % 7));
        }
    }
    CHECK(status == KVSTORE_DONE && count == 0 && seen == COUNT);
    EXPECT(KVSTORE_DONE, kvstore_cursor_next_batch(batches, pairs, 1, &count, &error));
    kvstore_cursor_close(batches);
    free(large);
    proved("batches return every pair once, in order, large ones too");
}

static void options_take_effect(void) {
    kvstore_options *options = kvstore_options_new();
    kvstore *store;
    uint64_t len;
    struct stat log;

    CHECK(options != NULL);
    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_CREATE, 1, &error));
    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_DURABILITY, KVSTORE_DURABILITY_OS, &error));
    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_READ_ONLY, 0, &error));
    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_LOCK_TIMEOUT_MS, 10, &error));
    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_MAX_KEY_LEN, 8, &error));
    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_MAX_VALUE_LEN, KVSTORE_MAX_LEN, &error));
    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_CLOSE_CHECKPOINT,
                                           KVSTORE_CLOSE_CHECKPOINT_NEVER, &error));
    EXPECT(KVSTORE_OK, kvstore_open("parents/are/created", options, &store, &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("12345678"), BYTES("value"), &error));
    check_close(store);
    CHECK(stat("parents/are/created/snapshot.dat", &log) != 0);
    CHECK(stat("parents/are/created/wal.log", &log) == 0 && log.st_size > 0);

    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_CLOSE_CHECKPOINT,
                                           KVSTORE_CLOSE_CHECKPOINT_ALWAYS, &error));
    EXPECT(KVSTORE_OK, kvstore_open("parents/are/created", options, &store, &error));
    kvstore_options_free(options); /* the store does not need them any more */
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == 1);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("b"), BYTES("value"), &error));
    check_close(store);
    CHECK(stat("parents/are/created/snapshot.dat", &log) == 0);
    CHECK(stat("parents/are/created/wal.log", &log) == 0 && log.st_size == 0);
    kvstore_options_free(NULL);
    proved("options: parents are created; the log is kept, or replaced by a snapshot, as asked");
}

static void stats_and_report(void) {
    kvstore *store = check_open("stats");
    struct {
        kvstore_stats_info info;
        uint64_t later[2];
    } newer;
    kvstore_stats_info stats;
    kvstore_recovery_info report;

    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("a"), BYTES("1"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("b"), BYTES("2"), &error));
    EXPECT(KVSTORE_OK, kvstore_delete(store, BYTES("b"), &error));
    EXPECT(KVSTORE_OK, kvstore_stats(store, &stats, &error));
    CHECK(stats.struct_size == sizeof stats && stats.records == 1 && stats.writes == 3);
    CHECK(stats.log_bytes > 0 && stats.index_bytes > 0 && stats.groups >= 1 && stats.syncs >= 1);

    memset(&newer, 7, sizeof newer);
    newer.info.struct_size = sizeof newer;
    EXPECT(KVSTORE_OK, kvstore_stats(store, &newer.info, &error));
    CHECK(newer.info.struct_size == sizeof stats && newer.info.records == 1);
    CHECK(newer.later[0] == 0 && newer.later[1] == 0);

    memset(&report, 7, sizeof report);
    report.struct_size = sizeof report;
    EXPECT(KVSTORE_OK, kvstore_recovery_report(store, &report, &error));
    CHECK(report.struct_size == sizeof report && report.snapshot_records == 0);
    CHECK(report.log_records == 0 && report.bytes_cut == 0);
    CHECK(report.cut_offset == KVSTORE_OFFSET_NONE && report.quarantine == NULL);
    check_close(store);

    store = check_open("stats");
    EXPECT(KVSTORE_OK, kvstore_recovery_report(store, &report, &error));
    CHECK(report.snapshot_records == 1 && report.log_records == 0);
    EXPECT(KVSTORE_OK, kvstore_stats(store, &stats, &error));
    CHECK(stats.snapshot_bytes > 0 && stats.writes == 0);
    check_close(store);
    proved("stats and recovery report, also for programs with a larger struct");
}

int main(void) {
    versions_and_names();
    set_get_delete();
    get_into();
    pins();
    many();
    ranges();
    cursors();
    options_take_effect();
    stats_and_report();
    return 0;
}
