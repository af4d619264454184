// One problem a connection mode that holds every triple of degrees: the table-driven tests run over these.
#pragma once

#include <string>
#include <vector>

#include "ir/problem.hpp"

namespace flashtp::test {

struct ModeProblem {
    ConnectionMode mode = ConnectionMode::uvu;
    bool weighted = true, shared_weights = false, convolution = true;
    int max_l = 2;                           ///< of all three irreps
    std::int64_t in1 = 3, in2 = 2, out = 2;  ///< multiplicities; the mode overrides those it fixes
    DType dtype = DType::float64;
};

/// Segments 0..max_l of both inputs, alternating parity, and one instruction with its own output segment a triple.
Problem mode_problem(const ModeProblem&);
/// Whether the mode may be unweighted at all.
bool allows(ConnectionMode, bool weighted);
/// All of mode x weighted x shared x convolution that exist, with these degrees.
std::vector<ModeProblem> all_mode_problems(int max_l);
/// "uvu unweighted shared convolution", for messages.
std::string to_string(const ModeProblem&);

}  // namespace flashtp::test
