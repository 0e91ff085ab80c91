/* A sound directory is told from a damaged one; what is repaired and salvaged out of it opens; wrong
 * arguments are errors that say what to pass. */
#define _DEFAULT_SOURCE

#include "check.h"

static void flip(const char *path, long offset) {
    FILE *file = fopen(path, "r+b");
    int byte;
    CHECK(file != NULL && fseek(file, offset, SEEK_SET) == 0);
    byte = fgetc(file);
    CHECK(byte != EOF && fseek(file, offset, SEEK_SET) == 0);
    CHECK(fputc(byte ^ 1, file) != EOF && fclose(file) == 0);
}

static void append(const char *path, const char *text) {
    FILE *file = fopen(path, "ab");
    CHECK(file != NULL && fputs(text, file) != EOF && fclose(file) == 0);
}

static kvstore_report_info figures(const kvstore_report *report) {
    kvstore_report_info info;
    memset(&info, 0xAA, sizeof info);
    info.struct_size = sizeof info;
    EXPECT(KVSTORE_OK, kvstore_report_figures(report, &info, &error));
    CHECK(info.struct_size == sizeof info);
    return info;
}

static kvstore_report_info verified(const char *directory) {
    kvstore_report *report;
    kvstore_report_info info;
    EXPECT(KVSTORE_OK, kvstore_verify(directory, &report, &error));
    CHECK(strstr(kvstore_report_text(report), "what to do: ") != NULL);
    info = figures(report);
    CHECK((info.findings == 0) == (info.first_path == NULL));
    CHECK(info.records == 0 && info.complete == 0 && info.is_prefix == 0);
    info.first_path = NULL; /* it goes with the report */
    kvstore_report_free(report);
    return info;
}

static void set_three(const char *directory) {
    kvstore *store = check_open(directory);
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("a"), BYTES("1"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("b"), BYTES("2"), &error));
    EXPECT(KVSTORE_OK, kvstore_set(store, BYTES("c"), BYTES("3"), &error));
    check_close(store);
}

static uint64_t records_in(const char *directory) {
    kvstore *store = check_open(directory);
    uint64_t len;
    EXPECT(KVSTORE_OK, kvstore_len(store, &len, &error));
    check_close(store);
    return len;
}

static void sound_and_damaged(void) {
    kvstore_report *report;
    kvstore_report_info info;
    kvstore_finding_info found;

    set_three("data");
    info = verified("data");
    CHECK(info.condition == KVSTORE_CONDITION_SOUND && info.refuses_to_open == 0);
    CHECK(info.entries == 3 && info.first_offset == KVSTORE_OFFSET_NONE);
    proved("a closed store is sound");

    flip("data/snapshot.dat", 20 + 14 + 4); /* the key of the second entry */
    info = verified("data");
    CHECK(info.condition == KVSTORE_CONDITION_DAMAGED && info.refuses_to_open == 1);
    CHECK(info.findings == 1 && info.first_offset == 34);
    CHECK(info.entries == 1 && info.entries_behind == 1);
    EXPECT(KVSTORE_OK, kvstore_verify("data", &report, &error));
    CHECK(strstr(figures(report).first_path, "/data/snapshot.dat") != NULL);
    kvstore_report_free(report);
    proved("a damaged snapshot is found, with path and offset");

    append("data/wal.log", "no entry");
    EXPECT(KVSTORE_OK, kvstore_verify("data", &report, &error));
    CHECK(figures(report).findings == 2);
    found.struct_size = sizeof found;
    EXPECT(KVSTORE_OK, kvstore_report_finding(report, 0, &found, &error));
    CHECK(found.struct_size == sizeof found && found.condition == KVSTORE_CONDITION_DAMAGED);
    CHECK(strstr(found.path, "/data/snapshot.dat") != NULL && found.offset == 34);
    CHECK(strstr(found.what, "checksum") != NULL);
    EXPECT(KVSTORE_OK, kvstore_report_finding(report, 1, &found, &error));
    CHECK(strstr(found.path, "/data/wal.log") != NULL && found.offset == 0 && found.len == 8);
    EXPECT(KVSTORE_DONE, kvstore_report_finding(report, 2, &found, &error));
    CHECK(found.path == NULL && found.what == NULL && found.offset == 0);
    EXPECT(KVSTORE_DONE, kvstore_report_finding(report, SIZE_MAX, &found, &error));
    kvstore_report_free(report);
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_report_finding(NULL, 0, &found, &error),
                 "report");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_report_finding(NULL, 0, NULL, &error), "out");
    found.struct_size = 8;
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_report_finding(NULL, 0, &found, &error),
                 "sizeof(kvstore_finding_info)");
    CHECK(truncate("data/wal.log", 0) == 0);
    proved("every place that is damaged can be asked for");

    EXPECT(KVSTORE_OK, kvstore_repair("data", "repaired", &report, &error));
    info = figures(report);
    CHECK(info.records == 1 && info.complete == 0 && info.is_prefix == 0);
    CHECK(strncmp(kvstore_report_text(report), "repaired: 1 records", 19) == 0);
    kvstore_report_free(report);
    CHECK(records_in("repaired") == 1);
    EXPECT(KVSTORE_OK, kvstore_salvage("data", "salvaged", &report, &error));
    CHECK(figures(report).records == 2);
    kvstore_report_free(report);
    CHECK(records_in("salvaged") == 2);
    CHECK(verified("repaired").condition == KVSTORE_CONDITION_SOUND);
    CHECK(verified("data").findings == 1);
    proved("what is repaired and salvaged opens and is sound, and the source is as it was");

    EXPECT(KVSTORE_OK, kvstore_repair("repaired", "again", &report, &error));
    CHECK(figures(report).complete == 1 && figures(report).is_prefix == 1);
    kvstore_report_free(report);
    proved("of a sound directory everything is kept");
}

static void errors(void) {
    kvstore_report *report;
    kvstore_report_info info;
    kvstore *store = check_open("held");
    char pid[32];

    sprintf(pid, "process %d", (int)getpid());
    EXPECT_ERROR(KVSTORE_ERR_LOCKED, kvstore_verify("held", &report, &error), pid);
    CHECK(report == NULL);
    EXPECT_ERROR(KVSTORE_ERR_LOCKED, kvstore_salvage("held", "new", &report, &error), pid);
    check_close(store);
    CHECK(verified("held").condition == KVSTORE_CONDITION_SOUND);

    report = (kvstore_report *)&info;
    EXPECT_ERROR(KVSTORE_ERR_IO, kvstore_verify("nowhere", &report, &error), "nowhere");
    CHECK(report == NULL);
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_verify(".", &report, &error), "no store");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_verify(NULL, &report, &error), "NULL");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_verify("", &report, &error), "empty");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_verify("held", NULL, &error), "out is NULL");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_repair("held", NULL, &report, &error), "to");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_repair(NULL, "n", &report, &error), "from");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_repair("held", "held", &report, &error),
                 "lies in the directory");
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_salvage("held", ".", &report, &error),
                 "not empty");
    CHECK(report == NULL);
    EXPECT_BARE(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_repair("held", "held", &report, NULL));

    info.struct_size = sizeof info;
    info.entries = 5;
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_report_figures(NULL, &info, &error), "NULL");
    CHECK(info.entries == 0);
    info.struct_size = 8;
    EXPECT(KVSTORE_OK, kvstore_verify("held", &report, &error));
    EXPECT_ERROR(KVSTORE_ERR_INVALID_ARGUMENT, kvstore_report_figures(report, &info, &error),
                 "struct_size is 8");
    kvstore_report_free(report);
    CHECK(strcmp(kvstore_report_text(NULL), "no report") == 0);
    kvstore_report_free(NULL);
    proved("what cannot be done is an error that says why, and outputs are written");
}

int main(void) {
    sound_and_damaged();
    errors();
    return 0;
}
