#include "runtime/tuned.hpp"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "ir/error.hpp"
#include "runtime/code_identity.hpp"
#include "runtime/program_record.hpp"

namespace flashtp {
namespace {

constexpr std::string_view knobs_tag = "knobs", measured_tag = "measured";

ScheduleKnobs parse_knobs(const std::string& text) {
    ScheduleKnobs k;
    try {
        const nlohmann::json json = nlohmann::json::parse(text);
        const auto get = [&](const char* name, auto& to) { json.at(name).get_to(to); };
        get("max_channels_per_lane", k.max_channels_per_lane);
        get("register_budget", k.register_budget);
        get("split_extent", k.split_extent);
        get("operations_per_task", k.operations_per_task);
        get("operations_per_kernel", k.operations_per_kernel);
        get("staged", k.staged);
        get("sums_through_shared", k.sums_through_shared);
        get("stages", k.stages);
        get("stage_bytes", k.stage_bytes);
        get("warps_per_block", k.warps_per_block);
        get("min_blocks", k.min_blocks);
        get("matrix_warps", k.matrix_warps);
        get("rows_per_warp", k.rows_per_warp);
        get("prefetch", k.prefetch);
        get("tile_bytes", k.tile_bytes);
        get("tile_edges", k.tile_edges);
        get("tile_columns", k.tile_columns);
    } catch (const nlohmann::json::exception& error) {
        user_error("its knobs cannot be read: {}", error.what());
    }
    return k;
}

}  // namespace

std::string_view to_string(SizeClass size) {
    switch (size) {
    case SizeClass::small: return "small";
    case SizeClass::medium: return "medium";
    case SizeClass::large: return "large";
    }
    return "";
}

std::string to_json(const ScheduleKnobs& k) {
    // Names every member: a new knob does not compile until it is written, read and thereby part of every key.
    const auto [channels, registers, split, operations, kernel, staged, sums, stages, bytes, warps, blocks, matrix_warps, rows, prefetch,
                tile_bytes, tile_edges, tile_columns] = k;
    return nlohmann::ordered_json{{"max_channels_per_lane", channels},
                                  {"register_budget", registers},
                                  {"split_extent", split},
                                  {"operations_per_task", operations},
                                  {"operations_per_kernel", kernel},
                                  {"staged", staged},
                                  {"sums_through_shared", sums},
                                  {"stages", stages},
                                  {"stage_bytes", bytes},
                                  {"warps_per_block", warps},
                                  {"min_blocks", blocks},
                                  {"matrix_warps", matrix_warps},
                                  {"rows_per_warp", rows},
                                  {"prefetch", prefetch},
                                  {"tile_bytes", tile_bytes},
                                  {"tile_edges", tile_edges},
                                  {"tile_columns", tile_columns}}
        .dump();
}

std::string to_text(const TunedSchedule& tuned) {
    return Key().add(knobs_tag, tuned.knobs ? to_json(*tuned.knobs) : "").add(measured_tag, tuned.measured).text();
}

TunedSchedule parse_tuned(std::string_view text) {
    const std::vector<KeyField> fields = key_fields(text);
    if (fields.size() != 2 || fields[0].tag != knobs_tag || fields[1].tag != measured_tag) user_error("it is no tuned schedule");
    TunedSchedule tuned{{}, fields[1].value};
    if (!fields[0].value.empty()) tuned.knobs = parse_knobs(fields[0].value);
    return tuned;
}

Key tuned_key(const Problem& problem, const Request& request, const Target& target, SizeClass size) {
    Key key;
    key.add("schema", fmt::to_string(key_schema)).add("library", code_identity());
    add_target(key, target);
    key.add("device", target.device);
    add_request(key, problem, request);
    return key.add("edges", to_string(size));
}

}  // namespace flashtp
