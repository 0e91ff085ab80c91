/*
 * The little that the C and C++ tests share: checks that print the line and the expression, and a
 * line for each thing that was proved. Included once by each program.
 */
#ifndef CHECK_H
#define CHECK_H

#include <kvstore.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __cplusplus
#define CHECK_THREAD_LOCAL thread_local
#else
#define CHECK_THREAD_LOCAL _Thread_local
#endif

/* Something that an output must not keep. */
#define STALE ((void *)0x51a1e)

/* What the calls under test write their error object to. */
static CHECK_THREAD_LOCAL kvstore_error *error;

/* Ends the program when the expression is false. */
#define CHECK(expression) \
    ((expression) ? (void)0 : check_failed(__FILE__, __LINE__, #expression, ""))

/* Runs a call whose last argument is &error, and checks its status, and that there is an error
 * object exactly when the status is negative. */
#define EXPECT(expected, call) \
    (error = NULL, check_status(__FILE__, __LINE__, #call, (call), (expected)))

/* Like EXPECT, for errors whose message must contain the strings that follow. */
#define EXPECT_ERROR(expected, call, ...) \
    (error = NULL, check_error(__FILE__, __LINE__, #call, (call), (expected), __VA_ARGS__, NULL))

/* A call whose last argument is NULL instead of &error. */
#define EXPECT_BARE(expected, call) check_bare(__FILE__, __LINE__, #call, (call), (expected))

/* A string literal as the two arguments that a key or a value takes. */
#define BYTES(literal) (literal), (sizeof(literal) - 1)

/* A string literal as a kvstore_slice. */
#define SLICE(literal) check_slice((literal), sizeof(literal) - 1)

static void check_failed(const char *file, int line, const char *expression, const char *detail) {
    fflush(stdout);
    fprintf(stderr, "%s:%d: failed: %s%s\n", file, line, expression, detail);
    fflush(stderr);
    _exit(1); /* also ends a forked child, without its parent's exit handlers */
}

static void check_bare(const char *file, int line, const char *call, kvstore_status status,
                       kvstore_status expected) {
    char detail[2048];
    if (status == expected) return;
    snprintf(detail, sizeof detail, "\n  expected %s, was %s: %s", kvstore_status_name(expected),
             kvstore_status_name(status), kvstore_error_message(error));
    check_failed(file, line, call, detail);
}

static void check_status(const char *file, int line, const char *call, kvstore_status status,
                         kvstore_status expected) {
    check_bare(file, line, call, status, expected);
    if ((status < 0) != (error != NULL)) check_failed(file, line, call, "\n  error object");
    if (kvstore_error_code(error) != (status < 0 ? status : 0))
        check_failed(file, line, call, "\n  code of the error object");
    kvstore_error_free(error);
    error = NULL;
}

static inline void check_error(const char *file, int line, const char *call, kvstore_status status,
                               kvstore_status expected, ...) {
    const char *part;
    va_list parts;
    check_bare(file, line, call, status, expected);
    va_start(parts, expected);
    while ((part = va_arg(parts, const char *)) != NULL) {
        if (strstr(kvstore_error_message(error), part) == NULL) {
            char detail[2048];
            snprintf(detail, sizeof detail, "\n  the message lacks \"%s\": %s", part,
                     kvstore_error_message(error));
            check_failed(file, line, call, detail);
        }
    }
    va_end(parts);
    check_status(file, line, call, status, expected);
}

static inline kvstore_slice check_slice(const char *data, size_t len) {
    kvstore_slice slice;
    slice.data = (const uint8_t *)data;
    slice.len = len;
    return slice;
}

/* Whether a result has these bytes; a result is never NULL. */
static inline int same(const void *data, size_t len, const void *expected, size_t expected_len) {
    return data != NULL && len == expected_len && memcmp(data, expected, len) == 0;
}

/* Opens with defaults, or ends the program. */
static inline kvstore *check_open(const char *directory) {
    kvstore *store = NULL;
    EXPECT(KVSTORE_OK, kvstore_open(directory, NULL, &store, &error));
    CHECK(store != NULL);
    return store;
}

/* Opens with one option, or ends the program. */
static inline kvstore *check_open_with(const char *directory, uint32_t option, uint64_t value) {
    kvstore *store = NULL;
    kvstore_options *options = kvstore_options_new();
    CHECK(options != NULL);
    EXPECT(KVSTORE_OK, kvstore_options_set(options, option, value, &error));
    EXPECT(KVSTORE_OK, kvstore_open(directory, options, &store, &error));
    kvstore_options_free(options);
    return store;
}

static inline void check_close(kvstore *store) {
    EXPECT(KVSTORE_OK, kvstore_close(store, &error));
}

/* Says what the checks since the last such line have proved. */
static inline void proved(const char *what) {
    printf("  proved: %s\n", what);
    fflush(stdout);
}

#endif
