/*
 * Writers that are killed by SIGKILL, at any moment from their start on: every operation that one
 * had acknowledged through a pipe is there afterwards, in order, and at most one more.
 *
 *   killed [ROUNDS]                        under each durability; 50
 *   killed DIRECTORY DURABILITY NUMBER     a writer, which begins with that operation
 */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { KEYS = 300, LONGEST = 3000 };

/* The number of the operation that wrote each key last; 0 where it was deleted, or never set. */
struct state {
    uint32_t wrote[KEYS];
};

static int is_delete(uint32_t number) { return number % 7 == 0; }

static size_t key_of(uint32_t key, char *text) { return (size_t)sprintf(text, "key %u", key); }

static size_t value_of(uint32_t number, char *value) {
    size_t len = number * 2654435761u % LONGEST, i;
    for (i = 0; i < len; i++) value[i] = (char)(number >> i % 4 * 8);
    return len;
}

static void apply(struct state *state, uint32_t number) {
    state->wrote[number * 31 % KEYS] = is_delete(number) ? 0 : number;
}

/* The writer: reports each operation when it has returned. The report is one system call. */
static void write_until_killed(const char *directory, uint64_t durability, uint32_t number) {
    kvstore *store = check_open_with(directory, KVSTORE_OPTION_DURABILITY, durability);
    char key[16], value[LONGEST];
    for (;; number++) {
        size_t key_len = key_of(number * 31 % KEYS, key);
        if (is_delete(number)) {
            error = NULL;
            CHECK(kvstore_delete(store, key, key_len, &error) >= KVSTORE_OK);
        } else {
            size_t len = value_of(number, value);
            EXPECT(KVSTORE_OK, kvstore_set(store, key, key_len, value, len, &error));
        }
        CHECK(write(STDOUT_FILENO, &number, sizeof number) == (ssize_t)sizeof number);
    }
}

static long milliseconds(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Starts a writer with operation `next`, kills it so many milliseconds after its start, or after
 * its first report, and returns the operation after the last one it acknowledged. */
static uint32_t kill_one(const char *program, const char *directory, int durability, uint32_t next,
                         long delay, int reports_first) {
    char first[16], durable[16];
    uint32_t number;
    int reports[2], status;
    long deadline;
    pid_t writer;

    sprintf(first, "%u", next);
    sprintf(durable, "%d", durability);
    CHECK(pipe(reports) == 0);
    fflush(stdout);
    writer = fork();
    CHECK(writer >= 0);
    if (writer == 0) {
        CHECK(dup2(reports[1], STDOUT_FILENO) == STDOUT_FILENO);
        close(reports[0]), close(reports[1]);
        execl(program, program, directory, durable, first, (char *)NULL);
        CHECK(!"the writer could be started");
    }
    close(reports[1]);
    deadline = milliseconds() + (reports_first ? 60000 : delay);
    for (;;) {
        struct pollfd waiting = {reports[0], POLLIN, 0};
        long left = deadline - milliseconds();
        if (left <= 0 || poll(&waiting, 1, (int)left) <= 0) break;
        if (read(reports[0], &number, sizeof number) != (ssize_t)sizeof number) break;
        CHECK(number == next);
        if (reports_first) deadline = milliseconds() + delay;
        reports_first = 0;
        next++;
    }
    CHECK(kill(writer, SIGKILL) == 0);
    /* What is in the pipe was acknowledged too. */
    while (read(reports[0], &number, sizeof number) == (ssize_t)sizeof number) {
        CHECK(number == next);
        next++;
    }
    CHECK(waitpid(writer, &status, 0) == writer);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(reports[0]);
    return next;
}

static int has(kvstore *store, const struct state *state) {
    char key[16], value[LONGEST];
    kvstore_buffer copy;
    uint64_t count, expected = 0;
    uint32_t k;

    for (k = 0; k < KEYS; k++) {
        size_t key_len = key_of(k, key);
        int equal;
        if (state->wrote[k] == 0) continue;
        expected++;
        if (kvstore_get(store, key, key_len, &copy, NULL) != KVSTORE_OK) return 0;
        equal = same(copy.data, copy.len, value, value_of(state->wrote[k], value));
        kvstore_buffer_free(&copy);
        if (!equal) return 0;
    }
    EXPECT(KVSTORE_OK, kvstore_len(store, &count, &error));
    return count == expected;
}

static void kill_many(const char *program, int durability, int rounds) {
    const char *directory = durability == KVSTORE_DURABILITY_OS ? "os" : "sync";
    struct state state;
    uint32_t next = 1, after, random = 7;
    int round, torn = 0, more = 0;
    char line[200];

    memset(&state, 0, sizeof state);
    for (round = 0; round < rounds; round++) {
        kvstore_recovery_info report;
        kvstore_options *options = kvstore_options_new();
        kvstore *store;

        random = random * 1664525 + 1013904223;
        after = kill_one(program, directory, durability, next, (random >> 16) % 12, round % 4 != 0);
        for (; next < after; next++) apply(&state, next);

        /* Half of the time there is a snapshot for the next writer, and otherwise a log. */
        CHECK(options != NULL);
        EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_CLOSE_CHECKPOINT,
                                               round % 2 == 0 ? KVSTORE_CLOSE_CHECKPOINT_ALWAYS
                                                              : KVSTORE_CLOSE_CHECKPOINT_NEVER,
                                               &error));
        EXPECT(KVSTORE_OK, kvstore_open(directory, options, &store, &error));
        kvstore_options_free(options);
        report.struct_size = sizeof report;
        EXPECT(KVSTORE_OK, kvstore_recovery_report(store, &report, &error));
        CHECK(!report.damaged);
        torn += report.bytes_cut > 0;
        if (!has(store, &state)) {
            /* The kill came between the write and its report. */
            apply(&state, next++);
            more++;
            CHECK(has(store, &state));
        }
        check_close(store);
    }
    CHECK(next > (uint32_t)(rounds / 2));
    sprintf(line,
            "%d C writers killed under %s durability: all of %u acknowledged operations are there; "
            "%d not yet acknowledged, %d torn tails",
            rounds, directory, next - 1 - (uint32_t)more, more, torn);
    proved(line);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 50;
    if (argc == 4)
        write_until_killed(argv[1], (uint64_t)atoi(argv[2]), (uint32_t)atol(argv[3]));
    CHECK(rounds > 0);
    kill_many(argv[0], KVSTORE_DURABILITY_OS, rounds);
    kill_many(argv[0], KVSTORE_DURABILITY_SYNC, rounds);
    return 0;
}
