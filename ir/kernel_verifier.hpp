// Checks a task statement by statement: kernel_verify.cpp has declarations and arithmetic, kernel_verify_memory.cpp what touches memory.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/error.hpp"
#include "ir/kernel.hpp"
#include "ir/kernel_print.hpp"
#include "ir/kernel_scope.hpp"

namespace flashtp {

class TaskVerifier {
  public:
    TaskVerifier(const Kernel& kernel, const KernelTask& task)
        : kernel_(kernel), task_(task), ints_(task.ints.size()), registers_(task.registers.size()) {}

    void run() {
        check_declarations();
        for (const IntId id : {int_chunk, int_row_begin, int_row_end}) ints_.declare(id);
        block(task_.body);
    }

    void operator()(const Comment&) {}
    void operator()(const IntLet& s) { read(s.value), declare_int(s.var); }
    void operator()(const IntSet& s) { read(s.value), assign_int(s.var); }
    void operator()(const IntLoad& s);
    void operator()(const IntMin& s) { read(s.a), read(s.b), declare_or_assign(s.var); }
    void operator()(const IntPut& s) { read_int(s.value), read(s.at), check_span(s.shared, s.at, 0, 0); }
    void operator()(const IntGet& s) { declare_int(s.var), read(s.at), check_span(s.shared, s.at, 0, 0); }
    void operator()(const For&);
    void operator()(const If&);
    void operator()(const Move& s) { compute(s.dst, {&s.src}); }
    void operator()(const Mul& s) { compute(s.dst, {&s.a, &s.b}); }
    void operator()(const Fma& s) { compute(s.dst, {&s.a, &s.b, &s.c}); }
    void operator()(const Load&);
    void operator()(const Store&);
    void operator()(const LaneSum&);
    void operator()(const LaneGet&);
    void operator()(const SpreadSums&);
    void operator()(const ReduceStore&);
    void operator()(const Prefetch&);
    void operator()(const CopyLanes&);
    void operator()(const RingBegin&) { require_ring(); }
    void operator()(const StageFill&);
    void operator()(const AsyncCopy&);
    void operator()(const StageCommit& s) { require_ring(), read_int(s.stage); }
    void operator()(const StageWait&);
    void operator()(const StageNext&);
    void operator()(const WindowOpen&);
    void operator()(const WindowRead&);
    void operator()(const BulkReduce&);
    void operator()(const BulkEnd&) {}
    void operator()(const RangeNumber& s) {
        require(kernel_.target.platform == Platform::cuda && kernel_.most_ranges > 0, "only ranges of a launch that cuts rows have numbers");
        declare_int(s.var);
    }
    void operator()(const PartOfEdges& s) {
        require(kernel_.receiver_rows && kernel_.target.platform == Platform::cuda, "only receivers on a GPU are split");
        assign_int(s.begin), assign_int(s.end);
    }
    void operator()(const ZerosReady&) { zeros_ready_ = true; }
    void operator()(const TileProduct&);
    void operator()(const EdgeProduct&);
    void operator()(const SyncWarp&) {}

  private:
    template <class... Args>
    [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
        internal_error("kernel {}, task {}: {}\n  at: {}\n{}", kernel_.name, task_.name,
                       fmt::format(format, std::forward<Args>(args)...),
                       at_ ? statement_text(kernel_, task_, *at_) : "declarations", excerpt(kernel_, task_, at_));
    }
    void require(bool holds, std::string_view rule) const {
        if (!holds) fail("{}", rule);
    }
    void check_declarations();
    void check_matrix(const BlockMatrix&) const;
    void block(const Block&);

    void read_int(IntId);
    void declare_int(IntId);
    void assign_int(IntId);
    void declare_or_assign(IntId id) { ints_.has(id) && ints_.visible(id) ? assign_int(id) : declare_int(id); }
    void read(const Affine&);
    void read_register(RegId);
    void write_register(RegId);
    void read_all(const std::vector<RegId>&);
    void compute(RegId dst, std::initializer_list<const Arg*>);
    bool uniform(RegId id) const { return task_.registers[static_cast<std::size_t>(id)].uniform; }
    void one_kind(const std::vector<RegId>&);

    const Buffer& buffer(BufferId) const;
    const Buffer& operand(BufferId) const;
    void check_integers(BufferId, bool null_allowed) const;
    void check_access(const Access&, std::size_t components, bool uniform);
    void check_table(const Access&) const;
    void check_span(SharedId, const Affine& base, std::int64_t first, std::int64_t last, std::int64_t in_a_word = 1) const;
    std::int64_t in_a_word(DType) const;
    void reads_global(BufferId) const;
    void writes_global(BufferId, StoreMode) const;
    void written(const Access&, StoreMode) const;
    void check_teams(const For&) const;
    void check_async(SharedId, const Affine& shared, BufferId, const Affine& global, std::int64_t count, std::int64_t unit);
    void require_ring() const { require(kernel_.stages > 0, "the kernel has no ring"); }

    const Kernel& kernel_;
    const KernelTask& task_;
    const KernelStatement* at_ = nullptr;
    Scope ints_, registers_;
    std::vector<IntId> fixed_;  ///< variables and ends of the loops around the statement
    std::vector<bool> windows_open_;
    bool zeros_ready_ = false;
    std::optional<std::vector<std::int64_t>> divisors_;  ///< of the integers, once an asynchronous copy asks
};

}  // namespace flashtp
