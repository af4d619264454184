// How launches on a GPU that runs a thousand warps at a time spread rows and edges.
#include <doctest/doctest.h>

#include "runtime/launch_shape.hpp"

using namespace flashtp;

namespace {

constexpr std::int64_t slots = 1000;

KernelFacts convolution() {
    KernelFacts kernel;
    kernel.receiver_rows = true;
    kernel.warps_per_block = 4;
    kernel.rows_per_warp = 2;
    kernel.chunks = 1;
    return kernel;
}

LaunchShape of_degree(const KernelFacts& kernel, std::int64_t rows, std::int64_t degree) {
    return choose_shape(kernel, slots, rows, rows * degree);
}

}  // namespace

TEST_CASE("launch shapes: warps take several rows only where many are left for every slot") {
    CHECK(of_degree(convolution(), 8000, 32) == LaunchShape{});
    CHECK(of_degree(convolution(), 7999, 32).rows_per_warp == 1);
    KernelFacts two_chunks = convolution();
    two_chunks.chunks = 2;
    CHECK(of_degree(two_chunks, 4000, 32) == LaunchShape{});
    CHECK(choose_shape(convolution(), slots, 0, 0) == LaunchShape{.rows_per_warp = 1});
}

TEST_CASE("launch shapes: warps that add to a row of all take many rows each, in four rounds") {
    KernelFacts kernel;
    kernel.adds_shared = true;
    kernel.chunks = 1;
    CHECK(choose_shape(kernel, slots, 100'000, 0) == LaunchShape{.rows_per_warp = 25});
    CHECK(choose_shape(kernel, slots, 1'000, 0) == LaunchShape{.rows_per_warp = 1});
}

TEST_CASE("launch shapes: receivers are split while slots would be empty") {
    KernelFacts kernel = convolution();
    kernel.adds_parts = true;
    CHECK(of_degree(kernel, 100, 64) == LaunchShape{.rows_per_warp = 1, .parts = 8, .part_edges = 8});
    CHECK(of_degree(kernel, 100, 1024) == LaunchShape{.rows_per_warp = 1, .parts = 20, .part_edges = 52});
    CHECK(of_degree(kernel, 1000, 64) == LaunchShape{.rows_per_warp = 1});

    // Where a part leaves nothing to be added up, also while rows end unevenly.
    CHECK(of_degree(convolution(), 2000, 32) == LaunchShape{.rows_per_warp = 1, .parts = 2, .part_edges = 16});
    CHECK(of_degree(convolution(), 4000, 32) == LaunchShape{.rows_per_warp = 1});

    kernel.only_sums = true;
    CHECK(of_degree(kernel, 600, 64) == LaunchShape{.rows_per_warp = 1});
    CHECK(of_degree(kernel, 400, 64).parts == 5);
    kernel.receiver_rows = false;
    CHECK(of_degree(kernel, 400, 64) == LaunchShape{.rows_per_warp = 1});
}

TEST_CASE("launch shapes: the parts of a receiver are all its edges, and long enough") {
    for (const bool adds : {false, true})
        for (std::int64_t rows = 1; rows < 5000; rows = rows * 3 + 1)
            for (std::int64_t degree = 1; degree < 3000; degree = degree * 2 + 1) {
                KernelFacts kernel = convolution();
                kernel.adds_parts = adds;
                const LaunchShape shape = of_degree(kernel, rows, degree);
                CAPTURE(rows);
                CAPTURE(degree);
                if (shape.parts == 1) continue;
                CHECK(shape.parts * shape.part_edges >= degree);
                CHECK(shape.part_edges >= 8);
                CHECK(shape.rows_per_warp == 1);
            }
}

TEST_CASE("launch shapes: blocks that share edges are as many as run at a time, with eight edges a warp and a block a task at least") {
    KernelFacts kernel = convolution();
    kernel.adds_parts = kernel.shares_edges = true;
    kernel.chunks = 2;
    CHECK(of_degree(kernel, 10, 64) == LaunchShape{.rows_per_warp = 1, .blocks = 40});
    CHECK(of_degree(kernel, 100, 640) == LaunchShape{.rows_per_warp = 1, .blocks = 250});
    CHECK(of_degree(kernel, 1, 8) == LaunchShape{.rows_per_warp = 1, .blocks = 2});
}

TEST_CASE("launch shapes: products of a window do whole fragments of edges") {
    KernelFacts kernel;
    kernel.windows = true;
    kernel.chunks = 1;
    CHECK(choose_shape(kernel, slots, 100'000, 100'000) == LaunchShape{.rows_per_warp = 128});
    CHECK(choose_shape(kernel, slots, 5, 5) == LaunchShape{.rows_per_warp = 32});
}
