#include "runtime/explain.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "ir/kernel.hpp"
#include "runtime/cost.hpp"
#include "runtime/launch_graph.hpp"
#include "runtime/launch_plan.hpp"

namespace flashtp {
namespace {

using Json = nlohmann::ordered_json;

Json operands_of(const Lowered& lowered, DType dtype) {
    Json operands = Json::array();
    for (const Operand& o : lowered.edge.operands) {
        operands.push_back({{"name", o.name},
                            {"role", to_string(o.role)},
                            {"row", to_string(o.row)},
                            {"width", o.width},
                            {"dtype", to_string(o.storage.value_or(dtype))}});
    }
    return operands;
}

std::int64_t chunks_of(const Kernel& kernel) {
    std::int64_t chunks = 0;
    for (const KernelTask& task : kernel.tasks) chunks += task.chunks;
    return chunks;
}

/// Device memory beyond inputs and outputs, which the caller provides.
Json memory_of(const Problem& problem, const Lowered& lowered) {
    Json memory = Json::array();
    if (lowered.kernels.empty() || lowered.kernels[0].target.platform != Platform::cuda) return memory;
    if (problem.convolution) memory.push_back({{"name", "receiver index"}, {"bytes_per_edge", 8}, {"bytes_per_receiver", 4}});
    const bool by_sender = std::ranges::any_of(lowered.kernels, [](const Kernel& kernel) { return kernel.sums == Row::sender; });
    if (by_sender) memory.push_back({{"name", "sender index"}, {"bytes_per_edge", 4}, {"bytes_per_sender", 4}});
    for (const Operand& parts : lowered.tiles) {
        const std::int64_t bytes = parts.width * static_cast<std::int64_t>(size_of(problem.dtype));
        const std::int64_t ranges = parts.row == Row::shared ? lowered.kernels[0].most_ranges : 0;
        memory.push_back({{"name", parts.name}, {fmt::format("bytes_per_{}", ranges ? "range" : to_string(parts.row)), bytes}});
        if (ranges) memory.back()["most_ranges"] = ranges;
    }
    return memory;
}

/// What a call puts on its stream.
std::string launches_of(const LaunchPlan& plan) {
    if (plan.windows()) return fmt::format("one kernel after the other, for a window of {} edges at a time", plan.tile_edges);
    return fmt::format("a CUDA graph of zeroing and {} kernel{}, on {} streams at a time; kernel by kernel where nothing is zeroed, on other streams and in captures",
                       plan.kernels.size(), plan.kernels.size() == 1 ? "" : "s", streams_with_graphs);
}

std::string_view copy_name(CopyMechanism copy) {
    switch (copy) {
    case CopyMechanism::barrier: return "bulk copies on a barrier a stage";
    case CopyMechanism::groups: return "cp.async groups";
    case CopyMechanism::plain: return "plain loads";
    }
    return "";
}

void add_launch(Json& json, const Kernel& kernel) {
    const Row rows = facts_of(kernel).rows;
    json["rows"] = rows == Row::shared ? "ranges of rows" : fmt::format("{}s", to_string(rows));
    json["tasks"] = kernel.tasks.size();
    json["task_chunks"] = chunks_of(kernel);
    json["lanes"] = kernel.lanes;
    if (kernel.target.platform != Platform::cuda) return;
    json["warps_per_block"] = kernel.warps_per_block;
    json["rows_per_warp"] = kernel.rows_per_warp;
    json["ring_stages"] = kernel.stages;
    if (kernel.stages > 0)
        for (const KernelTask& task : kernel.tasks) json["ring_copies"].push_back(copy_name(task.copy));
    json["shared_bytes_per_block"] = shared_bytes(kernel);
}

void add_compiled(Json& json, const Kernel& kernel, const CompiledKernel& compiled) {
    json["key"] = compiled.key;
    json["code_bytes"] = compiled.artifact->code.size();
    if (kernel.target.platform != Platform::cuda) return;
    const Occupancy occupancy = occupancy_of(kernel, compiled.artifact->registers);
    json["registers"] = compiled.artifact->registers;
    json["spill_bytes"] = compiled.artifact->spill_bytes;
    json["occupancy"] = fmt::format("{} of {} warps a multiprocessor, limited by {}", occupancy.warps, occupancy.most_warps,
                                    occupancy.limited_by);
}

Json kernels_of(const Lowered& lowered, const std::vector<CompiledKernel>& compiled) {
    Json kernels = Json::array();
    for (std::size_t k = 0; k < lowered.kernels.size(); ++k) {
        Json json{{"name", lowered.kernels[k].name}};
        add_launch(json, lowered.kernels[k]);
        if (k < compiled.size()) add_compiled(json, lowered.kernels[k], compiled[k]);
        kernels.push_back(std::move(json));
    }
    return kernels;
}

/// Differences of costs, so that what is paid once does not count.
Json cost_json(const Problem& problem, const Lowered& lowered) {
    const Cost none = cost_of(problem, lowered, 0, 0), edge = cost_of(problem, lowered, 1, 0),
               node = cost_of(problem, lowered, 0, 1);
    const OperationCount count = count_operations(lowered.edge);
    Json json{{"multiply_adds_per_edge", count.channel + count.once},
              {"sums_over_lanes_per_edge", count.lane_sums},
              {"bytes_per_edge", static_cast<std::int64_t>(edge.bytes - none.bytes)}};
    if (problem.convolution) json["bytes_per_node"] = static_cast<std::int64_t>(node.bytes - none.bytes);
    return json;
}

std::string scalar_text(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// Short objects on one line: "x  input  sender  704  float32" would need heads, so names stay.
bool fits_one_line(const Json& object) {
    return object.size() <= 5 && std::ranges::none_of(object, [](const Json& value) { return value.is_structured(); });
}

std::string one_line(const Json& object) {
    std::string line;
    for (const auto& [key, value] : object.items()) line += (line.empty() ? "" : ", ") + key + " " + scalar_text(value);
    return line;
}

void write(const Json& json, int indent, std::string& text) {
    const std::string margin(static_cast<std::size_t>(indent), ' ');
    for (const auto& [key, value] : json.items()) {
        std::string name = key;
        std::ranges::replace(name, '_', ' ');
        if (value.is_object()) {
            text += margin + name + ":\n";
            write(value, indent + 2, text);
        } else if (value.is_array() && !value.empty() && value[0].is_object()) {
            text += margin + name + ":\n";
            for (const Json& item : value) {
                if (fits_one_line(item)) {
                    text += margin + "  - " + one_line(item) + "\n";
                    continue;
                }
                std::string block;
                write(item, indent + 4, block);
                block.replace(static_cast<std::size_t>(indent) + 2, 1, "-");
                text += block;
            }
        } else {
            text += margin + name + ": " + scalar_text(value) + "\n";
        }
    }
}

}  // namespace

Occupancy occupancy_of(const Kernel& kernel, int registers) {
    // CUDA C++ Programming Guide, "Technical Specifications per Compute Capability": 64 K registers, given to a warp in units of
    // 256; 64 warps, 48 on 8.6, 8.9 and 12.0; 32 blocks, 16 or 24 there; a block's shared memory costs 1 KiB more than it uses.
    const int capability = kernel.target.compute_capability;
    const bool small = capability == 86 || capability == 89 || capability == 120;
    Occupancy occupancy{.most_warps = small ? 48 : 64};
    const int registers_per_warp = std::max(1, (registers * 32 + 255) / 256 * 256);
    const int by_registers = 65536 / registers_per_warp / kernel.warps_per_block;
    const int by_warps = std::min(occupancy.most_warps / kernel.warps_per_block, small ? 16 : 32);
    const std::int64_t shared = shared_bytes(kernel) + 1024;
    const int by_shared = static_cast<int>(kernel.target.shared_bytes_per_multiprocessor / shared);
    occupancy.blocks = std::min({by_registers, by_warps, by_shared});
    occupancy.warps = occupancy.blocks * kernel.warps_per_block;
    occupancy.limited_by = by_warps == occupancy.blocks       ? "warps"
                           : by_registers == occupancy.blocks ? "registers"
                                                              : "shared memory";
    return occupancy;
}

nlohmann::ordered_json explanation(const Problem& problem, const Request& request, const Target& target, const Lowered& lowered,
                                   const std::vector<CompiledKernel>& compiled, const std::string& tuned) {
    Json json{{"supported", true},
              {"layer", problem.name},
              {"request", to_string(request)},
              {"target", target.name},
              {"paths", lowered.paths.paths.size()},
              {"reason", lowered.schedule.reason},
              {"tuned", tuned.empty() ? "no" : tuned},
              {"factoring", lowered.schedule.factoring},
              {"cost", cost_json(problem, lowered)},
              {"operands", operands_of(lowered, problem.dtype)},
              {"memory", memory_of(problem, lowered)},
              {"kernels", kernels_of(lowered, compiled)}};
    if (target.platform == Platform::cuda) json["launches"] = launches_of(plan_of(lowered, problem.dtype));
    return json;
}

std::string explanation_text(const nlohmann::ordered_json& explanation) {
    std::string text;
    write(explanation, 0, text);
    return text;
}

}  // namespace flashtp
