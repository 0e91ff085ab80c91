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
