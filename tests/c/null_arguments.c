/* NULL in place of each handle, output, key and value: a specific status, a message that names the
 * argument, and outputs that are written all the same. */
#include "check.h"

#define BAD KVSTORE_ERR_INVALID_ARGUMENT

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
    int64_t sum;
    size_t size;
    char byte;

    /* No store, as after a close that set the pointer to NULL. */
    EXPECT_ERROR(BAD, kvstore_set(NULL, BYTES("k"), BYTES("v"), &error), "store", "kvstore_open");
    EXPECT_ERROR(BAD, kvstore_set_with(NULL, BYTES("k"), BYTES("v"), 0, &error), "store");
    EXPECT_ERROR(BAD, kvstore_delete(NULL, BYTES("k"), &error), "store");
    EXPECT_ERROR(BAD, kvstore_delete_with(NULL, BYTES("k"), 0, &error), "store");
    EXPECT_ERROR(BAD, kvstore_compare_and_set(NULL, BYTES("k"), NULL, NULL, &error), "store");
    EXPECT_ERROR(BAD, kvstore_compare_and_set_with(NULL, BYTES("k"), NULL, NULL, 0, &error),
                 "store");
    sum = 7;
    EXPECT_ERROR(BAD, kvstore_increment(NULL, BYTES("n"), 1, &sum, &error), "store");
    CHECK(sum == 0);
    sum = 7;
    EXPECT_ERROR(BAD, kvstore_increment_with(NULL, BYTES("n"), 1, &sum, 0, &error), "store");
    CHECK(sum == 0);
    EXPECT_ERROR(BAD, kvstore_write_with(NULL, NULL, 0, &error), "store");
    EXPECT_ERROR(BAD, kvstore_contains(NULL, BYTES("k"), &error), "store");
    EXPECT_ERROR(BAD, kvstore_sync(NULL, &error), "store");
    EXPECT_ERROR(BAD, kvstore_checkpoint(NULL, &error), "store");
    EXPECT_ERROR(BAD, kvstore_checkpoint_error(NULL, &error), "store");
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
    CHECK(report.bytes_cut == 0 && report.quarantine == NULL && report.cut_reason == NULL);
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
    EXPECT_ERROR(BAD, kvstore_compare_and_set_with(store, NULL, 3, NULL, NULL, 0, &error), "key");
    EXPECT_ERROR(BAD, kvstore_increment_with(store, NULL, 3, 1, NULL, 0, &error), "key");
    EXPECT_ERROR(BAD, kvstore_write_with(store, NULL, 0, &error), "batch");
    EXPECT_ERROR(BAD, kvstore_contains(store, NULL, 3, &error), "key");
    EXPECT_ERROR(BAD, kvstore_get(store, NULL, 3, &buffer, &error), "key");
    EXPECT_ERROR(BAD, kvstore_get_into(store, NULL, 3, &byte, 1, &len, &error), "key");
    EXPECT_ERROR(BAD, kvstore_get_pinned(store, NULL, 3, &pin, &value, &error), "key");
    keys[0] = SLICE("k");
    keys[1].data = NULL, keys[1].len = 3;
    EXPECT_ERROR(BAD, kvstore_get_many(store, keys, 2, &values, &error), "keys[1]");
    EXPECT_ERROR(BAD, kvstore_get_many(store, NULL, 2, &values, &error), "count is 2",
                 "kvstore_slice");
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
    null_pointers();
    null_bytes();
    closed();
    return 0;
}
