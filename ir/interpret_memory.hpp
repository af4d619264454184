// Memory as the interpreter sees it: values elsewhere, here who wrote and read what, and whether that is allowed.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "ir/interpret.hpp"
#include "ir/kernel.hpp"

namespace flashtp::interpreter {

/// Where a kernel is while it runs, for messages.
struct Site {
    const Kernel* kernel = nullptr;
    const KernelTask* task = nullptr;
    const KernelStatement* at = nullptr;
    std::vector<std::int64_t> ints;

    /// Throws InternalError: the rule that is broken, the statement with its surroundings and the integers it uses.
    [[noreturn]] void fail(const std::string& what) const;
};

/// The lane of additions and copies of which the contract does not say who does them.
constexpr int some_lane = -1;
std::string lane_text(int lane);

class GlobalMemory {
  public:
    GlobalMemory(const Kernel&, const InterpreterArguments&);

    template <class T>
    T get(const Site& site, BufferId id, std::int64_t index, int lane) const {
        const Memory& m = at(site, id, index, lane);
        return static_cast<T>(load_element(m.data, index, m.declared->dtype));
    }
    /// `writer` numbers the warps of a launch.
    template <class T>
    void put(const Site& site, BufferId id, std::int64_t index, T value, StoreMode mode, std::uint32_t writer, int lane) {
        Memory& m = at(site, id, index, lane);
        if (split_ && added_by_parts(kernel_, *m.declared)) mode = StoreMode::atomic;
        note_write(site, m, index, mode, writer, lane);
        if (mode != StoreMode::store) value += static_cast<T>(load_element(m.data, index, m.declared->dtype));
        store_element(m.data, index, value, m.declared->dtype);
    }
    /// Entry of an index buffer or a table; a null buffer is the identity where that is allowed.
    std::int64_t integer(const Site&, BufferId, std::int64_t index, bool identity_if_null, int lane) const;
    /// Throws when an element does not exist.
    void check_exists(const Site& site, BufferId id, std::int64_t index, int lane) const { at(site, id, index, lane); }
    /// Throws when an element of an output that nobody zeroes was not written.
    void check_complete() const;

  private:
    /// Who wrote an element last and how; `several` once atomic additions came from more than one warp.
    struct Writer {
        enum Kind : std::uint32_t { none, store, add, atomic };
        static constexpr std::uint32_t several = (1u << 30) - 1;
        std::uint32_t kind : 2 = none;
        std::uint32_t warp : 30 = 0;
    };
    struct Memory {
        const Buffer* declared;
        void* data;
        std::int64_t elements;
        bool zeroed;                  ///< by who launches
        std::vector<Writer> writers;  ///< of outputs
    };

    const Memory& at(const Site& site, BufferId id, std::int64_t index, int lane) const {
        const Memory& m = memories_[static_cast<std::size_t>(id)];
        if (static_cast<std::uint64_t>(index) >= static_cast<std::uint64_t>(m.elements)) out_of_range(site, m, index, lane);
        return m;
    }
    Memory& at(const Site& site, BufferId id, std::int64_t index, int lane) {
        return const_cast<Memory&>(std::as_const(*this).at(site, id, index, lane));
    }
    [[noreturn]] static void out_of_range(const Site&, const Memory&, std::int64_t index, int lane);
    static void note_write(const Site&, Memory&, std::int64_t index, StoreMode, std::uint32_t writer, int lane);

    const Kernel& kernel_;
    bool split_;  ///< receivers have several warps
    std::vector<Memory> memories_;
};

/// An element of a shared buffer and the lane that touches it.
struct SharedAccess {
    SharedId buffer;
    std::int64_t index;
    int lane;
};

/// One warp's shared memory, its ring and its bulk reductions. Functions return the word within the warp's region.
class SharedState {
  public:
    explicit SharedState(const Kernel& kernel) : kernel_(kernel) {}
    /// A warp starts.
    void reset(const KernelTask&);
    /// A warp ends: nothing may be in flight.
    void check_finished(const Site&) const;

    void sync() { ++epoch_, bulk_free_ = bulk_finished_; }
    std::size_t read(const Site&, const SharedAccess&);
    /// Whether the lane may write; to be asked for all lanes of a statement before any of them writes.
    std::size_t check_write(const Site&, const SharedAccess&) const;
    /// `adding`: lanes of this statement may meet in an element, one after the other.
    std::size_t write(const Site&, const SharedAccess&, bool adding);

    void ring_begin(const Site&);
    void stage_fill(const Site&, std::int64_t stage, std::int64_t bulk_bytes);
    void check_copy_allowed(const Site&) const;
    std::size_t async_write(const Site&, const SharedAccess&);
    void count_bulk_bytes(std::int64_t bytes) { ring_[filling_].bulk_bytes += bytes; }
    void stage_commit(const Site&, std::int64_t stage);
    void stage_wait(const Site&, std::int64_t stage, std::int64_t phase);

    void bulk_begin() { ++bulk_issued_; }
    std::size_t bulk_read(const Site&, const SharedAccess&);
    void bulk_wait(int pending);

  private:
    enum class Author : std::uint8_t { nobody, lane, lanes, stage };
    struct Word {
        Author author = Author::nobody;
        std::int16_t writer = 0;  ///< lane or stage
        std::int16_t reader = 0;  ///< lane, or several_readers
        std::uint32_t write_epoch = 0, read_epoch = 0;
        std::uint32_t fill = 0;        ///< which fill of the stage
        std::uint32_t bulk_group = 0;  ///< last bulk reduction that reads it
    };
    struct Stage {
        enum State { empty, filling, committed, readable } state = empty;
        std::int64_t expected_bytes = 0, bulk_bytes = 0;
        std::uint32_t fills = 0;
    };
    static constexpr std::int16_t several_readers = -2;
    static constexpr std::size_t no_stage = std::numeric_limits<std::size_t>::max();

    std::size_t locate(const Site&, const SharedAccess&) const;
    std::size_t stage_at(const Site&, std::int64_t stage) const;
    void check_readable(const Site&, const Word&, const SharedAccess&) const;
    bool in_flight(const Word&) const;
    static std::string author_text(const Word&);

    const Kernel& kernel_;
    std::vector<Word> words_;
    std::vector<Stage> ring_;
    std::vector<std::size_t> committed_;  ///< groups not waited for, oldest first: a stage, or no_stage for an empty one
    CopyMechanism copy_ = CopyMechanism::plain;  ///< of the task
    bool ring_open_ = false;
    std::size_t filling_ = no_stage;
    std::uint32_t epoch_ = 1, bulk_issued_ = 0, bulk_finished_ = 0;
    std::uint32_t bulk_free_ = 0;  ///< groups that all lanes know to be finished
};

}  // namespace flashtp::interpreter
