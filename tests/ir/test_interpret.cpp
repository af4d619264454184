#include <doctest/doctest.h>

#include <cmath>

#include "tests/ir/errors.hpp"
#include "tests/support/kernel_builder.hpp"

using namespace flashtp;
using namespace flashtp::test;
using Doubles = std::vector<double>;

namespace {

constexpr IntId row = 3;  ///< the loop variable of over_rows

/// One loop over the warp's rows around the statements.
template <class... Nodes>
void over_rows(KernelBuilder& b, Nodes&&... nodes) {
    b.then(For{row, times(int_row_begin, 1), times(int_row_end, 1), 1, block(std::forward<Nodes>(nodes)...)});
}

}  // namespace

TEST_CASE("interpret: loads, arithmetic and stores, lane by lane, with the last warp ragged") {
    KernelBuilder b;
    b.integer("row");
    const BufferId x = b.input("x", 4), y = b.input("y", 1), out = b.output("out", 8);
    const RegId a = b.reg("a"), t = b.reg("t"), m = b.reg("m"), s = b.uniform("s");
    over_rows(b, Load{{a}, b.global(x, times(row, 4))}, Load{{s}, b.global(y, times(row, 1), 0)}, Mul{t, s, a}, Move{m, 0.5},
              Fma{m, m, a, t}, Store{b.global(out, times(row, 8), 2), {t, m}, StoreMode::store});
    const Floats out_of =
        Launch(3, 2).floats(count_up(12)).floats({10, 20, 30}).floats(Floats(24, -1)).run(b.kernel).floats_of(2);
    for (std::size_t n = 0; n < 12; ++n) {
        const float xv = static_cast<float>(n), yv = 10 * static_cast<float>(n / 4 + 1);
        CHECK(out_of[2 * n] == xv * yv);
        CHECK(out_of[2 * n + 1] == 0.5f * xv + xv * yv);
    }
}

TEST_CASE("interpret: an fma rounds once, in the compute type") {
    for (const int lanes : {1, 3, 4, 8, 32}) {
        KernelBuilder b(lanes);
        const BufferId x = b.input("x"), out = b.output("out");
        const RegId a = b.reg("a"), f = b.reg("f"), m = b.reg("m");
        b.then(Load{{a}, b.global(x, 0)}, Mul{m, a, a}, Fma{f, a, a, -1.0}, Store{b.global(out, 0), {f}, StoreMode::store},
               Store{b.global(out, lanes), {m}, StoreMode::store});
        const float v = 1 + std::ldexp(1.0f, -20);
        const std::size_t n = static_cast<std::size_t>(lanes);
        const Floats r = Launch(1).floats(Floats(n, v)).floats(Floats(2 * n)).run(b.kernel).floats_of(1);
        CHECK(r[n - 1] == std::fma(v, v, -1.0f));
        CHECK(r[n - 1] != v * v - 1.0f);
        CHECK(r[2 * n - 1] == v * v);
    }
}

TEST_CASE("interpret: double kernels, and operands narrower than the compute type") {
    KernelBuilder b;
    b.kernel.compute = DType::float64;
    const BufferId x = b.input("x"), narrow = b.input("narrow"), out = b.output("out");
    b.buffer(narrow).dtype = DType::float32;
    const RegId a = b.reg("a"), c = b.reg("c");
    b.then(Load{{a}, b.global(x, 0)}, Load{{c}, b.global(narrow, 0)}, Fma{a, a, c, 1e-12},
           Store{b.global(out, 0), {a}, StoreMode::store});
    Launch launch(1);
    launch.doubles({0.1, 1, 2, 3}).floats({1, 1, 1, 0.5f}).doubles(Doubles(4)).run(b.kernel);
    CHECK(launch.doubles_of(1)[0] == 0.1 + 1e-12);
    CHECK(launch.doubles_of(1)[3] == 1.5 + 1e-12);
}

TEST_CASE("interpret: integers, loops, conditions and chunks") {
    KernelBuilder b;
    const BufferId out = b.output("out"), rows = b.index("rows");
    b.task().chunks = 2;
    const IntId e = b.integer("e"), m = b.integer("m"), i = b.integer("i"), n = b.integer("n");
    const RegId a = b.reg("a");
    b.then(Move{a, 0.0}, IntLoad{e, rows, times(int_chunk, 1)}, IntMin{m, times(e, 1), Affine(5)}, IntLet{n, 0});
    b.then(
        For{i, 1, times(m, 1), 2, block(IntSet{n, times(n, 1) + times(i, 10)}, If{times(i, 1), 3, block(Fma{a, 1.0, 1.0, a})})});
    // n counts 10 * (1 + 3 + ...): as a loop bound it reaches a register.
    b.then(For{b.integer("j"), 0, times(n, 1), 1, block(Fma{a, 1.0, 100.0, a})});
    b.then(Store{b.global(out, times(int_chunk, 4)), {a}, StoreMode::store});
    const Floats r = Launch(1).floats(Floats(8)).indices({9, 2}).run(b.kernel).floats_of(0);
    CHECK(r[0] == 4001);  // i = 1, 3
    CHECK(r[7] == 1001);  // i = 1
}

TEST_CASE("interpret: inactive lanes read zero and write nothing") {
    KernelBuilder b;
    const BufferId x = b.input("x"), out = b.output("out");
    const RegId a = b.reg("a");
    b.then(Load{{a}, KernelBuilder::masked(b.global(x, 0), 3)}, Fma{a, a, 1.0, 7.0},
           Store{b.global(out, 0), {a}, StoreMode::store});
    CHECK(Launch(1).floats({1, 2, 3}).floats(Floats(4)).run(b.kernel).floats_of(1) == Floats{8, 9, 10, 7});
}

TEST_CASE("interpret: sums over lanes") {
    KernelBuilder b;
    const BufferId x = b.input("x"), out = b.output("out"), sum = b.sum("sum");
    const RegId a = b.reg("a"), c = b.reg("c"), u = b.uniform("u"), v = b.uniform("v");
    b.then(Load{{a, c}, b.global(x, 0, 1, 4)}, LaneSum{{u, v}, {a, c}}, Mul{v, u, v},
           Store{b.global(out, 0, 0), {u, v}, StoreMode::store}, ReduceStore{b.global(out, 2, 0), {a, c}, StoreMode::store},
           ReduceStore{b.global(out, 2, 0), {a, a}, StoreMode::add}, ReduceStore{b.global(sum, 0, 0), {c}, StoreMode::atomic});
    b.kernel.rows_per_warp = 2;
    CHECK(Launch(2).floats(count_up(8)).floats(Floats(4)).floats(Floats(1)).run(b.kernel).floats_of(1) == Floats{6, 132, 12, 28});
    KernelBuilder two = b;
    two.task().body.erase(two.task().body.begin() + 4, two.task().body.begin() + 7);
    two.kernel.rows_per_warp = 1;
    CHECK(Launch(2).floats(count_up(8)).floats(Floats(4)).floats(Floats(1)).incomplete().run(two.kernel).floats_of(2) ==
          Floats{44});
}

TEST_CASE("interpret: sums are spread over the lanes, and all lanes read what one has") {
    const auto run = [](std::int64_t first) {
        KernelBuilder b;
        const BufferId x = b.input("x"), out = b.output("out");
        const RegId a = b.reg("a"), c = b.reg("c"), d = b.reg("d"), u = b.uniform("u");
        b.then(Load{{a, c}, b.global(x, 0, 1, 4)}, Move{d, 100.0}, SpreadSums{d, {a, c}, Affine(first)}, LaneGet{{u}, {d}, Affine(first + 1)},
               Store{b.global(out, 0), {d}, StoreMode::store}, Store{b.global(out, 4, 0), {u}, StoreMode::store});
        return Launch(1).floats(count_up(8)).floats(Floats(5)).run(b.kernel).floats_of(1);
    };
    CHECK(run(0) == Floats{106, 122, 100, 100, 122});
    CHECK(run(2) == Floats{100, 100, 106, 122, 122});
    CHECK_THROWS_WITH_AS(run(1), doctest::Contains("2 sums are not spread from lane 1 on"), InternalError);
    CHECK_THROWS_WITH_AS(run(4), doctest::Contains("2 sums are not spread from lane 4 on"), InternalError);
}

TEST_CASE("interpret: sums over lanes add in the order of a butterfly") {
    KernelBuilder b(32);
    const BufferId x = b.input("x"), out = b.output("out");
    const RegId a = b.reg("a"), u = b.uniform("u");
    b.then(Load{{a}, b.global(x, 0)}, LaneSum{{u}, {a}}, Store{b.global(out, 0, 0), {u}, StoreMode::store});
    Floats v(32);
    for (std::size_t n = 0; n < 32; ++n) v[n] = 1 / (1 + static_cast<float>(n * n));
    Floats t = v;
    for (std::size_t step = 16; step > 0; step /= 2)
        for (std::size_t n = 0; n < step; ++n) t[n] += t[n + step];
    CHECK(Launch(1).floats(v).floats(Floats(1)).run(b.kernel).floats_of(1)[0] == t[0]);
}

TEST_CASE("interpret: tables place lanes, and lanes that meet add one after the other") {
    KernelBuilder b;
    const BufferId x = b.input("x"), out = b.output("out"), first = b.table("first", {9, 0, 0, 1, 2}),
                   pairs = b.table("pairs", {1, 1, 0, 1});
    b.buffer(out).zeroed = true;
    const SharedId s = b.shared("s", 4);
    const RegId a = b.reg("a"), c = b.reg("c"), z = b.reg("z");
    b.then(Load{{a, c}, KernelBuilder::through(b.global(x, 0, 2), first, 1)}, Move{z, 0.0},
           Store{KernelBuilder::through(b.global(out, 0, 2), pairs, 0), {a, c}, StoreMode::add},
           Store{b.local(s, 0), {z}, StoreMode::store}, SyncWarp{},
           Store{KernelBuilder::through(b.local(s, 1), pairs, 0), {c}, StoreMode::add}, SyncWarp{}, Load{{z}, b.local(s, 0)},
           Store{b.global(out, 4), {z}, StoreMode::store});
    // lanes read pairs 0, 0, 1, 2 of x and add to pairs 1, 1, 0, 1 of out
    CHECK(Launch(1).floats(count_up(6)).floats(Floats(8)).run(b.kernel).floats_of(1) == Floats{2, 3, 4, 7, 0, 3, 7, 0});
}

TEST_CASE("interpret: lanes exchange through shared memory, coalesced on both ends") {
    KernelBuilder b;
    b.integer("row");
    const BufferId x = b.input("x", 12), out = b.output("out", 12);
    const SharedId s = b.shared("s", 12);
    const RegId p = b.reg("p"), q = b.reg("q"), r = b.reg("r");
    over_rows(b, CopyLanes{s, 0, x, times(row, 12), 12, true, StoreMode::store}, SyncWarp{}, Load{{p, q, r}, b.local(s, 0, 3)},
              SyncWarp{}, Store{b.local(s, 0, 3), {r, q, p}, StoreMode::store}, SyncWarp{},
              CopyLanes{s, 0, out, times(row, 12), 12, false, StoreMode::store}, SyncWarp{});
    CHECK(Launch(1).floats(count_up(12)).floats(Floats(12)).run(b.kernel).floats_of(1) ==
          Floats{2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9});
}

TEST_CASE("interpret: each warp starts with its shared memory unwritten") {
    KernelBuilder b;
    b.integer("row");
    const BufferId out = b.output("out", 4);
    const SharedId s = b.shared("s", 4);
    const RegId a = b.reg("a");
    over_rows(b, Move{a, 2.0}, If{times(row, 1), 1, block(Store{b.local(s, 0), {a}, StoreMode::store})}, Load{{a}, b.local(s, 0)},
              Store{b.global(out, times(row, 4)), {a}, StoreMode::store});
    CHECK(internal_error_of([&] { Launch(2, 2).floats(Floats(8)).run(b.kernel); }) == "(no error)");
    CHECK(contains(internal_error_of([&] { Launch(2, 1).floats(Floats(8)).run(b.kernel); }), "which nobody has written"));
}

TEST_CASE("interpret: accesses out of range name the buffer, the lane and the element") {
    KernelBuilder b;
    b.integer("row");
    const BufferId x = b.input("x", 4), out = b.output("out", 4), senders = b.index("senders");
    const IntId s = b.integer("s");
    const RegId a = b.reg("a");
    over_rows(b, IntLoad{s, senders, times(row, 1)}, Load{{a}, b.global(x, times(s, 4))},
              Store{b.global(out, times(row, 4)), {a}, StoreMode::store});
    const auto error = [&](std::size_t x_size, std::size_t out_size, std::vector<std::int32_t> index) {
        return internal_error_of([&] { Launch(2).floats(Floats(x_size)).floats(Floats(out_size)).indices(index).run(b.kernel); });
    };
    CHECK(error(8, 8, {1, 0}) == "(no error)");
    const std::string message = error(6, 8, {0, 1});
    CHECK(contains(message, "kernel k, task t: lane 2: element 6 of x is out of range, it has 6"));
    CHECK(contains(message, "  at: a = x[4*s; 1 lane]\n  with chunk=0 row_begin=1 row_end=2 row=1 s=1\n"));
    CHECK(contains(error(8, 8, {-1, 0}), "lane 0: element -4 of x is out of range"));
    CHECK(contains(error(8, 7, {0, 1}), "lane 3: element 7 of out is out of range, it has 7"));
    CHECK(contains(error(8, 8, {0}), "some lane: element 1 of senders is out of range, it has 1"));
    CHECK(contains(internal_error_of([&] { Launch(1).floats({}).run(b.kernel); }), "no memory for buffer out"));
    CHECK(contains(internal_error_of([&] { Launch(1).floats({}).floats({}).null().null().run(b.kernel); }),
                   "memory for 4 buffers, but it has 3"));
    CHECK(contains(internal_error_of([&] { Launch(1).floats(Floats(4)).floats(Floats(4)).null().run(b.kernel); }),
                   "index buffer senders is null"));
}

TEST_CASE("interpret: what is prefetched exists") {
    const auto error = [](std::int64_t first, std::int64_t count) {
        KernelBuilder b;
        const BufferId x = b.input("x", 4);
        b.then(Prefetch{x, Affine(first), count});
        return internal_error_of([&] { Launch(2).floats(Floats(8)).run(b.kernel); });
    };
    CHECK(error(0, 8) == "(no error)");
    CHECK(contains(error(5, 4), "element 8 of x is out of range, it has 8"));
    CHECK(contains(error(-1, 2), "element -1 of x is out of range"));
}

TEST_CASE("interpret: index buffers that are null are the identity where that is allowed") {
    KernelBuilder b;
    b.integer("row");
    const BufferId x = b.input("x", 4), out = b.output("out", 4), senders = b.index("senders");
    const IntId s = b.integer("s");
    const RegId a = b.reg("a");
    over_rows(b, IntLoad{s, senders, times(row, 1), true}, Load{{a}, b.global(x, times(s, 4))},
              Store{b.global(out, times(row, 4)), {a}, StoreMode::store});
    CHECK(Launch(2).floats(count_up(8)).floats(Floats(8)).null().run(b.kernel).floats_of(1) == count_up(8));
}

TEST_CASE("interpret: windows are read in order, up to their end") {
    const auto error = [](auto change, std::vector<std::int32_t> index = {3, 2, 1, 0}) {
        KernelBuilder b;
        const BufferId senders = b.index("senders");
        b.task().windows = 1;
        const IntId s = b.integer("s");
        change(b, senders, s);
        return internal_error_of([&] { Launch(1).indices(index).run(b.kernel); });
    };
    CHECK(error([](KernelBuilder& b, BufferId w, IntId s) {
              b.then(WindowOpen{0, w, 1, 4}, WindowRead{0, s, 1}, WindowRead{0, s, 2}, WindowRead{0, s, times(s, 2) + Affine(1)});
          }) == "(no error)");
    CHECK(contains(error([](KernelBuilder& b, BufferId w, IntId s) { b.then(WindowOpen{0, w, 1, 4}, WindowRead{0, s, 2}); }),
                   "window 0 is read at 2, but 1 is next"));
    CHECK(contains(error([](KernelBuilder& b, BufferId w, IntId s) {
                       b.then(WindowOpen{0, w, 1, 2}, WindowRead{0, s, 1}, WindowRead{0, s, 2});
                   }),
                   "window 0 is read at 2, its end"));
    CHECK(contains(error([](KernelBuilder& b, BufferId w, IntId) { b.then(WindowOpen{0, w, 1, 5}); }),
                   "element 4 of senders is out of range"));
    CHECK(error([](KernelBuilder& b, BufferId w, IntId) { b.then(WindowOpen{0, w, 4, 4}); }) == "(no error)");
}

namespace {

/// Rows of one element a lane; every row is its own warp. Returns what happens when the statements write `out` (width 4).
template <class... Nodes>
std::string race(bool zeroed, KernelBuilder& b, Nodes&&... nodes) {
    b.buffer(0).zeroed = zeroed;
    b.then(std::forward<Nodes>(nodes)...);
    return internal_error_of([&] { Launch(3, 1).floats(Floats(12)).floats(Floats(12)).run(b.kernel); });
}

struct RaceKernel {
    KernelBuilder b;
    BufferId out = b.output("out", 4), sum = b.sum("sum", 4);
    RegId a = b.reg("a");
    RaceKernel() { b.then(Move{a, 1.0}); }
    Store put(BufferId to, Affine base, StoreMode mode) const { return {b.global(to, std::move(base)), {a}, mode}; }
};

}  // namespace

TEST_CASE("interpret: races between warps on global memory") {
    constexpr auto store = StoreMode::store, add = StoreMode::add, atomic = StoreMode::atomic;
    const Affine own = times(int_row_begin, 4);
    const auto run = [&](bool zeroed, auto... statements) {
        RaceKernel k;
        const std::string error =
            race(zeroed, k.b, k.put(statements.first ? k.sum : k.out, statements.second.first, statements.second.second)...);
        return error;
    };
    const auto at = [](bool sum, const Affine& base, StoreMode mode) { return std::pair(sum, std::pair(base, mode)); };
    CHECK(run(false, at(false, own, store), at(false, own, store), at(false, own, add)) == "(no error)");
    CHECK(run(true, at(false, own, add), at(false, own, add)) == "(no error)");
    CHECK(run(true, at(true, 0, atomic), at(true, 2, atomic)) == "(no error)");
    CHECK(run(true, at(true, own, store), at(true, own, atomic)) == "(no error)");
    CHECK(contains(run(true, at(false, 0, store)), "lane 0: element 0 of out is stored, but another warp writes it as well"));
    CHECK(contains(run(true, at(false, times(int_row_begin, 3), store)), "lane 0: element 3 of out is stored, but another warp"));
    CHECK(contains(run(true, at(false, 0, add)), "element 0 of out is added to, but another warp writes it without atomics"));
    CHECK(contains(run(true, at(true, own, atomic), at(true, own, store), at(true, 0, atomic)),
                   "without atomics, or this one does"));
    CHECK(
        contains(run(true, at(true, 0, atomic), at(true, 0, store)), "element 0 of sum is added to, but another warp writes it"));
    CHECK(
        contains(run(true, at(true, 0, atomic), at(true, own, add)), "element 0 of sum is added to, but another warp writes it"));
    CHECK(
        contains(run(false, at(false, own, add)), "lane 0: element 0 of out is added to, but neither zeroed nor stored before"));
}

TEST_CASE("interpret: two lanes of one statement do not store to one element") {
    RaceKernel k;
    const BufferId t = k.b.table("t", {0, 1, 2, 1});
    k.b.buffer(k.out).zeroed = true;
    const Store meets{KernelBuilder::through(k.b.global(k.out, 0), t, 0), {k.a}, StoreMode::store};
    KernelBuilder b = k.b;
    b.then(meets);
    CHECK(contains(internal_error_of([&] { Launch(1).floats(Floats(4)).floats(Floats(4)).run(b.kernel); }),
                   "two lanes or components store to element 1"));
    b = k.b;
    b.then(Store{k.b.global(k.out, 0, 2, 2), {k.a, k.a}, StoreMode::store});
    CHECK(
        contains(internal_error_of([&] { Launch(1).floats(Floats(9)).floats(Floats(4)).run(b.kernel); }), "store to element 2"));
    b = k.b;
    b.then(Store{k.b.global(k.out, 0, 2, 1), {k.a, k.a}, StoreMode::store},
           Store{k.b.global(k.out, 0, 1, 4), {k.a, k.a}, StoreMode::store});
    CHECK(internal_error_of([&] { Launch(1).floats(Floats(9)).floats(Floats(4)).run(b.kernel); }) == "(no error)");
}

TEST_CASE("interpret: outputs that are not zeroed are written completely") {
    RaceKernel k;
    k.b.then(k.put(k.out, 0, StoreMode::store));
    const auto launch = [&](std::size_t size, bool complete) {
        return internal_error_of([&] {
            Launch l(1);
            l.floats(Floats(size)).floats(Floats(4));
            (complete ? l : l.incomplete()).run(k.b.kernel);
        });
    };
    CHECK(launch(4, true) == "(no error)");
    CHECK(launch(5, true) == "kernel k: element 4 of out is neither written nor zeroed");
    CHECK(launch(5, false) == "(no error)");
}

TEST_CASE("interpret: on a CPU one call runs all tasks and chunks of its rows") {
    KernelBuilder b;
    b.kernel.target.platform = Platform::cpu;
    b.integer("row");
    const BufferId out = b.output("out", 4);
    const RegId a = b.reg("a");
    b.task().chunks = 2;
    over_rows(b, Move{a, 1.0}, If{times(int_chunk, 1), 1, block(Store{b.global(out, times(row, 4)), {a}, StoreMode::store})},
              If{0, times(int_chunk, 1), block(Store{b.global(out, times(row, 4)), {a}, StoreMode::add})});
    for (const int rows_per_call : {0, 1, 2})
        CHECK(Launch(3, rows_per_call).floats(Floats(12)).run(b.kernel).floats_of(0) == Floats(12, 2));
    b.kernel.target.platform = Platform::cuda;
    CHECK(contains(internal_error_of([&] { Launch(3).floats(Floats(12)).run(b.kernel); }),
                   "another warp writes it without atomics"));
}

TEST_CASE("interpret: no rows run nothing") {
    KernelBuilder b;
    const BufferId out = b.output("out");
    const RegId a = b.reg("a");
    b.then(Move{a, 1.0}, Store{b.global(out, 0), {a}, StoreMode::store});
    CHECK(Launch(0).floats({}).run(b.kernel).floats_of(0).empty());
}

TEST_CASE("interpret: kernels that do not verify do not run") {
    KernelBuilder b;
    const RegId a = b.reg("a"), c = b.reg("c");
    b.then(Move{a, c});
    CHECK(contains(internal_error_of([&] { Launch(1).run(b.kernel); }), "register c is read before it is assigned"));
}
