#include <doctest/doctest.h>

#include "ir/kernel.hpp"
#include "ir/kernel_divisors.hpp"
#include "ir/kernel_print.hpp"
#include "tests/ir/errors.hpp"
#include "tests/support/kernel_builder.hpp"

using namespace flashtp;
using namespace flashtp::test;

TEST_CASE("affine: sums stay sorted and free of zeros") {
    const Affine a = times(5, 2) + Affine(3) + times(1, 4);
    CHECK(a.constant == 3);
    CHECK(a.terms == std::vector<std::pair<IntId, std::int64_t>>{{1, 4}, {5, 2}});
    CHECK(a + times(5, -2) + times(1, -4) == Affine(3));
    CHECK(times(2, 0) == Affine(0));
    CHECK(times(2, 1) + times(1, 1) == times(1, 1) + times(2, 1));
    CHECK(a + Affine(-3) != a);
}

TEST_CASE("kernel: shared memory of a block") {
    Kernel k;
    k.warps_per_block = 2;
    k.shared_elements = 33;
    CHECK(shared_bytes(k) == 2 * 256);
    k.compute = DType::float64;
    CHECK(shared_bytes(k) == 2 * 384);
    k.stages = 3;
    CHECK(shared_bytes(k) == 2 * 384);  // no barriers
    k.tasks.push_back({});
    k.tasks.back().copy = CopyMechanism::barrier;
    CHECK(shared_bytes(k) == 2 * (384 + 24));
    k.shared_elements = 0;
    k.stages = 0;
    CHECK(shared_bytes(k) == 0);
}

TEST_CASE("kernel: what integers are multiples of") {
    KernelBuilder b;
    const BufferId rows = b.index("rows");
    const IntId e = b.integer("e"), base = b.integer("base"), half = b.integer("half"), k = b.integer("k"), x = b.integer("x");
    b.then(IntLoad{e, rows, Affine(0)}, IntLet{base, times(e, 24) + Affine(8)}, IntLet{half, Affine(0)},
           For{k, Affine(6), Affine(60), 4, block(IntSet{half, times(half, 3) + Affine(12)})},
           IntMin{x, times(base, 2), Affine(12)});
    const std::vector<std::int64_t> divisors = int_divisors(b.task());
    CHECK(divisors == std::vector<std::int64_t>{1, 1, 1, 1, 8, 12, 2, 4});
    CHECK(divisor_of(times(base, 3) + Affine(16), divisors) == 8);
    CHECK(divisor_of(Affine(0), divisors) == 0);
    CHECK(divisor_of(Affine(-6), divisors) == 6);
}

namespace {

/// Every construct, in no useful order: for the printer.
KernelBuilder every_construct() {
    KernelBuilder b;
    b.kernel.header = {"made by hand"};
    b.kernel.stages = 2;
    b.task().copy = CopyMechanism::barrier;
    b.task().element_copies = true;
    const BufferId x = b.input("x", 8, Row::sender), out = b.output("out", 8), grad = b.sum("grad", 8);
    const BufferId sender = b.index("sender"), pairs = b.table("pairs", {3, 2, 1, 0});
    b.buffer(x).streaming = true;
    b.task().chunks = 2;
    b.task().comments = {"path 0"};
    b.task().windows = 1;
    const SharedId ring = b.shared("ring", 16);
    const IntId e = b.integer("e"), s = b.integer("s"), m = b.integer("m"), got = b.integer("got"), stage = b.integer("stage"),
                phase = b.integer("phase");
    const RegId a = b.reg("a"), c = b.reg("c"), u = b.uniform("u"), v = b.uniform("v");
    b.then(Comment{"a comment"}, IntLet{e, times(int_chunk, 2) + times(int_row_begin, -1) + Affine(-3)}, IntSet{e, Affine(0)},
           IntLoad{s, sender, times(e, 1), true}, IntLoad{s, sender, Affine(7), false, false}, IntMin{m, times(s, 1), Affine(4)}, IntPut{ring, Affine(15), e}, IntGet{got, ring, Affine(15)},
           IntLet{stage, Affine(0)}, IntLet{phase, Affine(0)}, RingBegin{}, StageFill{stage, 32},
           AsyncCopy{ring, times(stage, 8), x, times(s, 8), 8, true}, AsyncCopy{ring, Affine(8), x, times(s, 8), 8, false, 4},
           StageCommit{stage}, StageWait{stage, phase}, StageNext{stage, phase}, StageNext{stage, {}},
           WindowOpen{0, sender, times(e, 1), Affine(9)}, WindowRead{0, s, times(e, 1)});
    b.then(Load{{a, c}, b.local(ring, times(stage, 8), 2)}, Load{{u, v}, b.global(x, times(s, 8), 0, 4)},
           Load{{a}, KernelBuilder::masked(KernelBuilder::through(b.global(x, Affine(1), 3), pairs, times(m, 1)), 3)});
    b.then(For{b.integer("i"), Affine(0), times(m, 1), 2,
               block(If{times(e, 1), Affine(5), block(Fma{a, a, -0.1, c}, Mul{c, u, 2.0}, Move{c, a})})});
    const IntId k = b.integer("k");
    For dealt{k, Affine(0), Affine(2), 1, block(WindowRead{0, s, times(k, 1)}, AsyncCopy{ring, times(k, 8), x, times(s, 8), 8, false, 4})};
    dealt.teams = 2;
    b.then(std::move(dealt));
    b.then(LaneGet{{u, v}, {a, c}, times(int_chunk, 2)}, SpreadSums{a, {a, c}, times(int_chunk, 2)});
    b.then(LaneSum{{u}, {a}}, Store{b.global(out, times(e, 8), 2), {a, c}, StoreMode::store},
           Store{b.global(out, times(e, 8), 0), {u}, StoreMode::add}, SyncWarp{},
           ReduceStore{b.global(grad, times(s, 8), 0), {a, c}, StoreMode::atomic},
           CopyLanes{ring, Affine(0), x, times(s, 8), 5, true, StoreMode::store},
           CopyLanes{ring, Affine(0), grad, times(s, 8), 5, false, StoreMode::atomic}, SyncWarp{},
           BulkReduce{ring, Affine(0), grad, times(s, 8), 4, 1}, BulkEnd{}, Prefetch{x, times(s, 8), 8},
           Prefetch{out, times(e, 8), 3, true});
    return b;
}

}  // namespace

TEST_CASE("kernel: printed form of every construct") {
    const Kernel kernel = every_construct().kernel;
    verify(kernel);
    CHECK(to_string(kernel) == R"(kernel k for sm_90a
  # made by hand
  4 lanes of float32, rows are edges, 1 a warp
  1 warps a block, 1 blocks, 16 shared elements a warp
  ring of 2 stages
buffers
  operand x float32 input [8] @sender streaming
  operand out float32 output [8] @edge
  operand grad float32 output [8] @sender zeroed shared_rows
  index sender int32
  table pairs int32 = 3 2 1 0
task t, 2 chunks
  # path 0
  shared ring [0, 16)
  uniform u v
  ring by barrier, element copies
  1 windows
  zeros ready
  // a comment
  let e = 2*chunk - row_begin - 3
  set e = 0
  let s = sender[e] or the index
  set s = sender[7]
  let m = min(s, 4)
  put shared ring[15] = e
  get got = shared ring[15]
  let stage = 0
  let phase = 0
  ring begin
  stage fill stage, 32 bulk bytes
  async shared ring[8*stage] = x[8*s], 8 bulk
  async shared ring[8] = x[8*s], 8 by 4
  stage commit stage
  stage wait stage, phase phase
  stage next stage, phase phase
  stage next stage
  window 0 = sender[e .. 9]
  let s = window 0 at e
  a, c = shared ring[8*stage; 2 lane; 1 k]
  u, v = x[8*s; 4 k]
  a = x[1; 3 pairs[m + lane]] active 3
  for i = 0 .. m step 2 {
    if e < 5 {
      a = a * -0.1 + c
      c = u * 2
      c = a
    }
  }
  for k = 0 .. 2 by 2 teams of lanes {
    let s = window 0 at k
    async shared ring[8*k] = x[8*s], 8 by 4
  }
  u, v = a, c of lane 2*chunk
  a += spread_sums(a, c) from lane 2*chunk
  u = lane_sum(a)
  out[8*e; 2 lane; 1 k] = a, c
  out[8*e] += u
  sync
  grad[8*s; 1 k] atomic += lane_sum(a, c)
  copy shared ring[0] = x[8*s], 5
  copy grad[8*s] atomic += shared ring[0], 5
  sync
  bulk grad[8*s] += shared ring[0], 4, 1 pending
  bulk end
  prefetch x[8*s], 8
  prefetch to write out[8*e], 3
)");
}

TEST_CASE("kernel: ids that do not exist still print") {
    KernelBuilder b;
    b.then(Fma{4, 5, 6, 7}, IntLet{9, times(8, 1)}, Store{b.global(3, Affine(0)), {4}, StoreMode::add});
    const std::string text = to_string(b.kernel);
    CHECK(contains(text, "  r4 = r5 * r6 + r7\n  let i9 = i8\n  b3[0; 1 lane] += r4\n"));
}

TEST_CASE("kernel: errors in long kernels show the surroundings only") {
    KernelBuilder b;
    const RegId a = b.reg("a");
    b.then(Move{a, 0.0});
    for (int n = 0; n < 5000; ++n) b.then(Fma{a, a, static_cast<double>(n), a});
    const std::string text = excerpt(b.kernel, b.task(), &b.task().body[2002]);
    CHECK(contains(text, "\n> a = a * 2000 + a\n"));
    CHECK(contains(text, "\n  a = a * 1990 + a\n"));
    CHECK(!contains(text, "a * 1900 "));
    CHECK(text.size() < 2000);
}

namespace {

/// A kernel that verifies, for errors to be planted in: a load, arithmetic, a store, and a ring.
struct Sample {
    KernelBuilder b;
    BufferId x, w, out, sum, sender, pairs;
    SharedId ring;
    IntId e, stage, phase;
    RegId a, c, u;
    Sample() {
        b.kernel.stages = 2;
        b.task().copy = CopyMechanism::barrier;
        x = b.input("x", 8), w = b.input("w", 5), out = b.output("out", 8), sum = b.sum("sum", 8);
        sender = b.index("sender"), pairs = b.table("pairs", {0, 1, 2, 3});
        b.task().windows = 1;
        b.shared("first", 2);
        ring = b.shared("ring", 16);
        b.task().shared[1].offset = 4, b.kernel.shared_elements = 20;
        e = b.integer("e"), stage = b.integer("stage"), phase = b.integer("phase");
        a = b.reg("a"), c = b.reg("c"), u = b.uniform("u");
        b.then(IntLet{e, times(int_row_begin, 1)}, IntLet{stage, Affine(0)}, IntLet{phase, Affine(0)}, RingBegin{}, Move{a, 1.0});
    }
    template <class... Nodes>
    std::string error(Nodes&&... nodes) {
        b.then(std::forward<Nodes>(nodes)...);
        return internal_error_of([&] { verify(b.kernel); });
    }
};

/// The sample with some statements appended does not verify, with this message.
#define CHECK_REFUSED(message, ...)                                                                                              \
    do {                                                                                                                         \
        Sample s;                                                                                                                \
        const std::string error = s.error(__VA_ARGS__);                                                                          \
        CAPTURE(error);                                                                                                          \
        CHECK(contains(error, std::string("kernel k, task t: ") + message));                                                     \
        CHECK(contains(error, "\n> "));                                                                                          \
    } while (false)

}  // namespace

TEST_CASE("kernel: verify accepts the sample") { CHECK(Sample().error(Comment{"fine"}) == "(no error)"); }

TEST_CASE("kernel: verify refuses registers that are not there") {
    CHECK_REFUSED("register c is read before it is assigned\n  at: a = c", (Move{s.a, s.c}));
    CHECK_REFUSED("nothing to prefetch", (Prefetch{s.out, 0, 0}));
    CHECK_REFUSED("register c is read before it is assigned", (Fma{s.a, s.a, 2.0, s.c}));
    CHECK_REFUSED("register c is read before it is assigned", (Store{s.b.global(s.out, 0), {s.c}, StoreMode::store}));
    CHECK_REFUSED("register c is read before it is assigned", (LaneSum{{s.u}, {s.c}}));
    CHECK_REFUSED("register 9 does not exist", (Mul{s.a, 9, s.a}));
    CHECK_REFUSED("register 9 does not exist", (Move{9, 0.0}));
    CHECK_REFUSED("register c is read outside the block of its first assignment",
                  (For{s.b.integer("i"), 0, 3, 1, block(Move{s.c, 0.0})}), (Move{s.a, s.c}));
    CHECK_REFUSED("register c is assigned outside the block of its first assignment", (If{0, 1, block(Move{s.c, 0.0})}),
                  (Move{s.c, 0.0}));
    CHECK_REFUSED("a uniform register is computed from one that is not", (Mul{s.u, s.a, 2.0}));
    CHECK_REFUSED("a sum over lanes is uniform", (LaneSum{{s.c}, {s.a}}));
    CHECK_REFUSED("a sum over lanes needs a register for each register", (LaneSum{{s.u}, {s.a, s.a}}));
    CHECK_REFUSED("what all lanes read of one is uniform", (LaneGet{{s.c}, {s.a}, 0}));
    CHECK_REFUSED("a lane's numbers need a register for each register", (LaneGet{{s.u}, {s.a, s.a}, 0}));
    CHECK_REFUSED("register c is read before it is assigned", (SpreadSums{s.c, {s.a}, 0}));
    CHECK_REFUSED("sums are spread over the lanes of a register", (Move{s.u, 0.0}), (SpreadSums{s.u, {s.a}, 0}));
    CHECK_REFUSED("no more sums than lanes are spread", (SpreadSums{s.a, {s.a, s.a, s.a, s.a, s.a}, 0}));
    CHECK_REFUSED("no registers", (Load{{}, s.b.global(s.x, 0)}));
    CHECK_REFUSED("uniform registers and others in one access", (Load{{s.c, s.u}, s.b.global(s.x, 0, 0)}));
    CHECK_REFUSED("uniform registers need an address that does not depend on the lane", (Load{{s.u}, s.b.global(s.x, 0)}));
}

TEST_CASE("kernel: verify refuses integers that are not there") {
    CHECK_REFUSED("integer 77 does not exist", (IntSet{s.e, times(77, 1)}));
    CHECK_REFUSED("integer 77 does not exist", (IntLet{77, 0}));
    CHECK_REFUSED("integer i is read where it is not declared", (IntLet{s.b.integer("j"), times(s.b.integer("i"), 1)}));
    CHECK_REFUSED("integer i is read where it is not declared", (IntSet{s.b.integer("i"), 0}));
    CHECK_REFUSED("integer e is declared twice", (IntLet{s.e, 0}));
    CHECK_REFUSED("integer e is declared twice", (For{s.e, 0, 1, 1, {}}));
    CHECK_REFUSED("a reserved integer is assigned", (IntSet{int_row_end, 0}));
    CHECK_REFUSED("i, which bounds an open loop, is assigned", (For{s.b.integer("i"), 0, 1, 1, block(IntSet{6, 0})}));
    CHECK_REFUSED("e, which bounds an open loop, is assigned",
                  (For{s.b.integer("i"), 0, times(s.e, 1), 1, block(IntSet{s.e, 0})}));
    CHECK_REFUSED("a loop needs a positive step", (For{s.b.integer("i"), 0, 1, 0, {}}));
    CHECK_REFUSED("the terms of a sum are not sorted", [&] {
        Affine a;
        a.terms = {{s.e, 1}, {int_chunk, 1}};
        return IntSet{s.e, a};
    }());
    CHECK_REFUSED("a sum has a zero factor", [&] {
        Affine a;
        a.terms = {{s.e, 0}};
        return IntSet{s.e, a};
    }());
}

TEST_CASE("kernel: verify refuses buffers used against their role") {
    CHECK_REFUSED("buffer 12 does not exist", (Load{{s.c}, s.b.global(12, 0)}));
    CHECK_REFUSED("output out is read", (Load{{s.c}, s.b.global(s.out, 0)}));
    CHECK_REFUSED("input x is written", (Store{s.b.global(s.x, 0), {s.a}, StoreMode::store}));
    CHECK_REFUSED("buffer sender is not an operand", (Load{{s.c}, s.b.global(s.sender, 0)}));
    CHECK_REFUSED("buffer x does not hold integers", (IntLoad{s.b.integer("i"), s.x, 0}));
    CHECK_REFUSED("table pairs is never null", (IntLoad{s.b.integer("i"), s.pairs, 0, true}));
    CHECK_REFUSED("buffer sender is not a table", (Load{{s.c}, KernelBuilder::through(s.b.global(s.x, 0), s.sender, 0)}));
    CHECK_REFUSED("entries 1 to 4 are not within table pairs of 4",
                  (Load{{s.c}, KernelBuilder::through(s.b.global(s.x, 0), s.pairs, 1)}));
    CHECK_REFUSED("atomic additions to out, whose rows are not shared", (Store{s.b.global(s.out, 0), {s.a}, StoreMode::atomic}));
    CHECK_REFUSED("atomic additions to sum, which is not zeroed", [&] {
        s.b.buffer(s.sum).zeroed = false;
        return ReduceStore{s.b.global(s.sum, 0, 0), {s.a}, StoreMode::atomic};
    }());
    CHECK_REFUSED("several lanes store to one element", (Store{s.b.global(s.out, 0, 0), {s.a}, StoreMode::store}));
    CHECK_REFUSED("sums over lanes are stored contiguously",
                  (ReduceStore{s.b.global(s.sum, 0, 0, 2), {s.a, s.a}, StoreMode::atomic}));
    CHECK_REFUSED("5 active lanes of 4", (Load{{s.c}, KernelBuilder::masked(s.b.global(s.x, 0), 5)}));
    CHECK_REFUSED("0 active lanes of 4", (Load{{s.c}, KernelBuilder::masked(s.b.global(s.x, 0), 0)}));
    CHECK_REFUSED("shared buffer 2 does not exist", (Load{{s.c}, s.b.local(2, 0)}));
    CHECK_REFUSED("elements 13 to 16 are not within shared buffer ring of 16", (Load{{s.c}, s.b.local(s.ring, 13)}));
    CHECK_REFUSED("elements -1 to 3 are not within shared buffer ring of 16", (Load{{s.c, s.u + 1}, s.b.local(s.ring, 0, 1, -1)}),
                  (Comment{std::to_string(s.b.reg("d"))}));
    CHECK_REFUSED("shared memory is a warp's own: no atomics", (Store{s.b.local(s.ring, 0), {s.a}, StoreMode::atomic}));
    CHECK_REFUSED("window 1 does not exist", (WindowOpen{1, s.sender, 0, 4}));
    CHECK_REFUSED("window 0 is read before it is opened", (WindowRead{0, s.b.integer("i"), 0}));
}

TEST_CASE("kernel: verify refuses loops over teams that teams cannot run apart") {
    const auto dealt = [](Sample& s, int teams, Affine begin, auto... body) {
        For loop{s.b.integer("k"), std::move(begin), Affine(2), 1, block(body...)};
        loop.teams = teams;
        return loop;
    };
    const AsyncCopy copy{1, 0, 0, 0, 8, false, 4}, bulk{1, 0, 0, 0, 8, true};
    CHECK(Sample().error(For{0, Affine(0), Affine(2), 1, {}, 0}).find("teams") == std::string::npos);
    CHECK_REFUSED("a loop is dealt to a power of two of teams", dealt(s, 3, 0, copy));
    CHECK_REFUSED("a loop is dealt to a power of two of teams", dealt(s, 8, 0, copy));
    CHECK_REFUSED("a loop over teams counts from 0", dealt(s, 2, 1, copy));
    CHECK_REFUSED("a loop over teams holds window reads, then puts and copies that are not in bulk", dealt(s, 2, 0, copy, SyncWarp{}));
    CHECK_REFUSED("a loop over teams holds window reads, then puts and copies that are not in bulk", dealt(s, 2, 0, bulk));
    CHECK_REFUSED("a loop over teams holds window reads, then puts and copies that are not in bulk", dealt(s, 2, 0, copy, WindowRead{0, s.e, 0}));
    CHECK_REFUSED("only receivers on a GPU are split", (PartOfEdges{s.e, s.e}));
}

TEST_CASE("kernel: verify refuses asynchronous copies against their alignment") {
    const auto bulk = [](Affine shared, Affine global, std::int64_t count, BufferId from = 0) {
        return AsyncCopy{1, std::move(shared), from, std::move(global), count, true};
    };
    CHECK(Sample().error(bulk(8, times(3, 8), 8)) == "(no error)");
    CHECK_REFUSED("20 bytes are not a multiple of 16", bulk(0, 0, 5));
    CHECK_REFUSED("the shared address is not aligned to 16 bytes", bulk(2, 0, 4));
    CHECK_REFUSED("the global address is not aligned to 16 bytes", bulk(0, 2, 4));
    CHECK_REFUSED("the global address is not aligned to 16 bytes", bulk(0, times(s.e, 5), 4, s.w));
    CHECK_REFUSED("the shared address is not aligned to 16 bytes", (StageNext{s.stage, {}}), bulk(times(s.stage, 6), 0, 4));
    CHECK_REFUSED("elements 12 to 19 are not within shared buffer ring of 16", bulk(12, 0, 8));
    CHECK_REFUSED("output out is read", bulk(0, 0, 4, s.out));
    CHECK_REFUSED("nothing to copy", bulk(0, 0, 0));
    CHECK_REFUSED("asynchronous copies do not convert", [&] {
        s.b.buffer(s.x).dtype = DType::float64;
        return bulk(0, 0, 4);
    }());
    CHECK_REFUSED("bulk copies need barriers", [&] {
        s.b.task().copy = CopyMechanism::groups;
        return bulk(0, 0, 4);
    }());
    CHECK_REFUSED("the kernel has no ring", [&] {
        s.b.kernel.stages = 0;
        s.b.task().body = block(ZerosReady{});
        return bulk(0, 0, 4);
    }());
    CHECK_REFUSED("an element copy in a task without element_copies", (AsyncCopy{s.ring, 0, s.x, 0, 5, false, 1}));
    CHECK_REFUSED("an element copy moves 4, 8 or 16 bytes", (AsyncCopy{s.ring, 0, s.x, 0, 6, false, 3}));
    CHECK_REFUSED("the global address is not aligned to 8 bytes", (AsyncCopy{s.ring, 0, s.w, times(s.e, 5), 4, false, 2}));
    CHECK_REFUSED("bulk copies need barriers", [&] {
        s.b.task().copy = CopyMechanism::groups;
        return StageFill{s.stage, 16};
    }());
    CHECK_REFUSED("the global address is not aligned to 16 bytes", (BulkReduce{s.ring, 0, s.sum, 2, 4}));
    CHECK_REFUSED("atomic additions to out, whose rows are not shared", (BulkReduce{s.ring, 0, s.out, 0, 4}));
    CHECK_REFUSED("input x is written", (BulkReduce{s.ring, 0, s.x, 0, 4}));
}

TEST_CASE("kernel: verify refuses writes before zeros are ready, on a GPU") {
    KernelBuilder b;
    const BufferId out = b.output("out");
    const RegId a = b.reg("a");
    b.task().body = block(Move{a, 0.0}, Store{b.global(out, 0), {a}, StoreMode::store}, ZerosReady{});
    CHECK(contains(internal_error_of([&] { verify(b.kernel); }), "out is written before its zeros are ready"));
    std::swap(b.task().body[1], b.task().body[2]);
    verify(b.kernel);
}

TEST_CASE("kernel: verify refuses declarations that contradict themselves") {
    const auto error = [](auto change) {
        Sample s;
        change(s.b.kernel);
        return internal_error_of([&] { verify(s.b.kernel); });
    };
    CHECK(contains(error([](Kernel& k) { k.lanes = 0; }), "kernel k: there are no lanes\nkernel k for sm_90a\n"));
    CHECK(contains(error([](Kernel& k) { k.rows_per_warp = 0; }), "the launch shape is empty"));
    CHECK(contains(error([](Kernel& k) { k.stages = -1; }), "negative stages"));
    CHECK(contains(error([](Kernel& k) { k.buffers[5].table.clear(); }), "a table is empty"));
    CHECK(contains(error([](Kernel& k) { k.buffers[0].operand->width = -1; }), "an operand has negative columns"));
    CHECK(contains(error([](Kernel& k) { k.tasks[0].ints.resize(2); }), "the reserved integers are missing"));
    CHECK(contains(error([](Kernel& k) { k.tasks[0].chunks = 0; }), "there is no chunk"));
    CHECK(contains(error([](Kernel& k) { k.shared_elements = 19; }),
                   "shared buffer ring [4, 20) is not within the warp's 19 elements"));
}

TEST_CASE("kernel: equality sees every field") {
    const Kernel a = every_construct().kernel;
    Kernel b = every_construct().kernel;
    CHECK(a == b);
    std::get<If>(std::get<For>(b.tasks[0].body[24].node).body[0].node).body.pop_back();
    CHECK(a != b);
}
