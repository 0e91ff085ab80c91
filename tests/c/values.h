/*
 * Values that say what they are: of which key and of which write, and every byte depends on that.
 * And random numbers for each thread.
 */
#ifndef VALUES_H
#define VALUES_H

#include "check.h"

enum { MAX_VALUE = 256 };

/* A value: which key it belongs to, the number of the write, then filling that depends on both. */
struct head {
    uint32_t writer, key, number, check;
};

static inline uint32_t mix(uint32_t x) {
    x ^= x >> 16, x *= 0x7feb352du;
    x ^= x >> 15, x *= 0x846ca68bu;
    return x ^ x >> 16;
}

/* A small random generator for each thread. */
static inline uint32_t random_of(uint32_t *state) {
    return *state = mix(*state + 0x9e3779b9u);
}

static inline uint32_t check_of(const struct head *head) {
    return mix(head->writer * 1000003u + head->key * 101u + head->number);
}

static inline size_t value_of(int writer, int key, uint32_t number, uint8_t *value) {
    struct head head;
    size_t len = sizeof head + number % 150, i;
    head.writer = (uint32_t)writer, head.key = (uint32_t)key, head.number = number;
    head.check = check_of(&head);
    memcpy(value, &head, sizeof head);
    for (i = sizeof head; i < len; i++) value[i] = (uint8_t)(head.check >> i % 4 * 8);
    return len;
}

/* The number of the write that a value came from, after it was checked in full. */
static inline uint32_t checked(int writer, int key, const uint8_t *value, size_t len) {
    struct head head;
    uint8_t expected[MAX_VALUE];
    CHECK(value != NULL && len >= sizeof head);
    memcpy(&head, value, sizeof head);
    CHECK(same(value, len, expected, value_of(writer, key, head.number, expected)));
    return head.number;
}

#endif
