#include "ir/schedule.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include <nlohmann/json.hpp>

#include "ir/error.hpp"
#include "ir/limits.hpp"
#include "ir/nearest.hpp"
#include "ir/strict_json.hpp"

namespace flashtp {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // for writing: keys stay in the order of the struct

constexpr std::array<std::string_view, 4> loop_names = {"chunk", "receiver", "edge", "axis"};
constexpr std::array<std::string_view, 3> copy_names = {"barrier", "groups", "plain"};

std::string loop_text(const Loop& loop) {
    const std::string_view name = loop_names[static_cast<std::size_t>(loop.kind)];
    return loop.kind == LoopKind::axis ? fmt::format("{} {}", name, loop.axis) : std::string(name);
}

OrderedJson loop_json(const Loop& loop) {
    if (loop.kind == LoopKind::axis) return OrderedJson{{"axis", loop.axis}};
    return loop_names[static_cast<std::size_t>(loop.kind)];
}

OrderedJson task_json(const Task& task) {
    OrderedJson loops = OrderedJson::array();
    for (const Loop& loop : task.loops) loops.push_back(loop_json(loop));
    OrderedJson json{{"paths", task.paths},
                     {"lane_axis", task.lane_axis},
                     {"channels_per_lane", task.channels_per_lane},
                     {"channel_begin", task.channel_begin},
                     {"channel_end", task.channel_end},
                     {"loops", std::move(loops)}};
    if (task.kernel > 0) json["kernel"] = task.kernel;
    if (task.spread_axis >= 0) json["spread_axis"] = task.spread_axis, json["spread_rows"] = task.spread_rows;
    return json;
}

std::string task_text(const Task& task) {
    std::string loops;
    for (const Loop& loop : task.loops) loops += (loops.empty() ? "" : " > ") + loop_text(loop);
    const std::string lanes = task.lane_axis < 0 ? std::string("lanes alike")
                                                 : fmt::format("lanes over axis {} channels [{}, {}), {} a lane", task.lane_axis,
                                                               task.channel_begin, task.channel_end, task.channels_per_lane);
    const std::string kernel = task.kernel > 0 ? fmt::format("; kernel {}", task.kernel) : "";
    const std::string spread =
        task.spread_axis >= 0 ? fmt::format("; axis {} over the lanes, {} sums together", task.spread_axis, task.spread_rows) : "";
    return fmt::format("task: paths {}; {}; loops {}{}{}\n", fmt::join(task.paths, " "), lanes, loops.empty() ? "none" : loops, spread,
                       kernel);
}

/// One object of the file. Every key that is asked for is known; finish() refuses the others.
class Object {
  public:
    Object(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
        if (!json.is_object()) user_error("{}: must be an object", where_);
    }

    const Json* find(const char* key) {
        known_.emplace_back(key);
        const auto found = json_.find(key);
        return found == json_.end() ? nullptr : &*found;
    }
    std::string name_of(std::string_view key) const { return fmt::format("{}: {}", where_, key); }

    template <class Integer>
    void integer(const char* key, Integer& to, std::int64_t least, std::int64_t most) {
        if (const Json* value = find(key)) to = static_cast<Integer>(integer_in(*value, name_of(key), least, most));
    }
    void flag(const char* key, bool& to) {
        const Json* value = find(key);
        if (value && !value->is_boolean()) user_error("{} must be true or false", name_of(key));
        if (value) to = value->get<bool>();
    }
    void text(const char* key, std::string& to) {
        const Json* value = find(key);
        if (value && !value->is_string()) user_error("{} must be a string", name_of(key));
        if (value) to = value->get<std::string>();
    }
    /// Elements of a list; an absent key is an empty one.
    const Json& list(const char* key) {
        static const Json none = Json::array();
        const Json* value = find(key);
        if (value && !value->is_array()) user_error("{} must be a list", name_of(key));
        return value ? *value : none;
    }
    void finish() const {
        for (const auto& item : json_.items()) {
            if (std::find(known_.begin(), known_.end(), item.key()) != known_.end()) continue;
            user_error("{}: unknown key {}{}", where_, quote(item.key()), did_you_mean(item.key(), known_));
        }
    }

    static std::int64_t integer_in(const Json& value, const std::string& name, std::int64_t least, std::int64_t most) {
        if (!value.is_number_integer()) user_error("{} must be an integer", name);
        const bool huge = value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max();
        const std::int64_t number = huge ? most : value.get<std::int64_t>();
        if (huge || number < least || number > most) user_error("{} = {} must be from {} to {}", name, value.dump(), least, most);
        return number;
    }

  private:
    const Json& json_;
    std::string where_;
    std::vector<std::string_view> known_;
};

constexpr int most_axes = 64;

template <class Names>
std::size_t index_of(const Names& names, const Json& value, const std::string& where) {
    const std::string word = value.is_string() ? value.get<std::string>() : value.dump();
    for (std::size_t n = 0; n < names.size(); ++n)
        if (names[n] == word) return n;
    user_error("{}: {} is not one of {}{}", where, quote(word), fmt::join(names, " "),
               did_you_mean(word, {names.begin(), names.end()}));
}

Loop parse_loop(const Json& json, const std::string& where) {
    if (!json.is_object()) {
        const auto kind = static_cast<LoopKind>(index_of(loop_names, json, where));
        if (kind == LoopKind::axis) user_error("{}: an axis loop is written {{\"axis\": number}}", where);
        return {kind, -1};
    }
    Object object(json, where);
    Loop loop{LoopKind::axis, 0};
    if (!json.contains("axis")) user_error("{}: an axis loop is written {{\"axis\": number}}", where);
    object.integer("axis", loop.axis, 0, most_axes);
    object.finish();
    return loop;
}

Task parse_task(const Json& json, const std::string& where) {
    Object object(json, where);
    Task task;
    for (const Json& path : object.list("paths"))
        task.paths.push_back(
            static_cast<int>(Object::integer_in(path, object.name_of("paths"), 0, limits::max_instructions.value - 1)));
    object.integer("lane_axis", task.lane_axis, -1, most_axes);
    object.integer("channels_per_lane", task.channels_per_lane, 1, 64);
    object.integer("channel_begin", task.channel_begin, 0, limits::max_row_width.value);
    object.integer("channel_end", task.channel_end, 1, limits::max_row_width.value);
    object.integer("kernel", task.kernel, 0, most_kernels - 1);
    object.integer("spread_axis", task.spread_axis, -1, most_axes);
    object.integer("spread_rows", task.spread_rows, 1, 32);
    for (const Json& loop : object.list("loops")) task.loops.push_back(parse_loop(loop, object.name_of("loops")));
    object.finish();
    if (task.channel_end <= task.channel_begin) user_error("{}: channel_end must be above channel_begin", where);
    return task;
}

Ring parse_ring(const Json& json) {
    Object object(json, "schedule ring");
    Ring ring;
    object.integer("stages", ring.stages, 0, 16);
    if (const Json* copy = object.find("copy"))
        ring.copy = static_cast<CopyMechanism>(index_of(copy_names, *copy, object.name_of("copy")));
    object.integer("stage_bytes", ring.stage_bytes, 0, 65536);
    object.finish();
    return ring;
}

ProductBlocks parse_products(const Json& json) {
    Object object(json, "schedule products");
    ProductBlocks blocks;
    object.integer("rows", blocks.rows, 1, 16);
    object.integer("vectors", blocks.vectors, 1, 16);
    object.integer("sums", blocks.sums, 1, 16);
    object.integer("panel", blocks.panel, 1, 65536);
    object.finish();
    return blocks;
}

}  // namespace

int kernel_count(const Schedule& schedule) {
    int last = 0;
    for (const Task& task : schedule.tasks) last = std::max(last, task.kernel);
    return last + 1;
}

std::string to_string(const Schedule& s) {
    std::string text =
        fmt::format("schedule: rows are {}, {} a warp; {} warps a block, {} blocks; factoring {}\n",
                    s.receiver_stationary ? "receivers" : "edges", s.rows_per_warp, s.warps_per_block, s.min_blocks, s.factoring);
    if (s.ring.stages > 0)
        text += fmt::format("ring: {} stages of {} bytes by {}\n", s.ring.stages, s.ring.stage_bytes,
                            copy_names[static_cast<std::size_t>(s.ring.copy)]);
    if (s.stage_rows) text += "receiver rows pass through shared memory\n";
    if (s.sums_through_shared) text += "sums over lanes are added up in shared memory\n";
    if (s.bulk_reduce) text += "sender rows leave by bulk reduction\n";
    if (s.tile_edges > 0)
        text += fmt::format("weights are made for {} edges at a time, blocks of {} rows by {} vectors, {} sums in panels of {}\n",
                            s.tile_edges, s.products.rows, s.products.vectors, s.products.sums, s.products.panel);
    if (s.prefetch > 0) text += fmt::format("rows are asked for {} edges ahead\n", s.prefetch);
    if (s.deterministic) text += "sums that meet in memory are added in a fixed order\n";
    if (!s.reason.empty()) text += fmt::format("because: {}\n", s.reason);
    for (const Task& task : s.tasks) text += task_text(task);
    return text;
}

std::string to_json(const Schedule& s) {
    OrderedJson tasks = OrderedJson::array();
    for (const Task& task : s.tasks) tasks.push_back(task_json(task));
    const OrderedJson ring{
        {"stages", s.ring.stages}, {"copy", copy_names[static_cast<std::size_t>(s.ring.copy)]}, {"stage_bytes", s.ring.stage_bytes}};
    return OrderedJson{{"tasks", std::move(tasks)},
                       {"receiver_stationary", s.receiver_stationary},
                       {"ring", ring},
                       {"stage_rows", s.stage_rows},
                       {"sums_through_shared", s.sums_through_shared},
                       {"bulk_reduce", s.bulk_reduce},
                       {"tile_edges", s.tile_edges},
                       {"products",
                        {{"rows", s.products.rows},
                         {"vectors", s.products.vectors},
                         {"sums", s.products.sums},
                         {"panel", s.products.panel}}},
                       {"prefetch", s.prefetch},
                       {"deterministic", s.deterministic},
                       {"warps_per_block", s.warps_per_block},
                       {"min_blocks", s.min_blocks},
                       {"rows_per_warp", s.rows_per_warp},
                       {"factoring", s.factoring},
                       {"reason", s.reason}}
        .dump(2);
}

Schedule parse_schedule(std::string_view text) {
    const Json json = with_context("schedule", [&] { return parse_strict_json(text); });
    Object object(json, "schedule");
    Schedule s;
    for (const Json& task : object.list("tasks"))
        s.tasks.push_back(parse_task(task, fmt::format("schedule task {}", s.tasks.size())));
    object.flag("receiver_stationary", s.receiver_stationary);
    if (const Json* ring = object.find("ring")) s.ring = parse_ring(*ring);
    object.flag("stage_rows", s.stage_rows);
    object.flag("sums_through_shared", s.sums_through_shared);
    object.flag("bulk_reduce", s.bulk_reduce);
    object.integer("tile_edges", s.tile_edges, 0, 65536);
    if (const Json* products = object.find("products")) s.products = parse_products(*products);
    object.integer("prefetch", s.prefetch, 0, 64);
    object.flag("deterministic", s.deterministic);
    object.integer("warps_per_block", s.warps_per_block, 1, 32);
    object.integer("min_blocks", s.min_blocks, 1, 32);
    object.integer("rows_per_warp", s.rows_per_warp, 1, 1'000'000);
    object.text("factoring", s.factoring);
    object.text("reason", s.reason);
    object.finish();
    if (s.tile_edges > 0 && s.tile_edges <= most_edges_of_a_warp && kernel_count(s) > 1)
        user_error("schedule: with tile_edges up to {}, all tasks are of kernel 0", most_edges_of_a_warp);
    return s;
}

}  // namespace flashtp
