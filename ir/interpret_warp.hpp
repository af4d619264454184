// Executes a plan for one warp after the other.
#pragma once

#include "ir/interpret_memory.hpp"
#include "ir/interpret_plan.hpp"

namespace flashtp::interpreter {

struct WarpRange {
    std::int64_t chunk, row_begin, row_end;
    std::int64_t number;                ///< of the rows among those of all warps
    std::int64_t edge_begin, edge_end;  ///< what it does of its rows' edges
    bool split;                         ///< whether other warps do the rest
    std::uint32_t writer;  ///< numbers what runs unordered against the rest: a warp, or a CPU thread's rows
};

/// T is the compute type. Keeps its memory from warp to warp.
template <class T>
class Warp {
  public:
    Warp(const Plan&, GlobalMemory&);
    void run(const WarpRange&);

    std::size_t operator()(const ArithmeticRun&);
    std::size_t operator()(const LoopHead&);
    std::size_t operator()(const LoopTail&);
    std::size_t operator()(const Branch&);
    std::size_t operator()(const IntLet* s) { return set(s->var, value(s->value)); }
    std::size_t operator()(const IntSet* s) { return set(s->var, value(s->value)); }
    std::size_t operator()(const IntLoad*);
    std::size_t operator()(const IntMin* s) { return set(s->var, std::min(value(s->a), value(s->b))); }
    std::size_t operator()(const IntPut*);
    std::size_t operator()(const IntGet*);
    std::size_t operator()(const Load*);
    std::size_t operator()(const Store*);
    std::size_t operator()(const LaneSum*);
    std::size_t operator()(const LaneGet*);
    std::size_t operator()(const SpreadSums*);
    std::size_t operator()(const ReduceStore*);
    std::size_t operator()(const Prefetch*);
    std::size_t operator()(const CopyLanes*);
    std::size_t operator()(const RingBegin*);
    std::size_t operator()(const StageFill*);
    std::size_t operator()(const AsyncCopy*);
    std::size_t operator()(const StageCommit*);
    std::size_t operator()(const StageWait*);
    std::size_t operator()(const StageNext*);
    std::size_t operator()(const WindowOpen*);
    std::size_t operator()(const WindowRead*);
    std::size_t operator()(const PartOfEdges*);
    std::size_t operator()(const RangeNumber*);
    std::size_t operator()(const BulkReduce*);
    std::size_t operator()(const BulkEnd*);
    std::size_t operator()(const ZerosReady*) { return next_; }
    std::size_t operator()(const TileProduct*);
    std::size_t operator()(const EdgeProduct*);
    std::size_t operator()(const SyncWarp*);

  private:
    struct Window {
        BufferId buffer = 0;
        std::int64_t next = 0, end = 0;
    };

    std::int64_t& integer(IntId id) { return site_.ints[static_cast<std::size_t>(id)]; }
    std::size_t set(IntId id, std::int64_t to) {
        integer(id) = to;
        return next_;
    }
    std::int64_t value(const Affine& a) const {
        std::int64_t sum = a.constant;
        for (const auto& [variable, factor] : a.terms) sum += factor * site_.ints[static_cast<std::size_t>(variable)];
        return sum;
    }
    T* row(RegId id) { return registers_.data() + static_cast<std::ptrdiff_t>(id) * lanes_; }
    bool uniform(RegId id) const { return plan_.task->registers[static_cast<std::size_t>(id)].uniform; }
    void resolve(const Access&, int lanes);
    T sum(RegId);
    T shared_number(const Access&, std::int64_t index, int lane);
    T copied_word(const AsyncCopy&, std::int64_t first, int lane);
    template <class Value>
    void store(const Access&, std::size_t components, StoreMode, int lanes, Value value);
    void check_distinct(const Access&, std::size_t components, int lanes);
    void copy_to_shared(const CopyLanes&);
    void copy_to_global(const CopyLanes&);
    std::vector<T> column(const BlockMatrix&, std::int64_t number);
    std::vector<T> tile_row(const TileProduct&, std::int64_t row, std::int64_t count);
    void product_row(const TileProduct&, const std::vector<std::vector<T>>& columns, const std::vector<T>& from, std::int64_t row);
    std::vector<std::vector<T>> columns(const BlockMatrix&);
    std::vector<T> global_row(BufferId, std::int64_t row, std::int64_t first, std::int64_t count);
    void to_tile(const EdgeProduct&, const std::vector<std::int64_t>& edges);
    void to_rows(const EdgeProduct&, const std::vector<std::int64_t>& edges);
    void to_matrix(const EdgeProduct&, const std::vector<std::int64_t>& edges);
    void put_product(const TileProduct&, std::int64_t row, std::int64_t column, double v);

    const Plan& plan_;
    GlobalMemory& global_;
    SharedState shared_;
    Site site_;
    int lanes_;
    std::size_t next_ = 0;  ///< the step after the one that runs
    std::uint32_t writer_ = 0;
    WarpRange range_{};
    std::vector<T> registers_, words_, scratch_;
    std::vector<std::int64_t> loop_ends_;
    std::vector<std::int64_t> elements_;  ///< of component 0, by lane
    std::vector<std::int64_t> seen_;
    std::vector<Window> windows_;
};

}  // namespace flashtp::interpreter
