// One task of a kernel: its loop nest with loads, arithmetic and stores, from the nest's plan.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "compiler/kernel_builder.hpp"
#include "compiler/nest.hpp"
#include "compiler/order_scalars.hpp"
#include "compiler/outputs.hpp"
#include "compiler/partial_sums.hpp"
#include "compiler/ring_plan.hpp"
#include "compiler/tile_products.hpp"
#include "ir/kernel.hpp"

namespace flashtp {

/// Buffers of the kernel that its tasks share; tables are added as tasks need them.
class BufferTable {
  public:
    /// With the product that makes weights, these are no buffer, and what it reads is.
    BufferTable(const EdgeProgram& program, DType dtype, bool convolution, const TileTerm* term = nullptr);

    BufferId operand(OperandId id) const { return of_operand_[static_cast<std::size_t>(id)]; }
    BufferId named(const std::string& name) const;
    void add_operand(const Operand&, DType);
    BufferId row_ptr() const { return index_; }
    BufferId sender() const { return index_ + 1; }
    BufferId edge() const { return index_ + 2; }
    /// Table of the first or second channel of every pair.
    BufferId pairs(const PairAxis& axis);

    std::vector<Buffer> buffers;

  private:
    BufferId index_ = -1;
    std::vector<BufferId> of_operand_;  ///< -1: a tile
};

/// The tile of weights and that of the layer's rows in shared memory.
struct TilePlan {
    SharedId weights = -1, rows = -1;
    std::map<std::int64_t, std::int64_t> columns;  ///< of a value's first channel, by its place in the operand's row
    std::int64_t pitch = 0, row_pitch = 0;         ///< of weights, and of the layer's rows
    IntId row = -1;                                ///< of the edge at hand; of the first of those that a stage_loop is at
};

/// How the outputs of a task leave it.
struct TaskOutputs {
    const StoreModes& modes;
    const std::map<ValueId, PartPlace>& parts;
};

class TaskLowering {
  public:
    TaskLowering(const Nest& nest, const Schedule& schedule, const Target& target, const TaskOutputs& outputs, BufferTable& buffers,
                 int lanes, DType compute, const TileTerm* term = nullptr);

    KernelTask run(std::string name, std::vector<std::string> comments);
    /// Elements of shared memory the task needs.
    std::int64_t shared_elements() const { return shared_elements_; }
    bool uses_ring() const { return !ring_.pieces.empty(); }

  private:
    /// Statements that write and read each value.
    struct Uses {
        std::vector<int> writers, readers;
    };
    Uses count_uses(const std::vector<int>& statements) const;
    std::vector<int> all_statements() const;

    // lower_task.cpp: the nest
    void region(int depth, const std::vector<int>& statements, Block& block);
    void loop(int depth, const std::vector<int>& statements, Block& block);
    void receiver_loop(int depth, const std::vector<int>& statements, Block& block);
    void edge_loop(int depth, const std::vector<int>& statements, Block& block);
    void axis_loop(int depth, const std::vector<int>& statements, Block& block);
    // lower_spread.cpp: the loop over an axis that is spread over the lanes outside of it
    struct SpreadSteps {
        std::int64_t first, count, step;
        int copy;
    };
    struct SpreadUses {
        std::vector<ValueId> read, written;
    };
    SpreadUses spread_uses(const std::vector<int>& statements) const;
    void zero_unwritten(const std::vector<ValueId>& values, Block& block);
    void spread_loop(int depth, const std::vector<int>& statements, Block& block);
    void spread_steps(int depth, const std::vector<int>& statements, const SpreadSteps& steps, Block& block);
    void spread_step(int depth, const std::vector<int>& statements, const Affine& lane, const SpreadSteps& steps, Block& block);
    bool spread_here(ValueId value) const { return nest_.place(value).spread && !in_spread_loop_; }
    std::int64_t spread_extent() const { return nest_.axis_extent(nest_.task().spread_axis); }
    int spread_copies() const { return static_cast<int>((spread_extent() + lanes_ - 1) / lanes_); }

    void chunk_loop(int depth, const std::vector<int>& statements, Block& block);
    std::vector<ValueId> inputs_of(const std::vector<int>& statements, int depth) const;
    /// What one sweep of the inner loop computes, and what of this body comes before it.
    struct Sweep {
        std::vector<int> before, inner;
    };
    std::vector<int> find_sweeps(int depth, const std::vector<int>& statements) const;
    std::vector<Sweep> sweeps_of(int depth, const std::vector<int>& statements) const;
    void leave_loop(int depth);
    void zero_sums(int depth, const std::vector<int>& inner, Block& block);
    void sum_lanes_of(int depth, const std::vector<int>& writers, Block& block);
    void stages(int depth, const std::vector<int>& statements, Block& block);
    void stage(int depth, const std::vector<int>& statements, Block& block);
    std::vector<ScalarRole> roles(int depth, const std::vector<int>& statements) const;
    std::vector<ValueId> completed_outputs(int depth, const std::vector<int>& statements, const std::vector<ScalarStep>& steps) const;
    void arithmetic(const std::vector<ScalarStep>& steps, const std::vector<ValueId>& completed, int copies, Block& block);
    void one_step(const ScalarStep& step, int copy, Block& block);
    void term(const ScalarStep& step, int copy, Block& block);
    bool has_copies(ValueId value) const { return nest_.place(value).lane || spread_here(value); }

    // lower_memory.cpp: rows, loads and stores
    std::pair<bool, bool> addressed_rows(const std::vector<int>& statements) const;
    void edge_rows(const std::vector<int>& statements, IntId position, Block& block);
    Access access(ValueId value, int copy, Block& block);
    Access shared_access(SharedId shared, Affine base, const RingPlace& place, ValueId value, int copy) const;
    Access ring_access(const RingPlace& place, ValueId value, int copy) const;
    Affine row_base(ValueId value) const;
    Affine part_base(ValueId value) const;
    BufferId buffer_of(ValueId value) const;
    IntId pair_channel(const PairAxis& pair, IntId rank, Block& block);
    void load(ValueId value, int copy, Block& block);
    void load_inputs(const std::vector<ValueId>& inputs, Block& block);
    void load_staged(const std::vector<ValueId>& inputs, Block& block);
    void store_outputs(int depth, const std::vector<int>& statements, Block& block);
    void store_copy(ValueId value, int copy, Block& block);
    bool leaves_directly(ValueId value) const;
    void store_staged(ValueId value, Block& block);
    void store_lane_sums(std::vector<ValueId> values, Block& block);
    SharedId scratch_for(std::size_t count) const;
    std::int64_t most_sums_scratch() const;
    void bulk_reduce(const std::vector<ValueId>& values, Block& block);
    bool can_stage(ValueId value) const;
    bool can_bulk_reduce(ValueId value) const;
    void plan_shared();
    void plan_staging();
    Affine slice(ValueId value) const;
    RingPlace slice_place(ValueId value) const;
    std::int64_t slice_elements(ValueId value) const;
    int copy_vector(ValueId value, std::int64_t offset) const;

    // lower_ring.cpp
    std::vector<ValueId> ring_inputs() const;
    void plan_ring_buffer();
    void begin_ring(const Affine& first, const Affine& last, Block& block);
    void wait_stage(const Affine& position, Block& block);
    void fill_stage(IntId stage, const Affine& first, Block& block, const std::function<void(Block&)>& with_tile);
    void fill_edge(IntId stage, const Affine& position, Block& block);
    void deal_to_teams(For& rows, std::int64_t count) const;
    void fill_edges(IntId stage, const Affine& first, Block& block);
    std::pair<IntId, IntId> read_windows(const Affine& position, Block& block);
    /// Of an edge that is copied.
    struct RingRows {
        Affine position;
        IntId sender, edge;
    };
    void copy_rows(const RingRows&, const Affine& slot, Block& block);
    bool walks_stages() const { return uses_ring() && stage_edges_ > 1; }
    void stage_loop(int depth, const std::vector<int>& statements, Block& block);
    Affine of_edge(IntId first, std::int64_t pitch) const;
    void leave_slots(const Affine& count, const Affine& next_edge, Block& block);
    bool in_ring(ValueId value) const { return ring_.find(value) != nullptr; }

    // lower_tile.cpp
    bool in_tile(ValueId value) const;
    bool tiled() const { return !tile_.columns.empty(); }
    void plan_tile();
    void place_fetched();
    std::int64_t edges_done_with() const;
    SharedId new_tile(const std::string& name, std::int64_t pitch);
    void add_matrix();
    Access tile_access(ValueId value, int copy) const;
    void begin_tile(const Affine& first, const Affine& last, Block& block);
    void fill_tile(const Affine& first, Block& block);
    void fill_next_tile(const Affine& first, Block& block);
    void enter_tile(IntId position, Block& block);
    void leave_tile(Block& block);
    void count_rows(const Affine& count, Block& block);
    Affine edges_left(const Affine& first) const;

    // lower_prefetch.cpp
    std::vector<std::pair<Affine, std::int64_t>> slices(ValueId value) const;
    void prefetch_rows(const std::vector<int>& statements, const Affine& position, const Affine& last, Block& block);

    int copies_of(ValueId value) const { return nest_.place(value).lane ? copies_ : spread_here(value) ? spread_copies() : 1; }
    int active(ValueId value, int copy) const;
    std::vector<RegId>& registers(ValueId value, int copy);
    RegId reg(ValueId value, int component, int copy);
    RegId sum_register(ValueId value, int component);

    const Nest& nest_;
    const EdgeProgram& program_;
    const Schedule& schedule_;
    const Target& target_;
    const StoreModes& modes_;
    const std::map<ValueId, PartPlace>& parts_;
    BufferTable& buffers_;
    int lanes_;
    DType compute_;
    std::int64_t chunk_channels_ = 1, chunks_ = 1;
    int copies_ = 1;
    bool together_ = false;  ///< copies take turns step by step: they share what is read from memory, and sums that never leave the lanes

    TaskBuilder builder_;
    std::map<std::pair<ValueId, int>, std::vector<RegId>> registers_;  // by value and copy
    std::map<ValueId, std::vector<RegId>> summed_;                     // lane sums, uniform
    bool in_spread_loop_ = false;
    std::map<ValueId, std::vector<RegId>> of_step_;                    // spread values in a step of their loop: one lane's number, or what is summed to it
    std::vector<std::vector<bool>> initialized_;                       // by value and component
    std::vector<bool> loaded_, stored_;
    Uses uses_;

    IntId channel_ = -1, receiver_ = -1, position_ = -1, edge_position_ = -1, edge_ = -1, sender_ = -1, last_of_receiver_ = -1, range_ = -1;
    IntId ahead_ = -1;  ///< edges of a stage_loop before the one at hand
    std::map<int, IntId> axis_;          // loop variable of an axis class

    const TileTerm* term_;  ///< what makes the weights, where they have a tile
    TilePlan tile_;
    RingPlan ring_;
    std::int64_t stage_edges_ = 1;       // edges of a ring stage
    SharedId ring_buffer_ = -1, staging_ = -1, reduce_buffer_ = -1;
    std::int64_t shared_elements_ = 0, reduce_elements_ = 0, sums_elements_ = 0;
    std::vector<ValueId> reduced_;       // outputs that leave by bulk reduction
    IntId stage_ = -1, phase_ = -1, slot_ = -1, last_ = -1, half_ = -1;
};

}  // namespace flashtp
