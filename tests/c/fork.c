/* A forked child that uses its parent's store is refused, and can neither write to the directory
 * nor unlock it. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <sys/wait.h>

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void child_of(kvstore *store, kvstore_cursor *cursor, kvstore_pin *pin,
                     kvstore_slice pinned) {
    kvstore_buffer buffer;
    kvstore_pin *no_pin;
    kvstore_slice key = SLICE("k"), value;
    kvstore_values *values;
    kvstore_cursor *no_cursor;
    kvstore_stats_info stats;
    kvstore_recovery_info report;
    kvstore *own;
    uint64_t len = 7;
    size_t size = 7;
    char bytes[8];

    EXPECT_ERROR(KVSTORE_ERR_FORKED, kvstore_set(store, BYTES("k"), BYTES("child"), &error),
                 "fork", "open");
    EXPECT(KVSTORE_ERR_FORKED, kvstore_set_with(store, BYTES("k"), BYTES("child"), 1, &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_delete(store, BYTES("k"), &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_delete_with(store, BYTES("k"), 1, &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_get(store, BYTES("k"), &buffer, &error));
    CHECK(buffer.data == NULL);
    EXPECT(KVSTORE_ERR_FORKED, kvstore_get_into(store, BYTES("k"), bytes, 8, &size, &error));
    CHECK(size == 0);
    EXPECT(KVSTORE_ERR_FORKED, kvstore_get_pinned(store, BYTES("k"), &no_pin, &value, &error));
    CHECK(no_pin == NULL && value.data == NULL);
    EXPECT(KVSTORE_ERR_FORKED, kvstore_get_many(store, &key, 1, &values, &error));
    CHECK(values == NULL);
    EXPECT(KVSTORE_ERR_FORKED, kvstore_contains(store, BYTES("k"), &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_len(store, &len, &error));
    CHECK(len == 0);
    EXPECT(KVSTORE_ERR_FORKED, kvstore_cursor_open(store, NULL, &no_cursor, &error));
    CHECK(no_cursor == NULL);
    EXPECT(KVSTORE_ERR_FORKED, kvstore_sync(store, &error));
    stats.struct_size = sizeof stats;
    EXPECT(KVSTORE_ERR_FORKED, kvstore_stats(store, &stats, &error));
    report.struct_size = sizeof report;
    EXPECT(KVSTORE_ERR_FORKED, kvstore_recovery_report(store, &report, &error));
    proved("every function of a store is KVSTORE_ERR_FORKED in a child");

    CHECK(same(pinned.data, pinned.len, BYTES("parent")));
    kvstore_pin_release(pin);
    EXPECT(KVSTORE_OK, kvstore_cursor_next(cursor, &key, &value, &error));
    CHECK(same(key.data, key.len, BYTES("k")) && same(value.data, value.len, BYTES("parent")));
    kvstore_cursor_close(cursor);
    EXPECT(KVSTORE_ERR_FORKED, kvstore_close(store, &error));
    EXPECT(KVSTORE_ERR_LOCKED, kvstore_open("shared", NULL, &own, &error));
    proved("a child reads pins and cursors it inherited; its close does not unlock");

    own = check_open("own");
    EXPECT(KVSTORE_OK, kvstore_set(own, BYTES("k"), BYTES("child"), &error));
    check_close(own);
    proved("a child may open a store of its own");
}

int main(void) {
    kvstore *store = check_open("shared");
    kvstore_cursor *cursor;
    kvstore_pin *pin;
    kvstore_slice pinned, key, value;
    kvstore_buffer copy;
    uint64_t len;
    pid_t child;

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("k"), BYTES("parent"), &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, NULL, &cursor, &error));
    EXPECT(KVSTORE_OK, kvstore_get_pinned(store, BYTES("k"), &pin, &pinned, &error));
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        child_of(store, cursor, pin, pinned);
        _exit(0);
    }
    wait_for(child);

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("l"), BYTES("later"), &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_next(cursor, &key, &value, &error));
    CHECK(same(key.data, key.len, BYTES("k")) && same(pinned.data, pinned.len, BYTES("parent")));
    kvstore_cursor_close(cursor);
    kvstore_pin_release(pin);
    EXPECT(KVSTORE_ERR_LOCKED, kvstore_open("shared", NULL, &(kvstore *){NULL}, &error));
    child = fork(); /* from another process the directory is still locked */
    CHECK(child >= 0);
    if (child == 0) {
        kvstore *own;
        EXPECT(KVSTORE_ERR_LOCKED, kvstore_open("shared", NULL, &own, &error));
        _exit(0);
    }
    wait_for(child);
    check_close(store);
    proved("the parent goes on writing, with its lock");

    store = check_open("shared");
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == 2);
    EXPECT(KVSTORE_OK, kvstore_get(store, BYTES("k"), &copy, &error));
    CHECK(same(copy.data, copy.len, BYTES("parent")));
    kvstore_buffer_free(&copy);
    check_close(store);
    store = check_open("own");
    EXPECT(KVSTORE_OK, kvstore_contains(store, BYTES("k"), &error));
    check_close(store);
    proved("the directory holds what the parent wrote, and nothing of the child");

    /* A child that inherits an open store and lives on does not keep the lock. */
    store = check_open("shared");
    {
        int hold[2];
        char byte;
        CHECK(pipe(hold) == 0);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            close(hold[1]);
            CHECK(read(hold[0], &byte, 1) == 0);
            _exit(0);
        }
        close(hold[0]);
        check_close(store);
        store = check_open("shared");
        check_close(store);
        close(hold[1]);
        wait_for(child);
    }
    proved("closing unlocks, although a child that was forked meanwhile lives on");
    return 0;
}
