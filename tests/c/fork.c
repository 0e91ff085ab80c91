/* A forked child that uses its parent's store is refused, and can neither write to the directory
 * nor unlock it. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <sys/stat.h>
#include <sys/wait.h>

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What a child inherits, beside the store. */
struct inherited {
    kvstore_cursor *cursor;
    kvstore_view *view;
    kvstore_pin *pin;
    kvstore_slice pinned;
    kvstore_buffer copy;
    kvstore_values *values;
    kvstore_options *options;
    kvstore_error *failure;
};

/* Ends the program unless this is what the parent had. */
static void check_inherited(struct inherited *from) {
    kvstore_slice key, value;
    kvstore_pair pairs[2];
    size_t count;

    CHECK(same(from->pinned.data, from->pinned.len, BYTES("parent")));
    CHECK(same(from->copy.data, from->copy.len, BYTES("parent")));
    CHECK(kvstore_values_count(from->values) == 2);
    EXPECT(KVSTORE_OK, kvstore_values_at(from->values, 0, &value, &error));
    CHECK(same(value.data, value.len, BYTES("parent")));
    EXPECT(KVSTORE_NOT_FOUND, kvstore_values_at(from->values, 1, &value, &error));
    CHECK(kvstore_error_code(from->failure) == KVSTORE_ERR_LOCKED);
    CHECK(strstr(kvstore_error_message(from->failure), "shared") != NULL);
    EXPECT(KVSTORE_OK, kvstore_cursor_next(from->cursor, &key, &value, &error));
    CHECK(same(key.data, key.len, BYTES("k")) && same(value.data, value.len, BYTES("parent")));
    EXPECT(KVSTORE_OK, kvstore_cursor_next_batch(from->cursor, pairs, 2, &count, &error));
    CHECK(count == 1 && same(pairs[0].key.data, pairs[0].key.len, BYTES("k2")));
    EXPECT(KVSTORE_DONE, kvstore_cursor_next(from->cursor, &key, &value, &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_seek(from->cursor, BYTES("k2"), &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_next(from->cursor, &key, &value, &error));
    EXPECT(KVSTORE_OK, kvstore_view_get(from->view, BYTES("k"), &value, &error));
    CHECK(same(value.data, value.len, BYTES("parent")));
}

static void free_inherited(struct inherited *from) {
    kvstore_cursor_close(from->cursor);
    kvstore_view_close(from->view);
    kvstore_pin_release(from->pin);
    kvstore_buffer_free(&from->copy);
    kvstore_values_free(from->values);
    kvstore_options_free(from->options);
    kvstore_error_free(from->failure);
}

static void child_of(kvstore *store, struct inherited *from) {
    kvstore_buffer buffer;
    kvstore_pin *no_pin;
    kvstore_slice key = SLICE("k"), value;
    kvstore_values *values;
    kvstore_cursor *no_cursor;
    kvstore_view *no_view;
    kvstore_stats_info stats;
    kvstore_recovery_info report;
    kvstore_batch *batch = kvstore_batch_new();
    kvstore_transaction *transaction;
    kvstore *own;
    uint64_t len = 7;
    int64_t sum = 7;
    size_t size = 7;
    char bytes[8];

    EXPECT_ERROR(KVSTORE_ERR_FORKED, kvstore_set(store, BYTES("k"), BYTES("child"), &error),
                 "fork", "open");
    EXPECT(KVSTORE_ERR_FORKED, kvstore_set_with(store, BYTES("k"), BYTES("child"), 1, &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_delete(store, BYTES("k"), &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_delete_with(store, BYTES("k"), 1, &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_compare_and_set(store, BYTES("k"), NULL, NULL, &error));
    EXPECT(KVSTORE_ERR_FORKED,
           kvstore_compare_and_set_with(store, BYTES("k"), NULL, NULL, 1, &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_increment(store, BYTES("n"), 1, &sum, &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_increment_with(store, BYTES("n"), 1, &sum, 1, &error));
    CHECK(sum == 0);
    EXPECT(KVSTORE_OK, kvstore_batch_set(batch, BYTES("k"), BYTES("child"), &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_write(store, batch, &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_write_with(store, batch, 1, &error));
    kvstore_batch_free(batch);
    EXPECT(KVSTORE_ERR_FORKED, kvstore_transaction_begin(store, &transaction, &error));
    CHECK(transaction == NULL);
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
    EXPECT(KVSTORE_ERR_FORKED, kvstore_view_open(store, &no_view, &error));
    CHECK(no_view == NULL);
    EXPECT(KVSTORE_ERR_FORKED, kvstore_sync(store, &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_checkpoint(store, &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_checkpoint_error(store, &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_backup(store, "backup", &error));
    EXPECT(KVSTORE_ERR_FORKED, kvstore_backup_with(store, "backup", NULL, NULL, &error));
    stats.struct_size = sizeof stats;
    EXPECT(KVSTORE_ERR_FORKED, kvstore_stats(store, &stats, &error));
    report.struct_size = sizeof report;
    EXPECT(KVSTORE_ERR_FORKED, kvstore_recovery_report(store, &report, &error));
    CHECK(strstr(kvstore_path(store), "shared") != NULL);
    proved("every function of a store but kvstore_path() is KVSTORE_ERR_FORKED in a child");

    check_inherited(from);
    proved("a child reads what it inherited: cursor, view, pin, buffer, values, error");
    EXPECT(KVSTORE_OK, kvstore_open("own", from->options, &own, &error));
    check_close(own);
    free_inherited(from);
    EXPECT(KVSTORE_ERR_FORKED, kvstore_close(store, &error));
    EXPECT(KVSTORE_ERR_LOCKED, kvstore_open("shared", NULL, &own, &error));
    proved("it frees that; its close does not unlock");

    own = check_open("own");
    EXPECT(KVSTORE_OK, kvstore_set(own, BYTES("k"), BYTES("child"), &error));
    check_close(own);
    proved("a child may open a store of its own");
}

/* The size and the time of change of every file in the store's directory, in one number. */
static uint64_t directory_state(void) {
    static const char *const files[] = {"shared", "shared/LOCK", "shared/wal.log",
                                        "shared/snapshot.dat"};
    uint64_t state = 0;
    size_t i;
    for (i = 0; i < sizeof files / sizeof *files; i++) {
        struct stat found;
        memset(&found, 0, sizeof found);
        if (stat(files[i], &found) != 0) continue;
        state = state * 31 + (uint64_t)found.st_size + (uint64_t)found.st_mtim.tv_nsec * 7 +
                (uint64_t)found.st_mtim.tv_sec;
    }
    return state;
}

int main(void) {
    kvstore *store = check_open("shared");
    kvstore_slice keys[2], value;
    struct inherited from;
    kvstore_buffer copy;
    uint64_t len, before;
    pid_t child;

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("k"), BYTES("parent"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("k2"), BYTES(""), &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, NULL, &from.cursor, &error));
    EXPECT(KVSTORE_OK, kvstore_view_open(store, &from.view, &error));
    EXPECT(KVSTORE_OK, kvstore_get_pinned(store, BYTES("k"), &from.pin, &from.pinned, &error));
    EXPECT(KVSTORE_OK, kvstore_get(store, BYTES("k"), &from.copy, &error));
    keys[0] = SLICE("k"), keys[1] = SLICE("absent");
    EXPECT(KVSTORE_OK, kvstore_get_many(store, keys, 2, &from.values, &error));
    from.options = kvstore_options_new();
    CHECK(from.options != NULL);
    CHECK(kvstore_open("shared", NULL, &(kvstore *){NULL}, &from.failure) == KVSTORE_ERR_LOCKED);
    before = directory_state();
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        child_of(store, &from);
        _exit(0);
    }
    wait_for(child);
    CHECK(directory_state() == before);
    proved("the child has changed no file of the store");

    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("l"), BYTES("later"), &error));
    check_inherited(&from);
    free_inherited(&from);
    EXPECT(KVSTORE_OK, kvstore_get_pinned(store, BYTES("k"), &from.pin, &value, &error));
    CHECK(same(value.data, value.len, BYTES("parent")));
    kvstore_pin_release(from.pin);
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
    CHECK(len == 3);
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
