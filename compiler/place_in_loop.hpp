// Which numbers of one loop are in registers at each of its statements.
#pragma once

#include <vector>

#include "compiler/scratch.hpp"

namespace flashtp {

/// A loop without inner loops or branches.
struct LoopRegisters {
    std::vector<RegId> carried;   ///< registers that code outside the loop also reads or assigns
    std::vector<RegId> resident;  ///< those of them that stay in a register while the loop runs
    bool fits = false;            ///< so does everything else
};
/// `outside[r]`: whether code outside the body mentions the register. At most `budget` registers hold numbers at a time; uniform
/// registers stay resident.
LoopRegisters registers_of_loop(const Kernel&, const KernelTask&, const Block& body, const std::vector<bool>& outside, int budget);

/// The same body with at most `budget` numbers in registers at a time, as far as that goes: the one whose next use is furthest away
/// leaves its register (Belady), is read again from the operand it came from, or is kept in `scratch` until then. `slots[r]` has the
/// place of every carried register that is not resident: its value is there before and after each iteration.
Block place_in_loop(const Kernel&, const KernelTask&, const Block& body, const LoopRegisters&, const std::vector<int>& slots, int budget,
                    Scratch& scratch);

}  // namespace flashtp
