#include "programs.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <unordered_map>

#include "names.hpp"
#include "nvrtc.hpp"
#include "problems.hpp"

namespace flashtp::torch_operators {
namespace {

struct HashKey {
    std::size_t operator()(const ProgramKey& key) const {
        const auto& [problem, order, outputs, absent] = key.request;
        const auto where = static_cast<std::int64_t>(key.size) + 4 * (key.device + 1);
        const auto rest = static_cast<std::size_t>(order + 4 * outputs + 512 * absent + 65536 * where);
        return (static_cast<std::size_t>(problem) << 32 ^ (8 * rest + static_cast<std::size_t>(key.types.x) + 2 * static_cast<std::size_t>(key.types.y) +
                                                                           3 * static_cast<std::size_t>(key.types.w))) *
               0x9e3779b97f4a7c15u;
    }
};

struct Programs {
    std::shared_mutex mutex;
    std::unordered_map<ProgramKey, std::unique_ptr<CompiledProgram>, HashKey> compiled;
};

/// Never destroyed, like the engine.
Programs& programs() {
    static auto* const all = new Programs;
    return *all;
}

std::unique_ptr<CompiledProgram> compile(const ProgramKey& key, std::int64_t edges) {
    if (key.device >= 0) load_nvrtc_of_torch();
    const int order = static_cast<int>(key.request.order);
    const std::string problem = with_types(problem_text(key.request.problem), key.types);
    const OrderNames& names = names_of(order, key.sources);
    const std::string outputs = chosen(names.outputs, key.request.outputs);
    const std::string absent = chosen(std::span(names.inputs).subspan(names.first_optional), key.request.absent);
    flashtp_request request{};
    request.size = sizeof request;
    request.problem = problem.c_str();
    request.order = order;
    request.outputs = outputs.c_str();
    request.absent = absent.c_str();
    request.target = key.device < 0 ? "cpu" : "cuda";
    request.edges = edges;
    auto program = std::make_unique<CompiledProgram>();
    check(flashtp_compile(engine(), &request, &program->handle));
    std::int32_t count = 0;
    check(flashtp_program_operand_count(program->handle, &count));
    for (std::int32_t i = 0; i < count; ++i) {
        flashtp_operand operand{};
        operand.size = sizeof operand;
        check(flashtp_program_operand(program->handle, i, &operand));
        (operand.role == FLASHTP_INPUT ? program->inputs : program->outputs).push_back(operand);
        program->width += operand.width;
    }
    check(flashtp_program_prepare(program->handle));
    return program;
}

}  // namespace

void check(flashtp_status status) {
    if (status == FLASHTP_OK) return;
    throw std::runtime_error(std::string("flashtp: ") + flashtp_last_message());
}

flashtp_engine* engine() {
    static flashtp_engine* const only = [] {
        flashtp_engine* made = nullptr;
        check(flashtp_engine_create(nullptr, &made));
        return made;
    }();
    return only;
}

const CompiledProgram& program_for(const ProgramKey& key, std::int64_t edges) {
    Programs& all = programs();
    {
        const std::shared_lock lock(all.mutex);
        if (const auto found = all.compiled.find(key); found != all.compiled.end()) return *found->second;
    }
    // Two threads may compile the same program: the engine does so once, and the first to return wins.
    std::unique_ptr<CompiledProgram> program = compile(key, edges);
    const std::unique_lock lock(all.mutex);
    return *all.compiled.try_emplace(key, std::move(program)).first->second;
}

}  // namespace flashtp::torch_operators
