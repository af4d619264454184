#include "tests/support/rotation.hpp"

#include <cmath>
#include <complex>

namespace flashtp::test {
namespace {

using Complex = std::complex<double>;

template <class T>
struct Matrix {
    int size;
    std::vector<T> values;

    explicit Matrix(int n) : size(n), values(static_cast<std::size_t>(n * n)) {}
    T& at(int row, int column) { return values[static_cast<std::size_t>(row * size + column)]; }
    const T& at(int row, int column) const { return values[static_cast<std::size_t>(row * size + column)]; }
};

template <class T>
Matrix<T> product(const Matrix<T>& a, const Matrix<T>& b) {
    Matrix<T> result(a.size);
    for (int i = 0; i < a.size; ++i) {
        for (int k = 0; k < a.size; ++k) {
            for (int j = 0; j < a.size; ++j) result.at(i, j) += a.at(i, k) * b.at(k, j);
        }
    }
    return result;
}

/// Rows: complex orders -l..l; columns: e3nn's real components.
Matrix<Complex> real_to_complex(int l) {
    const double half = 1 / std::sqrt(2.0);
    const Complex i(0, 1);
    Matrix<Complex> q(2 * l + 1);
    for (int m = -l; m < 0; ++m) {
        q.at(l + m, l - m) = half;
        q.at(l + m, l + m) = -i * half;
    }
    q.at(l, l) = 1;
    for (int m = 1; m <= l; ++m) {
        const double sign = m % 2 == 0 ? 1 : -1;
        q.at(l + m, l + m) = sign * half;
        q.at(l + m, l - m) = i * sign * half;
    }
    for (Complex& value : q.values) value *= std::pow(-i, l);
    return q;
}

/// The three generators about e3nn's x, y, z; its polar axis is y.
std::array<Matrix<Complex>, 3> complex_generators(int l) {
    const Complex i(0, 1);
    Matrix<Complex> x(2 * l + 1), y(2 * l + 1), z(2 * l + 1);
    for (int m = -l; m <= l; ++m) {
        y.at(l + m, l + m) = i * static_cast<double>(m);
        if (m == l) continue;
        const double step = std::sqrt(static_cast<double>(l * (l + 1) - m * (m + 1)));
        x.at(l + m + 1, l + m) = -0.5 * step;
        x.at(l + m, l + m + 1) = 0.5 * step;
        z.at(l + m + 1, l + m) = 0.5 * i * step;
        z.at(l + m, l + m + 1) = 0.5 * i * step;
    }
    return {x, y, z};
}

Matrix<double> real_generator(int l, const std::array<double, 3>& vector) {
    const Matrix<Complex> q = real_to_complex(l);
    const auto generators = complex_generators(l);
    Matrix<Complex> sum(2 * l + 1), adjoint(2 * l + 1);
    for (int row = 0; row <= 2 * l; ++row) {
        for (int column = 0; column <= 2 * l; ++column) {
            for (std::size_t axis = 0; axis < 3; ++axis) sum.at(row, column) += vector[axis] * generators[axis].at(row, column);
            adjoint.at(row, column) = std::conj(q.at(column, row));
        }
    }
    const Matrix<Complex> real = product(product(adjoint, sum), q);
    Matrix<double> result(2 * l + 1);
    for (std::size_t n = 0; n < real.values.size(); ++n) result.values[n] = real.values[n].real();
    return result;
}

/// exp by the series of the matrix over 2^halvings, squared back.
Matrix<double> exponential(Matrix<double> matrix) {
    constexpr int halvings = 6, order = 18;  // each squaring doubles the rounding error
    for (double& value : matrix.values) value = std::ldexp(value, -halvings);
    Matrix<double> sum(matrix.size), term(matrix.size);
    for (int n = 0; n < matrix.size; ++n) sum.at(n, n) = term.at(n, n) = 1;
    for (int power = 1; power <= order; ++power) {
        term = product(term, matrix);
        for (std::size_t n = 0; n < term.values.size(); ++n) sum.values[n] += (term.values[n] /= power);
    }
    for (int n = 0; n < halvings; ++n) sum = product(sum, sum);
    return sum;
}

}  // namespace

std::vector<double> rotation_matrix(int l, const std::array<double, 3>& vector) {
    return exponential(real_generator(l, vector)).values;
}

std::vector<double> moved(const std::vector<double>& tensor, const Irreps& irreps, Layout layout, const Motion& motion) {
    std::vector<double> result(tensor.size(), 0.0);
    for (std::size_t segment = 0; segment < irreps.size(); ++segment) {
        const auto& [multiplicity, irrep] = irreps[segment];
        const std::vector<double> rotation = rotation_matrix(irrep.l, motion.vector);
        const double sign = motion.inversion && irrep.parity < 0 ? -1 : 1;
        const std::int64_t channel_stride = layout == Layout::mul_ir ? irrep.dim() : 1;
        const std::int64_t component_stride = layout == Layout::mul_ir ? 1 : multiplicity;
        for (std::size_t row = 0; row < tensor.size(); row += static_cast<std::size_t>(irreps.dim())) {
            for (std::int64_t channel = 0; channel < multiplicity; ++channel) {
                const std::size_t fibre = row + static_cast<std::size_t>(irreps.offset(segment) + channel * channel_stride);
                for (int i = 0; i < irrep.dim(); ++i) {
                    for (int j = 0; j < irrep.dim(); ++j) {
                        result[fibre + static_cast<std::size_t>(i * component_stride)] +=
                            sign * rotation[static_cast<std::size_t>(i * irrep.dim() + j)] *
                            tensor[fibre + static_cast<std::size_t>(j * component_stride)];
                    }
                }
            }
        }
    }
    return result;
}

}  // namespace flashtp::test
