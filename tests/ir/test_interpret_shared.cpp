// The interpreter on shared memory: lanes, the ring and bulk reductions, and every fault it knows there.
#include <doctest/doctest.h>

#include <type_traits>

#include "tests/ir/errors.hpp"
#include "tests/support/kernel_builder.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

constexpr IntId bulk_row = 3;  ///< the loop variable of BulkKernel

/// out[e][lane] = x[index[e]][lane] + x[index[e]][lane + 4] through a ring, as lowering writes it; hooks plant faults.
struct RingKernel {
    KernelBuilder b;
    BufferId x, index, out;
    SharedId ring;
    IntId fill, fill_stage, stage, phase, i, k, n;
    RegId lo, hi;
    bool sync = true, wait = true, commit = true, refill_first = false;
    std::int64_t bulk_bytes, count = 8;
    bool bulk;
    int waited_phase_step = 1;

    explicit RingKernel(CopyMechanism copy, bool bulk_copies) : bulk_bytes(bulk_copies ? 32 : 0), bulk(bulk_copies) {
        b.kernel.stages = 2;
        b.task().copy = copy;
        b.task().element_copies = !bulk;
        b.kernel.rows_per_warp = 8;
        x = b.input("x", 8, Row::sender), index = b.index("index"), out = b.output("out", 4);
        ring = b.shared("ring", 16);
        b.task().windows = 1;
        fill = b.integer("fill"), fill_stage = b.integer("fill_stage"), stage = b.integer("stage"), phase = b.integer("phase");
        i = b.integer("i"), k = b.integer("k"), n = b.integer("n");
        lo = b.reg("lo"), hi = b.reg("hi");
    }

    Block refill() {
        const bool groups = b.task().copy == CopyMechanism::groups;
        Block more = block(WindowRead{0, n, times(fill, 1)}, StageFill{fill_stage, bulk_bytes},
                           AsyncCopy{ring, times(fill_stage, 8), x, times(n, 8), count, bulk, bulk ? 1 : 4});
        if (commit && !groups) more.push_back({StageCommit{fill_stage}});
        Block all = block(If{times(fill, 1), times(int_row_end, 1), std::move(more)});
        if (groups) all.push_back({StageCommit{fill_stage}});
        all.push_back({IntSet{fill, times(fill, 1) + Affine(1)}});
        all.push_back({StageNext{fill_stage, {}}});
        return all;
    }

    Kernel kernel() {
        Block body;
        const auto put = [&](auto node) { body.push_back({std::move(node)}); };
        if (wait) put(StageWait{stage, phase});
        const auto refilled = [&] {
            for (KernelStatement& s : refill()) body.push_back(std::move(s));
        };
        if (refill_first) refilled();
        put(Load{{lo, hi}, b.local(ring, times(stage, 8), 1, 4)});
        if (sync) put(SyncWarp{});
        if (!refill_first) refilled();
        put(StageNext{stage, waited_phase_step ? std::optional(phase) : std::nullopt});
        put(Fma{lo, hi, 1.0, lo});
        put(Store{b.global(out, times(i, 4)), {lo}, StoreMode::store});
        b.then(RingBegin{}, WindowOpen{0, index, times(int_row_begin, 1), times(int_row_end, 1)},
               IntLet{fill, times(int_row_begin, 1)}, IntLet{fill_stage, 0}, IntLet{stage, 0}, IntLet{phase, 0},
               For{k, 0, 2, 1, refill()}, For{i, times(int_row_begin, 1), times(int_row_end, 1), 1, std::move(body)});
        return b.kernel;
    }

    std::string error(std::int64_t rows = 5) {
        const Kernel built = kernel();
        return internal_error_of([&] { Launch(rows).floats(count_up(40)).null().floats(Floats(20)).incomplete().run(built); });
    }
};

}  // namespace

TEST_CASE("interpret: a ring by barriers, groups and plain copies gives the same rows") {
    const std::pair<CopyMechanism, bool> kinds[] = {{CopyMechanism::barrier, true},
                                                    {CopyMechanism::barrier, false},
                                                    {CopyMechanism::groups, false},
                                                    {CopyMechanism::plain, false}};
    for (const auto& [copy, bulk] : kinds) {
        for (const int rows_per_warp : {1, 2, 5}) {
            const Kernel kernel = RingKernel(copy, bulk).kernel();
            const Floats r = Launch(5, rows_per_warp)
                                 .floats(count_up(40))
                                 .indices({4, 0, 1, 0, 3})
                                 .floats(Floats(20))
                                 .run(kernel)
                                 .floats_of(1);
            for (const std::size_t e : {0, 1, 2, 3, 4}) {
                const float sender = Floats{4, 0, 1, 0, 3}[e];
                for (std::size_t lane = 0; lane < 4; ++lane)
                    CHECK(r[4 * e + lane] == 16 * sender + 2 * static_cast<float>(lane) + 4);
            }
        }
    }
    CHECK(RingKernel(CopyMechanism::barrier, true).error() == "(no error)");
}

TEST_CASE("interpret: the ring's rules") {
    const auto error = [](auto change, CopyMechanism copy = CopyMechanism::barrier) {
        RingKernel r(copy, copy == CopyMechanism::barrier);
        change(r);
        return r.error();
    };
    std::string message = error([](RingKernel& r) { r.sync = false; });
    CHECK(contains(message, "the copy to shared ring[0] of stage 0 comes while lanes still read it: no SyncWarp since"));
    CHECK(
        contains(message, "  at: async shared ring[8*fill_stage] = x[8*n], 8 bulk\n  with chunk=0 row_begin=0 row_end=5 fill=2"));
    CHECK(contains(message, "\n> "));
    CHECK(contains(error([](RingKernel& r) { r.sync = false; }, CopyMechanism::plain), "comes while lanes still read it"));

    CHECK(contains(error([](RingKernel& r) { r.wait = false; }), "lane 0 reads shared ring[0] of stage 0 before StageWait"));
    CHECK(contains(error([](RingKernel& r) { r.wait = false; }, CopyMechanism::plain), "of stage 0 before StageWait"));
    CHECK(contains(error([](RingKernel& r) { r.count = 4, r.bulk_bytes = 16; }),
                   "lane 0 reads shared ring[4], which nobody has written"));
    CHECK(contains(error([](RingKernel& r) { r.bulk_bytes = 48; }), "stage 0 expects 48 bytes of bulk copies and gets 32"));
    CHECK(contains(error([](RingKernel& r) { r.commit = false; }), "stage 1 is filled before stage 0 is committed"));
    CHECK(
        contains(error([](RingKernel& r) { r.refill_first = true; }), "lane 0 reads shared ring[0] of stage 0 before StageWait"));
    CHECK(
        contains(error([](RingKernel& r) { r.waited_phase_step = 0; }), "StageWait for phase 0 of stage 0, which is in phase 1"));
}

TEST_CASE("interpret: no wait, barrier or commit of a ring can be left out") {
    const auto is_order = [](const KernelStatement& s) {
        return std::visit(
            [](const auto& node) {
                using Node = std::decay_t<decltype(node)>;
                return std::is_same_v<Node, SyncWarp> || std::is_same_v<Node, StageWait> || std::is_same_v<Node, StageCommit> ||
                       std::is_same_v<Node, StageNext>;
            },
            s.node);
    };
    for (const CopyMechanism copy : {CopyMechanism::barrier, CopyMechanism::groups, CopyMechanism::plain}) {
        const Kernel whole = RingKernel(copy, copy == CopyMechanism::barrier).kernel();
        const Block& loop = std::get<For>(whole.tasks[0].body.back().node).body;
        int removed = 0;
        for (std::size_t n = 0; n < loop.size(); ++n) {
            if (!is_order(loop[n])) continue;
            ++removed;
            Kernel kernel = whole;
            Block& body = std::get<For>(kernel.tasks[0].body.back().node).body;
            body.erase(body.begin() + static_cast<std::ptrdiff_t>(n));
            CHECK(internal_error_of([&] { Launch(5).floats(count_up(40)).null().floats(Floats(20)).run(kernel); }) !=
                  "(no error)");
        }
        CHECK(removed >= 4);
    }
}

TEST_CASE("interpret: the ring's states") {
    // Each row is a task body for a ring of two stages at which the interpreter stops.
    struct Case {
        const char* message;
        CopyMechanism copy;
        Block (*body)(IntId zero, IntId one, RegId);  ///< one + 1 is not declared
    };
    constexpr auto barrier = CopyMechanism::barrier, groups = CopyMechanism::groups;
    static const auto copy = [](std::int64_t at) { return AsyncCopy{0, at, 0, 0, 4, false, 4}; };
    const Case cases[] = {
        {"a stage is used before RingBegin", barrier, [](IntId z, IntId, RegId) { return block(StageFill{z, 0}); }},
        {"the ring begins twice", barrier, [](IntId, IntId, RegId) { return block(RingBegin{}, RingBegin{}); }},
        {"an asynchronous copy outside StageFill and StageCommit", barrier,
         [](IntId, IntId, RegId) { return block(RingBegin{}, copy(0)); }},
        {"a loop over 2 teams in 1 rounds runs to 3", barrier,
         [](IntId z, IntId o, RegId) {
             For dealt{o + 1, Affine(0), Affine(3), 1, block(copy(0))};
             dealt.teams = 2;
             return block(RingBegin{}, StageFill{z, 0}, dealt);
         }},
        {"a loop over 2 teams in 2 rounds runs to 5", barrier,
         [](IntId z, IntId o, RegId) {
             For dealt{o + 1, Affine(0), Affine(5), 1, block(copy(0))};
             dealt.teams = dealt.rounds = 2;
             return block(RingBegin{}, StageFill{z, 0}, dealt);
         }},
        {"stage 0 is refilled before StageWait", barrier,
         [](IntId z, IntId, RegId) { return block(RingBegin{}, StageFill{z, 0}, copy(0), StageCommit{z}, StageFill{z, 0}); }},
        {"stage 1 is committed, but it is not being filled", barrier,
         [](IntId z, IntId o, RegId) { return block(RingBegin{}, StageFill{z, 0}, copy(0), StageCommit{o}); }},
        {"StageWait for stage 0, which was never filled", barrier,
         [](IntId z, IntId, RegId) { return block(RingBegin{}, StageWait{z, z}); }},
        {"StageWait for stage 0, which is not committed", barrier,
         [](IntId z, IntId, RegId) { return block(RingBegin{}, StageFill{z, 0}, copy(0), StageWait{z, z}); }},
        {"StageWait for phase 1 of stage 0, which is in phase 0", barrier,
         [](IntId z, IntId o, RegId) { return block(RingBegin{}, StageFill{z, 0}, copy(0), StageCommit{z}, StageWait{z, o}); }},
        {"the warp ends while stage 0 is in flight", barrier,
         [](IntId z, IntId, RegId) { return block(RingBegin{}, StageFill{z, 0}, copy(0), StageCommit{z}); }},
        {"meets another copy to stage 0", barrier,
         [](IntId z, IntId, RegId) { return block(RingBegin{}, StageFill{z, 0}, copy(0), copy(0)); }},
        {"stage 2 of 2", barrier, [](IntId z, IntId, RegId) { return block(RingBegin{}, IntSet{z, 2}, StageFill{z, 0}); }},
        {"lane 0 writes shared s[0], which a copy to stage 0 fills", barrier,
         [](IntId z, IntId, RegId a) {
             return block(RingBegin{}, StageFill{z, 0}, copy(0),
                          Store{{Place::shared, 0, 0, 1, 1, 4, {}, {}}, {a}, StoreMode::store});
         }},
        {"of stage 0 comes after a lane wrote it: no SyncWarp since", barrier,
         [](IntId z, IntId, RegId a) {
             return block(RingBegin{}, Store{{Place::shared, 0, 0, 1, 1, 4, {}, {}}, {a}, StoreMode::store}, StageFill{z, 0},
                          copy(0));
         }},
        {"lane 0 reads shared s[4], which the last fill of stage 0 left out", barrier,
         [](IntId z, IntId o, RegId a) {
             return block(RingBegin{}, StageFill{z, 0}, copy(0), copy(4), StageCommit{z}, StageWait{z, z}, StageFill{z, 0},
                          copy(0), StageCommit{z}, StageWait{z, o}, Load{{a}, {Place::shared, 0, 4, 1, 1, 4, {}, {}}});
         }},
        {"StageWait for stage 0 twice", groups,
         [](IntId z, IntId, RegId) {
             return block(RingBegin{}, StageFill{z, 0}, copy(0), StageCommit{z}, StageWait{z, z}, StageWait{z, z});
         }},
        {"StageWait for stage 1, but stage 0 was committed before it", groups,
         [](IntId z, IntId o, RegId) {
             return block(RingBegin{}, StageFill{z, 0}, copy(0), StageCommit{z}, StageFill{o, 0}, copy(4), StageCommit{o},
                          StageWait{o, o});
         }},
        {"StageWait for stage 1, but nothing was committed before it", groups,
         [](IntId z, IntId o, RegId) {
             return block(RingBegin{}, StageCommit{z}, StageFill{o, 0}, copy(4), StageCommit{o}, StageWait{o, o});
         }},
    };
    for (const Case& c : cases) {
        KernelBuilder b;
        b.kernel.stages = 2;
        b.task().copy = c.copy;
        b.task().element_copies = true;
        b.input("x", 8), b.shared("s", 8);
        const IntId zero = b.integer("zero"), one = b.integer("one");
        b.integer("k");
        const RegId a = b.reg("a");
        b.then(IntLet{zero, 0}, IntLet{one, 1}, Move{a, 0.0});
        for (KernelStatement& s : c.body(zero, one, a)) b.task().body.push_back(std::move(s));
        const std::string error = internal_error_of([&] { Launch(1).floats(Floats(8)).run(b.kernel); });
        CAPTURE(error);
        CHECK(contains(error, c.message));
    }
}

TEST_CASE("interpret: a barrier may be waited for again") {
    KernelBuilder b;
    b.kernel.stages = 1;
    b.task().copy = CopyMechanism::barrier;
    const BufferId x = b.input("x"), out = b.output("out");
    const SharedId s = b.shared("s", 4);
    const IntId zero = b.integer("zero");
    const RegId a = b.reg("a");
    b.then(IntLet{zero, 0}, RingBegin{}, StageFill{zero, 16}, AsyncCopy{s, 0, x, 0, 4, true}, StageCommit{zero},
           StageWait{zero, zero}, StageWait{zero, zero}, Load{{a}, b.local(s, 0)},
           Store{b.global(out, 0), {a}, StoreMode::store});
    CHECK(Launch(1).floats({1, 2, 3, 4}).floats(Floats(4)).run(b.kernel).floats_of(1) == Floats{1, 2, 3, 4});
}

namespace {

/// A kernel of 4 lanes with shared s[8], input x and output out, and a register a = 1.
struct SharedKernel {
    KernelBuilder b;
    BufferId x = b.input("x"), out = b.output("out");
    SharedId s = b.shared("s", 8);
    RegId a = b.reg("a"), c = b.reg("c"), u = b.uniform("u");
    SharedKernel() { b.then(Move{a, 1.0}); }
    Store put(Affine base, std::int64_t stride = 1) const { return {b.local(s, std::move(base), stride), {a}, StoreMode::store}; }
    Load get(Affine base, std::int64_t stride = 1) const { return {{c}, b.local(s, std::move(base), stride)}; }
    template <class... Nodes>
    std::string error(Nodes&&... nodes) {
        b.then(std::forward<Nodes>(nodes)...);
        return internal_error_of([&] { Launch(1).floats(Floats(8)).floats(Floats(8)).incomplete().run(b.kernel); });
    }
};

#define CHECK_SHARED(message, ...)                                                                                               \
    do {                                                                                                                         \
        SharedKernel k;                                                                                                          \
        const std::string error = k.error(__VA_ARGS__);                                                                          \
        CAPTURE(error);                                                                                                          \
        CHECK(contains(error, message));                                                                                         \
    } while (false)

}  // namespace

TEST_CASE("interpret: shared words need SyncWarp between lanes") {
    CHECK_SHARED("(no error)", k.put(0), k.get(0), k.put(0), SyncWarp{}, k.get(3, -1), SyncWarp{}, k.put(0));
    CHECK_SHARED(
        "lane 0 reads shared s[3], which lane 3 has written, without SyncWarp in between\n  at: c = shared s[3; -1 lane]",
        k.put(0), k.get(3, -1));
    CHECK_SHARED("lane 0 writes shared s[3], which lane 3 reads, without SyncWarp in between", k.put(0), SyncWarp{}, k.get(0),
                 k.put(3, -1));
    CHECK_SHARED("lane 0 writes shared s[0], which another lane reads, without SyncWarp in between", k.put(0), SyncWarp{},
                 k.get(0, 0), k.put(0));
    CHECK_SHARED("lane 0 writes shared s[3], which lane 3 has written, without SyncWarp in between", k.put(0), k.put(3, -1));
    CHECK_SHARED("lane 0 reads shared s[4], which nobody has written", k.put(0), k.get(4));
    CHECK_SHARED("lane 1: element 8 of shared s is out of range, it has 8", k.put(times(int_row_end, 7)));
    CHECK_SHARED("lane 3 and another lane store to shared s[0]", [&] {
        const BufferId t = k.b.table("t", {0, 1, 2, 0});
        return Store{KernelBuilder::through(k.b.local(k.s, 0), t, 0), {k.a}, StoreMode::store};
    }());
    CHECK_SHARED("lane 0 reads shared s[4], which some lane has written, without SyncWarp in between",
                 CopyLanes{k.s, 1, k.x, 0, 4, true, StoreMode::store}, k.get(4, -1));
    CHECK_SHARED("lane 0 reads shared s[1], which lane 1 has written, without SyncWarp in between", k.put(0),
                 CopyLanes{k.s, 1, k.out, 0, 3, false, StoreMode::store});
    CHECK_SHARED("lane 0 reads shared s[0], which some lane has written, without SyncWarp in between",
                 ReduceStore{k.b.local(k.s, 0, 0), {k.a}, StoreMode::store}, k.get(0, 0));
    CHECK_SHARED(
        "lane 0 reads shared s[0], which some lane has written", k.put(0), SyncWarp{},
        [&] {
            const BufferId t = k.b.table("t", {0, 0, 0, 0});
            return Store{KernelBuilder::through(k.b.local(k.s, 0), t, 0), {k.a}, StoreMode::add};
        }(),
        k.get(0, 0));
}

namespace {

/// Adds a row of x to sum at every row, from two halves of shared memory in turn.
struct BulkKernel {
    KernelBuilder b;
    bool sync = true;
    int pending = 1;
    bool last_wait = true;
    std::string error(Floats* result = nullptr) {
        b.kernel.rows_per_warp = 8;
        b.integer("row");
        const BufferId x = b.input("x", 4), sum = b.sum("sum", 4);
        const SharedId s = b.shared("s", 8);
        const IntId half = b.integer("half");
        const RegId a = b.reg("a");
        Block body = block(Load{{a}, b.global(x, times(bulk_row, 4))}, Store{b.local(s, times(half, 4)), {a}, StoreMode::store},
                           BulkReduce{s, times(half, 4), sum, 0, 4, pending});
        if (sync) body.push_back({SyncWarp{}});
        body.push_back({IntSet{half, times(half, -1) + Affine(1)}});
        b.then(IntLet{half, 0}, For{bulk_row, times(int_row_begin, 1), times(int_row_end, 1), 1, std::move(body)});
        if (last_wait) b.then(BulkEnd{});
        return internal_error_of([&] {
            const Floats r = Launch(4).floats(count_up(16)).floats(Floats(4)).run(b.kernel).floats_of(1);
            if (result) *result = r;
        });
    }
};

}  // namespace

TEST_CASE("interpret: bulk reductions from two halves in turn") {
    Floats sums;
    CHECK(BulkKernel().error(&sums) == "(no error)");
    CHECK(sums == Floats{24, 28, 32, 36});
    BulkKernel unsynced;
    unsynced.sync = false;
    CHECK(contains(unsynced.error(), "lane 0 writes shared s[0], which a bulk reduction may still read"));
    BulkKernel early;
    early.pending = 2;
    CHECK(contains(early.error(), "lane 0 writes shared s[0], which a bulk reduction may still read"));
    BulkKernel open;
    open.last_wait = false;
    CHECK(contains(open.error(), "the warp ends while a bulk reduction may still read its shared memory"));
}
