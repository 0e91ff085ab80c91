/* What was acknowledged is there after the process was killed; a torn log is cut, kept aside and
 * reported; reading a torn log changes nothing. */
#define _DEFAULT_SOURCE

#include "check.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The workload: operation j deletes key j - 1 if j % 5 is 4, and otherwise sets key j, to a value
 * whose length and content depend on j. */
static int is_delete(uint32_t j) {
    return j % 5 == 4;
}

static size_t value_of(uint32_t j, char *value) {
    size_t len = 4 + j * 37 % 400;
    memset(value, (int)('a' + j % 26), len);
    memcpy(value, &j, 4);
    return len;
}

/* Works until killed, and reports each operation that was acknowledged through the pipe. */
static void work(const char *directory, uint64_t durability, uint32_t first, int report) {
    kvstore *store = check_open_with(directory, KVSTORE_OPTION_DURABILITY, durability);
    char key[16], value[512];
    uint32_t j;

    for (j = first;; j++) {
        sprintf(key, "%08u", is_delete(j) ? j - 1 : j);
        if (is_delete(j))
            EXPECT(KVSTORE_OK, kvstore_delete(store, key, 8, &error));
        else
            EXPECT(KVSTORE_OK, kvstore_set(store, key, 8, value, value_of(j, value), &error));
        if (write(report, &j, sizeof j) != sizeof j) _exit(1);
    }
}

/* The store must be as after the first n operations. */
static void check_state(kvstore *store, uint32_t n) {
    char key[16], value[512];
    uint64_t len, expected = 0;
    uint32_t j;

    for (j = 0; j < n + 10; j++) {
        int deleted = is_delete(j + 1) && j + 1 < n;
        kvstore_buffer found;
        if (is_delete(j)) continue;
        sprintf(key, "%08u", j);
        if (j >= n || deleted) {
            EXPECT(KVSTORE_NOT_FOUND, kvstore_contains(store, key, 8, &error));
            continue;
        }
        expected++;
        EXPECT(KVSTORE_OK, kvstore_get(store, key, 8, &found, &error));
        CHECK(same(found.data, found.len, value, value_of(j, value)));
        kvstore_buffer_free(&found);
    }
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    CHECK(len == expected);
}

/* How many operations the store has seen: all acknowledged ones, and perhaps the one after. */
static uint32_t operations_in(kvstore *store, uint32_t acknowledged) {
    uint32_t next = acknowledged + 1;
    char key[16];
    kvstore_status there;

    sprintf(key, "%08u", is_delete(next) ? acknowledged : next);
    there = kvstore_contains(store, key, 8, NULL);
    CHECK(there == KVSTORE_OK || there == KVSTORE_NOT_FOUND);
    return (there == KVSTORE_OK) != is_delete(next) ? next + 1 : next;
}

static void killed(const char *directory, uint64_t durability, uint32_t writes, const char *what) {
    uint32_t operations = 0, acknowledged = 0;
    int round, pipes[2], status;

    for (round = 0; round < 4; round++) {
        uint32_t enough = operations + writes;
        kvstore_recovery_info report;
        kvstore *store;
        pid_t child;

        CHECK(pipe(pipes) == 0);
        fflush(stdout);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            close(pipes[0]);
            work(directory, durability, operations, pipes[1]);
        }
        close(pipes[1]);
        do {
            CHECK(read(pipes[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged);
        } while (acknowledged < enough);
        CHECK(kill(child, SIGKILL) == 0);
        while (read(pipes[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) continue;
        close(pipes[0]);
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));

        store = check_open(directory);
        memset(&report, 0, sizeof report);
        report.struct_size = sizeof report;
        EXPECT(KVSTORE_OK, kvstore_recovery_report(store, &report, &error));
        CHECK(report.log_records >= writes);
        CHECK((report.bytes_cut > 0) == (report.quarantine != NULL));
        operations = operations_in(store, acknowledged);
        check_state(store, operations);
        check_close(store);
        store = check_open(directory);
        check_state(store, operations);
        check_close(store);
    }
    proved(what);
}

static long size_of(const char *path) {
    struct stat entry;
    return stat(path, &entry) == 0 ? (long)entry.st_size : -1;
}

static void append(const char *path, const void *bytes, size_t len) {
    FILE *file = fopen(path, "ab");
    CHECK(file != NULL && fwrite(bytes, 1, len, file) == len && fclose(file) == 0);
}

/* All that a change to the directory "torn" or anything in it would change: names, inodes, modes,
 * lengths, times and content. */
static void describe_torn(char *text, size_t capacity) {
    FILE *pipe = popen("find torn -exec stat -c '%n %i %a %s %y %z' {} + | sort && "
                       "find torn -type f -exec cksum {} + | sort", "r");
    size_t len;
    CHECK(pipe != NULL);
    len = fread(text, 1, capacity - 1, pipe);
    text[len] = 0;
    CHECK(pclose(pipe) == 0 && len > 100 && len < capacity - 1);
}

/* Opens the directory "torn" to read and uses it; nothing there may change. */
static void read_torn(uint64_t expected) {
    static char before[8192], after[8192];
    kvstore *store;
    kvstore_view *view;
    uint64_t len;

    describe_torn(before, sizeof before);
    store = check_open_with("torn", KVSTORE_OPTION_READ_ONLY, 1);
    EXPECT(KVSTORE_OK, kvstore_view_open(store, &view, &error));
    EXPECT(KVSTORE_OK, kvstore_view_len(view, &len, &error));
    CHECK(len == expected);
    kvstore_view_close(view);
    EXPECT(KVSTORE_ERR_READ_ONLY, kvstore_set(store, BYTES("k"), BYTES("v"), &error));
    EXPECT(KVSTORE_OK, kvstore_sync(store, &error));
    check_close(store);
    describe_torn(after, sizeof after);
    CHECK(strcmp(before, after) == 0);
}

static void torn(void) {
    /* Its last byte is not zero: zeros at the end of a log are room that was not used. */
    static const char junk[] = "KVLG\x01 not an entry, but the beginning of one";
    const char *fixtures = getenv("KVSTORE_FIXTURES");
    char command[2048], kept[256];
    kvstore_recovery_info report;
    kvstore *store;
    uint64_t keys, again;
    long whole;
    FILE *file;

    CHECK(fixtures != NULL);
    snprintf(command, sizeof command, "cp -r '%s/golden/wal-only' torn && chmod -R u+w torn",
             fixtures);
    CHECK(system(command) == 0);
    whole = size_of("torn/wal.log");
    append("torn/wal.log", junk, sizeof junk - 1);

    store = check_open_with("torn", KVSTORE_OPTION_READ_ONLY, 1);
    EXPECT(KVSTORE_OK, kvstore_len(store, &keys, &error));
    check_close(store);
    CHECK(keys > 0);
    CHECK(size_of("torn/wal.log") == whole + (long)sizeof junk - 1 && size_of("torn/quarantine") == -1);
    CHECK(size_of("torn/snapshot.dat") == -1 && size_of("torn/LOCK") == -1);
    read_torn(keys);
    append("torn/LOCK", "12345", 5);
    read_torn(keys);
    CHECK(system("chmod 555 torn") == 0);
    read_torn(keys);
    CHECK(system("chmod 755 torn") == 0);
    proved("opening a torn log read-only reads its prefix and changes nothing, not even the lock file");

    store = check_open("torn");
    memset(&report, 0, sizeof report);
    report.struct_size = sizeof report;
    EXPECT(KVSTORE_OK, kvstore_recovery_report(store, &report, &error));
    CHECK(report.log_records >= keys && report.bytes_cut == sizeof junk - 1);
    CHECK(report.cut_offset == (uint64_t)whole && report.sealed_logs == 0);
    CHECK(strstr(report.cut_log, "torn/wal.log") != NULL && strlen(report.cut_reason) > 5);
    CHECK(report.quarantine != NULL && strstr(report.quarantine, "torn/quarantine/") != NULL);
    file = fopen(report.quarantine, "rb");
    CHECK(file != NULL);
    CHECK(same(kept, fread(kept, 1, sizeof kept, file), junk, sizeof junk - 1));
    fclose(file);
    EXPECT(KVSTORE_OK, kvstore_len(store, &again, &error));
    CHECK(again == keys);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("behind the tear"), BYTES("v"), &error));
    proved("opening it cuts the tail, keeps it in quarantine/, and reports both");

    check_close(store);
    store = check_open("torn");
    EXPECT(KVSTORE_OK, kvstore_recovery_report(store, &report, &error));
    CHECK(report.bytes_cut == 0 && report.cut_offset == KVSTORE_OFFSET_NONE);
    CHECK(report.quarantine == NULL && report.snapshot_records == keys + 1);
    CHECK(report.cut_log == NULL && report.cut_reason == NULL);
    EXPECT(KVSTORE_OK, kvstore_contains(store, BYTES("behind the tear"), &error));
    check_close(store);
    proved("what is written behind the cut is kept, and the next open is clean");
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    killed("killed-os", KVSTORE_DURABILITY_OS, 3000,
           "4 processes killed while writing without sync: no acknowledged write was lost");
    killed("killed-sync", KVSTORE_DURABILITY_SYNC, 100,
           "4 processes killed while writing with sync: no acknowledged write was lost");
    torn();
    return 0;
}
