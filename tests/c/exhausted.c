/* When memory or room for files runs out: a status that says so, nothing lost, and the store goes
 * on once there is some again. Both limits are those that the system sets for a process. */
#define _DEFAULT_SOURCE

#include "check.h"

#include <signal.h>
#include <sys/resource.h>

enum { LARGE = 64 << 20 };

static void set_limit(int which, rlim_t bytes) {
    struct rlimit limit;
    CHECK(getrlimit(which, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(which, &limit) == 0);
}

/* The address space that this process uses, in bytes. */
static rlim_t address_space(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* The same once it has not changed for a while: until then threads of the library map the room for
 * the next writes, and a thread that starts reserves memory and gives back half of it. */
static rlim_t settled_address_space(void) {
    rlim_t last = 0, now;
    int unchanged = 0;
    while (unchanged < 10) {
        usleep(10000);
        now = address_space();
        unchanged = now == last ? unchanged + 1 : 0;
        last = now;
    }
    return last;
}

static void memory(void) {
    kvstore_options *options = kvstore_options_new();
    kvstore *store = NULL;
    char *large = malloc(LARGE);
    kvstore_buffer copy;
    kvstore_slice key = SLICE("large"), value;
    kvstore_values *values = (kvstore_values *)store;
    kvstore_pin *pin;
    kvstore_cursor *cursor;
    size_t len;

    /* Without checkpoints: a thread cannot be started while not even a few bytes are to be had, and
     * the large value would have one started. */
    CHECK(options != NULL && large != NULL);
    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_DURABILITY,
                                           KVSTORE_DURABILITY_OS, &error));
    EXPECT(KVSTORE_OK,
           kvstore_options_set(options, KVSTORE_OPTION_CHECKPOINT_BYTES, 16 * LARGE, &error));
    EXPECT(KVSTORE_OK, kvstore_open("memory", options, &store, &error));
    kvstore_options_free(options);
    memset(large, 'x', LARGE);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("large"), large, LARGE, &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("small"), BYTES("value"), &error));

    set_limit(RLIMIT_AS, settled_address_space() + LARGE / 4);
    EXPECT_ERROR(KVSTORE_ERR_OUT_OF_MEMORY, kvstore_get(store, BYTES("large"), &copy, &error),
                 "67108864 bytes", "kvstore_get_pinned()");
    CHECK(copy.data == NULL && copy.len == 0 && copy.owner == NULL);
    EXPECT(KVSTORE_ERR_OUT_OF_MEMORY, kvstore_get_many(store, &key, 1, &values, &error));
    CHECK(values == NULL);
    EXPECT(KVSTORE_OK, kvstore_get(store, BYTES("small"), &copy, &error));
    kvstore_buffer_free(&copy);
    proved("a copy that memory cannot hold: KVSTORE_ERR_OUT_OF_MEMORY, and the store goes on");

    EXPECT(KVSTORE_OK, kvstore_get_pinned(store, BYTES("large"), &pin, &value, &error));
    CHECK(same(value.data, value.len, large, LARGE));
    kvstore_pin_release(pin);
    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, NULL, &cursor, &error));
    EXPECT(KVSTORE_OK, kvstore_cursor_next(cursor, &key, &value, &error));
    CHECK(value.len == LARGE);
    kvstore_cursor_close(cursor);
    memset(large, 0, LARGE);
    EXPECT(KVSTORE_OK, kvstore_get_into(store, BYTES("large"), large, LARGE, &len, &error));
    CHECK(len == LARGE && large[0] == 'x' && large[LARGE - 1] == 'x');
    proved("without a copy, or into the caller's buffer, it can be read all the same");

    set_limit(RLIMIT_AS, RLIM_INFINITY);
    EXPECT(KVSTORE_OK, kvstore_get(store, BYTES("large"), &copy, &error));
    CHECK(same(copy.data, copy.len, large, LARGE));
    kvstore_buffer_free(&copy);
    free(large);
    check_close(store);
}

static void space(void) {
    kvstore *store = check_open_with("space", KVSTORE_OPTION_DURABILITY, KVSTORE_DURABILITY_OS);
    kvstore_status status = KVSTORE_OK;
    char key[16], value[10000];
    kvstore_buffer copy;
    uint64_t len;
    int i, written;

    memset(value, 'v', sizeof value);
    signal(SIGXFSZ, SIG_IGN); /* the signal of RLIMIT_FSIZE; a full disk has none */
    set_limit(RLIMIT_FSIZE, 2 << 20);
    for (written = 0; written < 1000; written++) {
        sprintf(key, "%06d", written);
        error = NULL;
        status = kvstore_set(store, key, 6, value, sizeof value, &error);
        if (status != KVSTORE_OK) break;
    }
    EXPECT_BARE(KVSTORE_ERR_NO_SPACE, status);
    CHECK(written >= 50 && written < 210);
    CHECK(strstr(kvstore_error_message(error), "space") != NULL);
    kvstore_error_free(error);
    sprintf(key, "%06d", written);
    EXPECT(KVSTORE_NOT_FOUND, kvstore_contains(store, key, 6, &error));
    for (i = 0; i < written; i++) {
        sprintf(key, "%06d", i);
        EXPECT(KVSTORE_OK, kvstore_get(store, key, 6, &copy, &error));
        CHECK(same(copy.data, copy.len, value, sizeof value));
        kvstore_buffer_free(&copy);
    }
    proved("no room for a write: KVSTORE_ERR_NO_SPACE, nothing of it remains, nothing is lost");

    set_limit(RLIMIT_FSIZE, RLIM_INFINITY);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("there is room again"), value, 1000, &error));
    check_close(store);
    store = check_open("space");
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == (uint64_t)written + 1);

    /* A snapshot that finds no room: the log stays, and nothing is lost. */
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("one more"), value, 1000, &error));
    set_limit(RLIMIT_FSIZE, 100000);
    EXPECT_ERROR(KVSTORE_ERR_NO_SPACE, kvstore_close(store, &error), "space", "log");
    set_limit(RLIMIT_FSIZE, RLIM_INFINITY);
    store = check_open("space");
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == (uint64_t)written + 2);
    check_close(store);
    proved("with room again it goes on; a close without room keeps the log, and loses nothing");
}

int main(void) {
    /* Under Valgrind the limit of the address space would stop Valgrind itself. */
    if (getenv("KVSTORE_SKIP_MEMORY_LIMIT") == NULL) memory();
    space();
    return 0;
}
