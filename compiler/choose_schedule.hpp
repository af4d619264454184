// The scheduler: takes every decision a kernel needs and writes it down as a Schedule.
#pragma once

#include <optional>

#include "compiler/size_class.hpp"
#include "ir/dtype.hpp"
#include "ir/edge_program.hpp"
#include "ir/path_program.hpp"
#include "ir/request.hpp"
#include "ir/schedule.hpp"

namespace flashtp {

/// The few numbers the scheduler's rules depend on; defaults are those of docs/performance.md.
struct ScheduleKnobs {
    int max_channels_per_lane = 4;
    int register_budget = 0;       ///< registers a lane may hold in accumulators and inputs
    int split_extent = 0;          ///< a lane axis this long keeps all its channel copies, split by paths until they fit; 0: never
    int operations_per_task = 0;   ///< straight-line multiply-adds of a task, all channel copies together
    int operations_per_kernel = 0; ///< of all its tasks; with more, they are shared out to several kernels, which compile on their own
    bool staged = true;            ///< rows pass through shared memory; else direct loads and stores
    bool sums_through_shared = false;  ///< as in Schedule
    int stages = 0;
    std::int64_t stage_bytes = 0;  ///< as in Ring
    int warps_per_block = 4;
    int min_blocks = 1;
    int matrix_warps = 32;         ///< warps a multiprocessor of kernels that stream matrices of weights, instead of min_blocks
    int rows_per_warp = 1;
    int prefetch = 0;              ///< edges
    std::int64_t tile_bytes = 0;   ///< on CPUs, of the weights of a tile and of their derivatives together; 0: no tile
    int tile_edges = 0;            ///< on GPUs; 0: what is best
    int tile_columns = 0;          ///< weights of an edge that a task makes; a group beyond it loses copies, then is split
    friend bool operator==(const ScheduleKnobs&, const ScheduleKnobs&) = default;
};
/// Knobs that need less shared memory, or nothing when there are none left to turn.
std::optional<ScheduleKnobs> with_less_shared_memory(ScheduleKnobs);

ScheduleKnobs default_knobs(const Target&, const Request&, DType compute, SizeClass = SizeClass::large);
/// The same for a kernel that makes tiles of weights by tensor cores.
ScheduleKnobs tile_knobs(ScheduleKnobs);
/// The same for a kernel that finds these tiles of weights in memory.
ScheduleKnobs window_knobs(ScheduleKnobs, const std::vector<Operand>& tiles);

/// The same for a CPU's kernel that finds linear forms in y in a tile.
ScheduleKnobs form_knobs(ScheduleKnobs);

/// Channels that a lane takes of a segment with so many, `most` at most.
int channels_per_lane(std::int64_t extent, int lanes, int most);
/// Adds the task for all channels of its lane axis: one task for those that fill chunks, and one with masked lanes for what is left.
void add_chunks(Schedule&, Task, std::int64_t extent, int lanes);

/// What the caller wants whatever it costs.
struct ScheduleDemands {
    bool general = false;        ///< one path a task with direct loads, which is right for every mode
    bool deterministic = false;  ///< the problem's; ends up in Schedule::deterministic
};

/// `program` is the request's program.
Schedule choose_schedule(const PathProgram& paths, const EdgeProgram& program, const Target&, DType compute, const ScheduleKnobs&,
                         const ScheduleDemands& = {});

}  // namespace flashtp
