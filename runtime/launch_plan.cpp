#include "runtime/launch_plan.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "compiler/tile_places.hpp"
#include "ir/error.hpp"

namespace flashtp {

// Enumerators are stored as numbers: a plan is only read by the version of the library that wrote it.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(KernelFacts, name, receiver_rows, windows, rows, most_ranges, adds_parts, only_sums, adds_shared, shares_edges, lanes, warps_per_block, rows_per_warp, arguments,
                                   chunks, shared_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ProgramOperand, name, role, row, width, dtype, used)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TileUse, kernel, argument, tile, zeroed)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OutputRule, operand, row, width, dtype, zeroed, shared_rows)

namespace {

void check(bool holds, std::string_view what) {
    if (!holds) user_error("its launch plan has {}", what);
}

template <class Enum>
bool is_one_of(Enum value, std::initializer_list<Enum> all) {
    return std::ranges::find(all, value) != all.end();
}

bool is_row(Row row) { return is_one_of(row, {Row::edge, Row::sender, Row::receiver, Row::shared}); }
bool is_dtype(DType dtype) { return is_one_of(dtype, {DType::float32, DType::float64, DType::bfloat16, DType::float16}); }

void check_kernel(const KernelFacts& kernel, const ArgumentList& arguments, int operands) {
    check(kernel.lanes > 0 && kernel.warps_per_block > 0 && kernel.rows_per_warp > 0, "a kernel without lanes, warps or rows");
    check(kernel.chunks >= 0 && kernel.shared_bytes >= 0, "a kernel of negative size");
    check(is_row(kernel.rows) && kernel.most_ranges >= 0, "a kernel of no known rows");
    check(kernel.arguments == static_cast<int>(arguments.sources().size()), "a kernel with other arguments than it takes");
    for (const int source : arguments.sources()) check(source >= ArgumentList::least_source && source < operands, "an unknown argument");
}

void check_operands(const std::vector<ProgramOperand>& operands) {
    for (const ProgramOperand& o : operands) {
        check(is_row(o.row) && is_dtype(o.dtype) && is_one_of(o.role, {Role::input, Role::output}), "an operand of no known kind");
        check(o.width >= 0, "an operand of negative width");
    }
}

/// Every argument that is a tile is placed, and nothing else.
void check_tiles(const LaunchPlan& plan) {
    const int operands = static_cast<int>(plan.operands.size());
    std::size_t arguments = 0;
    for (const ArgumentList& list : plan.arguments)
        arguments += static_cast<std::size_t>(std::ranges::count_if(list.sources(), [&](int source) { return source >= operands; }));
    check(plan.tile_uses.size() == arguments, "tiles that are not placed");
    check(plan.tiles.empty() || plan.tile_edges > 0 || plan.deterministic, "tiles without edges");
    check(plan.tile_places.size() == plan.tiles.size(), "tiles without places");
    for (const std::size_t place : plan.tile_places) check(place < plan.tiles.size() && plan.tile_places[place] == place, "a tile in no place");
    for (const TileUse& use : plan.tile_uses) {
        check(use.kernel < plan.arguments.size() && use.tile < plan.tiles.size(), "an unknown tile");
        const std::vector<int>& sources = plan.arguments[use.kernel].sources();
        const bool placed = use.argument < sources.size() && sources[use.argument] == operands + static_cast<int>(use.tile);
        check(placed, "a tile in the place of another argument");
    }
}

void check_plan(const LaunchPlan& plan) {
    const int operands = static_cast<int>(plan.operands.size()), all = operands + static_cast<int>(plan.tiles.size());
    check_operands(plan.operands);
    check_operands(plan.tiles);
    for (const OutputRule& rule : plan.outputs) {
        check(rule.operand >= 0 && rule.operand < operands && is_row(rule.row) && is_dtype(rule.dtype), "an unknown output");
        check(rule.width == plan.operands[static_cast<std::size_t>(rule.operand)].width, "an output of another width");
    }
    check(plan.kernels.size() == plan.arguments.size(), "kernels without arguments");
    check(plan.kernels.empty() || plan.kernels[0].rows != Row::shared, "a first kernel that adds up another's parts");
    for (std::size_t k = 0; k < plan.kernels.size(); ++k) check_kernel(plan.kernels[k], plan.arguments[k], all);
    check_tiles(plan);
}

}  // namespace

KernelFacts facts_of(const Kernel& kernel) {
    const Row rows = kernel.sums.value_or(kernel.receiver_rows ? Row::receiver : Row::edge);
    const bool stored_weights = !kernel.windows && matrix_bytes(kernel) == 0;
    KernelFacts facts{.name = kernel.name,
                      .receiver_rows = kernel.receiver_rows,
                      .windows = kernel.windows,
                      .rows = rows,
                      .most_ranges = kernel.most_ranges,
                      .only_sums = kernel.receiver_rows && stored_weights,
                      .shares_edges = shares_edges(kernel),
                      .lanes = kernel.lanes,
                      .warps_per_block = kernel.warps_per_block,
                      .rows_per_warp = kernel.rows_per_warp};
    for (const KernelTask& task : kernel.tasks) facts.chunks += task.chunks;
    for (const Buffer& buffer : kernel.buffers) {
        facts.arguments += buffer.kind != BufferKind::table;
        facts.adds_shared |= buffer.shared_rows && buffer.operand && buffer.operand->row == Row::shared;
        facts.adds_parts |= added_by_parts(kernel, buffer);
        facts.only_sums &= !buffer.operand || buffer.operand->role == Role::input || added_by_parts(kernel, buffer);
    }
    if (kernel.target.platform == Platform::cuda) facts.shared_bytes = shared_bytes(kernel);
    return facts;
}

namespace {

std::vector<ProgramOperand> outside(const std::vector<Operand>& operands, DType dtype) {
    std::vector<ProgramOperand> all;
    for (const Operand& o : operands) all.push_back({o.name, o.role, o.row, o.width, o.storage.value_or(dtype), o.role == Role::output});
    return all;
}

void add_kernel(LaunchPlan& plan, const Kernel& kernel, const std::vector<Operand>& operands_and_tiles) {
    const std::size_t number = plan.kernels.size();
    plan.kernels.push_back(facts_of(kernel));
    const std::vector<int>& sources = plan.arguments.emplace_back(kernel, operands_and_tiles).sources();
    for (std::size_t a = 0; a < sources.size(); ++a) {
        if (sources[a] < 0) continue;
        const auto at = static_cast<std::size_t>(sources[a]);
        if (at < plan.operands.size()) {
            plan.operands[at].used = true;
            continue;
        }
        const auto buffer = std::ranges::find(kernel.buffers, operands_and_tiles[at].name, &Buffer::name);
        plan.tile_uses.push_back({number, a, at - plan.operands.size(), buffer->zeroed});
    }
}

}  // namespace

bool LaunchPlan::windows() const { return std::ranges::any_of(kernels, &KernelFacts::windows); }

LaunchPlan plan_of(const Lowered& lowered, DType dtype) {
    LaunchPlan plan;
    const std::vector<Operand>& operands = lowered.edge.operands;
    plan.operands = outside(operands, dtype);
    plan.tiles = outside(lowered.tiles, dtype);
    plan.tile_places = tile_places(lowered.kernels, lowered.tiles);
    plan.tile_edges = lowered.schedule.tile_edges;
    for (const Kernel& kernel : lowered.kernels) add_kernel(plan, kernel, operands_and_tiles(lowered));
    plan.outputs = output_rules(lowered.kernels, operands, dtype);
    plan.deterministic = lowered.schedule.deterministic;
    return plan;
}

// The kernels of a shared row's sum come in pairs: the first one cuts the ranges of the program's kernels into fewer, the second one adds
// these up.
std::int64_t LaunchPlan::rows_of(std::size_t kernel, const GraphView& graph) const {
    const KernelFacts& facts = kernels[kernel];
    if (facts.rows != Row::shared) return graph.rows(facts.rows);
    return ranges_of(facts.most_ranges > 1 ? 0 : kernel - 1, graph);
}

int LaunchPlan::rows_per_warp(std::size_t kernel, const GraphView& graph) const {
    const std::int64_t ranges = kernels[kernel].most_ranges;
    return ranges == 0 ? 0 : static_cast<int>(std::max<std::int64_t>(1, (rows_of(kernel, graph) + ranges - 1) / ranges));
}

std::int64_t LaunchPlan::ranges_of(std::size_t kernel, const GraphView& graph) const {
    const std::int64_t rows = rows_of(kernel, graph), a_warp = rows_per_warp(kernel, graph);
    return a_warp == 0 ? rows : (rows + a_warp - 1) / a_warp;
}

std::int64_t LaunchPlan::rows_of(const ProgramOperand& tile, const GraphView& graph) const {
    return tile.row == Row::shared ? ranges_of(0, graph) : graph.rows(tile.row);
}

bool LaunchPlan::sums_by_sender() const { return std::ranges::find(kernels, Row::sender, &KernelFacts::rows) != kernels.end(); }

std::string to_json(const LaunchPlan& plan) {
    nlohmann::ordered_json json{{"operands", nlohmann::json(plan.operands)},
                                {"kernels", nlohmann::json(plan.kernels)},
                                {"arguments", nlohmann::json::array()},
                                {"outputs", nlohmann::json(plan.outputs)},
                                {"tiles", nlohmann::json(plan.tiles)},
                                {"tile_places", plan.tile_places},
                                {"tile_uses", nlohmann::json(plan.tile_uses)},
                                {"tile_edges", plan.tile_edges},
                                {"deterministic", plan.deterministic}};
    for (const ArgumentList& list : plan.arguments) json["arguments"].push_back(list.sources());
    return json.dump();
}

LaunchPlan parse_launch_plan(std::string_view text) {
    LaunchPlan plan;
    try {
        const nlohmann::json json = nlohmann::json::parse(text);
        json.at("operands").get_to(plan.operands);
        json.at("kernels").get_to(plan.kernels);
        json.at("outputs").get_to(plan.outputs);
        json.at("tiles").get_to(plan.tiles);
        json.at("tile_places").get_to(plan.tile_places);
        json.at("tile_uses").get_to(plan.tile_uses);
        json.at("tile_edges").get_to(plan.tile_edges);
        json.at("deterministic").get_to(plan.deterministic);
        for (const auto& sources : json.at("arguments")) plan.arguments.emplace_back(sources.get<std::vector<int>>());
    } catch (const nlohmann::json::exception& error) {
        user_error("its launch plan cannot be read: {}", error.what());
    }
    check_plan(plan);
    return plan;
}

}  // namespace flashtp
