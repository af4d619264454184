#include "compiler/choose_schedule.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "compiler/keep_outputs.hpp"
#include "compiler/partition.hpp"
#include "compiler/split_forms.hpp"

namespace flashtp {

namespace {

/// Registers that all channels of a lane may make in a task with serial axes on a CPU: what does not fit is in the nearest cache.
constexpr std::int64_t cpu_serial_registers = 128;

/// A convolution that reads a row of weights an edge, which no cache holds.
bool reads_weights_of_edges(const EdgeProgram& program) {
    const OperandId w = program.find_operand("w");
    return program.is_convolution() && w >= 0 && program.operands[static_cast<std::size_t>(w)].row == Row::edge;
}

bool only_receiver_outputs(const EdgeProgram& program) {
    return std::ranges::all_of(program.operands, [](const Operand& o) { return o.role == Role::input || o.row == Row::receiver; });
}

class Scheduler {
  public:
    Scheduler(const PathProgram& paths, const EdgeProgram& program, const Target& target, DType compute, const ScheduleKnobs& knobs,
              const ScheduleDemands& demands)
        : paths_(paths), program_(program), target_(target), knobs_(knobs), demands_(demands),
          lanes_(lanes_of(target, size_of(compute))), convolution_(program.is_convolution()),
          weights_of_edges_(reads_weights_of_edges(program)), compute_(compute) {}

    Schedule run() {
        schedule_.receiver_stationary = convolution_;
        schedule_.deterministic = demands_.deterministic;
        schedule_.warps_per_block = knobs_.warps_per_block;
        schedule_.min_blocks = knobs_.min_blocks;
        schedule_.rows_per_warp = knobs_.rows_per_warp;
        schedule_.prefetch = knobs_.prefetch;
        choose_tile();
        const bool staged = target_.platform == Platform::cuda && convolution_ && !demands_.general && knobs_.staged;
        if (staged) schedule_.ring = {knobs_.stages, target_.copy, knobs_.stage_bytes};
        schedule_.stage_rows = staged;
        schedule_.sums_through_shared = staged && knobs_.sums_through_shared;
        schedule_.bulk_reduce = staged && target_.copy == CopyMechanism::barrier;
        for (const PathGroup& group : groups()) add_group(group);
        if (only_reads_matrices()) schedule_.min_blocks = std::max(1, knobs_.matrix_warps / schedule_.warps_per_block);
        share_out(sort_by_cost());
        schedule_.reason = reason();
        return std::move(schedule_);
    }

  private:
    std::vector<PathGroup> groups() {
        std::vector<PathGroup> result;
        for (const PathGroup& group : group_paths(paths_, program_, contiguous_from())) {
            if (demands_.general) {
                for (const int path : group.paths) result.push_back(alone(group, path));
                continue;
            }
            for (PathGroup& part : split_group(group, paths_, program_, parts_of(group))) result.push_back(std::move(part));
        }
        const bool atomics = target_.platform == Platform::cuda && !convolution_ && !demands_.general;
        return atomics ? joined(result) : result;
    }

    // Rows of edges that one task alone writes need neither zeroing nor atomic additions.
    std::vector<PathGroup> joined(const std::vector<PathGroup>& groups) const {
        std::vector<PathGroup> result;
        for (const PathGroup& group : groups) {
            const auto joins = [&](PathGroup& other) {
                const std::optional<PathGroup> both = join_groups(other, group, paths_, program_);
                const bool fits = both && parts_of(*both) == 1;
                if (fits) other = *both;
                return fits;
            };
            if (std::ranges::none_of(result, joins)) result.push_back(group);
        }
        return result;
    }

    // Nothing but a matrix of weights an edge: more loads on their way count, and registers do not.
    bool only_reads_matrices() const {
        const auto serial = [](const Task& task) {
            return std::ranges::any_of(task.loops, [](const Loop& loop) { return loop.kind == LoopKind::axis; });
        };
        return target_.platform == Platform::cuda && weights_of_edges_ && !demands_.general &&
               std::ranges::all_of(schedule_.tasks, serial);
    }

    // Large enough that a pass over the matrix serves many edges, small enough to stay in a core's own cache.
    void choose_tile() {
        std::int64_t edge_bytes = 0;
        // Of forms a tile holds few beside the rows that it is read with, and these should be in that cache as well.
        const bool forms = reads_forms(program_);
        for (const Operand& o : program_.operands)
            if (o.tile || (forms && o.row == Row::edge)) edge_bytes += o.width * static_cast<std::int64_t>(size_of(compute_));
        if (edge_bytes == 0) return;
        schedule_.tile_edges = knobs_.tile_edges;
        if (target_.platform == Platform::cuda) return;
        schedule_.tile_edges = static_cast<int>(std::clamp<std::int64_t>(knobs_.tile_bytes / edge_bytes, 8, 256));
        const bool many_registers = target_.registers_per_lane >= 32;
        schedule_.products = many_registers ? ProductBlocks{8, 3, 3, 512} : ProductBlocks{};
    }

    // Reading weights element by element costs more than lanes that stay empty: on GPUs those of edges alone.
    std::int64_t contiguous_from() const {
        if (target_.platform == Platform::cpu) return std::max(2, lanes_ / 2);
        return weights_of_edges_ ? lanes_ / 4 : std::numeric_limits<std::int64_t>::max();
    }

    PathGroup alone(const PathGroup& group, int path) const {
        if (group.paths.size() == 1) return group;
        PathGroup one = group;
        one.paths = {path};
        return one;
    }

    int parts_of(const PathGroup& group) const {
        const GroupCost cost = cost_of(group, program_);
        const std::int64_t copies = channels_per_lane(group.lane_extent, lanes_, knobs_.max_channels_per_lane);
        const auto parts = [&](std::int64_t amount, std::int64_t budget) { return budget ? (amount + budget - 1) / budget : 1; };
        // With many channels, what is paid once for all copies outweighs the products that parts of a group compute twice.
        const bool keep_copies = knobs_.split_extent && group.lane_extent >= knobs_.split_extent;
        return static_cast<int>(std::max({parts(cost.operations * copies, knobs_.operations_per_task),
                                          parts(cost.registers(keep_copies ? copies : 1), knobs_.register_budget),
                                          parts(tile_columns(group, 1), tile_edges() ? knobs_.tile_columns : 0)}));
    }

    int tile_edges() const { return target_.platform == Platform::cuda ? schedule_.tile_edges : 0; }
    std::int64_t tile_columns(const PathGroup& group, int copies) const {
        return static_cast<std::int64_t>(group.paths.size()) * copies * lanes_;
    }

    int copies_within_registers(const PathGroup& group) const {
        if (target_.platform == Platform::cpu && group.lane_extent < knobs_.split_extent) return 1;
        const GroupCost cost = cost_of(group, program_);
        int copies = channels_per_lane(group.lane_extent, lanes_, knobs_.max_channels_per_lane);
        while (copies > 1 && knobs_.register_budget && cost.registers(copies) > knobs_.register_budget) copies /= 2;
        while (copies > 1 && knobs_.tile_columns && tile_edges() && tile_columns(group, copies) > knobs_.tile_columns) copies /= 2;
        return copies;
    }

    std::int64_t copies_of_whole_axis(const PathGroup& group) const { return (group.lane_extent + lanes_ - 1) / lanes_; }

    // On CPUs.
    int copies_within_nearest_cache(const PathGroup& group) const {
        const std::int64_t registers = std::max<std::int64_t>(1, cost_of(group, program_).lane_registers);
        return static_cast<int>(std::clamp<std::int64_t>(cpu_serial_registers / registers, 1, copies_of_whole_axis(group)));
    }

    // One task has the lane axis where a lane may take so many channels, ragged or not.
    int copies_in_one_task(const PathGroup& group) const {
        const std::int64_t all = copies_of_whole_axis(group);
        return all <= knobs_.max_channels_per_lane ? static_cast<int>(all) : copies_within_registers(group);
    }

    // What a step of serial axes costs once, uniform products above all, is shared by all channels of a lane.
    int copies_of(const PathGroup& group) const {
        if (group.single_axis()) return copies_within_registers(group);
        if (target_.platform == Platform::cpu) return copies_within_nearest_cache(group);
        return weights_of_edges_ ? copies_in_one_task(group) : copies_within_registers(group);
    }

    void add_group(const PathGroup& group) {
        Task task;
        task.paths = group.paths;
        task.lane_axis = group.lane_axis;
        task.loops = loops_of(group);
        task.channels_per_lane = copies_of(group);
        task.spread_axis = spread_axis_of(group);
        if (group.lane_axis < 0) {
            schedule_.tasks.push_back(task);
            return;
        }
        add_chunks(schedule_, std::move(task), group.lane_extent, lanes_);
    }

    // A sum over the edges of a receiver, or of a warp, keeps its serial axes outside the edges, so that it stays in registers over all of
    // them. Gradients of shared weights are such sums on GPUs, where every edge's part would be an atomic addition.
    std::vector<Loop> loops_of(const PathGroup& group) const {
        std::vector<Loop> loops;
        if (group.lane_axis >= 0) loops.push_back({LoopKind::chunk, -1});
        if (convolution_) loops.push_back({LoopKind::receiver, -1});
        const bool receivers = convolution_ && only_receiver_outputs(program_);
        const bool weights = target_.platform == Platform::cuda && !demands_.general && !makes_weights(group);
        std::vector<int> inner;
        for (const int axis : group.serial_axes) {
            const bool outside = (receivers && indexes_output(group, axis, Row::receiver)) || (weights && indexes_output(group, axis, Row::shared));
            if (outside) loops.push_back({LoopKind::axis, axis});
            else inner.push_back(axis);
        }
        loops.push_back({LoopKind::edge, -1});
        for (const int axis : inner) loops.push_back({LoopKind::axis, axis});
        return loops;
    }

    // What products and gradients of x cost a row of a matrix is then paid once for all rows.
    int spread_axis_of(const PathGroup& group) const {
        const bool matrices = target_.platform == Platform::cuda && weights_of_edges_ && !demands_.general && !makes_weights(group);
        if (!matrices || group.lane_axis < 0 || group.serial_axes.size() != 1) return -1;
        const int axis = group.serial_axes.front();
        const bool innermost = loops_of(group).back() == Loop{LoopKind::axis, axis};
        return innermost && can_spread(restrict_to_paths(program_, group.paths), group.lane_axis, axis) ? axis : -1;
    }

    bool makes_weights(const PathGroup& group) const {
        return std::ranges::any_of(group.paths, [&](int path) { return has_hidden_layer(paths_.paths[static_cast<std::size_t>(path)]); });
    }

    bool indexes_output(const PathGroup& group, int axis, Row row) const {
        const EdgeProgram part = restrict_to_paths(program_, group.paths);
        const AxisClasses classes = axis_classes(part);
        for (ValueId v = 0; v < static_cast<ValueId>(part.values.size()); ++v)
            if (part.is_output(v) && part.values[v].row == row && std::ranges::count(classes.of[v], axis)) return true;
        return false;
    }

    // Expensive tasks first: what starts last should be short. Returns the multiply-adds of each.
    std::vector<std::int64_t> sort_by_cost() {
        std::vector<std::pair<std::int64_t, Task>> order;
        for (Task& task : schedule_.tasks) {
            PathGroup group;
            group.paths = task.paths;
            const std::int64_t operations = cost_of(group, program_).operations;
            order.emplace_back(operations * task.channels_per_lane, std::move(task));
        }
        std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
        schedule_.tasks.clear();
        std::vector<std::int64_t> costs;
        for (auto& [cost, task] : order) {
            costs.push_back(cost);
            schedule_.tasks.push_back(std::move(task));
        }
        return costs;
    }

    // As few kernels as can be within the budget. Each task goes to the one that has least so far: expensive ones come first.
    void share_out(const std::vector<std::int64_t>& costs) {
        // On CPUs what the tasks of a tile add up is zeroed before each kernel, and warps load a matrix for all their tasks: so they are one.
        const bool one = schedule_.tile_edges > 0 && (target_.platform == Platform::cpu || schedule_.tile_edges <= most_edges_of_a_warp);
        if (knobs_.operations_per_kernel == 0 || one) return;
        const std::int64_t total = std::accumulate(costs.begin(), costs.end(), std::int64_t{0}), budget = knobs_.operations_per_kernel;
        const std::int64_t wanted = std::min<std::int64_t>((total + budget - 1) / budget, std::ssize(costs));
        if (wanted < 2) return;
        std::vector<std::int64_t> kernels(static_cast<std::size_t>(std::min(wanted, most_kernels)));
        for (std::size_t t = 0; t < costs.size(); ++t) {
            const auto least = std::ranges::min_element(kernels);
            *least += costs[t];
            schedule_.tasks[t].kernel = static_cast<int>(least - kernels.begin());
        }
    }

    std::string reason() const {
        if (demands_.general) return "general: one path a task, direct loads";
        const char* rows = convolution_ ? "receiver-stationary" : "a row at a time";
        return fmt::format("{}, paths of one input segment a task, {} tasks, {}", rows, schedule_.tasks.size(),
                           schedule_.ring.stages ? fmt::format("ring of {} stages", schedule_.ring.stages) : "direct loads");
    }

    const PathProgram& paths_;
    const EdgeProgram& program_;
    const Target& target_;
    const ScheduleKnobs& knobs_;
    const ScheduleDemands& demands_;
    int lanes_;
    bool convolution_;
    bool weights_of_edges_;  ///< of a convolution
    DType compute_;
    Schedule schedule_;
};

}  // namespace

// Powers of two: copies that a segment does not fill would compute on zeros.
int channels_per_lane(std::int64_t extent, int lanes, int most) {
    int copies = 1;
    while (2 * copies <= most && 2 * std::int64_t{copies} * lanes <= extent) copies *= 2;
    return copies;
}

void add_chunks(Schedule& schedule, Task task, std::int64_t extent, int lanes) {
    const std::int64_t chunk = std::int64_t{lanes} * task.channels_per_lane, full = extent / chunk * chunk;
    if (full > 0) {
        task.channel_end = full;
        schedule.tasks.push_back(task);
    }
    if (full == extent) return;
    task.channel_begin = full;
    task.channel_end = extent;
    task.channels_per_lane = static_cast<int>((extent - full + lanes - 1) / lanes);
    schedule.tasks.push_back(std::move(task));
}

ScheduleKnobs default_knobs(const Target& target, const Request& request, DType compute, SizeClass size) {
    ScheduleKnobs knobs;
    if (target.platform == Platform::cpu) {
        // Two vectors of channels share what an edge costs once (indices, prefetches, harmonics) and read whole cache lines, of which
        // float64 needs twice as many. In float32 forward gains nothing, and beyond backward the loop would outgrow the cache of
        // decoded instructions: there two vectors pay only where rows are so long that the halves of a line do not both stay cached.
        const bool wide = compute == DType::float64;
        knobs.max_channels_per_lane = request.order == 1 || wide ? 2 : 1;
        if (wide && request.order >= 2) knobs.split_extent = 256;
        knobs.warps_per_block = 1;
        constexpr int operations[] = {500, 1000, 800, 800};  // loops that stay in that cache
        knobs.operations_per_task = operations[request.order];
        knobs.prefetch = 2;
        knobs.tile_bytes = 256 * 1024;
        return knobs;
    }
    // Measured on an H200 over the layers of docs/performance.md: one choice an order that is near the best for all of them.
    struct Choice {
        int register_budget, stages, stage_bytes, min_blocks, matrix_warps, rows_per_warp;
        bool sums_through_shared;
    };
    constexpr Choice choices[] = {
        {190, 2, 9216, 3, 32, 2, false}, {150, 2, 4608, 3, 24, 1, true}, {230, 2, 8192, 1, 16, 1, false}, {230, 2, 8192, 1, 16, 1, false}};
    const Choice& row = choices[request.order];
    knobs.register_budget = compute == DType::float32 ? row.register_budget : row.register_budget / 2;
    if (request.order >= 2) knobs.split_extent = 256;
    knobs.operations_per_task = 4000;  // beyond, straight-line code outgrows the instruction cache
    knobs.operations_per_kernel = 12000;  // NVRTC takes a few seconds; its time grows faster than the code
    knobs.stages = row.stages;
    knobs.sums_through_shared = row.sums_through_shared;
    knobs.stage_bytes = row.stage_bytes;
    knobs.min_blocks = row.min_blocks;
    knobs.matrix_warps = row.matrix_warps;
    knobs.rows_per_warp = row.rows_per_warp;
    if (request.order >= 2 && size != SizeClass::large) {
        // More and smaller tasks end more evenly; what they compute twice costs more than that where the device is full.
        knobs.register_budget = compute == DType::float32 ? 130 : 65;
        knobs.min_blocks = 2;
    }
    if (request.order >= 2 && size == SizeClass::small) {
        // One block a multiprocessor, whose warps mostly run one task: code of several tasks would displace each other in its cache.
        knobs.register_budget = compute == DType::float32 ? 170 : 85;
        knobs.warps_per_block = 8;
        knobs.min_blocks = 1;
    }
    return knobs;
}

// A block's matrices take as much shared memory as half of its warps, so that one block with many warps a multiprocessor is best; and
// its warps take more rows, as loading the matrices takes the time of some edges.
ScheduleKnobs tile_knobs(ScheduleKnobs knobs) {
    knobs.tile_edges = 16;
    knobs.tile_columns = 128;
    knobs.stage_bytes = 3072;
    knobs.warps_per_block = 12;  // in whole rounds of the four schedulers
    knobs.min_blocks = 1;
    knobs.rows_per_warp = 4;
    return knobs;
}

// A form is loaded once for all copies.
ScheduleKnobs form_knobs(ScheduleKnobs knobs) {
    knobs.max_channels_per_lane = 2;
    return knobs;
}

// Few enough edges that their weights stay in the cache between the kernels, and enough to fill the device.
ScheduleKnobs window_knobs(ScheduleKnobs knobs, const std::vector<Operand>& tiles) {
    constexpr std::int64_t wanted_bytes = 128 << 20, unit = 256;
    std::int64_t columns = 0;
    for (const Operand& tile : tiles) columns += tile.width;
    const std::int64_t edges = wanted_bytes / (4 * std::max<std::int64_t>(columns, 1)) / unit * unit;
    if (knobs.tile_edges == 0) knobs.tile_edges = static_cast<int>(std::clamp<std::int64_t>(edges, 1024, 65536));
    return knobs;
}

std::optional<ScheduleKnobs> with_less_shared_memory(ScheduleKnobs knobs) {
    if (knobs.stages > 2) {
        knobs.stages = 2;
    } else if (knobs.warps_per_block > 8) {
        knobs.warps_per_block -= 4;
    } else if (knobs.warps_per_block > 1) {
        knobs.warps_per_block /= 2;
        knobs.min_blocks *= 2;
    } else if (knobs.staged) {
        knobs.staged = false;
        knobs.warps_per_block = 4;
        knobs.min_blocks = 1;
    } else {
        return std::nullopt;
    }
    return knobs;
}

Schedule choose_schedule(const PathProgram& paths, const EdgeProgram& program, const Target& target, DType compute,
                         const ScheduleKnobs& knobs, const ScheduleDemands& demands) {
    return Scheduler(paths, program, target, compute, knobs, demands).run();
}

}  // namespace flashtp
