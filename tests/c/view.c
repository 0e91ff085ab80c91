/* Views, and what cursors can do beside going on: seek, limits. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>

#define BAD KVSTORE_ERR_INVALID_ARGUMENT

static kvstore *letters(const char *directory) {
    kvstore *store = check_open_with(directory, KVSTORE_OPTION_DURABILITY, KVSTORE_DURABILITY_OS);
    const char *letter;
    for (letter = "dacbe"; *letter; letter++)
        EXPECT(KVSTORE_OK, kvstore_set(store, letter, 1, letter, 1, &error));
    return store;
}

/* Checks that the cursor goes on with exactly these keys of one letter. */
static void expect_letters(kvstore_cursor *cursor, const char *expected) {
    kvstore_slice key, value;
    for (; *expected; expected++) {
        EXPECT(KVSTORE_OK, kvstore_cursor_next(cursor, &key, &value, &error));
        CHECK(same(key.data, key.len, expected, 1));
    }
    EXPECT(KVSTORE_DONE, kvstore_cursor_next(cursor, &key, &value, &error));
    CHECK(key.data == NULL && key.len == 0 && value.data == NULL && value.len == 0);
}

static void one_instant(void) {
    kvstore *store = letters("instant");
    kvstore_view *view, *after;
    kvstore_cursor *cursor;
    kvstore_slice value, pinned, late;
    kvstore_pin *pin;
    uint64_t len = 99;

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("empty"), NULL, 0, &error));
    EXPECT(KVSTORE_OK, kvstore_view_open(store, &view, &error));
    EXPECT(KVSTORE_OK, kvstore_view_get(view, BYTES("a"), &late, &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("a"), BYTES("later"), &error));
    EXPECT(KVSTORE_OK, kvstore_delete(store, BYTES("b"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("new"), BYTES("1"), &error));
    EXPECT(KVSTORE_OK, kvstore_view_open(store, &after, &error));

    EXPECT(KVSTORE_OK, kvstore_view_get(view, BYTES("a"), &value, &error));
    CHECK(same(value.data, value.len, BYTES("a")));
    EXPECT(KVSTORE_OK, kvstore_view_contains(view, BYTES("b"), &error));
    EXPECT(KVSTORE_NOT_FOUND, kvstore_view_contains(view, BYTES("new"), &error));
    EXPECT(KVSTORE_NOT_FOUND, kvstore_view_get(view, BYTES("new"), &value, &error));
    CHECK(value.data == NULL && value.len == 0);
    EXPECT(KVSTORE_OK, kvstore_view_get(view, BYTES("empty"), &value, &error));
    CHECK(same(value.data, value.len, "", 0));
    EXPECT(KVSTORE_OK, kvstore_view_len(view, &len, &error));
    CHECK(len == 6);

    EXPECT(KVSTORE_OK, kvstore_view_get(after, BYTES("a"), &value, &error));
    CHECK(same(value.data, value.len, BYTES("later")));
    EXPECT(KVSTORE_NOT_FOUND, kvstore_view_contains(after, BYTES("b"), &error));
    EXPECT_BARE(KVSTORE_OK, kvstore_view_len(after, &len, NULL));
    CHECK(len == 6);
    kvstore_view_close(after);
    proved("a view is of one instant, whatever is written meanwhile");

    EXPECT(KVSTORE_OK, kvstore_view_get_pinned(view, BYTES("c"), &pin, &pinned, &error));
    EXPECT(KVSTORE_OK, kvstore_view_cursor_open(view, NULL, &cursor, &error));
    check_close(store);
    CHECK(same(late.data, late.len, BYTES("a")));
    EXPECT(KVSTORE_OK, kvstore_view_get(view, BYTES("b"), &value, &error));
    CHECK(same(value.data, value.len, BYTES("b")));
    kvstore_view_close(view);
    CHECK(same(pinned.data, pinned.len, BYTES("c")));
    kvstore_pin_release(pin);
    EXPECT(KVSTORE_OK, kvstore_cursor_seek(cursor, BYTES("d"), &error));
    {
        kvstore_slice key;
        EXPECT(KVSTORE_OK, kvstore_cursor_next(cursor, &key, &value, &error));
        CHECK(same(key.data, key.len, BYTES("d")));
    }
    kvstore_cursor_close(cursor);
    kvstore_view_close(NULL);
    proved("a view outlives its store, and its cursors and pins outlive the view");
}

static void seeking(void) {
    kvstore *store = letters("seek");
    kvstore_range range;
    kvstore_cursor *cursor;

    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, NULL, &cursor, &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_seek(cursor, BYTES("bb"), &error));
    expect_letters(cursor, "cde");
    EXPECT(KVSTORE_OK, kvstore_cursor_seek(cursor, BYTES("d"), &error));
    expect_letters(cursor, "de");
    EXPECT(KVSTORE_OK, kvstore_cursor_seek(cursor, BYTES("z"), &error));
    expect_letters(cursor, "");
    EXPECT_BARE(KVSTORE_OK, kvstore_cursor_seek(cursor, NULL, 0, NULL));
    expect_letters(cursor, "abcde");
    kvstore_cursor_close(cursor);

    memset(&range, 0, sizeof range);
    range.struct_size = sizeof range;
    range.flags = KVSTORE_RANGE_REVERSE;
    range.start = SLICE("b");
    range.end = SLICE("e");
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, &range, &cursor, &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_seek(cursor, BYTES("cc"), &error));
    expect_letters(cursor, "cb");
    EXPECT(KVSTORE_OK, kvstore_cursor_seek(cursor, BYTES("z"), &error));
    expect_letters(cursor, "dcb");
    EXPECT(KVSTORE_OK, kvstore_cursor_seek(cursor, BYTES("a"), &error));
    expect_letters(cursor, "");
    kvstore_cursor_close(cursor);
    check_close(store);
    proved("seek moves both ways, in both directions, and never out of the range");
}

static void limits(void) {
    kvstore *store = letters("limits");
    kvstore_range range;
    kvstore_cursor *cursor;
    kvstore_view *view;
    kvstore_pair pairs[8];
    kvstore_slice key;
    size_t count;

    memset(&range, 0, sizeof range);
    range.struct_size = sizeof range;
    range.limit = 2;
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, &range, &cursor, &error));
    expect_letters(cursor, "ab");
    EXPECT(KVSTORE_OK, kvstore_cursor_seek(cursor, BYTES("b"), &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_next_batch(cursor, pairs, 8, &count, &error));
    CHECK(count == 2 && same(pairs[1].key.data, pairs[1].key.len, BYTES("c")));
    EXPECT(KVSTORE_DONE, kvstore_cursor_next_batch(cursor, pairs, 8, &count, &error));
    CHECK(count == 0);
    kvstore_cursor_close(cursor);

    range.limit = 99;
    range.flags = KVSTORE_RANGE_REVERSE | KVSTORE_RANGE_KEYS_ONLY;
    EXPECT(KVSTORE_OK, kvstore_view_open(store, &view, &error));
    EXPECT(KVSTORE_OK, kvstore_view_cursor_open(view, &range, &cursor, &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_next(cursor, &key, NULL, &error));
    CHECK(same(key.data, key.len, BYTES("e")));
    EXPECT(KVSTORE_OK, kvstore_cursor_next_batch(cursor, pairs, 8, &count, &error));
    CHECK(count == 4 && pairs[0].value.len == 0);
    kvstore_cursor_close(cursor);
    kvstore_view_close(view);

    /* A program that was compiled before there was a limit: what lies there is not looked at. */
    range.flags = 0;
    range.limit = 1;
    range.struct_size = offsetof(kvstore_range, limit);
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, &range, &cursor, &error));
    expect_letters(cursor, "abcde");
    kvstore_cursor_close(cursor);
    check_close(store);
    proved("a limit holds for one by one and batches, and begins anew after a seek");
}

static void wrong_arguments(void) {
    kvstore *store = letters("wrong");
    kvstore_view *view = (kvstore_view *)STALE;
    kvstore_cursor *cursor;
    kvstore_range range;
    kvstore_slice value;
    kvstore_pin *pin;
    uint64_t len;

    EXPECT_ERROR(BAD, kvstore_view_open(NULL, &view, &error), "store");
    CHECK(view == NULL);
    EXPECT_ERROR(BAD, kvstore_view_open(store, NULL, &error), "out");
    EXPECT_ERROR(BAD, kvstore_view_get(NULL, BYTES("a"), &value, &error), "view",
                 "kvstore_view_open()");
    CHECK(value.data == NULL && value.len == 0);
    EXPECT_ERROR(BAD, kvstore_view_contains(NULL, BYTES("a"), &error), "view");
    len = 99;
    EXPECT_ERROR(BAD, kvstore_view_len(NULL, &len, &error), "view");
    CHECK(len == 0);
    cursor = (kvstore_cursor *)STALE;
    EXPECT_ERROR(BAD, kvstore_view_cursor_open(NULL, NULL, &cursor, &error), "view");
    CHECK(cursor == NULL);
    pin = (kvstore_pin *)STALE;
    EXPECT_ERROR(BAD, kvstore_view_get_pinned(NULL, BYTES("a"), &pin, &value, &error), "view");
    CHECK(pin == NULL);
    EXPECT_ERROR(BAD, kvstore_cursor_seek(NULL, BYTES("a"), &error), "cursor");

    EXPECT(KVSTORE_OK, kvstore_view_open(store, &view, &error));
    EXPECT_ERROR(BAD, kvstore_view_get(view, NULL, 3, &value, &error), "key is NULL");
    EXPECT_ERROR(BAD, kvstore_view_get(view, BYTES("a"), NULL, &error), "value");
    EXPECT_ERROR(BAD, kvstore_view_get_pinned(view, BYTES("a"), NULL, &value, &error), "pin");
    EXPECT_ERROR(BAD, kvstore_view_len(view, NULL, &error), "out");
    EXPECT_ERROR(BAD, kvstore_view_cursor_open(view, NULL, NULL, &error), "out");
    memset(&range, 0, sizeof range);
    EXPECT_ERROR(BAD, kvstore_view_cursor_open(view, &range, &cursor, &error), "struct_size");
    EXPECT(KVSTORE_OK, kvstore_view_cursor_open(view, NULL, &cursor, &error));
    EXPECT_ERROR(BAD, kvstore_cursor_seek(cursor, NULL, 1, &error), "key is NULL");
    expect_letters(cursor, "abcde");
    kvstore_cursor_close(cursor);
    kvstore_view_close(view);
    check_close(store);
    proved("every wrong argument is named, and every output written");
}

struct reader {
    const kvstore_view *view;
    pthread_t thread;
};

static void *read_all(void *argument) {
    const struct reader *reader = (const struct reader *)argument;
    int round, i;
    for (round = 0; round < 50; round++)
        for (i = 0; i < 1000; i++) {
            char key[8];
            kvstore_slice value;
            snprintf(key, sizeof key, "k%05d", i);
            EXPECT(KVSTORE_OK, kvstore_view_get(reader->view, key, 6, &value, &error));
            CHECK(same(value.data, value.len, key, 6));
        }
    return NULL;
}

static void threads(void) {
    kvstore *store = check_open_with("threads", KVSTORE_OPTION_DURABILITY, KVSTORE_DURABILITY_OS);
    struct reader readers[3];
    kvstore_view *view;
    char key[8];
    int i;

    for (i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%05d", i);
        EXPECT(KVSTORE_OK, kvstore_set(store, key, 6, key, 6, &error));
    }
    EXPECT(KVSTORE_OK, kvstore_view_open(store, &view, &error));
    for (i = 0; i < 3; i++) {
        readers[i].view = view;
        CHECK(pthread_create(&readers[i].thread, NULL, read_all, &readers[i]) == 0);
    }
    for (i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%05d", i);
        EXPECT(KVSTORE_OK, kvstore_set(store, key, 6, BYTES("changed"), &error));
    }
    check_close(store);
    for (i = 0; i < 3; i++) CHECK(pthread_join(readers[i].thread, NULL) == 0);
    kvstore_view_close(view);
    proved("threads share a view while the store is written to and closed");
}

int main(void) {
    one_instant();
    seeking();
    limits();
    wrong_arguments();
    threads();
    return 0;
}
