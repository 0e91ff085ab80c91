/*
 * Checkpoints of so many records, and of so many bytes, that the library has threads of its own for
 * them: two copy, and one unmaps the old files. Beside them a thread writes and another reads.
 *
 *   large_checkpoints [CHECKPOINTS]     3
 */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum {
    KEYS = 20000, /* more than one thread copies alone */
    VALUE = 1000  /* in all, more than is unmapped at once */
};

static kvstore *store;
static atomic_bool stop;
static atomic_uint versions[KEYS]; /* of each key, the newest that was written */

/* The value of a key in a version: eight bytes that say which, again and again. */
static void fill(uint32_t *value, uint32_t key, uint32_t version) {
    size_t at;
    for (at = 0; at < VALUE / sizeof *value; at += 2) value[at] = key, value[at + 1] = version;
}

static void write_key(uint32_t key, uint32_t version) {
    uint32_t value[VALUE / sizeof(uint32_t)];
    fill(value, key, version);
    EXPECT(KVSTORE_OK, kvstore_set(store, &key, sizeof key, value, sizeof value, &error));
    versions[key] = version;
}

/* The key is there, whole, and not older than `least`. */
static void check_key(uint32_t key, uint32_t least) {
    uint32_t value[VALUE / sizeof(uint32_t)], expected[VALUE / sizeof(uint32_t)];
    size_t len;
    EXPECT(KVSTORE_OK,
           kvstore_get_into(store, &key, sizeof key, value, sizeof value, &len, &error));
    CHECK(len == sizeof value && value[1] >= least);
    fill(expected, key, value[1]);
    CHECK(memcmp(value, expected, sizeof value) == 0);
}

static void *writer(void *unused) {
    uint32_t key = 0, version = 2;
    (void)unused;
    for (; !stop; key = (key + 7919) % KEYS, version++) write_key(key, version);
    return NULL;
}

static void *reader(void *unused) {
    uint32_t key = 0;
    (void)unused;
    for (; !stop; key = (key + 104729) % KEYS) check_key(key, versions[key]);
    return NULL;
}

int main(int argc, char **argv) {
    int checkpoints = argc > 1 ? atoi(argv[1]) : 3, i;
    pthread_t threads[2];
    kvstore_stats_info stats;
    uint32_t key;

    CHECK(checkpoints >= 1 && checkpoints <= 100);
    store = check_open_with("large", KVSTORE_OPTION_DURABILITY, KVSTORE_DURABILITY_OS);
    for (key = 0; key < KEYS; key++) write_key(key, 1);
    CHECK(pthread_create(&threads[0], NULL, writer, NULL) == 0);
    CHECK(pthread_create(&threads[1], NULL, reader, NULL) == 0);
    for (i = 0; i < checkpoints; i++) EXPECT(KVSTORE_OK, kvstore_checkpoint(store, &error));
    stop = 1;
    for (i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    stats.struct_size = sizeof stats;
    EXPECT(KVSTORE_OK, kvstore_stats(store, &stats, &error));
    CHECK(stats.records == KEYS && stats.checkpoints >= (uint64_t)checkpoints);
    check_close(store);
    store = check_open("large");
    for (key = 0; key < KEYS; key++) check_key(key, versions[key]);
    check_close(store);
    proved("checkpoints of many records by several threads: every key is as it was written last");
    return 0;
}
