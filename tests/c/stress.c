/*
 * Many threads on one store: writers, readers, scanners. What must hold all the time:
 *
 *   - a value is whole, and one that was written under that very key;
 *   - once a thread has seen a value of a key, it never sees an older one;
 *   - a scan is in strictly ascending order;
 *   - a pinned value does not change until it is released;
 *
 * and in the end that the store holds exactly what each writer wrote last, now and after it was
 * closed and opened again.
 *
 *   stress [THREADS [OPERATIONS [os|sync]]]    of each kind, and of each thread; 4, 20000, os
 */
#define _POSIX_C_SOURCE 200809L

#include "check.h"
#include "values.h"

#include <pthread.h>

enum { KEYS = 200, PINS = 16, MANY = 32 };

static kvstore *store;
static int threads = 4;
static long operations = 20000;

struct worker {
    pthread_t thread;
    int id;
    uint32_t last[KEYS]; /* of a writer: the number of the last write; 0 when deleted */
    uint32_t *seen;      /* of a reader: the newest number seen of each writer's keys */
    long found;
};

static size_t key_of(int writer, int key, char *text) {
    return (size_t)sprintf(text, "writer:%02d:key:%04d", writer, key);
}

static void *writer(void *argument) {
    struct worker *self = argument;
    uint32_t state = (uint32_t)self->id;
    uint8_t value[MAX_VALUE];
    char key[32];
    long i;

    for (i = 1; i <= operations; i++) {
        int k = (int)(random_of(&state) % KEYS);
        size_t key_len = key_of(self->id, k, key);
        if (random_of(&state) % 8 == 0) {
            EXPECT(self->last[k] != 0 ? KVSTORE_OK : KVSTORE_NOT_FOUND,
                   kvstore_delete(store, key, key_len, &error));
            self->last[k] = 0;
        } else {
            size_t len = value_of(self->id, k, (uint32_t)i, value);
            EXPECT(KVSTORE_OK, kvstore_set(store, key, key_len, value, len, &error));
            self->last[k] = (uint32_t)i;
        }
        if (i % 1000 == 0) EXPECT(KVSTORE_OK, kvstore_sync(store, &error));
    }
    return NULL;
}

static void note(struct worker *self, int writer_id, int key, uint32_t number) {
    uint32_t *seen = &self->seen[writer_id * KEYS + key];
    CHECK(number >= *seen);
    *seen = number;
    self->found++;
}

static void read_many(struct worker *self, uint32_t *state) {
    kvstore_slice keys[MANY], value;
    kvstore_values *values;
    char texts[MANY][32];
    int writers[MANY], numbers[MANY];
    size_t i;

    for (i = 0; i < MANY; i++) {
        writers[i] = (int)(random_of(state) % (uint32_t)threads);
        numbers[i] = (int)(random_of(state) % KEYS);
        keys[i].len = key_of(writers[i], numbers[i], texts[i]);
        keys[i].data = (const uint8_t *)texts[i];
    }
    EXPECT(KVSTORE_OK, kvstore_get_many(store, keys, MANY, &values, &error));
    for (i = 0; i < MANY; i++) {
        if (kvstore_values_at(values, i, &value, NULL) != KVSTORE_OK) continue;
        /* The same key may have been asked for twice, and looked up in another order. */
        checked(writers[i], numbers[i], value.data, value.len);
        self->found++;
    }
    kvstore_values_free(values);
}

static void *reader(void *argument) {
    struct worker *self = argument;
    uint32_t state = 1000u + (uint32_t)self->id;
    struct {
        kvstore_pin *pin;
        kvstore_slice value;
        int writer, key;
    } pins[PINS];
    uint8_t buffer[MAX_VALUE];
    char key[32];
    size_t len;
    long i;

    memset(pins, 0, sizeof pins);
    for (i = 0; i < operations; i++) {
        int w = (int)(random_of(&state) % (uint32_t)threads);
        int k = (int)(random_of(&state) % KEYS), place = (int)(i % PINS);
        size_t key_len = key_of(w, k, key);
        kvstore_buffer copy;
        uint64_t count;
        switch (i % 5) {
        case 0:
            if (kvstore_get(store, key, key_len, &copy, NULL) == KVSTORE_OK)
                note(self, w, k, checked(w, k, copy.data, copy.len));
            kvstore_buffer_free(&copy);
            break;
        case 1:
        case 2:
            if (kvstore_get_into(store, key, key_len, buffer, sizeof buffer, &len, NULL) ==
                KVSTORE_OK)
                note(self, w, k, checked(w, k, buffer, len));
            break;
        case 3:
            if (pins[place].pin != NULL) {
                checked(pins[place].writer, pins[place].key, pins[place].value.data,
                        pins[place].value.len);
                kvstore_pin_release(pins[place].pin);
                pins[place].pin = NULL;
            }
            pins[place].writer = w, pins[place].key = k;
            if (kvstore_get_pinned(store, key, key_len, &pins[place].pin, &pins[place].value,
                                   NULL) == KVSTORE_OK)
                note(self, w, k, checked(w, k, pins[place].value.data, pins[place].value.len));
            break;
        default:
            if (i % 16 == 4) read_many(self, &state);
            CHECK(kvstore_contains(store, key, key_len, NULL) >= KVSTORE_OK);
            EXPECT(KVSTORE_OK, kvstore_len(store, &count, &error));
            CHECK(count <= (uint64_t)threads * KEYS);
        }
    }
    for (i = 0; i < PINS; i++) {
        if (pins[i].pin != NULL)
            checked(pins[i].writer, pins[i].key, pins[i].value.data, pins[i].value.len);
        kvstore_pin_release(pins[i].pin);
    }
    return NULL;
}

/* The writer and the number in a key that key_of() made. */
static void parse(kvstore_slice key, int *writer_id, int *number) {
    char text[32];
    CHECK(key.len < sizeof text);
    memcpy(text, key.data, key.len);
    text[key.len] = 0;
    CHECK(sscanf(text, "writer:%d:key:%d", writer_id, number) == 2);
    CHECK(*writer_id < threads && *number < KEYS);
}

static void *scanner(void *argument) {
    struct worker *self = argument;
    /* A scan costs about as much as a few hundred single reads. */
    long rounds = operations / 400 + 1, i;

    for (i = 0; i < rounds; i++) {
        kvstore_cursor *cursor;
        kvstore_pair pairs[50];
        kvstore_slice key, value;
        char before[32] = "";
        size_t count, j;
        int w, k;

        EXPECT(KVSTORE_OK, kvstore_cursor_open(store, NULL, &cursor, &error));
        while (kvstore_cursor_next_batch(cursor, pairs, 50, &count, NULL) == KVSTORE_OK) {
            for (j = 0; j < count; j++) {
                parse(pairs[j].key, &w, &k);
                CHECK(strncmp(before, (const char *)pairs[j].key.data, pairs[j].key.len) < 0);
                key_of(w, k, before);
                note(self, w, k, checked(w, k, pairs[j].value.data, pairs[j].value.len));
            }
            if (kvstore_cursor_next(cursor, &key, &value, NULL) == KVSTORE_OK) {
                parse(key, &w, &k);
                CHECK(strncmp(before, (const char *)key.data, key.len) < 0);
                key_of(w, k, before);
                note(self, w, k, checked(w, k, value.data, value.len));
            }
        }
        kvstore_cursor_close(cursor);
    }
    return NULL;
}

/* The store holds what each writer wrote last, and nothing else. */
static void check_all(const struct worker *writers) {
    uint64_t expected = 0, count;
    char key[32];
    int w, k;

    for (w = 0; w < threads; w++) {
        for (k = 0; k < KEYS; k++) {
            size_t key_len = key_of(w, k, key);
            kvstore_buffer value;
            if (writers[w].last[k] == 0) {
                EXPECT(KVSTORE_NOT_FOUND, kvstore_get(store, key, key_len, &value, &error));
                continue;
            }
            expected++;
            EXPECT(KVSTORE_OK, kvstore_get(store, key, key_len, &value, &error));
            CHECK(checked(w, k, value.data, value.len) == writers[w].last[k]);
            kvstore_buffer_free(&value);
        }
    }
    EXPECT(KVSTORE_OK, kvstore_len(store, &count, &error));
    CHECK(count == expected);
}

int main(int argc, char **argv) {
    static void *(*const roles[])(void *) = {writer, reader, scanner};
    struct worker *workers;
    uint64_t durability = KVSTORE_DURABILITY_OS;
    char what[256];
    long found = 0;
    int role, i;

    if (argc > 1) threads = atoi(argv[1]);
    if (argc > 2) operations = atol(argv[2]);
    if (argc > 3 && strcmp(argv[3], "sync") == 0) durability = KVSTORE_DURABILITY_SYNC;
    CHECK(threads >= 1 && threads <= 99 && operations >= 1 && operations < 1000000000);
    workers = calloc((size_t)threads * 3, sizeof *workers);
    CHECK(workers != NULL);

    store = check_open_with("stress", KVSTORE_OPTION_DURABILITY, durability);
    for (role = 0; role < 3; role++) {
        for (i = 0; i < threads; i++) {
            struct worker *worker = &workers[role * threads + i];
            worker->id = i;
            worker->seen = calloc((size_t)threads * KEYS, sizeof *worker->seen);
            CHECK(worker->seen != NULL);
            CHECK(pthread_create(&worker->thread, NULL, roles[role], worker) == 0);
        }
    }
    for (i = 0; i < threads * 3; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
        found += workers[i].found;
    }
    check_all(workers);
    check_close(store);
    store = check_open("stress");
    check_all(workers);
    check_close(store);
    snprintf(what, sizeof what,
             "%d writers, readers and scanners, %ld operations each: %ld values read, all whole, in "
             "order, and none older than one seen before; the end state is that of the writers",
             threads, operations, found);
    proved(what);
    for (i = 0; i < threads * 3; i++) free(workers[i].seen);
    free(workers);
    return 0;
}
