// The header from C++17: a small wrapper that owns every handle, as an application would write it.

#include "check.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace kv {

class Error : public std::runtime_error {
public:
    Error(kvstore_status status, const kvstore_error *why)
        : std::runtime_error(kvstore_error_message(why)), status(status) {}
    kvstore_status status;
};

// Throws what a failed call left behind, and frees it; passes outcomes on.
inline kvstore_status checked(kvstore_status status, kvstore_error *why) {
    std::unique_ptr<kvstore_error, decltype(&kvstore_error_free)> owner(why, kvstore_error_free);
    if (status < 0) throw Error(status, why);
    return status;
}

inline std::string_view view(kvstore_slice slice) {
    return {reinterpret_cast<const char *>(slice.data), slice.len};
}

inline kvstore_slice slice(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t *>(text.data()), text.size()};
}

class Options {
public:
    Options() : options(kvstore_options_new(), kvstore_options_free) {}
    Options &set(std::uint32_t option, std::uint64_t value) {
        kvstore_error *why;
        const auto status = kvstore_options_set(options.get(), option, value, &why);
        checked(status, why);
        return *this;
    }
    const kvstore_options *get() const { return options.get(); }

private:
    std::unique_ptr<kvstore_options, decltype(&kvstore_options_free)> options;
};

// A value that stays readable for as long as this object lives.
class Pinned {
public:
    Pinned(kvstore_pin *pin, kvstore_slice value) : pin(pin, kvstore_pin_release), value(value) {}
    operator std::string_view() const { return view(value); }

private:
    std::unique_ptr<kvstore_pin, decltype(&kvstore_pin_release)> pin;
    kvstore_slice value;
};

// An input range of pairs, for `for (auto [key, value] : store.scan())`.
class Scan {
public:
    Scan(const kvstore *store, const kvstore_range *range) : cursor(nullptr, kvstore_cursor_close) {
        kvstore_cursor *opened;
        kvstore_error *why;
        const auto status = kvstore_cursor_open(store, range, &opened, &why);
        checked(status, why);
        cursor.reset(opened);
    }
    Scan(const kvstore_view *view, const kvstore_range *range)
        : cursor(nullptr, kvstore_cursor_close) {
        kvstore_cursor *opened;
        kvstore_error *why;
        const auto status = kvstore_view_cursor_open(view, range, &opened, &why);
        checked(status, why);
        cursor.reset(opened);
    }
    void seek(std::string_view key) {
        kvstore_error *why;
        const auto status = kvstore_cursor_seek(cursor.get(), key.data(), key.size(), &why);
        checked(status, why);
    }
    struct End {};
    class Iterator {
    public:
        explicit Iterator(kvstore_cursor *cursor) : cursor(cursor) { ++*this; }
        Iterator &operator++() {
            kvstore_error *why;
            const auto status = kvstore_cursor_next(cursor, &key, &value, &why);
            done = checked(status, why) == KVSTORE_DONE;
            return *this;
        }
        std::pair<std::string_view, std::string_view> operator*() const {
            return {view(key), view(value)};
        }
        bool operator!=(End) const { return !done; }

    private:
        kvstore_cursor *cursor;
        kvstore_slice key, value;
        bool done = false;
    };
    Iterator begin() const { return Iterator(cursor.get()); }
    End end() const { return {}; }

private:
    std::unique_ptr<kvstore_cursor, decltype(&kvstore_cursor_close)> cursor;
};

// The store at one instant; what it lends is valid for as long as this object lives.
class View {
public:
    explicit View(const kvstore *store) : handle(nullptr, kvstore_view_close) {
        kvstore_view *opened;
        kvstore_error *why;
        const auto status = kvstore_view_open(store, &opened, &why);
        checked(status, why);
        handle.reset(opened);
    }
    std::optional<std::string_view> get(std::string_view key) const {
        kvstore_slice value;
        kvstore_error *why;
        const auto status = kvstore_view_get(handle.get(), key.data(), key.size(), &value, &why);
        if (checked(status, why) == KVSTORE_NOT_FOUND) return std::nullopt;
        return view(value);
    }
    Scan scan(std::uint64_t limit = 0) const {
        kvstore_range range{};
        range.struct_size = sizeof range;
        range.limit = limit;
        return Scan(handle.get(), &range);
    }
    // `progress` returns whether to go on.
    template <class Progress>
    void backup(const char *directory, Progress progress) const {
        kvstore_error *why;
        const auto call = [](void *context, const kvstore_backup_progress *told) -> std::int32_t {
            return (*static_cast<Progress *>(context))(*told) ? 0 : 1;
        };
        const auto status = kvstore_view_backup(handle.get(), directory, call, &progress, &why);
        checked(status, why);
    }

private:
    std::unique_ptr<kvstore_view, decltype(&kvstore_view_close)> handle;
};

class Store {
public:
    explicit Store(const char *directory, const Options &options = {}) {
        kvstore_error *why;
        const auto status = kvstore_open(directory, options.get(), &store, &why);
        checked(status, why);
    }
    Store(Store &&other) noexcept : store(std::exchange(other.store, nullptr)) {}
    Store(const Store &) = delete;
    Store &operator=(const Store &) = delete;
    ~Store() { kvstore_close(store, nullptr); }

    // Closing in the open, to hear of a failure; the destructor then has nothing left to do.
    void close() {
        kvstore_error *why;
        const auto status = kvstore_close(std::exchange(store, nullptr), &why);
        checked(status, why);
    }
    void set(std::string_view key, std::string_view value) {
        kvstore_error *why;
        const auto status =
            kvstore_set(store, key.data(), key.size(), value.data(), value.size(), &why);
        checked(status, why);
    }
    std::optional<std::string> get(std::string_view key) const {
        kvstore_buffer value;
        kvstore_error *why;
        const auto status = kvstore_get(store, key.data(), key.size(), &value, &why);
        if (checked(status, why) == KVSTORE_NOT_FOUND) return std::nullopt;
        std::string copy(reinterpret_cast<const char *>(value.data), value.len);
        kvstore_buffer_free(&value);
        return copy;
    }
    std::optional<Pinned> pinned(std::string_view key) const {
        kvstore_pin *pin;
        kvstore_slice value;
        kvstore_error *why;
        const auto status = kvstore_get_pinned(store, key.data(), key.size(), &pin, &value, &why);
        if (checked(status, why) == KVSTORE_NOT_FOUND) return std::nullopt;
        return std::make_optional<Pinned>(pin, value);
    }
    bool remove(std::string_view key) {
        kvstore_error *why;
        const auto status = kvstore_delete(store, key.data(), key.size(), &why);
        return checked(status, why) == KVSTORE_OK;
    }
    std::size_t size() const {
        std::uint64_t len;
        kvstore_error *why;
        const auto status = kvstore_len(store, &len, &why);
        checked(status, why);
        return static_cast<std::size_t>(len);
    }
    Scan scan() const { return Scan(store, nullptr); }
    View at_this_instant() const { return View(store); }
    Scan scan_prefix(std::string_view prefix) const {
        kvstore_range range{};
        range.struct_size = sizeof range;
        range.prefix = slice(prefix);
        return Scan(store, &range);
    }

private:
    kvstore *store = nullptr;
};

}  // namespace kv

static void values() {
    using namespace std::string_literals;
    kv::Store store("values");
    std::map<std::string, std::string> expected{
        {"", "the empty key"}, {"empty", ""}, {"zero\0byte"s, "\0\xff"s}, {"user:1", "alice"}};

    for (const auto &[key, value] : expected) store.set(key, value);
    for (const auto &[key, value] : expected) CHECK(store.get(key) == value);
    CHECK(!store.get("missing"));
    CHECK(store.size() == expected.size());
    std::map<std::string, std::string> scanned;
    for (const auto [key, value] : store.scan()) scanned.emplace(key, value);
    CHECK(scanned == expected);
    CHECK(store.remove("empty") && !store.remove("empty"));
    int users = 0;
    for (const auto [key, value] : store.scan_prefix("user:")) users += value == "alice";
    CHECK(users == 1);
    proved("string views in and out, optional values, range-for over a scan");
}

static void lifetimes() {
    std::optional<kv::Pinned> pinned;
    std::optional<kv::Scan> scan;
    {
        kv::Store store("lifetimes");
        store.set("k", "value");
        pinned.emplace(*store.pinned("k"));
        scan.emplace(store.scan());
        kv::Store moved(std::move(store));
        CHECK(moved.size() == 1);
        moved.close();
    }
    CHECK(std::string_view(*pinned) == "value");
    for (const auto [key, value] : *scan) CHECK(key == "k" && value == "value");
    CHECK(kv::Store("lifetimes").size() == 1);
    proved("handles close themselves; pins and scans outlive the store");
}

static void views() {
    std::optional<kv::View> view;
    {
        kv::Store store("views");
        for (const auto key : {"a", "b", "c"}) store.set(key, key);
        view.emplace(store.at_this_instant());
        store.set("a", "changed");
        store.remove("b");
    }
    CHECK(view->get("a") == "a" && view->get("b") == "b" && !view->get("d"));
    int count = 0;
    for (const auto [key, value] : view->scan(2)) count += key == value;
    CHECK(count == 2);
    auto scan = view->scan();
    scan.seek("b");
    CHECK((*scan.begin()).first == "b");
    std::uint64_t told = 0;
    view->backup("views-copy", [&](const kvstore_backup_progress &progress) {
        told = progress.records_done;
        return true;
    });
    CHECK(told == 3 && kv::Store("views-copy").get("a") == "a");
    try {
        view->backup("views-stopped", [](const kvstore_backup_progress &) { return false; });
        CHECK(false);
    } catch (const kv::Error &e) {
        CHECK(e.status == KVSTORE_ERR_CANCELLED);
    }
    proved("views outlive the store, and are backed up with a lambda for progress");
}

static void exceptions() {
    kv::Store store("exceptions", kv::Options().set(KVSTORE_OPTION_MAX_KEY_LEN, 4));
    const auto status_of = [](auto &&action) {
        try {
            action();
        } catch (const kv::Error &e) {
            CHECK(std::string(e.what()).size() > 20);
            return e.status;
        }
        return KVSTORE_OK;
    };
    CHECK(status_of([&] { store.set("12345", ""); }) == KVSTORE_ERR_TOO_LARGE);
    CHECK(status_of([] { kv::Store again("exceptions"); }) == KVSTORE_ERR_LOCKED);
    CHECK(status_of([] { kv::Options().set(99, 0); }) == KVSTORE_ERR_INVALID_ARGUMENT);
    store.close();
    CHECK(status_of([&] { store.size(); }) == KVSTORE_ERR_INVALID_ARGUMENT);
    proved("errors become exceptions with their status and message");
}

static void threads() {
    kv::Store store("threads", kv::Options().set(KVSTORE_OPTION_DURABILITY, KVSTORE_DURABILITY_OS));
    std::vector<std::thread> workers;
    for (int t = 0; t < 4; t++) {
        workers.emplace_back([&store, t] {
            for (int i = 0; i < 500; i++) {
                const auto key = std::to_string(t) + ":" + std::to_string(i);
                store.set(key, key);
                CHECK(store.get(key) == key);
            }
        });
    }
    for (auto &worker : workers) worker.join();
    CHECK(store.size() == 2000);
    proved("one store, shared by threads");
}

int main() {
    values();
    lifetimes();
    views();
    exceptions();
    threads();
    return 0;
}
