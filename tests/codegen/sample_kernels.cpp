#include "tests/codegen/sample_kernels.hpp"

namespace flashtp::test {
namespace {

constexpr int warp = 32;
constexpr int stages = 3;

Buffer operand(std::string name, DType dtype, std::int64_t width, Row row, Role role) {
    Buffer b;
    b.name = name;
    b.dtype = dtype;
    b.operand = Operand{name, width, row, role};
    return b;
}
Buffer index(std::string name) {
    Buffer b;
    b.name = name;
    b.kind = BufferKind::index;
    return b;
}
Access at(Place place, int buffer, Affine base, std::int64_t lane_stride, int active) {
    Access a;
    a.place = place;
    a.buffer = buffer;
    a.base = base;
    a.lane_stride = lane_stride;
    a.active = active;
    return a;
}

/// Declares integers, registers and shared memory of a task as they are asked for.
struct TaskBuilder {
    KernelTask task;
    std::int64_t shared_end = 0;

    TaskBuilder(std::string name) {
        task.name = name;
        task.ints = {"chunk", "row_begin", "row_end"};
    }
    IntId integer(std::string name) { return task.ints.push_back(name), static_cast<IntId>(task.ints.size()) - 1; }
    RegId lanes(std::string name) { return declare({name, false}); }
    RegId uniform(std::string name) { return declare({name, true}); }
    SharedId shared(std::string name, std::int64_t size) {
        task.shared.push_back({name, shared_end, size});
        shared_end += size;
        return static_cast<SharedId>(task.shared.size()) - 1;
    }

  private:
    RegId declare(Register r) { return task.registers.push_back(r), static_cast<RegId>(task.registers.size()) - 1; }
};

void add(Block& block, KernelNode node) { block.push_back({std::move(node)}); }

enum Buffers : BufferId { x, y, w, sender, row_ptr, reversed, out, total, count, grad_w, grad_y, grad_x, permuted, last };

std::vector<Buffer> buffers_of_everything(DType t) {
    std::vector<Buffer> b = {operand("x", t, warp + 1, Row::sender, Role::input),
                             operand("y", t, 4, Row::edge, Role::input),
                             operand("w", t, warp, Row::edge, Role::input),
                             index("sender"),
                             index("row_ptr"),
                             index("reversed"),
                             operand("out", t, warp, Row::receiver, Role::output),
                             operand("total", t, 1, Row::receiver, Role::output),
                             operand("count", t, 1, Row::receiver, Role::output),
                             operand("grad_w", t, warp, Row::edge, Role::output),
                             operand("grad_y", t, 4, Row::edge, Role::output),
                             operand("grad_x", t, warp, Row::sender, Role::output),
                             operand("permuted", t, warp, Row::receiver, Role::output),
                             operand("last", t, warp, Row::receiver, Role::output)};
    b[w].streaming = b[grad_w].streaming = true;
    b[reversed].kind = BufferKind::table;
    for (int n = 0; n < warp; ++n) b[reversed].table.push_back(warp - 1 - n);
    for (const BufferId id : {grad_y, grad_x, permuted}) b[id].zeroed = b[id].shared_rows = true;
    b[last].zeroed = true;
    return b;
}

/// Builds every_construct; the members are what several parts of it name.
class Everything {
  public:
    Everything(std::string_view target, DType dtype, CopyMechanism copy) : barriers_(copy == CopyMechanism::barrier) {
        kernel_.name = "every_construct";
        kernel_.header = {"A sample that holds every construct", std::string(target)};
        kernel_.target = cuda_target(target);
        kernel_.compute = dtype;
        kernel_.lanes = warp;
        kernel_.receiver_rows = true;
        kernel_.buffers = buffers_of_everything(dtype);
        kernel_.stages = stages;
        t.task.copy = copy;
        t.task.element_copies = true;  // rows of 33 numbers are not aligned
        kernel_.warps_per_block = 2;
        kernel_.rows_per_warp = 2;
    }
    Kernel build();

  private:
    void fill(Block&);
    void edge(Block&);
    void edge_inputs(Block&);
    void edge_gradients(Block&);
    void receiver_outputs(Block&);
    Affine in_stage(std::int64_t offset) const { return Affine::of(stage, row) + Affine(offset); }

    static constexpr std::int64_t row = warp + 4 + 36;  // w, y, x padded to 16 bytes
    bool barriers_;
    Kernel kernel_;
    TaskBuilder t{"all"};
    SharedId ring = t.shared("ring", row* stages), staging = t.shared("staging", 2 * warp);
    IntId stage = t.integer("stage"), phase = t.integer("phase"), fill_stage = t.integer("fill_stage"),
          fill_edge = t.integer("fill_edge"), first = t.integer("first_edge"), end = t.integer("end_edge"),
          source = t.integer("source"), ahead = t.integer("ahead"), prologue = t.integer("prologue"),
          receiver = t.integer("receiver"), stop = t.integer("stop"), e = t.integer("e"), half = t.integer("half"),
          here = t.integer("s");
    RegId acc = t.lanes("acc"), edges = t.uniform("edges"), sum_t = t.uniform("sum_t"), y0 = t.uniform("y_0"),
          y1 = t.uniform("y_1"), y2 = t.uniform("y_2"), wv = t.lanes("w"), xv = t.lanes("x"), product = t.lanes("t"),
          y0_plus = t.uniform("y0_plus"), gw = t.lanes("gw"), gx = t.lanes("gx"), once = t.lanes("once"),
          sum_a = t.uniform("sum_a"), sum_b = t.uniform("sum_b");
};

/// Fills the next stage with the rows of edge fill_edge.
void Everything::fill(Block& b) {
    const Affine base = Affine::of(fill_stage, row);
    add(b, WindowRead{0, source, Affine::of(fill_edge)});
    const auto bytes = static_cast<std::int64_t>(size_of(kernel_.compute)) * (warp + 4);
    add(b, StageFill{fill_stage, barriers_ ? bytes : 0});
    const int vector = 16 / static_cast<int>(size_of(kernel_.compute));
    add(b, AsyncCopy{ring, base, w, Affine::of(fill_edge, warp), warp, barriers_, vector});
    add(b, AsyncCopy{ring, base + Affine(warp), y, Affine::of(fill_edge, 4), 4, barriers_, vector});
    add(b, AsyncCopy{ring, base + Affine(warp + 4), x, Affine::of(source, warp + 1), warp + 1, false, 1});
    add(b, StageCommit{fill_stage});
    add(b, StageNext{fill_stage, {}});
    add(b, IntSet{fill_edge, Affine::of(fill_edge) + Affine(1)});
}

void Everything::edge_inputs(Block& b) {
    add(b, StageWait{stage, phase});
    add(b, Comment{"one edge"});
    add(b, Load{{y0, y1, y2}, at(Place::shared, ring, in_stage(warp), 0, warp)});
    add(b, Load{{wv}, at(Place::shared, ring, in_stage(0), 1, warp)});
    add(b, Load{{xv}, at(Place::shared, ring, in_stage(warp + 4), 1, warp)});
    add(b, SyncWarp{});
    If more{Affine::of(fill_edge), Affine::of(end), {}};
    fill(more.body);
    add(b, std::move(more));
}

void Everything::edge_gradients(Block& b) {
    add(b, Mul{gw, xv, y1});
    add(b, Store{at(Place::global, grad_w, Affine::of(e, warp), 1, warp), {gw}, StoreMode::store});
    // w once more, from global memory, to sum it over lanes; the last component is summed with the others.
    add(b, Load{{once}, at(Place::global, w, Affine::of(e, warp), 1, warp)});
    add(b, ReduceStore{at(Place::global, grad_y, Affine::of(e, 4), 0, warp), {product, product, once}, StoreMode::atomic});
    add(b, LaneSum{{sum_a, sum_b}, {product, product}});
    add(b, Fma{sum_t, sum_a, 1.0, sum_t});
    add(b, Fma{sum_t, sum_b, 1.0, sum_t});
    add(b, Mul{gx, wv, y2});
    if (!barriers_) {
        add(b, IntLoad{here, sender, Affine::of(e), true, true});
        return add(b, Store{at(Place::global, grad_x, Affine::of(here, warp), 1, warp), {gx}, StoreMode::atomic});
    }
    add(b, Store{at(Place::shared, staging, Affine::of(half, warp), 1, warp), {gx}, StoreMode::store});
    add(b, IntLoad{here, sender, Affine::of(e), true, true});
    add(b, BulkReduce{staging, Affine::of(half, warp), grad_x, Affine::of(here, warp), warp, 1});
    add(b, SyncWarp{});
    add(b, IntSet{half, Affine::of(half, -1) + Affine(1)});
}

void Everything::edge(Block& b) {
    edge_inputs(b);
    add(b, Mul{product, wv, xv});
    add(b, Fma{y0_plus, y0, 1.0, 1.0});
    add(b, Fma{acc, product, y0_plus, acc});
    add(b, Fma{edges, 1.0, 1.0, edges});
    edge_gradients(b);
    add(b, Store{at(Place::global, last, Affine::of(receiver, warp), 1, 17), {product}, StoreMode::store});
    add(b, StageNext{stage, phase});
}

void Everything::receiver_outputs(Block& b) {
    add(b, Store{at(Place::global, count, Affine::of(receiver), 0, 1), {edges}, StoreMode::store});
    add(b, Store{at(Place::global, total, Affine::of(receiver), 0, 1), {sum_t}, StoreMode::store});
    if (barriers_) add(b, BulkEnd{});
    add(b, Store{at(Place::shared, staging, 0, 1, warp), {acc}, StoreMode::store});
    add(b, SyncWarp{});
    add(b, CopyLanes{staging, 0, out, Affine::of(receiver, warp), warp, false, StoreMode::store});
    Access mirrored = at(Place::global, permuted, Affine::of(receiver, warp), 1, warp);
    mirrored.table = reversed;
    mirrored.table_base = 0;
    add(b, Store{mirrored, {acc}, StoreMode::add});
    add(b, SyncWarp{});
}

Kernel Everything::build() {
    Block& b = t.task.body;
    t.task.comments = {"every path"};
    t.task.windows = 1;
    add(b, IntLoad{first, row_ptr, Affine::of(int_row_begin), false, true});
    add(b, IntLoad{end, row_ptr, Affine::of(int_row_end), false, true});
    add(b, PartOfEdges{first, end});
    add(b, RingBegin{});
    add(b, WindowOpen{0, sender, Affine::of(first), Affine::of(end)});
    for (const IntId zero : {stage, phase, fill_stage, half}) add(b, IntLet{zero, 0});
    add(b, IntLet{fill_edge, Affine::of(first)});
    add(b, IntMin{ahead, Affine::of(end), Affine::of(first) + Affine(stages)});
    For start{prologue, Affine::of(first), Affine::of(ahead), 1, {}};
    fill(start.body);
    add(b, std::move(start));
    add(b, ZerosReady{});

    For rows{receiver, Affine::of(int_row_begin), Affine::of(int_row_end), 1, {}};
    for (const RegId zero : {acc, edges, sum_t}) add(rows.body, Move{zero, 0.0});
    add(rows.body, IntLoad{stop, row_ptr, Affine::of(receiver) + Affine(1), false, true});
    For all{e, Affine::of(first), Affine::of(stop), 1, {}};
    edge(all.body);
    add(rows.body, std::move(all));
    add(rows.body, IntSet{first, Affine::of(stop)});
    receiver_outputs(rows.body);
    add(b, std::move(rows));
    if (barriers_) add(b, BulkEnd{});
    kernel_.shared_elements = t.shared_end;
    kernel_.tasks = {t.task};
    return kernel_;
}

}  // namespace

Kernel scaled_rows(std::string_view target) {
    Kernel k;
    k.name = "scaled_rows";
    k.header = {"z = 0.25 x y + c"};
    const bool cuda = target.starts_with("sm_");
    if (cuda) k.target = cuda_target(target);
    k.lanes = cuda ? warp : 4;
    k.rows_per_warp = 4;
    k.buffers = {operand("x", DType::float32, 5, Row::edge, Role::input), operand("y", DType::float32, 2, Row::edge, Role::input),
                 operand("z", DType::float32, 5, Row::edge, Role::output)};

    TaskBuilder t("only");
    t.task.comments = {"path 0: 5x0e * 1x0e -> 5x0e"};
    t.task.chunks = cuda ? 1 : 2;
    const IntId e = t.integer("e");
    const RegId y0 = t.uniform("y_0"), y1 = t.uniform("y_1");
    For rows{e, Affine::of(int_row_begin), Affine::of(int_row_end), 1, {}};
    const auto channels = [&](Block& b, int active, Affine first) {
        const RegId xv = t.lanes("x"), scaled = t.lanes("x_y"), z = t.lanes("z");
        add(b, Load{{xv}, at(Place::global, 0, Affine::of(e, 5) + first, 1, active)});
        add(b, Mul{scaled, xv, y0});
        add(b, Fma{z, scaled, 0.25, y1});
        add(b, Store{at(Place::global, 2, Affine::of(e, 5) + first, 1, active), {z}, StoreMode::store});
    };
    add(rows.body, Load{{y0, y1}, at(Place::global, 1, Affine::of(e, 2), 0, 1)});
    if (cuda) {
        channels(rows.body, 5, 0);
    } else {
        // Chunk 0 is channels 0 to 3, chunk 1 the last channel.
        If whole{Affine::of(int_chunk), 1, {}}, rest{0, Affine::of(int_chunk), {}};
        channels(whole.body, 4, 0);
        channels(rest.body, 1, 4);
        add(rows.body, std::move(whole));
        add(rows.body, std::move(rest));
    }
    if (cuda) add(t.task.body, ZerosReady{});
    add(t.task.body, std::move(rows));
    k.tasks = {t.task};
    return k;
}

Kernel every_construct(std::string_view target, DType dtype, std::optional<CopyMechanism> copy) {
    return Everything(target, dtype, copy.value_or(cuda_target(target).copy)).build();
}

}  // namespace flashtp::test
