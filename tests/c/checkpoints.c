/*
 * Checkpoints, asked for and of the library's own thread, beside everything else that threads do
 * with a store. What must hold all the time:
 *
 *   - whoever writes a key alone finds it as it was written last, or deleted;
 *   - others find values whole, never an older one than before, and a key that is never deleted always;
 *   - of a group of keys that is written by batches, all are of one batch, or none is there: for
 *     kvstore_get_many() and in a view;
 *   - transactions move amounts between accounts while others pay in: no view misses or invents any;
 *   - a view, its cursors and pins are the same however often they are looked at, and however many
 *     checkpoints have replaced the files meanwhile;
 *   - a backup made during the run is the store at one instant of it;
 *
 * and in the end that the store holds exactly what was written last, before and after one more
 * checkpoint, and after it was closed and opened again.
 *
 *   checkpoints [THREADS [OPERATIONS [os|sync [BYTES]]]]     4, 10000, os, 32768
 *
 * BYTES is what the log may have before the library's thread makes a checkpoint of its own accord.
 */
#define _POSIX_C_SOURCE 200809L

#include "check.h"
#include "content.h"
#include "values.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum {
    KEYS = 1000, /* of each writer; more and more of them are used, so that tables grow */
    GROUP = 12,  /* keys in a group */
    ACCOUNTS = 8,
    AMOUNT = 1000, /* in each account, at the beginning */
    VIEWS = 3,     /* that a holder holds at a time */
    ENOUGH = 2,   /* checkpoints that were asked for, and of the library's own accord */
    AT_MOST = 100 /* times as many operations, should there never be enough checkpoints */
};

static kvstore *store;
static int threads = 4, groups;
static long operations = 10000, checkpoint_bytes = 32 << 10;

static atomic_int writing;         /* threads that still write */
static atomic_bool enough;         /* of either kind of checkpoint */
static atomic_long begun, paid_in; /* payments: how many were begun, how many are done */

struct worker {
    pthread_t thread;
    int id;
    uint32_t *last; /* of a writer: the number of the last write of each key; 0 when deleted */
    uint32_t *seen; /* the newest number seen of each writer's keys, then of each group */
};

/* 'k' is a writer's key, 'g' a key of a group, 'a' an account. */
static size_t key_of(char kind, int id, int key, char *text) {
    return (size_t)sprintf(text, "%c:%02d:%04d", kind, id % 100, key % 10000);
}

static void pause_briefly(void) {
    const struct timespec millisecond = {0, 1000000};
    nanosleep(&millisecond, NULL);
}

/* Whether a writer has to go on after its i-th operation. */
static int goes_on(long i, long of) {
    return i < of || (!enough && i < of * AT_MOST);
}

static uint64_t checkpoints_done(void) {
    kvstore_stats_info info = {.struct_size = sizeof info};
    EXPECT(KVSTORE_OK, kvstore_stats(store, &info, &error));
    CHECK(info.checkpoints_failed == 0);
    return info.checkpoints;
}

/* What was seen once is not seen older. */
static void note(uint32_t *seen, uint32_t number) {
    CHECK(number >= *seen);
    *seen = number;
}

/* What must hold at every instant ---------------------------------------------------------------- */

static int64_t number_of(const uint8_t *value, size_t len) {
    uint64_t number = 0;
    size_t i;
    CHECK(value != NULL && len == 8);
    for (i = 0; i < len; i++) number = number << 8 | value[i];
    return (int64_t)number;
}

/* At least and at most so many payments had been made. */
static void check_content(const struct content *content, long least, long most, uint32_t *seen) {
    long sum = 0, accounts = 0, in_group = 0;
    size_t i;
    for (i = 0; i < content->count; i++) {
        const struct record *record = &content->records[i];
        int id = (record->key[2] - '0') * 10 + record->key[3] - '0';
        int key = (record->key[5] - '0') * 1000 + (record->key[6] - '0') * 100 +
                  (record->key[7] - '0') * 10 + record->key[8] - '0';
        if (record->key[0] == 'a') {
            sum += (long)number_of(record->value, record->len);
            accounts++;
        } else if (record->key[0] == 'g') {
            uint32_t number = checked(id, key, record->value, record->len);
            CHECK(id < groups && key == in_group);
            if (key == 0) note(&seen[threads * KEYS + id], number);
            CHECK(number == seen[threads * KEYS + id]);
            in_group = (in_group + 1) % GROUP;
        } else {
            CHECK(record->key[0] == 'k' && id < threads && key < KEYS && in_group == 0);
            note(&seen[id * KEYS + key], checked(id, key, record->value, record->len));
        }
    }
    CHECK(in_group == 0 && accounts == ACCOUNTS);
    CHECK(sum >= ACCOUNTS * AMOUNT + least && sum <= ACCOUNTS * AMOUNT + most);
}

static uint32_t *new_seen(void) {
    uint32_t *seen = calloc((size_t)(threads * KEYS + groups), sizeof *seen);
    CHECK(seen != NULL);
    return seen;
}

/* Those who write ------------------------------------------------------------------------------ */

static void *writer(void *argument) {
    struct worker *self = argument;
    uint32_t state = (uint32_t)self->id;
    uint8_t value[MAX_VALUE];
    char key[32];
    size_t len;
    long i;

    for (i = 1; goes_on(i, operations); i++) {
        uint32_t among = (uint32_t)(i < operations ? i * (KEYS - 20) / operations : KEYS - 20) + 20;
        int k = (int)(random_of(&state) % among);
        key_of('k', self->id, k, key);
        /* Every fourth key is never deleted. */
        if (k % 4 != 0 && random_of(&state) % 4 == 0) {
            EXPECT(self->last[k] != 0 ? KVSTORE_OK : KVSTORE_NOT_FOUND,
                   kvstore_delete(store, key, KEY_LEN, &error));
            self->last[k] = 0;
        } else {
            len = value_of(self->id, k, (uint32_t)i, value);
            EXPECT(KVSTORE_OK, kvstore_set(store, key, KEY_LEN, value, len, &error));
            self->last[k] = (uint32_t)i;
        }
        k = (int)(random_of(&state) % among);
        key_of('k', self->id, k, key);
        EXPECT(self->last[k] != 0 ? KVSTORE_OK : KVSTORE_NOT_FOUND,
               kvstore_get_into(store, key, KEY_LEN, value, sizeof value, &len, &error));
        if (self->last[k] != 0) CHECK(checked(self->id, k, value, len) == self->last[k]);
    }
    writing--;
    return NULL;
}

/* Writes or deletes a whole group at a time. */
static void *batcher(void *argument) {
    struct worker *self = argument;
    kvstore_batch *batch = kvstore_batch_new();
    uint8_t value[MAX_VALUE];
    char key[32];
    long i;
    int k;

    CHECK(batch != NULL);
    for (i = 1; goes_on(i, operations / 8 + 1); i++) {
        for (k = GROUP - 1; k >= 0; k--) {
            key_of('g', self->id, k, key);
            /* What comes later in a batch counts. */
            if (k % 5 == 0)
                EXPECT(KVSTORE_OK, kvstore_batch_set(batch, key, KEY_LEN, BYTES("-"), &error));
            if (i % 6 == 0) {
                EXPECT(KVSTORE_OK, kvstore_batch_delete(batch, key, KEY_LEN, &error));
            } else {
                size_t len = value_of(self->id, k, (uint32_t)i, value);
                EXPECT(KVSTORE_OK, kvstore_batch_set(batch, key, KEY_LEN, value, len, &error));
            }
        }
        EXPECT(KVSTORE_OK, kvstore_write(store, batch, &error));
        kvstore_batch_clear(batch);
        self->last[0] = i % 6 == 0 ? 0 : (uint32_t)i;
    }
    kvstore_batch_free(batch);
    writing--;
    return NULL;
}

/* Moves amounts from account to account. */
static void *mover(void *argument) {
    struct worker *self = argument;
    uint32_t state = 2000u + (uint32_t)self->id;
    char key[32];
    long i;
    int side, byte;

    for (i = 1; goes_on(i, operations / 8 + 1); i++) {
        kvstore_transaction *transaction;
        int64_t amount = random_of(&state) % 50;
        int from = (int)(random_of(&state) % ACCOUNTS);
        int to = (from + 1 + (int)(random_of(&state) % (ACCOUNTS - 1))) % ACCOUNTS;
        EXPECT(KVSTORE_OK, kvstore_transaction_begin(store, &transaction, &error));
        for (side = 0; side < 2; side++) {
            kvstore_buffer buffer;
            uint8_t value[8];
            uint64_t sum;
            key_of('a', 0, side == 0 ? from : to, key);
            EXPECT(KVSTORE_OK,
                   kvstore_transaction_get(transaction, key, KEY_LEN, &buffer, &error));
            sum = (uint64_t)(number_of(buffer.data, buffer.len) + (side == 0 ? -amount : amount));
            for (byte = 0; byte < 8; byte++) value[byte] = (uint8_t)(sum >> (56 - 8 * byte));
            kvstore_buffer_free(&buffer);
            EXPECT(KVSTORE_OK, kvstore_transaction_set(transaction, key, KEY_LEN, value,
                                                       sizeof value, &error));
        }
        if (i % 10 == 0)
            kvstore_transaction_abort(transaction);
        else
            EXPECT(KVSTORE_OK, kvstore_transaction_commit(transaction, &error));
    }
    writing--;
    return NULL;
}

/* Pays one in, each time. */
static void *payer(void *argument) {
    struct worker *self = argument;
    uint32_t state = 3000u + (uint32_t)self->id;
    char key[32];
    long i;

    for (i = 1; goes_on(i, operations / 4 + 1); i++) {
        key_of('a', 0, (int)(random_of(&state) % ACCOUNTS), key);
        begun++;
        EXPECT(KVSTORE_OK, kvstore_increment(store, key, KEY_LEN, 1, NULL, &error));
        paid_in++;
    }
    writing--;
    return NULL;
}

/* Those who read ------------------------------------------------------------------------------- */

/* All of the group is of one batch, or absent. */
static void read_group(int group, uint32_t *seen) {
    kvstore_slice keys[GROUP], value;
    kvstore_values *values;
    char texts[GROUP][32];
    int k, found = 0;

    for (k = 0; k < GROUP; k++) {
        keys[k].len = key_of('g', group, k, texts[k]);
        keys[k].data = (const uint8_t *)texts[k];
    }
    EXPECT(KVSTORE_OK, kvstore_get_many(store, keys, GROUP, &values, &error));
    for (k = 0; k < GROUP; k++) {
        uint32_t number;
        if (kvstore_values_at(values, (size_t)k, &value, NULL) != KVSTORE_OK) continue;
        number = checked(group, k, value.data, value.len);
        if (found++ == 0) note(seen, number);
        CHECK(number == *seen);
    }
    CHECK(found == 0 || found == GROUP);
    kvstore_values_free(values);
}

static void *reader(void *argument) {
    struct worker *self = argument;
    uint32_t state = 1000u + (uint32_t)self->id, *seen = self->seen;
    uint8_t value[MAX_VALUE];
    char key[32];
    size_t len;
    long i;

    for (i = 0; i < operations || (!enough && writing > 0); i++) {
        int w = (int)(random_of(&state) % (uint32_t)threads), k = (int)(random_of(&state) % KEYS);
        uint32_t *newest = &seen[w * KEYS + k];
        kvstore_status status;
        if (i % 8 == 0) read_group(w % groups, &seen[threads * KEYS + w % groups]);
        key_of('k', w, k, key);
        status = kvstore_get_into(store, key, KEY_LEN, value, sizeof value, &len, NULL);
        if (status == KVSTORE_OK)
            note(newest, checked(w, k, value, len));
        else
            CHECK(status == KVSTORE_NOT_FOUND && (k % 4 != 0 || *newest == 0));
    }
    return NULL;
}

/* Takes a view, and what must hold of it. */
static void hold(struct held *held, struct worker *self, uint32_t *state) {
    long least = paid_in;
    held->since = checkpoints_done();
    hold_view(store, held, state);
    check_content(&held->content, least, begun, self->seen);
}

/* Holds several views, each across two checkpoints at least, while anybody writes. */
static void *holder(void *argument) {
    struct worker *self = argument;
    uint32_t state = 4000u + (uint32_t)self->id;
    struct held held[VIEWS];
    int i, last = 0;

    memset(held, 0, sizeof held);
    while (!last) {
        last = writing == 0;
        for (i = 0; i < VIEWS; i++) {
            if (held[i].view != NULL) {
                check_held(&held[i], &state);
                if (checkpoints_done() < held[i].since + 2) continue;
                check_held(&held[i], &state);
                let_go(&held[i]);
            }
            hold(&held[i], self, &state);
            break; /* so that they are of different ages */
        }
        pause_briefly();
    }
    for (i = 0; i < VIEWS; i++) {
        if (held[i].view == NULL) continue;
        check_held(&held[i], &state);
        let_go(&held[i]);
    }
    return NULL;
}

static void open_backup(const char *directory, kvstore **backup, kvstore_cursor **cursor) {
    *backup = check_open(directory);
    EXPECT(KVSTORE_OK, kvstore_cursor_open(*backup, NULL, cursor, &error));
}

/* One of the store, and one of a view, during the run. */
static void *backuper(void *argument) {
    struct worker *self = argument;
    kvstore *backup;
    kvstore_view *view;
    kvstore_cursor *cursor;
    struct content content;
    long least;

    while (checkpoints_done() == 0 && writing > 0) pause_briefly();
    least = paid_in;
    EXPECT(KVSTORE_OK, kvstore_backup(store, "backup", &error));
    open_backup("backup", &backup, &cursor);
    read_content(cursor, &content);
    check_content(&content, least, begun, self->seen);
    free(content.records);
    check_close(backup);

    EXPECT(KVSTORE_OK, kvstore_view_open(store, &view, &error));
    EXPECT(KVSTORE_OK, kvstore_view_cursor_open(view, NULL, &cursor, &error));
    read_content(cursor, &content);
    EXPECT(KVSTORE_OK, kvstore_view_backup(view, "backup of a view", NULL, NULL, &error));
    kvstore_view_close(view);
    open_backup("backup of a view", &backup, &cursor);
    check_same(&content, cursor, 0);
    free(content.records);
    check_close(backup);
    return NULL;
}

/* Asks for a checkpoint, and waits for one that comes unasked, in turn. */
static void *checkpointer(void *argument) {
    long asked = 0, unasked = 0;
    uint64_t done;
    (void)argument;
    while (writing > 0) {
        EXPECT(KVSTORE_OK, kvstore_checkpoint(store, &error));
        asked++;
        done = checkpoints_done();
        while (checkpoints_done() == done && writing > 0) pause_briefly();
        unasked += checkpoints_done() > done;
        enough = asked >= ENOUGH && unasked >= ENOUGH;
    }
    CHECK(enough && checkpoints_done() >= 2 * ENOUGH);
    return NULL;
}

/* The end -------------------------------------------------------------------------------------- */

/* The store holds what was written last, and nothing else. */
static void check_all(const struct worker *writers, const struct worker *batchers) {
    uint32_t *seen = new_seen();
    struct content content;
    kvstore_cursor *cursor;
    uint64_t expected = ACCOUNTS;
    char key[32];
    int i, k;

    EXPECT(KVSTORE_OK, kvstore_cursor_open(store, NULL, &cursor, &error));
    read_content(cursor, &content);
    check_content(&content, paid_in, paid_in, seen);
    for (i = 0; i < threads; i++) {
        for (k = 0; k < KEYS; k++) {
            int there = writers[i].last[k] != 0;
            CHECK(seen[i * KEYS + k] == writers[i].last[k]);
            key_of('k', i, k, key);
            EXPECT(there ? KVSTORE_OK : KVSTORE_NOT_FOUND,
                   kvstore_contains(store, key, KEY_LEN, &error));
            expected += (uint64_t)there;
        }
    }
    for (i = 0; i < groups; i++) {
        CHECK(seen[threads * KEYS + i] == batchers[i].last[0]);
        if (batchers[i].last[0] != 0) expected += GROUP;
    }
    CHECK(content.count == expected);
    free(content.records);
    free(seen);
}

static kvstore *open_store(uint64_t durability) {
    kvstore_options *options = kvstore_options_new();
    kvstore *opened = NULL;
    CHECK(options != NULL);
    EXPECT(KVSTORE_OK,
           kvstore_options_set(options, KVSTORE_OPTION_DURABILITY, durability, &error));
    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_CHECKPOINT_BYTES,
                                           (uint64_t)checkpoint_bytes, &error));
    /* Whoever writes waits for transactions, on a slow machine for long. */
    EXPECT(KVSTORE_OK, kvstore_options_set(options, KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS,
                                           600000, &error));
    EXPECT(KVSTORE_OK, kvstore_open("checkpoints", options, &opened, &error));
    kvstore_options_free(options);
    return opened;
}

int main(int argc, char **argv) {
    enum { WRITERS, BATCHERS, MOVERS, PAYERS, READERS, HOLDERS, CHECKPOINTER, BACKUPER, ROLES };
    static void *(*const roles[ROLES])(void *) = {writer, batcher, mover,        payer,
                                                  reader, holder,  checkpointer, backuper};
    struct worker *workers[ROLES];
    int counts[ROLES], role, i;
    char what[400], key[32];
    unsigned long long done;

    if (argc > 1) threads = atoi(argv[1]);
    if (argc > 2) operations = atol(argv[2]);
    if (argc > 4) checkpoint_bytes = atol(argv[4]);
    CHECK(checkpoint_bytes > 0);
    CHECK(threads >= 1 && threads <= 99 && operations >= 1 && operations < 10000000);
    groups = (threads + 1) / 2;
    store = open_store(argc > 3 && strcmp(argv[3], "sync") == 0 ? KVSTORE_DURABILITY_SYNC
                                                                : KVSTORE_DURABILITY_OS);
    for (i = 0; i < ACCOUNTS; i++) {
        key_of('a', 0, i, key);
        EXPECT(KVSTORE_OK, kvstore_increment(store, key, KEY_LEN, AMOUNT, NULL, &error));
    }
    for (role = 0; role < ROLES; role++) {
        counts[role] = role == WRITERS || role == READERS ? threads : groups;
        if (role >= CHECKPOINTER) counts[role] = 1;
        workers[role] = calloc((size_t)counts[role], sizeof *workers[role]);
        CHECK(workers[role] != NULL);
        if (role <= PAYERS) writing += counts[role];
    }
    for (role = 0; role < ROLES; role++) {
        for (i = 0; i < counts[role]; i++) {
            struct worker *worker = &workers[role][i];
            worker->id = i;
            worker->last = calloc(KEYS, sizeof *worker->last);
            worker->seen = new_seen();
            CHECK(worker->last != NULL);
            CHECK(pthread_create(&worker->thread, NULL, roles[role], worker) == 0);
        }
    }
    for (role = 0; role < ROLES; role++)
        for (i = 0; i < counts[role]; i++)
            CHECK(pthread_join(workers[role][i].thread, NULL) == 0);
    done = (unsigned long long)checkpoints_done();
    check_all(workers[WRITERS], workers[BATCHERS]);
    EXPECT(KVSTORE_OK, kvstore_checkpoint(store, &error));
    check_all(workers[WRITERS], workers[BATCHERS]);
    check_close(store);
    store = check_open("checkpoints");
    check_all(workers[WRITERS], workers[BATCHERS]);
    check_close(store);
    snprintf(what, sizeof what,
             "beside %llu checkpoints every key is found as it was written, batches and "
             "transactions are seen whole, views and pins stay what they were, and so does a backup; "
             "%ld payments, none lost", done, (long)paid_in);
    proved(what);
    for (role = 0; role < ROLES; role++) {
        for (i = 0; i < counts[role]; i++) free(workers[role][i].last), free(workers[role][i].seen);
        free(workers[role]);
    }
    return 0;
}
