#include "tests/support/cpu_kernel.hpp"

#include <iostream>

#include "ir/error.hpp"
#include "runtime/backend_llvm.hpp"

namespace flashtp::test {

bool have_llvm_backend() {
    try {
        host_cpu_target();
        return true;
    } catch (const CompileError& error) {
        std::cout << "SKIPPED: " << error.what() << '\n';
        return false;
    }
}

CpuKernelBuilder::CpuKernelBuilder(DType dtype, int lanes) {
    kernel.name = "test_kernel";
    kernel.target = host_cpu_target();
    kernel.compute = dtype;
    kernel.lanes = lanes;
}

BufferId CpuKernelBuilder::operand(const std::string& name, DType dtype) {
    Buffer buffer;
    buffer.name = name;
    buffer.dtype = dtype;
    kernel.buffers.push_back(buffer);
    return static_cast<BufferId>(kernel.buffers.size()) - 1;
}

BufferId CpuKernelBuilder::index(const std::string& name) {
    const BufferId id = operand(name);
    kernel.buffers[id].kind = BufferKind::index;
    return id;
}

BufferId CpuKernelBuilder::table(const std::string& name, std::vector<std::int32_t> entries) {
    const BufferId id = operand(name);
    kernel.buffers[id].kind = BufferKind::table;
    kernel.buffers[id].table = std::move(entries);
    return id;
}

KernelTask& CpuKernelBuilder::task(std::int64_t chunks) {
    KernelTask& task = kernel.tasks.emplace_back();
    task.name = "task";
    task.chunks = chunks;
    task.ints = {"chunk", "row_begin", "row_end"};
    return task;
}

IntId CpuKernelBuilder::integer(const std::string& name) {
    kernel.tasks.back().ints.push_back(name);
    return static_cast<IntId>(kernel.tasks.back().ints.size()) - 1;
}

RegId CpuKernelBuilder::reg(bool uniform) {
    std::vector<Register>& registers = kernel.tasks.back().registers;
    registers.push_back({"r" + std::to_string(registers.size()), uniform});
    return static_cast<RegId>(registers.size()) - 1;
}

std::vector<RegId> CpuKernelBuilder::regs(int count, bool uniform) {
    std::vector<RegId> ids;
    for (int i = 0; i < count; ++i) ids.push_back(reg(uniform));
    return ids;
}

Access global(BufferId buffer, Affine base, std::int64_t lane_stride, std::int64_t component_stride, int active) {
    Access access;
    access.buffer = buffer;
    access.base = std::move(base);
    access.lane_stride = lane_stride;
    access.component_stride = component_stride;
    access.active = active;
    return access;
}

CompiledKernel::CompiledKernel(const Kernel& kernel) : backend_(make_llvm_backend()) {
    const Artifact artifact = backend_->compile(kernel, backend_->source(kernel));
    module_ = backend_->load(facts_of(kernel), artifact);
}

void CompiledKernel::run(const std::vector<void*>& buffers, std::int64_t begin, std::int64_t end) const {
    LaunchArguments arguments;
    arguments.buffers = buffers;
    module_->launch(arguments, begin, end);
}

}  // namespace flashtp::test
