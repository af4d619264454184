// Inputs for `every_construct` and what it must compute, by plain loops.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include <doctest/doctest.h>

namespace flashtp::test {

/// Positions in the kernel's argument list, which leaves the table out.
// clang-format off
enum Argument { arg_x, arg_y, arg_w, arg_sender, arg_row_ptr, arg_out, arg_total, arg_count, arg_grad_w, arg_grad_y, arg_grad_x,
                arg_permuted, arg_last, argument_count };
// clang-format on

template <class T>
struct SampleData {
    static constexpr int channels = 32, x_width = 33, y_width = 4, nodes = 9;

    std::vector<int> sender, row_ptr;
    std::vector<std::vector<T>> operands{argument_count};
    std::vector<std::vector<double>> expected{argument_count};

    /// Receivers with 0 to 70 edges, so that rings run empty and windows slide more than once.
    explicit SampleData(bool sender_is_edge = false) {
        static constexpr int degrees[nodes] = {3, 0, 1, 70, 5, 0, 33, 32, 2};
        row_ptr = {0};
        for (const int degree : degrees) row_ptr.push_back(row_ptr.back() + degree);
        for (int e = 0; e < edges(); ++e) sender.push_back(sender_is_edge ? e : static_cast<int>(random() * nodes));
        senders_ = sender_is_edge ? edges() : nodes;
        for (auto [id, size] : {std::pair{arg_x, senders_ * x_width}, {arg_y, edges() * y_width}, {arg_w, edges() * channels}})
            for (int n = 0; n < size; ++n) operands[id].push_back(static_cast<T>(random() - 0.5));
        const std::pair<int, int> outputs[] = {{arg_out, nodes * channels},
                                               {arg_total, nodes},
                                               {arg_count, nodes},
                                               {arg_grad_w, edges() * channels},
                                               {arg_grad_y, edges() * y_width},
                                               {arg_grad_x, senders_ * channels},
                                               {arg_permuted, nodes * channels},
                                               {arg_last, nodes * channels}};
        for (auto [id, size] : outputs) {
            // What the launcher does not zero holds something else.
            const bool zeroed = id == arg_grad_y || id == arg_grad_x || id == arg_permuted || id == arg_last;
            operands[id].assign(static_cast<std::size_t>(size), zeroed ? T(0) : T(-99));
            expected[id].assign(static_cast<std::size_t>(size), 0);
        }
        compute();
    }
    int edges() const { return row_ptr.back(); }

    std::vector<void*> pointers() {
        std::vector<void*> p;
        for (auto& operand : operands) p.push_back(operand.data());
        p[arg_sender] = sender.data();
        p[arg_row_ptr] = row_ptr.data();
        return p;
    }

    void check() const {
        const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-13;
        for (int id = arg_out; id < argument_count; ++id) {
            double worst = 0;
            for (std::size_t n = 0; n < expected[id].size(); ++n)
                worst = std::fmax(worst, std::fabs(expected[id][n] - static_cast<double>(operands[id][n])));
            INFO("argument " << id);
            CHECK(worst < tolerance);
        }
    }

  private:
    double random() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<double>(state_ >> 33) / 2147483648.0;
    }
    double input(int id, int row, int width, int column) const {
        return static_cast<double>(operands[id][static_cast<std::size_t>(row * width + column)]);
    }
    double& output(int id, int row, int width, int column) {
        return expected[id][static_cast<std::size_t>(row * width + column)];
    }

    void compute() {
        for (int r = 0; r < nodes; ++r) {
            for (int e = row_ptr[r]; e < row_ptr[r + 1]; ++e) edge(r, e);
            output(arg_count, r, 1, 0) = row_ptr[r + 1] - row_ptr[r];
            for (int c = 0; c < channels; ++c)
                output(arg_permuted, r, channels, channels - 1 - c) = output(arg_out, r, channels, c);
        }
    }
    void edge(int r, int e) {
        const int s = sender[static_cast<std::size_t>(e)];
        for (int c = 0; c < channels; ++c) {
            const double w = input(arg_w, e, channels, c), x = input(arg_x, s, x_width, c), t = w * x;
            output(arg_out, r, channels, c) += t * (input(arg_y, e, y_width, 0) + 1);
            output(arg_total, r, 1, 0) += 2 * t;
            output(arg_grad_w, e, channels, c) = x * input(arg_y, e, y_width, 1);
            output(arg_grad_y, e, y_width, 0) += t;
            output(arg_grad_y, e, y_width, 1) += t;
            output(arg_grad_y, e, y_width, 2) += w;
            output(arg_grad_x, s, channels, c) += w * input(arg_y, e, y_width, 2);
            if (c < 17) output(arg_last, r, channels, c) = t;
        }
    }

    int senders_ = 0;
    unsigned long long state_ = 7;
};

}  // namespace flashtp::test
