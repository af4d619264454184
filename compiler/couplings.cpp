// The complex Clebsch-Gordan coefficient is Racah's sum (G. Racah, Phys. Rev. 62 (1942) 438, eq. 16) in the binomial form of
// L. Wei, Comput. Phys. Commun. 120 (1999) 222. With a = l1+l2-l3, b = l1-l2+l3, c = -l1+l2+l3 and J = l1+l2+l3 = a+b+c,
//
//   <l1 m1 l2 m2 | l3 m3> = S sqrt((2 l3 + 1) P),   P = prod over (l, m) of (l+m)! (l-m)! / (a! b! c! (J+1)!),
//   S = sum over k of (-1)^k C(a, k) C(b, l1-m1-k) C(c, l2+m2-k).
//
// S is an integer and |S| <= 2^a 2^b 2^c = 2^J, because the binomials C(n, .) of one n sum to 2^n: 24 bits for l <= 8 and 48
// bits for l <= 16, so 64-bit integers are ample (the factorials of the textbook form need 84 bits at l = 8).
//
// The real basis is e3nn's: its matrix from real to complex components has entries i^p or i^p / sqrt(2), and P depends on |m| only.
// So a real entry is (Gaussian integer) * sqrt(P / 2^n): the zeros and the vanishing imaginary part are decided in integers.
#include "compiler/couplings.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "ir/error.hpp"

namespace flashtp {
namespace {

constexpr int max_degree = 16;
constexpr int max_binomial = 2 * max_degree;                                          // a, b and c
constexpr int max_factorial = 3 * max_degree + 1;                                     // J + 1
constexpr std::array primes{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47};  // all up to max_factorial

using BinomialTable = std::array<std::array<std::int64_t, max_binomial + 1>, max_binomial + 1>;
constexpr BinomialTable pascal = [] {
    BinomialTable table{};
    for (int n = 0; n <= max_binomial; ++n) {
        table[n][0] = 1;
        for (int k = 1; k <= n; ++k) table[n][k] = table[n - 1][k - 1] + table[n - 1][k];
    }
    return table;
}();

/// Exponents of the primes in n!.
using Exponents = std::array<int, primes.size()>;
constexpr std::array<Exponents, max_factorial + 1> factorials = [] {
    std::array<Exponents, max_factorial + 1> table{};
    for (int n = 1; n <= max_factorial; ++n) {
        table[n] = table[n - 1];
        int rest = n;
        for (std::size_t p = 0; p < primes.size(); ++p) {
            for (; rest % primes[p] == 0; rest /= primes[p]) ++table[n][p];
        }
    }
    return table;
}();

std::int64_t binomial(int n, int k) { return k < 0 || k > n ? 0 : pascal[n][k]; }

/// S above: the Clebsch-Gordan coefficient without its root.
std::int64_t racah_sum(int l1, int m1, int l2, int m2, int l3) {
    const int a = l1 + l2 - l3, b = l1 - l2 + l3, c = -l1 + l2 + l3;
    std::int64_t sum = 0;
    for (int k = 0; k <= a; ++k) {
        const std::int64_t term = binomial(a, k) * binomial(b, l1 - m1 - k) * binomial(c, l2 + m2 - k);
        sum += k % 2 == 0 ? term : -term;
    }
    return sum;
}

/// A positive rational as exponents of primes, so that factorials beyond 64 bits cancel exactly.
class PrimeProduct {
  public:
    void multiply_factorial(int n, int power) {
        for (std::size_t p = 0; p < primes.size(); ++p) exponent_[p] += power * factorials[n][p];
    }
    void halve() { --exponent_[0]; }
    double square_root() const {
        double above = 1, below = 1, above_root = 1, below_root = 1;  // products of whole and of half powers
        for (std::size_t p = 0; p < primes.size(); ++p) {
            const bool up = exponent_[p] > 0;
            const int size = std::abs(exponent_[p]);
            for (int n = 0; n < size / 2; ++n) (up ? above : below) *= primes[p];
            if (size % 2 == 1) (up ? above_root : below_root) *= primes[p];
        }
        return above / below * std::sqrt(above_root / below_root);
    }

  private:
    Exponents exponent_{};
};

/// sqrt(P / 2^n) with n the number of non-zero orders: every 1/sqrt(2) of the change of basis.
double magnitude(const std::array<int, 3>& l, const std::array<int, 3>& m) {
    PrimeProduct square;
    for (int s = 0; s < 3; ++s) {
        square.multiply_factorial(l[s] + m[s], 1);
        square.multiply_factorial(l[s] - m[s], 1);
        if (m[s] != 0) square.halve();
    }
    square.multiply_factorial(l[0] + l[1] - l[2], -1);
    square.multiply_factorial(l[0] - l[1] + l[2], -1);
    square.multiply_factorial(-l[0] + l[1] + l[2], -1);
    square.multiply_factorial(l[0] + l[1] + l[2] + 1, -1);
    return square.square_root();
}

/// e3nn's matrix from the real component `real` to the complex order `m` (|m| = |real|) is i^power, over sqrt(2) if m != 0.
int power_of_i(int l, int real, int m) {
    const int condon_shortley = m > 0 ? 2 * m : 0;    // (-1)^m
    const int sine = real < 0 ? (m > 0 ? 1 : 3) : 0;  // i or -i
    return (condon_shortley + sine + 3 * l) % 4;      // and (-i)^l
}

/// The Gaussian integer of one real entry: the sum over the signs of the complex orders. Its imaginary part vanishes.
std::int64_t real_entry(const std::array<int, 3>& l, const std::array<int, 3>& real) {
    std::array<std::int64_t, 4> by_power{};  // coefficients of 1, i, -1, -i
    for (const int m1 : {real[0], -real[0]}) {
        for (const int m2 : {real[1], -real[1]}) {
            const int m3 = m1 + m2;
            if (std::abs(m3) == std::abs(real[2])) {
                const int power = power_of_i(l[0], real[0], m1) + power_of_i(l[1], real[1], m2) - power_of_i(l[2], real[2], m3);
                by_power[static_cast<std::size_t>(power + 4) % 4] += racah_sum(l[0], m1, l[1], m2, l[2]);
            }
            if (real[1] == 0) break;  // +0 and -0 are one order
        }
        if (real[0] == 0) break;
    }
    if (by_power[1] != by_power[3]) internal_error("wigner_3j({}, {}, {}) is not real", l[0], l[1], l[2]);
    return by_power[0] - by_power[2];
}

}  // namespace

std::vector<Coupling3j> wigner_3j(int l1, int l2, int l3) {
    const std::array<int, 3> l{l1, l2, l3};
    for (const int degree : l) {
        if (degree < 0 || degree > max_degree)
            internal_error("wigner_3j({}, {}, {}): degree outside 0..{}", l1, l2, l3, max_degree);
    }
    if (l3 < std::abs(l1 - l2) || l3 > l1 + l2) internal_error("wigner_3j({}, {}, {}): not a triangle", l1, l2, l3);

    std::vector<Coupling3j> entries;
    for (int m1 = -l1; m1 <= l1; ++m1) {
        for (int m2 = -l2; m2 <= l2; ++m2) {
            for (int m3 = -l3; m3 <= l3; ++m3) {
                const std::int64_t numerator = real_entry(l, {m1, m2, m3});
                if (numerator == 0) continue;
                entries.push_back({m1 + l1, m2 + l2, m3 + l3, static_cast<double>(numerator) * magnitude(l, {m1, m2, m3})});
            }
        }
    }
    return entries;
}

}  // namespace flashtp
