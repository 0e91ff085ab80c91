/* Batches, compare-and-set, increment and transactions, used as the header says. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>

static void check_value(kvstore *store, const char *key, const char *expected) {
    kvstore_buffer value;
    EXPECT(expected ? KVSTORE_OK : KVSTORE_NOT_FOUND,
           kvstore_get(store, key, strlen(key), &value, &error));
    if (expected) CHECK(same(value.data, value.len, expected, strlen(expected)));
    kvstore_buffer_free(&value);
}

static void batches(void) {
    kvstore *store = check_open("batches");
    kvstore_batch *batch = kvstore_batch_new();
    uint64_t len;

    CHECK(batch != NULL && kvstore_batch_len(batch) == 0 && kvstore_batch_len(NULL) == 0);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("pending"), BYTES("yes"), &error));
    EXPECT(KVSTORE_OK, kvstore_batch_set(batch, BYTES("from"), BYTES("70"), &error));
    EXPECT(KVSTORE_OK, kvstore_batch_set(batch, BYTES("to"), BYTES("30"), &error));
    EXPECT(KVSTORE_OK, kvstore_batch_set(batch, NULL, 0, NULL, 0, &error));
    EXPECT(KVSTORE_OK, kvstore_batch_delete(batch, BYTES("pending"), &error));
    EXPECT(KVSTORE_OK, kvstore_batch_delete(batch, BYTES("absent"), &error));
    CHECK(kvstore_batch_len(batch) == 5);
    check_value(store, "from", NULL);
    EXPECT(KVSTORE_OK, kvstore_write(store, batch, &error));
    check_value(store, "from", "70");
    check_value(store, "to", "30");
    check_value(store, "", "");
    check_value(store, "pending", NULL);
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == 3 && kvstore_batch_len(batch) == 5);
    kvstore_batch_clear(batch);
    kvstore_batch_clear(NULL);
    CHECK(kvstore_batch_len(batch) == 0);
    EXPECT(KVSTORE_OK, kvstore_write(store, batch, &error));
    EXPECT(KVSTORE_OK, kvstore_batch_set(batch, BYTES("from"), BYTES("60"), &error));
    EXPECT(KVSTORE_OK, kvstore_write(store, batch, &error));
    check_value(store, "from", "60");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_write(store, NULL, &error), "batch");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_write(NULL, batch, &error), "store");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                 kvstore_batch_set(NULL, BYTES("a"), BYTES("b"), &error), "batch");
    /* Refused by its length: nothing of it is read. */
    EXPECT_ERROR(KVSTORE_ERR_TOO_LARGE,
                 kvstore_batch_set(batch, BYTES("a"), "b", (size_t)1 << 40, &error), "1099511627776",
                 "4294967295");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_batch_delete(batch, NULL, 3, &error), "key");
    CHECK(kvstore_batch_len(batch) == 1);
    kvstore_batch_free(batch);
    kvstore_batch_free(NULL);
    check_close(store);

    store = check_open("batches");
    check_value(store, "from", "60");
    check_close(store);
    proved("a batch takes effect whole, survives, and can be emptied and filled again");
}

static void conditions(void) {
    kvstore *store = check_open("conditions");
    kvstore_slice one = SLICE("1"), two = SLICE("2"), wrong = {NULL, 3};
    int64_t sum = 99;

    EXPECT(KVSTORE_CONFLICT, kvstore_compare_and_set(store, BYTES("k"), &one, &two, &error));
    EXPECT(KVSTORE_OK, kvstore_compare_and_set(store, BYTES("k"), NULL, &one, &error));
    EXPECT(KVSTORE_CONFLICT, kvstore_compare_and_set(store, BYTES("k"), NULL, &two, &error));
    EXPECT(KVSTORE_OK, kvstore_compare_and_set(store, BYTES("k"), &one, &two, &error));
    check_value(store, "k", "2");
    EXPECT(KVSTORE_OK, kvstore_compare_and_set(store, BYTES("k"), &two, NULL, &error));
    check_value(store, "k", NULL);
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                 kvstore_compare_and_set(store, BYTES("k"), &wrong, NULL, &error), "expected");

    EXPECT(KVSTORE_OK, kvstore_increment(store, BYTES("n"), 5, &sum, &error));
    CHECK(sum == 5);
    EXPECT(KVSTORE_OK, kvstore_increment(store, BYTES("n"), -7, NULL, &error));
    EXPECT(KVSTORE_OK, kvstore_increment(store, BYTES("n"), 0, &sum, &error));
    CHECK(sum == -2);
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                 kvstore_increment(store, BYTES("n"), INT64_MIN, &sum, &error), "range");
    CHECK(sum == 0);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("text"), BYTES("abc"), &error));
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                 kvstore_increment(store, BYTES("text"), 1, &sum, &error), "3 bytes");
    check_close(store);
    proved("compare-and-set and increment look and write as one");
}

static void *write_elsewhere(void *argument) {
    kvstore *store = argument;
    EXPECT_ERROR(KVSTORE_ERR_LOCKED, kvstore_set(store, BYTES("a"), BYTES("1"), &error),
                 "transaction");
    return NULL;
}

static void transactions(void) {
    kvstore *store = check_open_with("transactions", KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS, 20);
    kvstore_transaction *transaction, *other;
    kvstore_buffer value;
    kvstore_cursor *cursor;
    kvstore_slice key, at, one = SLICE("1");
    pthread_t thread;
    int64_t sum;
    int round;

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("a"), BYTES("0"), &error));
    for (round = 0; round < 2; round++) {
        EXPECT(KVSTORE_OK, kvstore_transaction_begin(store, &transaction, &error));
        EXPECT(KVSTORE_OK, kvstore_transaction_set(transaction, BYTES("b"), BYTES("2"), &error));
        EXPECT_ERROR(KVSTORE_ERR_TOO_LARGE,
                     kvstore_transaction_set(transaction, BYTES("b"), "b", (size_t)1 << 40, &error),
                     "1099511627776");
        EXPECT(KVSTORE_OK, kvstore_transaction_delete(transaction, BYTES("a"), &error));
        EXPECT(KVSTORE_NOT_FOUND, kvstore_transaction_delete(transaction, BYTES("a"), &error));
        EXPECT(KVSTORE_NOT_FOUND,
               kvstore_transaction_get(transaction, BYTES("a"), &value, &error));
        CHECK(value.data == NULL);
        EXPECT(KVSTORE_OK, kvstore_transaction_get(transaction, BYTES("b"), &value, &error));
        CHECK(same(value.data, value.len, BYTES("2")));
        kvstore_buffer_free(&value);
        EXPECT(KVSTORE_OK, kvstore_transaction_contains(transaction, BYTES("b"), &error));
        EXPECT(KVSTORE_CONFLICT, kvstore_transaction_compare_and_set(transaction, BYTES("b"), &one,
                                                                     NULL, &error));
        EXPECT(KVSTORE_OK, kvstore_transaction_compare_and_set(transaction, BYTES("x"), NULL, &one,
                                                               &error));
        EXPECT(KVSTORE_OK, kvstore_transaction_compare_and_set(transaction, BYTES("x"), &one, NULL,
                                                               &error));
        EXPECT(KVSTORE_OK,
               kvstore_transaction_increment(transaction, BYTES("n"), 5, &sum, &error));
        EXPECT(KVSTORE_OK,
               kvstore_transaction_increment(transaction, BYTES("n"), -7, &sum, &error));
        CHECK(sum == -2);
        EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                     kvstore_transaction_increment(transaction, BYTES("b"), 1, &sum, &error),
                     "1 bytes");
        CHECK(sum == 0);
        EXPECT(KVSTORE_OK, kvstore_transaction_delete(transaction, BYTES("n"), &error));
        EXPECT(KVSTORE_NOT_FOUND, kvstore_transaction_contains(transaction, BYTES("a"), &error));
        EXPECT(KVSTORE_OK, kvstore_transaction_cursor_open(transaction, NULL, &cursor, &error));
        check_value(store, "a", "0");
        EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                     kvstore_transaction_begin(store, &other, &error), "this thread");
        CHECK(other == NULL);
        EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                     kvstore_set(store, BYTES("c"), BYTES("3"), &error), "this thread");
        CHECK(pthread_create(&thread, NULL, write_elsewhere, store) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        if (round == 0) {
            kvstore_transaction_abort(transaction);
            check_value(store, "b", NULL);
        } else {
            EXPECT(KVSTORE_OK, kvstore_transaction_commit(transaction, &error));
            check_value(store, "a", NULL);
            check_value(store, "b", "2");
        }
        EXPECT(KVSTORE_OK, kvstore_cursor_next(cursor, &key, &at, &error));
        CHECK(same(key.data, key.len, BYTES("b")) && same(at.data, at.len, BYTES("2")));
        EXPECT(KVSTORE_DONE, kvstore_cursor_next(cursor, &key, &at, &error));
        kvstore_cursor_close(cursor);
    }
    kvstore_transaction_abort(NULL);
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_transaction_commit(NULL, &error),
                 "transaction");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_transaction_begin(store, NULL, &error),
                 "out");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                 kvstore_transaction_cursor_open(NULL, NULL, &cursor, &error), "transaction");
    CHECK(cursor == NULL);
    proved("a transaction takes effect whole or not at all, and keeps other writers out");

    EXPECT(KVSTORE_OK, kvstore_transaction_begin(store, &transaction, &error));
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_close(store, &error), "this thread");
    EXPECT_ERROR(KVSTORE_ERR_LOCKED, kvstore_open("transactions", NULL, &store, &error), "open");
    kvstore_transaction_abort(transaction);
    store = check_open("transactions");
    check_value(store, "b", "2");
    check_close(store);
    proved("a close amid a transaction frees the handle, and the end of the transaction the rest");
}

static uint64_t syncs(kvstore *store) {
    kvstore_stats_info stats;
    stats.struct_size = sizeof stats;
    EXPECT(KVSTORE_OK, kvstore_stats(store, &stats, &error));
    return stats.syncs;
}

/* Each kind of write that takes a durability of its own, one of which does nothing by itself. */
static void write_with(kvstore *store, uint32_t durability, const char *key) {
    kvstore_batch *batch = kvstore_batch_new();
    kvstore_slice value = SLICE("v");
    kvstore_transaction *transaction;
    uint64_t before = syncs(store), each = durability == KVSTORE_DURABILITY_SYNC;
    size_t len = strlen(key);
    int64_t sum;

    EXPECT(KVSTORE_OK, kvstore_batch_set(batch, key, len, BYTES("b"), &error));
    EXPECT(KVSTORE_OK, kvstore_write_with(store, batch, durability, &error));
    CHECK(syncs(store) == before + each);
    EXPECT(KVSTORE_CONFLICT,
           kvstore_compare_and_set_with(store, key, len, &value, NULL, durability, &error));
    CHECK(syncs(store) == before + each);
    EXPECT(KVSTORE_OK, kvstore_delete_with(store, key, len, durability, &error));
    EXPECT(KVSTORE_OK,
           kvstore_compare_and_set_with(store, key, len, NULL, &value, durability, &error));
    CHECK(syncs(store) == before + 3 * each);
    EXPECT(KVSTORE_OK, kvstore_increment_with(store, BYTES("n"), 2, &sum, durability, &error));
    CHECK(syncs(store) == before + 4 * each && sum % 2 == 0);
    EXPECT(KVSTORE_OK, kvstore_transaction_begin(store, &transaction, &error));
    EXPECT(KVSTORE_OK, kvstore_transaction_set(transaction, BYTES("t"), key, len, &error));
    EXPECT(KVSTORE_OK, kvstore_transaction_commit_with(transaction, durability, &error));
    CHECK(syncs(store) == before + 5 * each);
    check_value(store, "t", key);
    kvstore_batch_free(batch);
}

static void durabilities(void) {
    uint32_t defaults[] = {KVSTORE_DURABILITY_SYNC, KVSTORE_DURABILITY_OS};
    kvstore *store;
    kvstore_batch *batch = kvstore_batch_new();
    kvstore_transaction *transaction;
    kvstore_slice value = SLICE("v");
    int i;

    for (i = 0; i < 2; i++) {
        store = check_open_with("durabilities", KVSTORE_OPTION_DURABILITY, defaults[i]);
        write_with(store, KVSTORE_DURABILITY_OS, "os");
        write_with(store, KVSTORE_DURABILITY_SYNC, "sync");
        check_close(store);
    }
    proved("a batch, a condition, a counter and a transaction are synced as the call says");

    store = check_open("durabilities");
    EXPECT(KVSTORE_OK, kvstore_batch_set(batch, BYTES("x"), BYTES("b"), &error));
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_write_with(store, batch, 2, &error),
                 "durability 2");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                 kvstore_compare_and_set_with(store, BYTES("x"), NULL, &value, 3, &error),
                 "durability 3");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                 kvstore_increment_with(store, BYTES("x"), 1, NULL, 4, &error), "durability 4");
    EXPECT(KVSTORE_OK, kvstore_transaction_begin(store, &transaction, &error));
    EXPECT(KVSTORE_OK, kvstore_transaction_set(transaction, BYTES("x"), BYTES("t"), &error));
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT,
                 kvstore_transaction_commit_with(transaction, 5, &error), "durability 5");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_transaction_commit_with(NULL, 0, &error),
                 "transaction");
    check_value(store, "x", NULL);
    /* That transaction has ended: another write need not wait for it. */
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("x"), BYTES("s"), &error));
    kvstore_batch_free(batch);
    check_close(store);
    proved("a durability that there is not is refused, and nothing is written");
}

int main(void) {
    batches();
    conditions();
    transactions();
    durabilities();
    return 0;
}
