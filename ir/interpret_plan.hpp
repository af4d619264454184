// A task's block as a flat list of steps: arithmetic in dense runs, control flow as jumps, all else as it stands in the kernel.
#pragma once

#include <variant>
#include <vector>

#include "ir/kernel.hpp"

namespace flashtp::interpreter {

/// Move, Mul or Fma on rows of the register file; literals have rows behind the registers.
struct Arithmetic {
    enum Kind : int { move, mul, fma } kind;
    int dst, a, b, c;
};
struct ArithmeticRun {
    std::size_t begin, end;
};
struct LoopHead {
    const For* loop;
    std::size_t slot, exit;
};
struct LoopTail {
    const For* loop;
    std::size_t slot, body;
};
struct Branch {
    const If* condition;
    std::size_t exit;
};

using Step = std::variant<ArithmeticRun, LoopHead, LoopTail, Branch, const IntLet*, const IntSet*, const IntLoad*, const IntMin*, const IntPut*, const IntGet*,
                          const Load*, const Store*, const LaneSum*, const LaneGet*, const SpreadSums*, const ReduceStore*, const CopyLanes*, const RingBegin*,
                          const StageFill*, const AsyncCopy*, const StageCommit*, const StageWait*, const StageNext*,
                          const Prefetch*, const WindowOpen*, const WindowRead*, const PartOfEdges*, const RangeNumber*, const BulkReduce*, const BulkEnd*, const ZerosReady*, const TileProduct*, const EdgeProduct*, const SyncWarp*>;

/// Points into the kernel it was made of.
struct Plan {
    const Kernel* kernel;
    const KernelTask* task;
    std::vector<Step> steps;
    std::vector<const KernelStatement*> sources;  ///< of each step
    std::vector<Arithmetic> arithmetic;
    std::vector<double> literals;
    std::size_t loops = 0;
};

Plan make_plan(const Kernel&, const KernelTask&);

/// Rows of `lanes` numbers each. The compute type's fma, rounded once.
template <class T>
void run_arithmetic(const Arithmetic* begin, const Arithmetic* end, T* registers, int lanes);
extern template void run_arithmetic(const Arithmetic*, const Arithmetic*, float*, int);
extern template void run_arithmetic(const Arithmetic*, const Arithmetic*, double*, int);

}  // namespace flashtp::interpreter
