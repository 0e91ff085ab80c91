/*
 * Writes records 0 to 99,999 in order, until it is killed. README.md says what a record is.
 *
 *     writer DIRECTORY
 *
 * After every 10 records it prints a line: how many records have been acknowledged so far, and how
 * many nanoseconds the calls that wrote them took. Such a line is a promise: those records must be
 * there in whatever comes next.
 */
#define _POSIX_C_SOURCE 200809L

#include <kvstore.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    RECORDS = 100000,
    SYNCED = 1000, /* the first so many are on the disk when acknowledged, the rest in the system */
    REPORT_EVERY = 10,
    KEY_LEN = 15,
    MAX_VALUE_LEN = 192
};

/* Ends the program with the message of the error, unless the status is success. The error is taken
 * by its address, because the call that makes it may stand in the same list of arguments, and C
 * does not say which of them is evaluated first. */
static void check(kvstore_status status, kvstore_error **error, const char *what) {
    if (status == KVSTORE_OK) return;
    fprintf(stderr, "writer: %s: %s: %s\n", what, kvstore_status_name(status),
            kvstore_error_message(*error));
    kvstore_error_free(*error);
    exit(1);
}

static void make_key(uint32_t number, char key[KEY_LEN + 1]) {
    snprintf(key, KEY_LEN + 1, "record:%08" PRIx32, number * UINT32_C(2654435761));
}

/* The value in version 0; its length is returned. */
static size_t make_value(uint32_t number, uint8_t value[MAX_VALUE_LEN]) {
    const uint8_t block[8] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
                              (uint8_t)(number >> 8), (uint8_t)number, 0, 0, 0, 0};
    size_t len = 8 + number % 185;
    for (size_t i = 0; i < len; i++) value[i] = block[i % 8];
    return len;
}

static uint64_t nanoseconds(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        perror("writer: clock_gettime");
        exit(1);
    }
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Tells how far it got. The line goes to the pipe in one system call: what stdio holds back in a
 * buffer would die with the process. */
static void report(uint32_t acknowledged, uint64_t spent) {
    char line[64];
    int len = snprintf(line, sizeof line, "%" PRIu32 " records, %" PRIu64 " ns\n", acknowledged,
                       spent);
    if (write(STDOUT_FILENO, line, (size_t)len) != len) {
        perror("writer: the report");
        exit(1);
    }
}

int main(int argc, char **argv) {
    char keys[REPORT_EVERY][KEY_LEN + 1];
    uint8_t values[REPORT_EVERY][MAX_VALUE_LEN];
    size_t lens[REPORT_EVERY];
    uint64_t spent = 0;
    kvstore *store = NULL;
    kvstore_error *error = NULL;

    if (argc != 2) {
        fprintf(stderr, "usage: writer DIRECTORY\n");
        return 2;
    }
    check(kvstore_open(argv[1], NULL, &store, &error), &error, "open");

    for (uint32_t first = 0; first < RECORDS; first += REPORT_EVERY) {
        /* All are prepared before the clock starts: it measures the store alone. */
        for (uint32_t i = 0; i < REPORT_EVERY; i++) {
            make_key(first + i, keys[i]);
            lens[i] = make_value(first + i, values[i]);
        }
        uint32_t durability = first < SYNCED ? KVSTORE_DURABILITY_SYNC : KVSTORE_DURABILITY_OS;
        uint64_t start = nanoseconds();
        for (uint32_t i = 0; i < REPORT_EVERY; i++) {
            kvstore_status status = kvstore_set_with(store, keys[i], KEY_LEN, values[i], lens[i],
                                                     durability, &error);
            check(status, &error, "set");
        }
        spent += nanoseconds() - start;
        report(first + REPORT_EVERY, spent);
    }

    /* Not reached in the demo, whose driver treats it as a failure. */
    check(kvstore_close(store, &error), &error, "close");
    return 0;
}
