/* A disk that really is full: run.sh has a tmpfs of 16 MiB for this. The status says so, nothing is
 * lost, and room that is made is used. Where the store believed it had room that it has not, the
 * kernel would end the program by SIGBUS. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <fcntl.h>

enum { LONGEST = 40000, MOST = 20000 };

static char deleted[MOST];

static size_t key_of(int number, char *text) { return (size_t)sprintf(text, "%06d", number); }

static size_t value_of(int number, char *value) {
    size_t len = (size_t)number * 7919u % LONGEST;
    memset(value, 'a' + number % 26, len);
    return len;
}

/* Takes room away from the store: up to so many bytes, or all there is. */
static void take_room(const char *path, int bytes) {
    static const char block[4096];
    int file = open(path, O_WRONLY | O_CREAT, 0600);
    CHECK(file >= 0);
    while (bytes > 0 && write(file, block, sizeof block) == (ssize_t)sizeof block)
        bytes -= (int)sizeof block;
    CHECK(close(file) == 0);
}

/* Sets number after number until one finds no room, and returns that one. */
static int fill(kvstore *store, int number) {
    char key[16], value[LONGEST];
    kvstore_status status;
    size_t len;

    for (;; number++) {
        CHECK(number < MOST);
        len = value_of(number, value);
        error = NULL;
        status = kvstore_set(store, key, key_of(number, key), value, len, &error);
        if (status != KVSTORE_OK) break;
    }
    EXPECT_BARE(KVSTORE_ERR_NO_SPACE, status);
    CHECK(strstr(kvstore_error_message(error), "room") != NULL);
    CHECK(kvstore_error_os_code(error) != 0 && kvstore_error_path(error) != NULL);
    kvstore_error_free(error);
    EXPECT(KVSTORE_NOT_FOUND, kvstore_contains(store, key, key_of(number, key), &error));
    return number;
}

/* The store has what was acknowledged, and only that. */
static void check_all(kvstore *store, int written) {
    char key[16], value[LONGEST];
    kvstore_buffer copy;
    uint64_t count, expected = 0;
    int i;

    for (i = 0; i < written; i++) {
        size_t len = value_of(i, value), key_len = key_of(i, key);
        if (deleted[i]) {
            EXPECT(KVSTORE_NOT_FOUND, kvstore_contains(store, key, key_len, &error));
            continue;
        }
        EXPECT(KVSTORE_OK, kvstore_get(store, key, key_len, &copy, &error));
        CHECK(same(copy.data, copy.len, value, len));
        kvstore_buffer_free(&copy);
        expected++;
    }
    EXPECT(KVSTORE_OK, kvstore_len(store, &count, &error));
    CHECK(count == expected);
}

static void full(uint64_t durability) {
    kvstore *store;
    char key[16], what[128];
    int number, refused;

    memset(deleted, 0, sizeof deleted);
    take_room("room", 4 << 20);
    store = check_open_with("data", KVSTORE_OPTION_DURABILITY, durability);
    number = fill(store, 0);
    CHECK(number > 200);
    check_all(store, number);
    EXPECT(KVSTORE_OK, kvstore_delete(store, key, key_of(0, key), &error));
    deleted[0] = 1;
    check_all(store, number);

    CHECK(unlink("room") == 0);
    refused = number;
    number = fill(store, number);
    CHECK(number > refused + 50);
    check_all(store, number);
    EXPECT_ERROR(KVSTORE_ERR_NO_SPACE, kvstore_close(store, &error), "snapshot", "nothing is lost");

    store = check_open_with("data", KVSTORE_OPTION_DURABILITY, durability);
    check_all(store, number);
    number = fill(store, number);
    check_all(store, number);
    EXPECT(KVSTORE_ERR_NO_SPACE, kvstore_close(store, &error));
    store = check_open_with("data", KVSTORE_OPTION_READ_ONLY, 1);
    check_all(store, number);
    check_close(store);
    CHECK(system("rm -r data") == 0);
    sprintf(what, "a disk of 16 MiB filled with %d records, durability %d: none lost", number,
            (int)durability);
    proved(what);
}

int main(void) {
    full(KVSTORE_DURABILITY_OS);
    full(KVSTORE_DURABILITY_SYNC);
    return 0;
}
