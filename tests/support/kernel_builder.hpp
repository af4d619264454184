// Kernels by hand, a line a construct, and memory to run them on.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "ir/error.hpp"
#include "ir/interpret.hpp"
#include "ir/kernel.hpp"

namespace flashtp::test {

using Floats = std::vector<float>;

inline Floats count_up(std::size_t size, float first = 0) {
    Floats values(size);
    for (float& v : values) v = first++;
    return values;
}

/// A block of the given statements.
template <class... Nodes>
Block block(Nodes&&... nodes) {
    Block b;
    (b.push_back(KernelStatement{std::forward<Nodes>(nodes)}), ...);
    return b;
}

inline Affine times(IntId variable, std::int64_t factor) { return Affine::of(variable, factor); }

/// One task on a GPU with few lanes, so that expected numbers can be written down.
class KernelBuilder {
  public:
    explicit KernelBuilder(int lanes = 4) {
        kernel.name = "k";
        kernel.target.platform = Platform::cuda;
        kernel.target.name = "sm_90a";
        kernel.target.compute_capability = 90;
        kernel.lanes = lanes;
        kernel.tasks.resize(1);
        task().name = "t";
        task().ints = {"chunk", "row_begin", "row_end"};
        task().body = block(ZerosReady{});
    }

    Kernel kernel;

    KernelTask& task() { return kernel.tasks.front(); }
    template <class... Nodes>
    KernelBuilder& then(Nodes&&... nodes) {
        (task().body.push_back(KernelStatement{std::forward<Nodes>(nodes)}), ...);
        return *this;
    }

    BufferId input(const std::string& name, std::int64_t width = 1, Row row = Row::edge) {
        return operand({name, width, row, Role::input});
    }
    BufferId output(const std::string& name, std::int64_t width = 1, Row row = Row::edge) {
        return operand({name, width, row, Role::output});
    }
    /// An output that warps add to.
    BufferId sum(const std::string& name, std::int64_t width = 1, Row row = Row::sender) {
        const BufferId id = output(name, width, row);
        buffer(id).zeroed = buffer(id).shared_rows = true;
        return id;
    }
    BufferId index(const std::string& name) { return add({.name = name, .kind = BufferKind::index, .operand = {}, .table = {}}); }
    BufferId table(const std::string& name, std::vector<std::int32_t> values) {
        return add({.name = name, .kind = BufferKind::table, .operand = {}, .table = std::move(values)});
    }
    Buffer& buffer(BufferId id) { return kernel.buffers[static_cast<std::size_t>(id)]; }

    IntId integer(const std::string& name) {
        task().ints.push_back(name);
        return static_cast<IntId>(task().ints.size()) - 1;
    }
    RegId reg(const std::string& name) { return add(Register{name, false}); }
    RegId uniform(const std::string& name) { return add(Register{name, true}); }
    /// Behind the shared buffers so far.
    SharedId shared(const std::string& name, std::int64_t size) {
        task().shared.push_back({name, kernel.shared_elements, size});
        kernel.shared_elements += size;
        return static_cast<SharedId>(task().shared.size()) - 1;
    }

    /// All lanes, one element apart unless told otherwise.
    Access global(BufferId id, Affine base, std::int64_t lane_stride = 1, std::int64_t component_stride = 1) const {
        return {Place::global, id, std::move(base), lane_stride, component_stride, kernel.lanes, {}, {}};
    }
    Access local(SharedId id, Affine base, std::int64_t lane_stride = 1, std::int64_t component_stride = 1) const {
        return {Place::shared, id, std::move(base), lane_stride, component_stride, kernel.lanes, {}, {}};
    }
    static Access masked(Access a, int active) {
        a.active = active;
        return a;
    }
    static Access through(Access a, BufferId table, Affine table_base) {
        a.table = table;
        a.table_base = std::move(table_base);
        return a;
    }

  private:
    BufferId operand(Operand o) {
        Buffer b;
        b.name = o.name;
        b.dtype = kernel.compute;
        b.operand = std::move(o);
        return add(std::move(b));
    }
    BufferId add(Buffer b) {
        kernel.buffers.push_back(std::move(b));
        return static_cast<BufferId>(kernel.buffers.size()) - 1;
    }
    RegId add(Register r) {
        task().registers.push_back(std::move(r));
        return static_cast<RegId>(task().registers.size()) - 1;
    }
};

/// Arguments of a launch, in the order of the kernel's buffers.
class Launch {
  public:
    explicit Launch(std::int64_t rows, int rows_per_warp = 0) {
        arguments_.rows = rows;
        arguments_.rows_per_warp = rows_per_warp;
    }
    Launch(const Launch&) = delete;  // the arguments point into it

    Launch& floats(std::vector<float> values) {
        floats_.push_back(std::move(values));
        arguments_.buffers.push_back({floats_.back().data(), size(floats_.back())});
        return *this;
    }
    Launch& doubles(std::vector<double> values) {
        doubles_.push_back(std::move(values));
        arguments_.buffers.push_back({doubles_.back().data(), size(doubles_.back())});
        return *this;
    }
    Launch& indices(std::vector<std::int32_t> values) {
        indices_.push_back(std::move(values));
        arguments_.buffers.push_back({indices_.back().data(), size(indices_.back())});
        return *this;
    }
    Launch& null() {
        arguments_.buffers.push_back({});
        return *this;
    }
    Launch& incomplete() {
        arguments_.complete_outputs = false;
        return *this;
    }
    Launch& run(const Kernel& kernel) {
        interpret(kernel, arguments_);
        return *this;
    }

    /// The n-th of the float (double) buffers.
    const std::vector<float>& floats_of(std::size_t n) const { return floats_.at(n); }
    const std::vector<double>& doubles_of(std::size_t n) const { return doubles_.at(n); }

  private:
    template <class Values>
    static std::int64_t size(const Values& v) {
        return static_cast<std::int64_t>(v.size());
    }

    InterpreterArguments arguments_;
    std::deque<std::vector<float>> floats_;
    std::deque<std::vector<double>> doubles_;
    std::deque<std::vector<std::int32_t>> indices_;
};

/// The message of the internal error that the call throws, or "(no error)".
template <class Function>
std::string internal_error_of(Function function) {
    try {
        function();
    } catch (const InternalError& error) {
        return error.what();
    }
    return "(no error)";
}

}  // namespace flashtp::test
