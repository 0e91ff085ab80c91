/*
 * What is in a store or a view, copied, and views that are held and looked at again: they must be
 * what they were. For stores with keys of KEY_LEN and values of at most MAX_VALUE bytes.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include "check.h"
#include "values.h"

enum {
    KEY_LEN = 9,
    PINS = 8 /* beside each view that is held: of the store and of the view */
};

struct content {
    size_t count, capacity;
    struct record {
        char key[KEY_LEN];
        uint32_t len;
        uint8_t value[MAX_VALUE];
    } *records;
};

static void read_content(kvstore_cursor *cursor, struct content *content) {
    kvstore_slice key, value;
    memset(content, 0, sizeof *content);
    while (kvstore_cursor_next(cursor, &key, &value, NULL) == KVSTORE_OK) {
        struct record *record;
        if (content->count == content->capacity) {
            content->capacity = content->capacity * 2 + 256;
            content->records =
                realloc(content->records, content->capacity * sizeof *content->records);
            CHECK(content->records != NULL);
        }
        record = &content->records[content->count++];
        CHECK(key.len == KEY_LEN && value.len <= MAX_VALUE);
        memcpy(record->key, key.data, key.len);
        memcpy(record->value, value.data, record->len = (uint32_t)value.len);
        CHECK(content->count == 1 || memcmp(record[-1].key, record->key, KEY_LEN) < 0);
    }
    kvstore_cursor_close(cursor);
}

/* Whether the cursor, in either direction, visits exactly this. */
static void check_same(const struct content *content, kvstore_cursor *cursor, int reverse) {
    kvstore_slice key, value;
    size_t i, at;
    for (i = 0; kvstore_cursor_next(cursor, &key, &value, NULL) == KVSTORE_OK; i++) {
        CHECK(i < content->count);
        at = reverse ? content->count - 1 - i : i;
        CHECK(same(key.data, key.len, content->records[at].key, KEY_LEN));
        CHECK(same(value.data, value.len, content->records[at].value, content->records[at].len));
    }
    CHECK(i == content->count);
    kvstore_cursor_close(cursor);
}

/* A view, what was in it when it was taken, and pins of values that it had. */
struct held {
    kvstore_view *view;
    struct content content;
    struct {
        kvstore_pin *pin;
        kvstore_slice value;
        struct record record;
    } pins[PINS];
    uint64_t since; /* checkpoints that were done then */
};

/* Takes a view and what is in it, and pins of keys that it has. */
static void hold_view(kvstore *store, struct held *held, uint32_t *state) {
    kvstore_cursor *cursor;
    uint64_t count;
    int i;

    EXPECT(KVSTORE_OK, kvstore_view_open(store, &held->view, &error));
    EXPECT(KVSTORE_OK, kvstore_view_cursor_open(held->view, NULL, &cursor, &error));
    read_content(cursor, &held->content);
    EXPECT(KVSTORE_OK, kvstore_view_len(held->view, &count, &error));
    CHECK(count == held->content.count);
    for (i = 0; i < PINS; i++) {
        struct record *record = &held->pins[i].record;
        kvstore_slice *value = &held->pins[i].value;
        *record = held->content.records[random_of(state) % count];
        if (i % 2 == 0) {
            EXPECT(KVSTORE_OK, kvstore_view_get_pinned(held->view, record->key, KEY_LEN,
                                                       &held->pins[i].pin, value, &error));
            CHECK(same(value->data, value->len, record->value, record->len));
        } else if (kvstore_get_pinned(store, record->key, KEY_LEN, &held->pins[i].pin, value,
                                      NULL) == KVSTORE_OK) {
            /* Of the store, so perhaps a newer one. */
            CHECK(value->len <= MAX_VALUE);
            memcpy(record->value, value->data, record->len = (uint32_t)value->len);
        }
    }
}

static void check_held(const struct held *held, uint32_t *state) {
    const struct content *content = &held->content;
    int i, reverse = random_of(state) % 2 == 0;
    kvstore_range range = {.struct_size = sizeof range};
    kvstore_cursor *cursor;
    kvstore_slice value;

    range.flags = reverse ? KVSTORE_RANGE_REVERSE : 0;
    EXPECT(KVSTORE_OK, kvstore_view_cursor_open(held->view, &range, &cursor, &error));
    check_same(content, cursor, reverse);
    for (i = 0; i < 50; i++) {
        size_t at = random_of(state) % content->count;
        const struct record *record = &content->records[at];
        char key[KEY_LEN + 1];
        EXPECT(KVSTORE_OK, kvstore_view_get(held->view, record->key, KEY_LEN, &value, &error));
        CHECK(same(value.data, value.len, record->value, record->len));
        memcpy(key, record->key, KEY_LEN);
        key[KEY_LEN] = '-';
        EXPECT(KVSTORE_NOT_FOUND,
               kvstore_view_get(held->view, key, sizeof key, &value, &error));
    }
    for (i = 0; i < PINS; i++) {
        if (held->pins[i].pin == NULL) continue;
        CHECK(same(held->pins[i].value.data, held->pins[i].value.len, held->pins[i].record.value,
                   held->pins[i].record.len));
    }
}

static void let_go(struct held *held) {
    int i;
    kvstore_view_close(held->view);
    for (i = 0; i < PINS; i++) kvstore_pin_release(held->pins[i].pin);
    free(held->content.records);
    memset(held, 0, sizeof *held);
}

#endif
