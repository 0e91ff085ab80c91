/* The directories in tests/fixtures/golden, which another implementation of the format wrote, hold
 * exactly what their .json files say: when opened, and again after they were closed here. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <sys/stat.h>

struct bytes {
    uint8_t *data;
    size_t len;
};

/* Reads the next "..." of hex digits; 0 at the end of the file. */
static int next_string(FILE *json, struct bytes *out) {
    size_t capacity = 0, digits = 0;
    int c, byte = 0;

    while ((c = getc(json)) != '"')
        if (c == EOF) return 0;
    out->data = NULL;
    while ((c = getc(json)) != '"') {
        CHECK(c != EOF && strchr("0123456789abcdef", c) != NULL);
        if (digits / 2 == capacity) {
            capacity = capacity == 0 ? 64 : capacity * 2;
            out->data = realloc(out->data, capacity);
            CHECK(out->data != NULL);
        }
        byte = byte * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
        if (digits % 2 == 1) out->data[digits / 2] = (uint8_t)byte, byte = 0;
        digits++;
    }
    CHECK(digits % 2 == 0);
    out->len = digits / 2;
    return 1;
}

static int same_bytes(kvstore_slice slice, struct bytes expected) {
    return same(slice.data, slice.len, expected.len == 0 ? (const void *)"" : expected.data,
                expected.len);
}

/* Every pair of the .json is in the store, in its order, and nothing else is. */
static uint64_t check_contents(kvstore *store, const char *json_path) {
    FILE *json = fopen(json_path, "r");
    kvstore_cursor *cursor;
    kvstore_buffer copy;
    kvstore_slice key, value;
    struct bytes expected_key, expected_value;
    uint64_t count = 0, len;

    CHECK(json != NULL);
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, NULL, &cursor, &error));
    while (next_string(json, &expected_key)) {
        CHECK(next_string(json, &expected_value));
        EXPECT(KVSTORE_OK, kvstore_cursor_next(cursor, &key, &value, &error));
        CHECK(same_bytes(key, expected_key) && same_bytes(value, expected_value));
        EXPECT(KVSTORE_OK, kvstore_get(store, expected_key.data, expected_key.len, &copy, &error));
        value.data = copy.data, value.len = copy.len;
        CHECK(same_bytes(value, expected_value));
        kvstore_buffer_free(&copy);
        free(expected_key.data);
        free(expected_value.data);
        count++;
    }
    EXPECT(KVSTORE_DONE, kvstore_cursor_next(cursor, &key, &value, &error));
    kvstore_cursor_close(cursor);
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == count);
    fclose(json);
    return count;
}

static void check_directory(const char *name) {
    char json[1024], command[2048], what[256], path[256];
    const char *fixtures = getenv("KVSTORE_FIXTURES");
    kvstore *store;
    kvstore_recovery_info report;
    struct stat log;
    uint64_t count;

    CHECK(fixtures != NULL);
    snprintf(json, sizeof json, "%s/golden/%s.json", fixtures, name);
    snprintf(command, sizeof command, "cp -r '%s/golden/%s' . && chmod -R u+w '%s'", fixtures, name,
             name);
    CHECK(system(command) == 0);

    store = check_open_with(name, KVSTORE_OPTION_READ_ONLY, 1);
    check_contents(store, json);
    check_close(store);

    store = check_open(name);
    memset(&report, 0, sizeof report);
    report.struct_size = sizeof report;
    EXPECT(KVSTORE_OK, kvstore_recovery_report(store, &report, &error));
    count = check_contents(store, json);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("a new key"), BYTES("v"), &error));
    EXPECT(KVSTORE_OK, kvstore_delete(store, BYTES("a new key"), &error));
    check_close(store);
    snprintf(path, sizeof path, "%s/wal.log", name);
    CHECK(stat(path, &log) == 0 && log.st_size == 0);

    store = check_open(name);
    CHECK(check_contents(store, json) == count);
    check_close(store);
    snprintf(what, sizeof what,
             "%s: %d keys, from %d in the snapshot and %d log entries; the same after a close",
             name, (int)count, (int)report.snapshot_records, (int)report.log_records);
    proved(what);
}

int main(void) {
    check_directory("clean");
    check_directory("crash");
    check_directory("wal-only");
    check_directory("empty");
    return 0;
}
