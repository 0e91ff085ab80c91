/*
 * kvstore: an embedded key-value store. Keys and values are byte strings; a store is a directory,
 * which programs in C, C++, Rust and Python share, one after the other.
 *
 *     #include <kvstore.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *         kvstore *store;
 *         kvstore_error *error;
 *         kvstore_buffer value;
 *
 *         if (kvstore_open("data", NULL, &store, &error) != KVSTORE_OK ||
 *             kvstore_set(store, "user:1", 6, "alice", 5, &error) != KVSTORE_OK) {
 *             fprintf(stderr, "%s\n", kvstore_error_message(error));
 *             kvstore_error_free(error);
 *             kvstore_close(store, NULL);
 *             return 1;
 *         }
 *         if (kvstore_get(store, "user:1", 6, &value, NULL) == KVSTORE_OK) {
 *             printf("%.*s\n", (int)value.len, (const char *)value.data);
 *             kvstore_buffer_free(&value);
 *         }
 *         return kvstore_close(store, NULL) == KVSTORE_OK ? 0 : 1;
 *     }
 *
 * Compile with   cc program.c -lkvstore
 * or, static,    cc program.c libkvstore.a -lpthread -ldl -lm
 *
 *
 * CONVENTIONS
 *
 * 1. Status. A function that can fail returns a kvstore_status: 0 is success, a positive number
 *    is an outcome that is not an error (a missing key, the end of a scan), a negative number is
 *    an error. The numbers never change. Later versions may add some: treat a negative status that
 *    you do not know as an error.
 *
 * 2. Errors. Its last parameter is a kvstore_error **, which may be NULL. If it is not, it becomes
 *    NULL, or, with a negative status, an error object that you free with kvstore_error_free().
 *    What was there before is overwritten, not freed. Without memory for an error object it stays
 *    NULL; all kvstore_error_* functions accept that. There is no "last error" of a thread, so
 *    callers may move between threads.
 *
 * 3. Outputs. Every output parameter is written on every path; where there is no result, with NULL
 *    or 0. NULL in place of an output is KVSTORE_ERR_INVALID_ARGUMENT unless it is said to be
 *    optional.
 *
 * 4. Bytes. Keys and values are a pointer and a length in bytes, may hold any bytes, and need no
 *    NUL at their end. (NULL, 0) is a valid empty key or value; NULL with another length is
 *    KVSTORE_ERR_INVALID_ARGUMENT. The data pointer of a successful result is never NULL, also
 *    when its length is 0.
 *
 * 5. Ownership. What you pass in is only read, and only during the call. What you get is freed by
 *    the function named for it, never by free(), and freeing NULL is allowed. A result that is
 *    called borrowed or lent is not freed; how long it is valid is said with the function.
 *
 * 6. Threads. Any number of threads may use one kvstore or kvstore_view handle at the same time,
 *    without a lock of theirs. Error, pin and values objects may be read by any thread, and freed
 *    once by any. Options and cursors may move between threads, but one thread at a time uses them.
 *    No function may be called from a signal handler.
 *
 * 7. Structs that begin with struct_size grow in later versions: set the struct to zero, then
 *    struct_size to its sizeof. A program keeps working with a newer library. A struct_size that
 *    cannot be right is KVSTORE_ERR_INVALID_ARGUMENT, and then nothing is written to the struct.
 *
 * 8. Handles. NULL in place of a handle is KVSTORE_ERR_INVALID_ARGUMENT; only functions that free,
 *    and kvstore_close(), accept it.
 *
 *
 * CAVEATS
 *
 * 1. One holder. A directory is open for writing at most once: a second kvstore_open(), in another
 *    process or in this one, is KVSTORE_ERR_LOCKED until the first is closed or its process ends.
 *    Share the handle between threads instead. Several read-only handles are possible, while
 *    nobody writes.
 *
 * 2. After kvstore_close() the handle is freed memory: using it is undefined behaviour, and so is
 *    closing it while another thread is inside a call. Set your pointer to NULL: further calls are
 *    then KVSTORE_ERR_INVALID_ARGUMENT. For the same reason no function of this version returns
 *    KVSTORE_ERR_CLOSED; the number is that of other languages, which see a closed store.
 *    Views, cursors, pins, buffers and values are not affected by the close, and are freed as usual.
 *
 * 3. After fork() the child must not use what its parent opened: every call with the parent's
 *    store is KVSTORE_ERR_FORKED, and kvstore_close() in the child frees the handle but neither writes
 *    nor unlocks. The child may go on reading views, pins and cursors it inherited, and may
 *    open other stores. It may also just call exec() or _exit().
 *
 * 4. Not closing loses nothing that was acknowledged: the next open replays the log. Closing writes
 *    a snapshot, which makes the next open faster.
 *
 * 5. KVSTORE_ERR_INDETERMINATE means what it says: the disk refused to confirm a write, which may
 *    or may not be there after a crash. The store then takes no more writes
 *    (KVSTORE_ERR_POISONED) but goes on reading. Close it, look at the disk, open it again.
 *
 * 6. Data files are mapped into memory. If the disk cannot read a page of one, or if another
 *    program shortens one, the process gets SIGBUS, as with every store that maps its files. Do
 *    not touch the files of an open store. Data may be larger than memory; the index, at most 16
 *    bytes for each key, must fit.
 *
 * 7. A view, pin or cursor that is not released keeps whole files in the address space, and on the
 *    disk once they have been replaced.
 *
 * 8. After KVSTORE_ERR_PANIC, a defect of the library, only free and close what you hold, and
 *    report the message.
 */
#ifndef KVSTORE_H
#define KVSTORE_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header; kvstore_version_number() is that of the library. */
#define KVSTORE_VERSION "0.1.0"
#define KVSTORE_VERSION_MAJOR 0
#define KVSTORE_VERSION_MINOR 1
#define KVSTORE_VERSION_PATCH 0
#define KVSTORE_VERSION_NUMBER \
    (KVSTORE_VERSION_MAJOR * 1000000 + KVSTORE_VERSION_MINOR * 1000 + KVSTORE_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/* Status codes and versions -------------------------------------------------------------------- */

#define KVSTORE_OK        0 /* Success. */
#define KVSTORE_NOT_FOUND 1 /* The key is not there; no error object is made. */
#define KVSTORE_DONE      2 /* The cursor is at its end. */
#define KVSTORE_CONFLICT  3 /* The value was not the one that kvstore_compare_and_set() expected. */

#define KVSTORE_ERR_INVALID_ARGUMENT  (-1) /* An argument is not accepted; see the message. */
#define KVSTORE_ERR_IO                (-2) /* A system call failed; see kvstore_error_os_code(). */
#define KVSTORE_ERR_CORRUPT           (-3) /* A file is damaged; the error has path and offset. */
#define KVSTORE_ERR_LOCKED            (-4) /* Open elsewhere; see kvstore_error_lock_holder(). */
#define KVSTORE_ERR_CLOSED            (-5) /* The store was closed. Not seen in C: caveat 2. */
#define KVSTORE_ERR_POISONED          (-6) /* A write failed for good earlier; only reads go on. */
#define KVSTORE_ERR_INDETERMINATE     (-7) /* A sync failed: the write may or may not survive. */
#define KVSTORE_ERR_NO_SPACE          (-8) /* Disk or quota full; nothing of the write remains. */
#define KVSTORE_ERR_TOO_LARGE         (-9) /* A key or a value is longer than the limit. */
#define KVSTORE_ERR_BUFFER_TOO_SMALL (-10) /* The value is longer than the buffer. */
#define KVSTORE_ERR_READ_ONLY        (-11) /* A write to a store opened for reading only. */
#define KVSTORE_ERR_FORKED           (-12) /* The handle was opened before fork(); open again. */
#define KVSTORE_ERR_UNSUPPORTED      (-13) /* A newer format or struct than this version knows. */
#define KVSTORE_ERR_OUT_OF_MEMORY    (-14) /* Memory could not be allocated. */
#define KVSTORE_ERR_PANIC            (-15) /* A defect of the library was stopped; report it. */
#define KVSTORE_ERR_CANCELLED        (-16) /* The caller's own callback asked to stop. */

/** What a function returns: 0 for success, a positive outcome, or a negative error. */
typedef int32_t kvstore_status;

/**
 * The name of a status, for example "KVSTORE_ERR_LOCKED"; "KVSTORE_UNKNOWN" for a number that
 * is not a status. The string is static: never free it.
 */
const char *kvstore_status_name(kvstore_status status);

/**
 * The version of the library that is linked, for example "0.1.0". The string is static: never
 * free it. KVSTORE_VERSION is the version of this header.
 */
const char *kvstore_version(void);

/**
 * The version of the library that is linked as one number that grows with every release:
 * major * 1000000 + minor * 1000 + patch. Compare it with KVSTORE_VERSION_NUMBER to find out
 * whether the library is at least as new as the header:
 *
 *     if (kvstore_version_number() < KVSTORE_VERSION_NUMBER) { ... too old ... }
 */
uint32_t kvstore_version_number(void);

/* Errors --------------------------------------------------------------------------------------- */

#define KVSTORE_OFFSET_NONE UINT64_MAX /* Instead of an offset in a file: there is none. */

/**
 * Why a call failed: its status code, a message, and where known the path, the offset and the
 * system's error number. It belongs to the caller, who frees it with kvstore_error_free(), and
 * may be read from any thread.
 */
typedef struct kvstore_error kvstore_error;

/** The status code of the error: the number that the failed function returned. 0 for NULL. */
int32_t kvstore_error_code(const kvstore_error *error);

/**
 * What failed, where, and what to do about it: one line of UTF-8 text that ends in a NUL byte.
 * Never NULL: "no error" for NULL. The string belongs to the error object.
 */
const char *kvstore_error_message(const kvstore_error *error);

/** The errno of the system call that failed, for example ENOENT or EACCES; 0 if none did. */
int32_t kvstore_error_os_code(const kvstore_error *error);

/**
 * The file or directory that the error is about, as the bytes that the system uses for it, or
 * NULL if it is about none. The string belongs to the error object.
 */
const char *kvstore_error_path(const kvstore_error *error);

/** The offset in that file, in bytes, or KVSTORE_OFFSET_NONE. */
uint64_t kvstore_error_offset(const kvstore_error *error);

/**
 * For KVSTORE_ERR_LOCKED: the process id of the one that has the directory open; 0 if it is
 * not known.
 */
int32_t kvstore_error_lock_holder(const kvstore_error *error);

/** Frees an error object and the strings that belong to it. NULL is allowed. */
void kvstore_error_free(kvstore_error *error);

/* Bytes that are borrowed ---------------------------------------------------------------------- */

/**
 * Bytes that belong to somebody else: never free them. How long they stay valid is said where
 * a function takes or returns one.
 */
typedef struct {
    /** First byte. NULL is allowed only where len is 0; never NULL in a successful result. */
    const uint8_t *data;
    /** Number of bytes. */
    size_t len;
} kvstore_slice;

/** A key and its value, both borrowed. */
typedef struct {
    kvstore_slice key;
    kvstore_slice value;
} kvstore_pair;

/* Options -------------------------------------------------------------------------------------- */

/** A KVSTORE_DURABILITY_* number. Default SYNC. */
#define KVSTORE_OPTION_DURABILITY 1

/** 1: create a missing directory (default). 0: do not. */
#define KVSTORE_OPTION_CREATE 2

/** 1: for reading only, change nothing. Default 0. */
#define KVSTORE_OPTION_READ_ONLY 3

/** Milliseconds to wait for another holder. Default 0. */
#define KVSTORE_OPTION_LOCK_TIMEOUT_MS 4

/** Longest key, in bytes. Default KVSTORE_MAX_LEN. */
#define KVSTORE_OPTION_MAX_KEY_LEN 5

/** Longest value, in bytes. Default KVSTORE_MAX_LEN. */
#define KVSTORE_OPTION_MAX_VALUE_LEN 6

/** A KVSTORE_CLOSE_CHECKPOINT_* number. Default AUTO. */
#define KVSTORE_OPTION_CLOSE_CHECKPOINT 7

/** 1: refuse a log whose synced part is damaged. 0 (default): keep what is before the damage. */
#define KVSTORE_OPTION_STRICT_RECOVERY 8

/** Milliseconds that a write waits for another thread's transaction. Default 5000. */
#define KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS 9

/**
 * Bytes that the log may have before a thread of the library writes a snapshot and removes it,
 * beside readers and writers. 0: none does; kvstore_checkpoint() and kvstore_close() still do.
 * Default: 64 MiB, or the length of the snapshot if that is more.
 */
#define KVSTORE_OPTION_CHECKPOINT_BYTES 10

/**
 * A write is on the disk when it returns: it survives power loss, a crash of the system and the
 * death of the process. Writes of several threads share one disk sync.
 */
#define KVSTORE_DURABILITY_SYNC 0

/**
 * A write is with the operating system when it returns: it survives the death of the process, also
 * by SIGKILL. Power loss or a crash of the system may take back the newest writes; what is left
 * is what had been written up to some moment, without holes. kvstore_sync() makes them durable.
 */
#define KVSTORE_DURABILITY_OS 1

/**
 * Write a snapshot, unless nothing has changed, or the log is shorter than an eighth of a snapshot
 * larger than 64 MiB: replaying it then costs less than writing the snapshot.
 */
#define KVSTORE_CLOSE_CHECKPOINT_AUTO 0

/** Write a snapshot, unless nothing has changed. */
#define KVSTORE_CLOSE_CHECKPOINT_ALWAYS 1

/** Write no snapshot: sync the log and keep it. The next open replays it. */
#define KVSTORE_CLOSE_CHECKPOINT_NEVER 2

/** The longest key or value that the file format can hold, in bytes: 4 GiB - 1. */
#define KVSTORE_MAX_LEN 4294967295

/** How to open a store. One thread at a time uses it; kvstore_open() copies what it needs. */
typedef struct kvstore_options kvstore_options;

/**
 * New options with their defaults: create what is missing, KVSTORE_DURABILITY_SYNC, do not wait
 * for the lock. Free them with kvstore_options_free(). NULL if there is no memory.
 */
kvstore_options *kvstore_options_new(void);

/** Frees options. Stores that were opened with them are not affected. NULL is allowed. */
void kvstore_options_free(kvstore_options *options);

/**
 * Sets one option, a KVSTORE_OPTION_* number, to a value.
 *
 *     kvstore_options_set(options, KVSTORE_OPTION_LOCK_TIMEOUT_MS, 2000, &error);
 *
 * KVSTORE_OK, or KVSTORE_ERR_INVALID_ARGUMENT for an option that does not exist or a value that
 * it does not accept: the message lists what is accepted, and the option keeps its value.
 */
kvstore_status kvstore_options_set(kvstore_options *options,
                                   uint32_t option,
                                   uint64_t value,
                                   kvstore_error **error);

/* Opening and closing -------------------------------------------------------------------------- */

/** An open store. Any number of threads may use one handle at the same time. */
typedef struct kvstore kvstore;

/**
 * Opens the store in a directory, and recovers what an earlier process left there.
 *
 *     kvstore *store;
 *     kvstore_error *error;
 *     if (kvstore_open("data", NULL, &store, &error) != KVSTORE_OK) {
 *         fprintf(stderr, "%s\n", kvstore_error_message(error));
 *         kvstore_error_free(error);
 *         return 1;
 *     }
 *
 * directory is a path in the encoding of the file system. options may be NULL for the defaults,
 * and may be freed afterwards. *out becomes the handle, which kvstore_close() frees, or NULL.
 * What recovery found is told by kvstore_recovery_report().
 *
 * KVSTORE_OK; KVSTORE_ERR_LOCKED when the directory is open elsewhere, also in this process;
 * KVSTORE_ERR_CORRUPT when the snapshot is damaged or not one, with its path and offset;
 * KVSTORE_ERR_UNSUPPORTED when a newer version wrote the directory; KVSTORE_ERR_IO when a system
 * call fails, with its errno, for example ENOENT without KVSTORE_OPTION_CREATE, ENOTDIR or
 * EACCES; KVSTORE_ERR_NO_SPACE; KVSTORE_ERR_INVALID_ARGUMENT; KVSTORE_ERR_OUT_OF_MEMORY.
 */
kvstore_status kvstore_open(const char *directory,
                            const kvstore_options *options,
                            kvstore **out,
                            kvstore_error **error);

/**
 * Closes a store and frees the handle, whatever is returned. NULL is allowed: KVSTORE_OK.
 *
 * No other call may be using the handle, and none may use it afterwards (caveat 2). Cursors,
 * pins, buffers and values stay valid. Writes a snapshot and leaves an empty log, unless
 * KVSTORE_OPTION_CLOSE_CHECKPOINT says otherwise; on a large store that can take seconds. If
 * that fails, the log stays, and the next open replays it.
 *
 * KVSTORE_OK; KVSTORE_ERR_IO, KVSTORE_ERR_NO_SPACE, KVSTORE_ERR_TOO_LARGE or
 * KVSTORE_ERR_OUT_OF_MEMORY when the snapshot could not be written, and nothing is lost;
 * KVSTORE_ERR_CORRUPT when a record can no longer be read, in memory or on disk: the next open
 * keeps what is before it in the log, and the rest in quarantine; KVSTORE_ERR_POISONED when an
 * earlier write failed for good, so nothing was written now; KVSTORE_ERR_LOCKED, or on the thread
 * that has it KVSTORE_ERR_INVALID_ARGUMENT, when a kvstore_transaction is open: nothing was closed but
 * the handle, and the directory stays locked until the transaction ends; KVSTORE_ERR_FORKED in a forked
 * child, where it writes nothing, leaves the parent's lock alone and frees the handle only.
 */
kvstore_status kvstore_close(kvstore *store,
                             kvstore_error **error);

/**
 * The directory of a store, as the bytes that the system uses for it. NULL for NULL. The string
 * belongs to the handle and is valid until kvstore_close().
 */
const char *kvstore_path(const kvstore *store);

/**
 * Makes every write that has returned as durable as KVSTORE_DURABILITY_SYNC.
 *
 * KVSTORE_OK, also for a store that was opened read-only, where there is nothing to do;
 * KVSTORE_ERR_IO when the disk refuses: what had not been synced before may be lost in a crash,
 * and the store takes no more writes; KVSTORE_ERR_POISONED when that happened earlier;
 * KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_sync(kvstore *store, kvstore_error **error);

/**
 * Writes everything that was written so far to a new snapshot and removes the log that had it,
 * while other threads go on reading and writing. Does nothing if there is nothing new. A thread of
 * the library does the same when the log is long: see KVSTORE_OPTION_CHECKPOINT_BYTES.
 *
 * KVSTORE_OK; KVSTORE_ERR_NO_SPACE, KVSTORE_ERR_IO, KVSTORE_ERR_OUT_OF_MEMORY or
 * KVSTORE_ERR_CORRUPT: nothing is lost, the log is kept, the store goes on, and the next one tries
 * again; KVSTORE_ERR_POISONED, KVSTORE_ERR_READ_ONLY, KVSTORE_ERR_FORKED or
 * KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_checkpoint(kvstore *store, kvstore_error **error);

/**
 * The number of keys in the store, into *out. It costs no search.
 *
 * KVSTORE_OK, KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_len(const kvstore *store, uint64_t *out, kvstore_error **error);

/* Writing -------------------------------------------------------------------------------------- */

/**
 * Stores a value under a key, replacing the value that was there.
 *
 * When it returns KVSTORE_OK, the write is as durable as KVSTORE_OPTION_DURABILITY says, and
 * every thread sees it. Key and value are copied; both may be empty.
 *
 * KVSTORE_OK; KVSTORE_ERR_TOO_LARGE beyond a limit; KVSTORE_ERR_READ_ONLY; KVSTORE_ERR_NO_SPACE;
 * KVSTORE_ERR_IO; KVSTORE_ERR_OUT_OF_MEMORY; KVSTORE_ERR_INDETERMINATE when the sync failed;
 * KVSTORE_ERR_POISONED when one failed earlier; KVSTORE_ERR_LOCKED when another thread's
 * kvstore_transaction is open for too long; KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT, also
 * when this thread has a transaction open. After any error but KVSTORE_ERR_INDETERMINATE nothing was
 * written.
 */
kvstore_status kvstore_set(kvstore *store,
                           const void *key,
                           size_t key_len,
                           const void *value,
                           size_t value_len,
                           kvstore_error **error);

/**
 * Like kvstore_set(), with the durability of this one write: KVSTORE_DURABILITY_SYNC or
 * KVSTORE_DURABILITY_OS, whatever the store was opened with. Any other number is
 * KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_set_with(kvstore *store,
                                const void *key,
                                size_t key_len,
                                const void *value,
                                size_t value_len,
                                uint32_t durability,
                                kvstore_error **error);

/**
 * Deletes a key and its value. KVSTORE_OK if it was there, KVSTORE_NOT_FOUND if it was not,
 * which costs no write; otherwise as kvstore_set(), except that no key is beyond the limit.
 */
kvstore_status kvstore_delete(kvstore *store,
                              const void *key,
                              size_t key_len,
                              kvstore_error **error);

/** Like kvstore_delete(), with the durability of this one write, as for kvstore_set_with(). */
kvstore_status kvstore_delete_with(kvstore *store,
                                   const void *key,
                                   size_t key_len,
                                   uint32_t durability,
                                   kvstore_error **error);

/* Reading into the caller's memory ------------------------------------------------------------- */

/**
 * Whether the store has a key: KVSTORE_OK or KVSTORE_NOT_FOUND; or KVSTORE_ERR_FORKED or
 * KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_contains(const kvstore *store,
                                const void *key,
                                size_t key_len,
                                kvstore_error **error);

/**
 * Copies the value of a key into the caller's buffer: the fastest way to read small values.
 *
 *     char buffer[256];
 *     size_t len;
 *     status = kvstore_get_into(store, "user:1", 6, buffer, sizeof buffer, &len, NULL);
 *
 * *value_len becomes the length of the value, in bytes. If that is more than capacity, nothing
 * is copied and the result is KVSTORE_ERR_BUFFER_TOO_SMALL: pass NULL for error to make this
 * outcome cheap. (NULL, 0) is a valid buffer, so this is also the way to ask for a length.
 *
 * KVSTORE_OK, KVSTORE_NOT_FOUND, KVSTORE_ERR_BUFFER_TOO_SMALL, KVSTORE_ERR_FORKED or
 * KVSTORE_ERR_INVALID_ARGUMENT. *value_len is 0 unless the key was found.
 */
kvstore_status kvstore_get_into(const kvstore *store,
                                const void *key,
                                size_t key_len,
                                void *buffer,
                                size_t capacity,
                                size_t *value_len,
                                kvstore_error **error);

/* Reading a copy ------------------------------------------------------------------------------- */

/**
 * A copy that belongs to the caller, who frees it with kvstore_buffer_free(). The bytes may be
 * read and changed until then.
 */
typedef struct {
    /** First byte. Not NULL in a successful result. */
    uint8_t *data;
    /** Number of bytes. */
    size_t len;
    /** What kvstore_buffer_free() frees. Do not use it otherwise. */
    void *owner;
} kvstore_buffer;

/**
 * Copies the value of a key.
 *
 *     kvstore_buffer value;
 *     if (kvstore_get(store, "user:1", 6, &value, NULL) == KVSTORE_OK) {
 *         fwrite(value.data, 1, value.len, stdout);
 *         kvstore_buffer_free(&value);
 *     }
 *
 * KVSTORE_OK, KVSTORE_NOT_FOUND, KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_FORKED or
 * KVSTORE_ERR_INVALID_ARGUMENT. After anything but KVSTORE_OK the buffer is {NULL, 0, NULL} and
 * there is nothing to free.
 */
kvstore_status kvstore_get(const kvstore *store,
                           const void *key,
                           size_t key_len,
                           kvstore_buffer *out,
                           kvstore_error **error);

/**
 * Frees what a buffer holds and sets its fields to NULL and 0, so that doing it twice is
 * harmless. A NULL pointer is allowed, and so is a buffer of {NULL, 0, NULL}.
 */
void kvstore_buffer_free(kvstore_buffer *buffer);

/* Writing several keys at once, and depending on the value before ------------------------------ */

/**
 * Sets and deletes that kvstore_write() carries out all at once or not at all. They take effect in
 * the order in which they were added: of several for one key the last one counts. One thread at a
 * time uses it; it belongs to no store, and may be written to several.
 */
typedef struct kvstore_batch kvstore_batch;

/**
 * An empty batch. Free it with kvstore_batch_free(). NULL if there is no memory.
 *
 *     kvstore_batch *batch = kvstore_batch_new();
 *     kvstore_batch_set(batch, "from", 4, "70", 2, NULL);
 *     kvstore_batch_set(batch, "to", 2, "30", 2, NULL);
 *     kvstore_batch_delete(batch, "pending", 7, NULL);
 *     status = kvstore_write(store, batch, &error);
 *     kvstore_batch_free(batch);
 */
kvstore_batch *kvstore_batch_new(void);

/** Frees a batch. NULL is allowed. */
void kvstore_batch_free(kvstore_batch *batch);

/**
 * Adds to a batch: store a value under a key. Both are copied, and may be empty. Keys and values
 * above a limit of the store are refused by kvstore_write().
 *
 * KVSTORE_OK; KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_TOO_LARGE beyond KVSTORE_MAX_LEN, or
 * KVSTORE_ERR_INVALID_ARGUMENT, and the batch is as it was.
 */
kvstore_status kvstore_batch_set(kvstore_batch *batch,
                                 const void *key,
                                 size_t key_len,
                                 const void *value,
                                 size_t value_len,
                                 kvstore_error **error);

/** Adds to a batch: delete a key, which need not be there. Otherwise as kvstore_batch_set(). */
kvstore_status kvstore_batch_delete(kvstore_batch *batch,
                                    const void *key,
                                    size_t key_len,
                                    kvstore_error **error);

/** How many operations were added to a batch; 0 for NULL. */
size_t kvstore_batch_len(const kvstore_batch *batch);

/** Takes all operations out of a batch, to fill it again. NULL is allowed. */
void kvstore_batch_clear(kvstore_batch *batch);

/**
 * Carries out all of a batch or nothing of it: whatever crashes, and for whoever reads. Who has seen
 * one of its writes sees all; kvstore_get_many(), cursors and views never see a part. When it
 * returns KVSTORE_OK, all of it is as durable as KVSTORE_OPTION_DURABILITY says.
 *
 * The batch stays as it is: free it, clear it, or write it again. An empty one writes nothing.
 *
 * KVSTORE_OK, and otherwise as kvstore_set(); after any error but KVSTORE_ERR_INDETERMINATE nothing
 * of it was written, and after that one all of it survives, or nothing.
 */
kvstore_status kvstore_write(kvstore *store,
                             kvstore_batch *batch,
                             kvstore_error **error);

/** Like kvstore_write(), with the durability of this one batch, as for kvstore_set_with(). */
kvstore_status kvstore_write_with(kvstore *store,
                                  kvstore_batch *batch,
                                  uint32_t durability,
                                  kvstore_error **error);

/**
 * Stores a new value under a key if its value is the expected one. expected NULL means that the key
 * must be absent; desired NULL deletes it. No other write comes between the look and the write.
 *
 *     kvstore_slice mine = {(const uint8_t *)"mine", 4};
 *     status = kvstore_compare_and_set(store, "lock", 4, NULL, &mine, &error);
 *
 * KVSTORE_OK; KVSTORE_CONFLICT when the value was another one, and nothing was written; otherwise as
 * kvstore_set().
 */
kvstore_status kvstore_compare_and_set(kvstore *store,
                                       const void *key,
                                       size_t key_len,
                                       const kvstore_slice *expected,
                                       const kvstore_slice *desired,
                                       kvstore_error **error);

/**
 * Like kvstore_compare_and_set(), with the durability of this one write, as for kvstore_set_with().
 */
kvstore_status kvstore_compare_and_set_with(kvstore *store,
                                            const void *key,
                                            size_t key_len,
                                            const kvstore_slice *expected,
                                            const kvstore_slice *desired,
                                            uint32_t durability,
                                            kvstore_error **error);

/**
 * Adds a number to the one under a key, and returns the sum in *sum; sum may be NULL. A number is
 * eight bytes, big-endian, in two's complement; an absent key counts as 0. No other write comes
 * between the look and the write.
 *
 * KVSTORE_OK; KVSTORE_ERR_INVALID_ARGUMENT when the value is not eight bytes long, or the sum is out
 * of range; otherwise as kvstore_set(). After an error *sum is 0.
 */
kvstore_status kvstore_increment(kvstore *store,
                                 const void *key,
                                 size_t key_len,
                                 int64_t delta,
                                 int64_t *sum,
                                 kvstore_error **error);

/** Like kvstore_increment(), with the durability of this one write, as for kvstore_set_with(). */
kvstore_status kvstore_increment_with(kvstore *store,
                                      const void *key,
                                      size_t key_len,
                                      int64_t delta,
                                      int64_t *sum,
                                      uint32_t durability,
                                      kvstore_error **error);

/* Reading without a copy ----------------------------------------------------------------------- */

/**
 * Keeps the bytes of one value in memory. May be released from any thread, and after
 * kvstore_close().
 */
typedef struct kvstore_pin kvstore_pin;

/**
 * Looks at the value of a key without copying it.
 *
 *     kvstore_pin *pin;
 *     kvstore_slice value;
 *     if (kvstore_get_pinned(store, "user:1", 6, &pin, &value, NULL) == KVSTORE_OK) {
 *         use(value.data, value.len);
 *         kvstore_pin_release(pin);
 *     }
 *
 * The bytes stay valid and unchanged until kvstore_pin_release(), whatever is written meanwhile
 * and also after kvstore_close(); they must not be written to: they are the store's file. A pin
 * keeps a whole file mapped, so release it when done.
 *
 * KVSTORE_OK, KVSTORE_NOT_FOUND, KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_FORKED or
 * KVSTORE_ERR_INVALID_ARGUMENT. After anything but KVSTORE_OK pin is NULL and value {NULL, 0}.
 */
kvstore_status kvstore_get_pinned(const kvstore *store,
                                  const void *key,
                                  size_t key_len,
                                  kvstore_pin **pin,
                                  kvstore_slice *value,
                                  kvstore_error **error);

/** Releases a pin; its bytes must not be used any more. NULL is allowed. */
void kvstore_pin_release(kvstore_pin *pin);

/* Reading many keys at once -------------------------------------------------------------------- */

/**
 * The values that kvstore_get_many() found: copies, all in one block of memory. May be read from
 * any thread, and after kvstore_close(), until kvstore_values_free().
 */
typedef struct kvstore_values kvstore_values;

/**
 * Looks up many keys at once, which is much faster than one by one: their memory is fetched in
 * parallel.
 *
 *     kvstore_slice keys[64] = ...;
 *     kvstore_values *values;
 *     status = kvstore_get_many(store, keys, 64, &values, &error);
 *     for (size_t i = 0; status == KVSTORE_OK && i < 64; i++) {
 *         kvstore_slice value;
 *         if (kvstore_values_at(values, i, &value, NULL) == KVSTORE_OK)
 *             use(value.data, value.len);
 *     }
 *     kvstore_values_free(values);
 *
 * The result holds one entry for each key, in their order, whether found or not; the same key may
 * occur twice. It costs four allocations, however many keys there are, unless values are long.
 * Each value is one that its key had during the call; they need not be of the same instant, but of
 * what kvstore_write() has written together all is seen or nothing.
 *
 * KVSTORE_OK, also when no key was found; KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_FORKED,
 * KVSTORE_ERR_INVALID_ARGUMENT, or KVSTORE_ERR_TOO_LARGE when no memory can hold so many keys. After
 * an error *out is NULL.
 */
kvstore_status kvstore_get_many(const kvstore *store,
                                const kvstore_slice *keys,
                                size_t count,
                                kvstore_values **out,
                                kvstore_error **error);

/** The number of entries, which is the number of keys that were asked for; 0 for NULL. */
size_t kvstore_values_count(const kvstore_values *values);

/**
 * The value of the key at an index, borrowed until kvstore_values_free().
 *
 * KVSTORE_OK; KVSTORE_NOT_FOUND if the store did not have that key; KVSTORE_ERR_INVALID_ARGUMENT
 * if the index is not below kvstore_values_count(). *out is {NULL, 0} unless KVSTORE_OK.
 */
kvstore_status kvstore_values_at(const kvstore_values *values,
                                 size_t index,
                                 kvstore_slice *out,
                                 kvstore_error **error);

/** Frees the values; no slice of them must be used any more. NULL is allowed. */
void kvstore_values_free(kvstore_values *values);

/* Ranges of keys ------------------------------------------------------------------------------- */

#define KVSTORE_RANGE_REVERSE   1 /* In descending order; start and end keep their meaning. */
#define KVSTORE_RANGE_KEYS_ONLY 2 /* Values are not wanted: they are returned empty. */

/**
 * Which keys a cursor visits, and in which order. A key must meet all that is given.
 *
 *     kvstore_range range = { .struct_size = sizeof range };
 *     range.prefix.data = (const uint8_t *)"user:";
 *     range.prefix.len = 5;
 */
typedef struct {
    /** sizeof(kvstore_range), so that later versions can add fields. */
    size_t struct_size;
    /** The first key, itself included. data NULL: from the beginning. */
    kvstore_slice start;
    /** Where to stop: this key is not included. data NULL: to the end. */
    kvstore_slice end;
    /** Only keys that begin with this. len 0: all keys. */
    kvstore_slice prefix;
    /** KVSTORE_RANGE_REVERSE, KVSTORE_RANGE_KEYS_ONLY, both (by |) or 0. */
    uint32_t flags;
    /** How many pairs to visit at most; 0: all. Seeking begins to count anew. */
    uint64_t limit;
} kvstore_range;

/* Scanning ------------------------------------------------------------------------------------- */

/**
 * A scan in progress. It sees the store as it was when the cursor was opened, whatever is
 * written meanwhile, and stays valid after kvstore_close(). One thread at a time uses it.
 */
typedef struct kvstore_cursor kvstore_cursor;

/**
 * Opens a cursor before the first pair of a range. range NULL is all keys, ascending; the range
 * and its keys are needed only during the call.
 *
 *     kvstore_cursor *cursor;
 *     kvstore_slice key, value;
 *     status = kvstore_cursor_open(store, NULL, &cursor, &error);
 *     while (status == KVSTORE_OK) {
 *         status = kvstore_cursor_next(cursor, &key, &value, &error);
 *         if (status == KVSTORE_OK) use(key, value);
 *     }
 *     kvstore_cursor_close(cursor);
 *
 * Keys are ordered by their bytes, as memcmp() does, a shorter key before a longer one that
 * begins with it. A range whose end is not after its start is empty. An end of length 0 whose
 * data is not NULL is the empty key, before which there is nothing.
 *
 * The first cursor puts all keys of the store in order, which takes about a tenth of a
 * microsecond for each; from then on the store keeps that order, 16 bytes for each key, and opening
 * a cursor puts in order what was written since the last one. Writers do not wait. Moving a cursor
 * costs no more than a read.
 *
 * KVSTORE_OK; KVSTORE_ERR_INVALID_ARGUMENT for a wrong struct_size or an unknown flag;
 * KVSTORE_ERR_UNSUPPORTED when a larger struct_size comes with fields that are not 0;
 * KVSTORE_ERR_FORKED, KVSTORE_ERR_OUT_OF_MEMORY, or KVSTORE_ERR_CORRUPT when a record can no longer
 * be read. After an error *out is NULL.
 */
kvstore_status kvstore_cursor_open(const kvstore *store,
                                   const kvstore_range *range,
                                   kvstore_cursor **out,
                                   kvstore_error **error);

/**
 * Moves to the next pair and lends its key and value, which stay valid until the next call with
 * this cursor. With KVSTORE_RANGE_KEYS_ONLY *value is empty, and NULL may be passed for value.
 *
 * KVSTORE_OK; KVSTORE_DONE at the end or the limit, also when called again; KVSTORE_ERR_CORRUPT,
 * also when called again, when a record can no longer be read; or KVSTORE_ERR_INVALID_ARGUMENT.
 * After anything but KVSTORE_OK key and value are {NULL, 0}.
 */
kvstore_status kvstore_cursor_next(kvstore_cursor *cursor,
                                   kvstore_slice *key,
                                   kvstore_slice *value,
                                   kvstore_error **error);

/**
 * Moves over up to capacity pairs at once, for callers to whom each call is a cost. out is an
 * array of capacity pairs, of which *count are filled, without a copy; they stay valid until the
 * next call with this cursor. A call may return fewer pairs than there are, but not none.
 *
 * KVSTORE_OK with *count at least 1; KVSTORE_DONE with *count 0 at the end; KVSTORE_ERR_CORRUPT
 * when the next record can no longer be read; or KVSTORE_ERR_INVALID_ARGUMENT, also for a capacity
 * of 0.
 */
kvstore_status kvstore_cursor_next_batch(kvstore_cursor *cursor,
                                         kvstore_pair *out,
                                         size_t capacity,
                                         size_t *count,
                                         kvstore_error **error);

/**
 * Moves to before the first key, in the cursor's direction, that is not before this one: the
 * least key that is not less, or, with KVSTORE_RANGE_REVERSE, the greatest that is not greater.
 * The cursor may move forwards or backwards, but never out of its range. What it lent before is not
 * valid any more, and a limit begins to count anew.
 *
 *     status = kvstore_cursor_seek(cursor, "user:5", 6, &error);
 *     if (status == KVSTORE_OK)
 *         status = kvstore_cursor_next(cursor, &key, &value, &error);
 *
 * KVSTORE_OK, also when there is no such key, which the next call tells; KVSTORE_ERR_CORRUPT when a
 * record can no longer be read, and the cursor stays where it was; or
 * KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_cursor_seek(kvstore_cursor *cursor,
                                   const void *key,
                                   size_t key_len,
                                   kvstore_error **error);

/** Frees a cursor; no slice that it lent must be used any more. NULL is allowed. */
void kvstore_cursor_close(kvstore_cursor *cursor);

/* The store at one instant --------------------------------------------------------------------- */

/**
 * The store as it was at one instant, whatever is written meanwhile. Any number of threads may use
 * one at the same time, and it stays valid after kvstore_close(), until kvstore_view_close().
 */
typedef struct kvstore_view kvstore_view;

/**
 * Takes a view of the store as it is at one instant during the call. *out becomes the view, which
 * kvstore_view_close() frees, or NULL.
 *
 *     kvstore_view *view;
 *     kvstore_slice value;
 *     if (kvstore_view_open(store, &view, &error) == KVSTORE_OK) {
 *         if (kvstore_view_get(view, "user:1", 6, &value, NULL) == KVSTORE_OK)
 *             use(value.data, value.len);
 *         kvstore_view_close(view);
 *     }
 *
 * It needs the order of keys, so what kvstore_cursor_open() says of its cost holds here as well;
 * when nothing was written since the last view or cursor, it costs next to nothing. A view keeps
 * whole files mapped, and on the disk once they have been replaced, so close it when done.
 *
 * KVSTORE_OK, KVSTORE_ERR_FORKED, KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_INVALID_ARGUMENT, or
 * KVSTORE_ERR_CORRUPT when a record can no longer be read.
 */
kvstore_status kvstore_view_open(const kvstore *store, kvstore_view **out, kvstore_error **error);

/**
 * Lends the value that a key had, without a copy: *value stays valid until kvstore_view_close(),
 * also after kvstore_close(). It must not be written to: it is the store's file.
 *
 * KVSTORE_OK; KVSTORE_NOT_FOUND; KVSTORE_ERR_CORRUPT when a record can no longer be read; or
 * KVSTORE_ERR_INVALID_ARGUMENT. After anything but KVSTORE_OK value is {NULL, 0}.
 */
kvstore_status kvstore_view_get(const kvstore_view *view,
                                const void *key,
                                size_t key_len,
                                kvstore_slice *value,
                                kvstore_error **error);

/**
 * Like kvstore_view_get(), for a value that is needed for longer than the view: it stays valid until
 * kvstore_pin_release().
 *
 * KVSTORE_OK; KVSTORE_NOT_FOUND; KVSTORE_ERR_CORRUPT when a record can no longer be read;
 * KVSTORE_ERR_OUT_OF_MEMORY; or KVSTORE_ERR_INVALID_ARGUMENT. After anything but KVSTORE_OK pin is
 * NULL and value {NULL, 0}.
 */
kvstore_status kvstore_view_get_pinned(const kvstore_view *view,
                                       const void *key,
                                       size_t key_len,
                                       kvstore_pin **pin,
                                       kvstore_slice *value,
                                       kvstore_error **error);

/**
 * Whether the view has a key: KVSTORE_OK or KVSTORE_NOT_FOUND; or KVSTORE_ERR_CORRUPT when a record
 * can no longer be read, or KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_view_contains(const kvstore_view *view,
                                     const void *key,
                                     size_t key_len,
                                     kvstore_error **error);

/** The number of keys in the view, into *out. KVSTORE_OK or KVSTORE_ERR_INVALID_ARGUMENT. */
kvstore_status kvstore_view_len(const kvstore_view *view, uint64_t *out, kvstore_error **error);

/**
 * Opens a cursor over the view, like kvstore_cursor_open() over a store. It does not need the view
 * any more, and is freed by kvstore_cursor_close().
 *
 * KVSTORE_OK; KVSTORE_ERR_INVALID_ARGUMENT for a wrong struct_size or an unknown flag;
 * KVSTORE_ERR_UNSUPPORTED when a larger struct_size comes with fields that are not 0;
 * KVSTORE_ERR_OUT_OF_MEMORY; or KVSTORE_ERR_CORRUPT when a record can no longer be read. After an
 * error *out is NULL.
 */
kvstore_status kvstore_view_cursor_open(const kvstore_view *view,
                                        const kvstore_range *range,
                                        kvstore_cursor **out,
                                        kvstore_error **error);

/**
 * Frees a view; no slice that it lent must be used any more, but its cursors and pins may. NULL is
 * allowed.
 */
void kvstore_view_close(kvstore_view *view);

/* Transactions --------------------------------------------------------------------------------- */

/**
 * Reads and writes that take effect together, as if at one instant, or not at all. One thread at a
 * time uses it.
 *
 * While it is open nobody else writes to the store: kvstore_set() and all other writes wait, and so
 * does kvstore_close(), for up to KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS, and then return
 * KVSTORE_ERR_LOCKED. Readers do not wait. On the thread that began it a plain write, another
 * transaction and kvstore_close() are KVSTORE_ERR_INVALID_ARGUMENT at once, since they would wait for
 * themselves. A program whose threads of control move between those of the system (Go) waits
 * instead, until the time is over.
 */
typedef struct kvstore_transaction kvstore_transaction;

/**
 * Begins a transaction. *out becomes the handle, which kvstore_transaction_commit(),
 * kvstore_transaction_commit_with() or kvstore_transaction_abort() frees, or NULL.
 *
 *     kvstore_transaction *transaction;
 *     status = kvstore_transaction_begin(store, &transaction, &error);
 *     ...
 *     kvstore_transaction_set(transaction, "from", 4, "70", 2, NULL);
 *     kvstore_transaction_set(transaction, "to", 2, "30", 2, NULL);
 *     status = kvstore_transaction_commit(transaction, &error);
 *
 * KVSTORE_OK; KVSTORE_ERR_LOCKED when another one is open for longer than this may wait;
 * KVSTORE_ERR_INVALID_ARGUMENT also when this thread has one open; KVSTORE_ERR_READ_ONLY;
 * KVSTORE_ERR_POISONED; KVSTORE_ERR_OUT_OF_MEMORY or KVSTORE_ERR_FORKED.
 */
kvstore_status kvstore_transaction_begin(kvstore *store,
                                         kvstore_transaction **out,
                                         kvstore_error **error);

/** Copies the value of a key, with what the transaction has written. Otherwise as kvstore_get(). */
kvstore_status kvstore_transaction_get(const kvstore_transaction *transaction,
                                       const void *key,
                                       size_t key_len,
                                       kvstore_buffer *out,
                                       kvstore_error **error);

/**
 * Whether a key has a value, with what the transaction has written.
 *
 * KVSTORE_OK if it has, KVSTORE_NOT_FOUND if not; KVSTORE_ERR_FORKED or
 * KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_transaction_contains(const kvstore_transaction *transaction,
                                            const void *key,
                                            size_t key_len,
                                            kvstore_error **error);

/**
 * Opens a cursor over the store with what the transaction has written so far, like
 * kvstore_cursor_open(). It does not need the transaction any more, and is freed by
 * kvstore_cursor_close().
 *
 * Returns what kvstore_cursor_open() does.
 */
kvstore_status kvstore_transaction_cursor_open(const kvstore_transaction *transaction,
                                               const kvstore_range *range,
                                               kvstore_cursor **out,
                                               kvstore_error **error);

/**
 * Stores a value under a key when the transaction is committed. Both are copied. Keys and values
 * above a limit of the store are refused by the commit.
 *
 * KVSTORE_OK; KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_TOO_LARGE beyond KVSTORE_MAX_LEN, or
 * KVSTORE_ERR_INVALID_ARGUMENT, and the transaction is as it was.
 */
kvstore_status kvstore_transaction_set(kvstore_transaction *transaction,
                                       const void *key,
                                       size_t key_len,
                                       const void *value,
                                       size_t value_len,
                                       kvstore_error **error);

/**
 * Deletes a key when the transaction is committed. KVSTORE_OK if it is there, with what the
 * transaction has written, KVSTORE_NOT_FOUND if it is not; KVSTORE_ERR_FORKED or
 * KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_transaction_delete(kvstore_transaction *transaction,
                                          const void *key,
                                          size_t key_len,
                                          kvstore_error **error);

/**
 * Like kvstore_compare_and_set(), with what the transaction has written and when it is committed.
 *
 * KVSTORE_OK; KVSTORE_CONFLICT when the value was another one, and nothing was changed;
 * KVSTORE_ERR_TOO_LARGE, KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_transaction_compare_and_set(kvstore_transaction *transaction,
                                                   const void *key,
                                                   size_t key_len,
                                                   const kvstore_slice *expected,
                                                   const kvstore_slice *desired,
                                                   kvstore_error **error);

/**
 * Like kvstore_increment(), with what the transaction has written and when it is committed.
 *
 * KVSTORE_OK; KVSTORE_ERR_INVALID_ARGUMENT when the value is not eight bytes long, or the sum is out
 * of range; KVSTORE_ERR_TOO_LARGE or KVSTORE_ERR_FORKED. After an error *sum is 0, and the transaction
 * is as it was.
 */
kvstore_status kvstore_transaction_increment(kvstore_transaction *transaction,
                                             const void *key,
                                             size_t key_len,
                                             int64_t delta,
                                             int64_t *sum,
                                             kvstore_error **error);

/**
 * Carries out all that the transaction has written, as kvstore_write() does, and ends it. Frees the
 * handle, whatever is returned.
 *
 * KVSTORE_OK, and otherwise as kvstore_write(): after any error but KVSTORE_ERR_INDETERMINATE it had
 * no effect.
 */
kvstore_status kvstore_transaction_commit(kvstore_transaction *transaction,
                                          kvstore_error **error);

/**
 * Like kvstore_transaction_commit(), with the durability of this one transaction, as for
 * kvstore_set_with().
 */
kvstore_status kvstore_transaction_commit_with(kvstore_transaction *transaction,
                                               uint32_t durability,
                                               kvstore_error **error);

/**
 * Ends a transaction without any effect, and frees the handle. NULL is allowed. It may be called
 * after kvstore_close().
 */
void kvstore_transaction_abort(kvstore_transaction *transaction);

/* Backups -------------------------------------------------------------------------------------- */

/**
 * How far a backup has come: what its callback is told. It belongs to the library and is valid
 * during the call of the callback only.
 */
typedef struct {
    /** How much of this struct the library fills; a later version may fill more. */
    size_t struct_size;
    /** Records that are checked, and written or about to be. */
    uint64_t records_done;
    /** Records there are. */
    uint64_t records_total;
    /** Bytes of those. */
    uint64_t bytes_done;
    /** Bytes there will be: an estimate, exact at the end. */
    uint64_t bytes_total;
} kvstore_backup_progress;

/**
 * Writes the store as it is at one instant during the call to a new directory, while other threads
 * read and write. Works also for a store that was opened read-only, or that is
 * KVSTORE_ERR_POISONED.
 *
 *     status = kvstore_backup(store, "/backups/monday", &error);
 *
 * directory must not exist, or be empty, and not lie in the store's own. It becomes a directory that
 * opens like any other, also in the Go store, and appears when it is whole and durable. Should the
 * process die before, nothing is there but perhaps a directory called
 * "<directory>.unfinished-<number>", which can be removed. It may be on another file system.
 *
 * Every record is checked against the checksum that it was stored with. If nothing was written since
 * the store was last closed, and the file system can, the data is cloned, and takes no more
 * room until one of the two is replaced.
 *
 * KVSTORE_OK; KVSTORE_ERR_INVALID_ARGUMENT, also when a directory that is not empty is there;
 * KVSTORE_ERR_NO_SPACE; KVSTORE_ERR_IO, also when a file is there; KVSTORE_ERR_CORRUPT when a
 * record is not what was stored; KVSTORE_ERR_TOO_LARGE for more than 2^32 - 1 records;
 * KVSTORE_ERR_OUT_OF_MEMORY; KVSTORE_ERR_FORKED. After an error nothing of it is left, and the
 * store is not affected.
 */
kvstore_status kvstore_backup(kvstore *store,
                              const char *directory,
                              kvstore_error **error);

/**
 * Like kvstore_backup(), and calls callback(context, progress) every megabyte or few thousand
 * records and at the end, from the thread that called this, with no lock held. It returns 0
 * to go on; anything else gives the backup up. It may use the store. It must return: no
 * exception, no longjmp(). callback may be NULL.
 *
 * The results of kvstore_backup(), and KVSTORE_ERR_CANCELLED when callback stopped it.
 */
kvstore_status kvstore_backup_with(kvstore *store,
                                   const char *directory,
                                   int32_t (*callback)(void *context,
                                                       const kvstore_backup_progress *progress),
                                   void *context,
                                   kvstore_error **error);

/** Like kvstore_backup_with(), of what a view holds. The store may be closed. */
kvstore_status kvstore_view_backup(const kvstore_view *view,
                                   const char *directory,
                                   int32_t (*callback)(void *context,
                                                       const kvstore_backup_progress *progress),
                                   void *context,
                                   kvstore_error **error);

/* Figures and recovery ------------------------------------------------------------------------- */

/**
 * Figures about a store, filled by kvstore_stats(). Counters begin at 0 when the store is opened.
 */
typedef struct {
    /** In: sizeof(kvstore_stats_info). Out: how much of it this library fills; the rest is 0. */
    size_t struct_size;
    /** Keys in the store. */
    uint64_t records;
    /** Bytes of the logs that are in use, and in no snapshot yet. */
    uint64_t log_bytes;
    /** Bytes of the snapshot file; 0 if there is none. */
    uint64_t snapshot_bytes;
    /** Bytes of memory that the index occupies. */
    uint64_t index_bytes;
    /** Groups of writes that were committed together. */
    uint64_t groups;
    /** Disk syncs of the log. */
    uint64_t syncs;
    /** Sets and deletes that were committed. */
    uint64_t writes;
    /** Checkpoints that have written a snapshot. */
    uint64_t checkpoints;
    /** Bytes of those snapshots. */
    uint64_t checkpoint_bytes;
    /** Checkpoints that have failed. */
    uint64_t checkpoints_failed;
    /** 1 while a checkpoint runs, else 0. */
    uint64_t checkpoint_running;
    /** How many records that one has copied. */
    uint64_t checkpoint_records;
    /** How many it is going to copy; 0 until that is known. */
    uint64_t checkpoint_records_total;
    /**
     * Logs besides the one that is appended to: one while a checkpoint runs, more after failures.
     */
    uint64_t sealed_logs;
    /**
     * Bytes of memory that the order of keys occupies; 0 as long as nobody has needed it for a
     * cursor or a view.
     */
    uint64_t view_bytes;
} kvstore_stats_info;

/**
 * What opening a store found and did, filled by kvstore_recovery_report(). If log_records and
 * bytes_cut are both 0, the store had been closed cleanly.
 */
typedef struct {
    /** In: sizeof(kvstore_recovery_info). Out: how much of it this library fills; the rest is 0. */
    size_t struct_size;
    /** Records that were loaded from the snapshot. */
    uint64_t snapshot_records;
    /** Sets and deletes that were replayed from the logs. */
    uint64_t log_records;
    /** Bytes at the end of the log that were no valid entries, and were cut off. */
    uint64_t bytes_cut;
    /** Where in the log they began, or KVSTORE_OFFSET_NONE if nothing was cut. */
    uint64_t cut_offset;
    /**
     * The file that they were copied to before, or NULL. The string belongs to the store and is
     * valid until kvstore_close(); the file stays until you delete it.
     */
    const char *quarantine;
    /**
     * 1 if data that had been synced was among the bytes that were cut: a disk or a program has
     * damaged the log. 0 if not: a crash tore a write that had not been acknowledged as durable.
     */
    uint64_t damaged;
    /** Sealed logs among those that were replayed: a process died amid a checkpoint. */
    uint64_t sealed_logs;
    /**
     * The log that had the first of the bytes that were cut, and why it could not be read on there;
     * or NULL. The strings belong to the store, like quarantine.
     */
    const char *cut_log;
    const char *cut_reason;
} kvstore_recovery_info;

/**
 * Fills *out with figures about a store. Set out->struct_size first:
 *
 *     kvstore_stats_info info = { .struct_size = sizeof info };
 *     status = kvstore_stats(store, &info, &error);
 *
 * While others write, the figures need not be of the same instant.
 *
 * KVSTORE_OK, KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT. An error sets all fields but
 * struct_size to 0; only if struct_size cannot be right, which is KVSTORE_ERR_INVALID_ARGUMENT,
 * nothing is written.
 */
kvstore_status kvstore_stats(const kvstore *store, kvstore_stats_info *out, kvstore_error **error);

/**
 * Tells what the last checkpoint came to, for those that a thread of the library makes: nobody else
 * sees their errors.
 *
 * KVSTORE_OK if it succeeded, or there was none; otherwise what kvstore_checkpoint() would have
 * returned, with *error set. Also KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT.
 */
kvstore_status kvstore_checkpoint_error(const kvstore *store, kvstore_error **error);

/**
 * Fills *out with what opening the store found and did. Set out->struct_size first:
 *
 *     kvstore_recovery_info info = { .struct_size = sizeof info };
 *     status = kvstore_recovery_report(store, &info, &error);
 *     if (status == KVSTORE_OK && info.bytes_cut > 0)
 *         printf("%llu bytes kept in %s\n", (unsigned long long)info.bytes_cut, info.quarantine);
 *
 * KVSTORE_OK, KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT. An error sets all fields but
 * struct_size to 0; only if struct_size cannot be right, which is KVSTORE_ERR_INVALID_ARGUMENT,
 * nothing is written.
 */
kvstore_status kvstore_recovery_report(const kvstore *store,
                                       kvstore_recovery_info *out,
                                       kvstore_error **error);

/* Checking, repairing and salvaging a directory ------------------------------------------------ */

#define KVSTORE_CONDITION_SOUND   0 /* Every byte is as it was written. */
#define KVSTORE_CONDITION_TORN    1 /* The log ends in a torn write, as after a crash. */
#define KVSTORE_CONDITION_UNCLEAR 2 /* Valid entries behind a place that is not; see the text. */
#define KVSTORE_CONDITION_DAMAGED 3 /* What had been written durably is not there now. */

/**
 * What kvstore_verify(), kvstore_repair() or kvstore_salvage() found and did. It belongs to the
 * caller, who frees it with kvstore_report_free(), and may be read from any thread.
 */
typedef struct kvstore_report kvstore_report;

/** The figures of a report, filled by kvstore_report_figures(). */
typedef struct {
    /** In: sizeof(kvstore_report_info). Out: how much of it this library fills; the rest is 0. */
    size_t struct_size;
    /** The worst of what was found in the directory that was read: KVSTORE_CONDITION_*. */
    uint64_t condition;
    /** 1 if opening that directory is refused. */
    uint64_t refuses_to_open;
    /** How many places are damaged or torn. */
    uint64_t findings;
    /** The file with the first of them, or NULL. The string belongs to the report. */
    const char *first_path;
    /** The offset of that in the file, or KVSTORE_OFFSET_NONE. */
    uint64_t first_offset;
    /** Valid entries before damage: those of the snapshot, and the sets and deletes of the logs. */
    uint64_t entries;
    /** Valid entries behind damage. */
    uint64_t entries_behind;
    /** Records in the directory that was written; 0 after kvstore_verify(). */
    uint64_t records;
    /** 1 if nothing is missing from the directory that was written; 0 after kvstore_verify(). */
    uint64_t complete;
    /** 1 if it is the state after some prefix of the writes; 0 after kvstore_verify(). */
    uint64_t is_prefix;
    /**
     * Valid sets and deletes in quarantine/, where opening has moved what it cut from a log. They are
     * not in the store.
     */
    uint64_t quarantine_entries;
} kvstore_report_info;

/** A place that is damaged or torn, filled by kvstore_report_finding(). */
typedef struct {
    /** In: sizeof(kvstore_finding_info). Out: how much of it this library fills; the rest is 0. */
    size_t struct_size;
    /** KVSTORE_CONDITION_*. */
    uint64_t condition;
    /** The file. The string belongs to the report. */
    const char *path;
    /** Where in the file it begins. */
    uint64_t offset;
    /** How many bytes it has, or 0 where that cannot be told. */
    uint64_t len;
    /** What is wrong there, for people. The string belongs to the report. */
    const char *what;
} kvstore_finding_info;

/**
 * Checks every byte of the store in a directory, and changes nothing there. *out becomes the
 * report, which kvstore_report_free() frees, or NULL.
 *
 *     kvstore_report *report;
 *     kvstore_report_info info = { .struct_size = sizeof info };
 *     if (kvstore_verify("data", &report, &error) == KVSTORE_OK &&
 *         kvstore_report_figures(report, &info, &error) == KVSTORE_OK &&
 *         info.condition > KVSTORE_CONDITION_TORN)
 *         puts(kvstore_report_text(report));
 *     kvstore_report_free(report);
 *
 * Damage is no error of this function: KVSTORE_OK, and the report tells. An error says why it
 * could not be checked: KVSTORE_ERR_LOCKED while a writer has the directory open;
 * KVSTORE_ERR_IO when a file cannot be read; KVSTORE_ERR_UNSUPPORTED when a newer version wrote
 * it; KVSTORE_ERR_INVALID_ARGUMENT, also when there is no store in it; KVSTORE_ERR_OUT_OF_MEMORY.
 */
kvstore_status kvstore_verify(const char *directory, kvstore_report **out, kvstore_error **error);

/**
 * Writes what is consistent in the store in the directory from to the directory to, which must not
 * exist or be empty, and then opens like any other. from is not changed.
 *
 * Of logs it keeps what kvstore_open() keeps: everything before the first entry that is not valid.
 * Of a damaged snapshot, with which kvstore_open() is KVSTORE_ERR_CORRUPT, it keeps the entries
 * before the damage, and the logs on top of them: nothing in it is older than what was written, but
 * records are missing. The report says what, also in the file REPAIRED.txt in the directory.
 *
 * KVSTORE_OK, and *out is the report; the errors of kvstore_verify(); KVSTORE_ERR_INVALID_ARGUMENT
 * when to is not empty or lies in from; KVSTORE_ERR_NO_SPACE. After an error nothing of it
 * is left in to.
 */
kvstore_status kvstore_repair(const char *from,
                              const char *to,
                              kvstore_report **out,
                              kvstore_error **error);

/**
 * Like kvstore_repair(), but writes whatever can be read, also from behind damage. What comes of it
 * is not a state that the store ever had: records may be missing, may have an older value than the
 * last one, and may be back although they were deleted. SALVAGED.txt in the directory says so.
 */
kvstore_status kvstore_salvage(const char *from,
                               const char *to,
                               kvstore_report **out,
                               kvstore_error **error);

/**
 * The report for people: several lines of UTF-8 text, with what to do. Never NULL: "no report" for
 * NULL. The string belongs to the report.
 */
const char *kvstore_report_text(const kvstore_report *report);

/**
 * Fills *out with the figures of a report. Set out->struct_size first.
 *
 * KVSTORE_OK or KVSTORE_ERR_INVALID_ARGUMENT. An error sets all fields but struct_size to 0; only
 * if struct_size cannot be right, nothing is written.
 */
kvstore_status kvstore_report_figures(const kvstore_report *report,
                                      kvstore_report_info *out,
                                      kvstore_error **error);

/**
 * Fills *out with one of the places that are damaged or torn: index counts them from 0, file by file
 * in order of offset. Set out->struct_size first.
 *
 *     kvstore_finding_info found = { .struct_size = sizeof found };
 *     for (size_t i = 0; kvstore_report_finding(report, i, &found, NULL) == KVSTORE_OK; i++)
 *         printf("%s at %llu: %s\n", found.path, (unsigned long long)found.offset, found.what);
 *
 * KVSTORE_OK; KVSTORE_DONE behind the last one, or the thousandth, beyond which they are counted
 * only; or KVSTORE_ERR_INVALID_ARGUMENT. After anything but KVSTORE_OK all fields but struct_size are
 * 0; only if struct_size cannot be right, nothing is written.
 */
kvstore_status kvstore_report_finding(const kvstore_report *report,
                                      size_t index,
                                      kvstore_finding_info *out,
                                      kvstore_error **error);

/** Frees a report and the strings that belong to it. NULL is allowed. */
void kvstore_report_free(kvstore_report *report);

#ifdef __cplusplus
}
#endif

#endif /* KVSTORE_H */
