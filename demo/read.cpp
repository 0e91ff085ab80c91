/*
 * Reads the store that the Python program has changed, and compares all of it with the rule in
 * README.md.
 *
 *     read DIRECTORY N
 *
 * N is how many records had been recovered. A line that begins with "measured:" is for run.py.
 */
#include <kvstore.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Records = std::map<std::string, std::string>;

/* Throws the message of the error, unless the status is success. The error is taken by reference,
 * because the call that makes it may stand in the same list of arguments, in any order. */
void check(kvstore_status status, kvstore_error *const &error, const std::string &what) {
    if (status == KVSTORE_OK) return;
    std::string message = what + ": " + kvstore_status_name(status) + ": " +
                          kvstore_error_message(error);
    kvstore_error_free(error);
    throw std::runtime_error(message);
}

void require(bool condition, const std::string &otherwise) {
    if (!condition) throw std::runtime_error(otherwise);
}

std::string key_of(std::uint32_t number) {
    char key[16];
    std::snprintf(key, sizeof key, "record:%08x", static_cast<unsigned>(number * 2654435761U));
    return key;
}

std::string value_of(std::uint32_t number, std::uint32_t version) {
    std::string value(8 + number % 185, '\0');
    for (std::size_t i = 0; i < value.size(); i++)
        value[i] = static_cast<char>((i % 8 < 4 ? number : version) >> (24 - i % 4 * 8));
    return value;
}

/* What must be there, in the order of the keys; and the keys of records that must not. */
Records expected_records(std::uint32_t n, std::vector<std::string> &absent) {
    Records records;
    for (std::uint32_t number = 0; number < 102000; number++) {
        bool added = number >= 100000 && number < 101000;
        if (added || (number < n && number % 7 != 0))
            records[key_of(number)] = value_of(number, number < n && number % 10 == 0);
        else
            absent.push_back(key_of(number));
    }
    return records;
}

/* Does the work, and prints how long it took. */
template <typename Work> void measured(const char *what, std::size_t records, Work work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::nanoseconds spent = std::chrono::steady_clock::now() - start;
    std::printf("measured: %s: %zu records in %lld ns\n", what, records,
                static_cast<long long>(spent.count()));
}

kvstore *open_read_only(const char *directory) {
    kvstore_error *error = nullptr;
    kvstore *store = nullptr;
    std::unique_ptr<kvstore_options, decltype(&kvstore_options_free)> options(
        kvstore_options_new(), kvstore_options_free);
    check(kvstore_options_set(options.get(), KVSTORE_OPTION_READ_ONLY, 1, &error), error, "option");
    check(kvstore_open(directory, options.get(), &store, &error), error, "open");
    return store;
}

/* Python closed the store, so all of it must come from the snapshot. */
void check_closed_cleanly(const kvstore *store, std::size_t records) {
    kvstore_error *error = nullptr;
    kvstore_recovery_info info{};
    info.struct_size = sizeof info;
    check(kvstore_recovery_report(store, &info, &error), error, "recovery report");
    require(info.snapshot_records == records && info.log_records == 0 && info.bytes_cut == 0,
            "the store was not closed cleanly");
}

/* The cursor must give exactly the expected pairs, in the same order, and then end. */
void walk(const kvstore *store, const Records &expected) {
    kvstore_error *error = nullptr;
    kvstore_cursor *cursor = nullptr;
    kvstore_slice key, value;
    const auto text = [](kvstore_slice slice) {
        return std::string_view(reinterpret_cast<const char *>(slice.data), slice.len);
    };

    check(kvstore_cursor_open(store, nullptr, &cursor, &error), error, "cursor");
    std::unique_ptr<kvstore_cursor, decltype(&kvstore_cursor_close)> owner(cursor,
                                                                         kvstore_cursor_close);
    for (const auto &[expected_key, expected_value] : expected) {
        check(kvstore_cursor_next(cursor, &key, &value, &error), error, "next: " + expected_key);
        require(text(key) == expected_key,
                "the cursor gave " + std::string(text(key)) + " instead of " + expected_key);
        require(text(value) == expected_value, "the value of " + expected_key + " differs");
    }
    kvstore_status status = kvstore_cursor_next(cursor, &key, &value, &error);
    require(status == KVSTORE_DONE, "the cursor goes on behind the last expected key");
}

/* Every record by its key, in random order, and every one that must not be there. */
void get_at_random(const kvstore *store, const Records &expected,
                   const std::vector<std::string> &absent) {
    kvstore_error *error = nullptr;
    std::vector<const Records::value_type *> order;
    for (const auto &record : expected) order.push_back(&record);
    std::shuffle(order.begin(), order.end(), std::mt19937(1));
    std::vector<std::array<char, 192>> values(order.size());
    std::vector<std::size_t> lens(order.size());

    /* Values are compared when the clock has stopped: it measures the store alone. */
    measured("read at random with get_into", order.size(), [&] {
        for (std::size_t i = 0; i < order.size(); i++) {
            const std::string &key = order[i]->first;
            kvstore_status status =
                kvstore_get_into(store, key.data(), key.size(), values[i].data(), values[i].size(),
                                 &lens[i], &error);
            if (status != KVSTORE_OK) check(status, error, "get_into: " + key);
        }
    });

    for (std::size_t i = 0; i < order.size(); i++)
        require(std::string_view(values[i].data(), lens[i]) == order[i]->second,
                "the value of " + order[i]->first + ", read by its key, differs");
    for (const std::string &key : absent) {
        kvstore_status status = kvstore_contains(store, key.data(), key.size(), &error);
        require(status != KVSTORE_OK, key + " should not be there");
        if (status != KVSTORE_NOT_FOUND) check(status, error, "contains: " + key);
    }
}

} // namespace

int main(int argc, char **argv) try {
    require(argc == 3, "usage: read DIRECTORY N");
    std::vector<std::string> absent;
    const Records expected =
        expected_records(static_cast<std::uint32_t>(std::stoul(argv[2])), absent);

    kvstore *store = nullptr;
    kvstore_error *error = nullptr;
    measured("opened for reading", expected.size(), [&] { store = open_read_only(argv[1]); });
    std::uint64_t len = 0;
    check(kvstore_len(store, &len, &error), error, "len");
    require(len == expected.size(), std::to_string(len) + " records are there, not " +
                                        std::to_string(expected.size()));
    check_closed_cleanly(store, expected.size());
    measured("read in order with a cursor, compared", expected.size(),
             [&] { walk(store, expected); });
    get_at_random(store, expected, absent);
    check(kvstore_close(store, &error), error, "close");
    return 0;
} catch (const std::exception &problem) {
    std::fprintf(stderr, "read.cpp: %s\n", problem.what());
    return 1;
}
