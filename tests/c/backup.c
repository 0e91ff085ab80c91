/* Backups of an open store and of a view, their progress, and how they are stopped. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>
#include <sys/stat.h>

#define BAD KVSTORE_ERR_INVALID_ARGUMENT
enum { RECORDS = 20000 };

static kvstore *filled(const char *directory) {
    kvstore *store = check_open_with(directory, KVSTORE_OPTION_DURABILITY, KVSTORE_DURABILITY_OS);
    char key[16];
    int i;
    for (i = 0; i < RECORDS; i++) {
        snprintf(key, sizeof key, "key %06d", i);
        EXPECT(KVSTORE_OK, kvstore_set(store, key, 10, key, 10, &error));
    }
    return store;
}

static int exists(const char *path) {
    struct stat found;
    return lstat(path, &found) == 0;
}

/* Checks that a directory opens and holds so many records, and takes writes. */
static void check_holds(const char *directory, uint64_t records) {
    kvstore *store = check_open(directory);
    kvstore_buffer value;
    uint64_t len;
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == records);
    EXPECT(KVSTORE_OK, kvstore_get(store, BYTES("key 000042"), &value, &error));
    CHECK(same(value.data, value.len, BYTES("key 000042")));
    kvstore_buffer_free(&value);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("written"), BYTES("to the copy"), &error));
    check_close(store);
}

/* What a callback is told, and when it stops the backup: never, if that is 0. */
struct watch {
    kvstore *store;
    int calls, stop_at;
    uint64_t records, bytes;
};

static int32_t watching(void *context, const kvstore_backup_progress *progress) {
    struct watch *watch = (struct watch *)context;
    CHECK(progress->struct_size >= sizeof *progress);
    CHECK(progress->records_total == RECORDS && progress->records_done <= RECORDS);
    CHECK(progress->bytes_total >= progress->bytes_done);
    CHECK(progress->records_done >= watch->records && progress->bytes_done >= watch->bytes);
    watch->records = progress->records_done;
    watch->bytes = progress->bytes_done;
    watch->calls++;
    /* The store may be used from here. */
    if (watch->store != NULL)
        EXPECT(KVSTORE_OK, kvstore_set(watch->store, BYTES("meanwhile"), BYTES("1"), &error));
    return watch->calls == watch->stop_at;
}

static void whole(void) {
    kvstore *store = filled("data");
    struct watch watch = {NULL, 0, 0, 0, 0};
    kvstore_view *view;
    struct stat found;

    EXPECT(KVSTORE_OK, kvstore_backup(store, "plain", &error));
    check_holds("plain", RECORDS);
    watch.store = store;
    EXPECT(KVSTORE_OK, kvstore_backup_with(store, "watched", watching, &watch, &error));
    CHECK(watch.calls >= 3 && watch.records == RECORDS);
    CHECK(stat("watched/snapshot.dat", &found) == 0 && (uint64_t)found.st_size == watch.bytes);
    CHECK(stat("watched/wal.log", &found) == 0 && found.st_size == 0);
    check_holds("watched", RECORDS);
    EXPECT(KVSTORE_OK, kvstore_delete(store, BYTES("meanwhile"), &error));
    EXPECT_BARE(KVSTORE_OK, kvstore_backup_with(store, "unwatched", NULL, NULL, NULL));
    proved("a backup opens, holds what the store held, and tells its progress");

    EXPECT(KVSTORE_OK, kvstore_view_open(store, &view, &error));
    check_close(store);
    memset(&watch, 0, sizeof watch);
    EXPECT(KVSTORE_OK, kvstore_view_backup(view, "viewed", watching, &watch, &error));
    CHECK(watch.records == RECORDS);
    kvstore_view_close(view);
    check_holds("viewed", RECORDS);
    store = check_open_with("data", KVSTORE_OPTION_READ_ONLY, 1);
    EXPECT(KVSTORE_OK, kvstore_backup(store, "read-only", &error));
    check_close(store);
    check_holds("read-only", RECORDS);
    proved("a view of a closed store, and a store opened read-only, can be backed up");
}

static void stopped(void) {
    kvstore *store = check_open("data");
    int stop_at;

    for (stop_at = 1; stop_at <= 3; stop_at++) {
        struct watch watch = {NULL, 0, 0, 0, 0};
        watch.stop_at = stop_at;
        EXPECT_ERROR(KVSTORE_ERR_CANCELLED,
                     kvstore_backup_with(store, "stopped", watching, &watch, &error), "callback",
                     "nothing of it is left");
        CHECK(watch.calls == stop_at);
        CHECK(!exists("stopped") && !exists("stopped.unfinished-1"));
    }
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("goes"), BYTES("on"), &error));
    check_close(store);
    proved("a callback that returns 1 stops the backup, which leaves nothing");
}

static void refused(void) {
    kvstore *store = check_open("data");
    kvstore_view *view;

    EXPECT_ERROR(BAD, kvstore_backup(store, "plain", &error), "plain", "is not empty");
    CHECK(exists("plain/snapshot.dat"));
    EXPECT_ERROR(BAD, kvstore_backup(store, "data/inside", &error), "lies in the directory");
    EXPECT_ERROR(BAD, kvstore_backup(store, NULL, &error), "directory is NULL");
    EXPECT_ERROR(BAD, kvstore_backup(store, "", &error), "empty");
    EXPECT_ERROR(BAD, kvstore_backup(NULL, "new", &error), "store");
    EXPECT_ERROR(BAD, kvstore_backup_with(NULL, "new", NULL, NULL, &error), "store");
    EXPECT_ERROR(BAD, kvstore_backup_with(store, NULL, NULL, NULL, &error), "directory");
    EXPECT_ERROR(BAD, kvstore_view_backup(NULL, "new", NULL, NULL, &error), "view");
    EXPECT(KVSTORE_OK, kvstore_view_open(store, &view, &error));
    EXPECT_ERROR(BAD, kvstore_view_backup(view, NULL, NULL, NULL, &error), "directory");
    EXPECT_ERROR(BAD, kvstore_view_backup(view, "plain", NULL, NULL, &error), "is not empty");
    kvstore_view_close(view);
    CHECK(!exists("new"));
    check_close(store);
    proved("what is there is never overwritten, and wrong arguments are named");
}

static volatile int writing;

static void *write_on(void *argument) {
    kvstore *store = (kvstore *)argument;
    char key[16];
    int i;
    for (i = 0; __atomic_load_n(&writing, __ATOMIC_RELAXED); i++) {
        snprintf(key, sizeof key, "new %06d", i % 100000);
        EXPECT(KVSTORE_OK, kvstore_set(store, key, 10, key, 10, &error));
    }
    return NULL;
}

static void beside_a_writer(void) {
    kvstore *store = filled("busy"), *copy;
    pthread_t writer;
    int round;

    __atomic_store_n(&writing, 1, __ATOMIC_RELAXED);
    CHECK(pthread_create(&writer, NULL, write_on, store) == 0);
    for (round = 0; round < 3; round++) {
        char name[16], key[16];
        uint64_t len, i;
        snprintf(name, sizeof name, "busy %d", round);
        EXPECT(KVSTORE_OK, kvstore_backup(store, name, &error));
        copy = check_open(name);
        EXPECT(KVSTORE_OK, kvstore_len(copy, &len, &error));
        CHECK(len >= RECORDS);
        /* One writer, so what is there of it is a prefix. */
        for (i = 0; i < len - RECORDS; i++) {
            snprintf(key, sizeof key, "new %06d", (int)i);
            EXPECT(KVSTORE_OK, kvstore_contains(copy, key, 10, &error));
        }
        check_close(copy);
    }
    __atomic_store_n(&writing, 0, __ATOMIC_RELAXED);
    CHECK(pthread_join(writer, NULL) == 0);
    check_close(store);
    proved("a backup beside a writer holds a prefix of its writes");
}

int main(void) {
    whole();
    stopped();
    refused();
    beside_a_writer();
    return 0;
}
