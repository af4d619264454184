// One task of a kernel as a C function; see emit_c.hpp. Statements and memory are in task_printer.cpp and print_memory.cpp, what is
// asynchronous in print_async.cpp.
#pragma once

#include <string>
#include <vector>

#include "codegen/dialect.hpp"
#include "codegen/int_types.hpp"
#include "codegen/names.hpp"
#include "codegen/source_writer.hpp"
#include "ir/kernel.hpp"

namespace flashtp {

inline constexpr int warp_size = 32;

std::string_view c_type(DType);
/// The shortest literal that reads back as the same number of the type; throws InternalError for one that is not finite.
std::string c_literal(double, DType);
/// `const float* __restrict__ x`, for a function's parameter list.
std::string c_parameter(const Buffer&, const std::string& name, const Dialect&);
/// Whether matrices have to be in shared memory when the task begins.
bool loads_matrices(const KernelTask&);
/// Statements by which the threads of a block load a task's matrices to the start of `shared_memory`.
std::vector<std::string> matrix_loads(const KernelTask&, const std::vector<std::string>& buffers, const std::string& chunk);

/// Prints a function that takes the buffers that are arguments, then chunk, row_begin, row_end, then with threads lane, region and
/// barriers, otherwise region.
class TaskPrinter {
  public:
    /// `buffers` are the names of the kernel's buffers; `names` holds them and what else the function may not hide.
    TaskPrinter(const Kernel&, const KernelTask&, const Dialect&, const std::vector<std::string>& buffers, Names names,
                SourceWriter&);
    void print(const std::string& function);

    void operator()(const Comment& s) { out_.comment(s.text); }
    void operator()(const IntLet& s) { set_int(s.var, sum(s.value)); }
    void operator()(const IntSet& s) { set_int(s.var, sum(s.value)); }
    void operator()(const IntLoad&);
    void operator()(const IntMin&);
    void operator()(const For&);
    void operator()(const If&);
    void operator()(const Move& s) { set_register(s.dst, arg(s.src)); }
    void operator()(const Mul& s) { set_register(s.dst, arg(s.a) + " * " + arg(s.b)); }
    void operator()(const Fma&);
    void operator()(const Load&);
    void operator()(const Store&);
    void operator()(const LaneSum&);
    void operator()(const LaneGet&);
    void operator()(const SpreadSums&);
    void operator()(const ReduceStore&);
    void operator()(const Prefetch&);
    void operator()(const IntPut&);
    void operator()(const IntGet&);
    void operator()(const CopyLanes&);
    void operator()(const RingBegin&);
    void operator()(const StageFill&);
    void operator()(const AsyncCopy&);
    void operator()(const StageCommit&);
    void operator()(const StageWait&);
    void operator()(const StageNext&);
    void operator()(const WindowOpen&);
    void operator()(const WindowRead&);
    void operator()(const BulkReduce&);
    void operator()(const BulkEnd&);
    void operator()(const PartOfEdges&);
    void operator()(const RangeNumber&);
    void operator()(const ZerosReady&);
    void operator()(const TileProduct&);
    void operator()(const EdgeProduct&);
    void operator()(const SyncWarp&);

  private:
    /// Where an access starts: the name, the lane's part and the variable part; components are at constant distances from it.
    struct Address {
        std::string start;
        std::int64_t constant = 0, component_stride = 1;
    };
    /// How a statement may write an address: `lvalue = v`, or f(pointer, v).
    struct Element {
        std::string lvalue, pointer;
    };

    void block(const Block&);
    bool issued_by_one_lane(const KernelStatement&) const;
    void over_teams(const For&);
    void bound_unrolling(const For&);
    void advance_windows(const Affine& position);

    // names and integers
    const std::string& name(IntId id) const { return ints_[static_cast<std::size_t>(id)]; }
    std::string term(IntId, std::int64_t factor) const;
    std::string sum(const Affine&, Place = Place::global) const;
    std::string terms(const Affine&, Place) const;
    void set_int(IntId, const std::string& value);
    std::string uniform(const std::string& value) const;

    // registers
    bool uniform(RegId id) const { return task_.registers[static_cast<std::size_t>(id)].uniform; }
    /// The arithmetic of the lanes is a loop here.
    bool is_array(RegId id) const { return !dialect_.threads && !uniform(id); }
    std::string value(RegId) const;
    std::string arg(const Arg&) const;
    std::string lane_loop(int lanes) const;
    void declare(RegId);
    void set_register(RegId, const std::string& value);

    // memory
    const Buffer& buffer(BufferId id) const { return kernel_.buffers[static_cast<std::size_t>(id)]; }
    std::string lane_part(const Access&) const;
    Address address(const Access&, bool uniform) const;
    Element element(const Address&, std::int64_t component) const;
    std::string read(const Element&, Place, int buffer) const;
    std::string write(const Element&, Place, int buffer, StoreMode, bool lanes_collide, const std::string& value) const;
    std::string own_write(const Element&, Place, int id, StoreMode, const std::string& v) const;
    /// Names the start of a multi-component access, so that it is printed once.
    Address named(const Address&, const Access&, bool constant);
    void reduce_run(const ReduceStore&, std::size_t first, std::size_t count);
    void lane_sums(const LaneSum&, std::size_t first, std::size_t count);
    std::string list(const std::vector<RegId>&, std::size_t first, std::size_t count) const;
    void for_elements(std::int64_t count, const std::string& body);
    std::string pointer(Place, int buffer, const Affine& base, int lane_stride = 0) const;
    Element copied(Place, int buffer, const Affine& base) const;
    std::string stage_barrier(IntId stage) const { return "barriers + " + name(stage); }

    const Kernel& kernel_;
    const KernelTask& task_;
    const Dialect& dialect_;
    const std::vector<std::string>& buffers_;
    SourceWriter& out_;
    Names names_;
    IntTypes types_;
    std::vector<std::string> ints_, registers_, shared_, windows_;
    /// Things declared by their first assignment in the enclosing blocks, by their unique names.
    std::set<std::string> declared_;
    std::vector<std::string> scope_;
    bool declare_once(const std::string& name);
    std::vector<int> read_windows_;    ///< by the statements just printed, at one position
    std::set<IntId> read_ahead_;       ///< loaded before they are used: what is made of them waits for them
    bool copying_ = false;             ///< lanes copy to shared memory since the last SyncWarp
    const For* over_teams_ = nullptr;  ///< the loop that is printed, where its iterations run on teams of lanes
    IntId filling_ = -1;  ///< the stage that asynchronous copies go to
};

}  // namespace flashtp
