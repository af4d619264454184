// Adjoints and tangents of values: same shape, same rows, same view of the twin operand.
#pragma once

#include <string>
#include <vector>

#include "ir/edge_program.hpp"

namespace flashtp {

/// The values that a derivative adds to a program, made when first asked for.
class Twins {
  public:
    /// `prefix` is "d_" or "t_". Intermediate values of a program that was differentiated before get it doubled ("dd_") where
    /// the name is taken; operands never do.
    Twins(EdgeProgram& program, std::string prefix);

    /// Declares the operand's twin with this role.
    void add_operand(OperandId, Role);
    /// The value's twin. A value in an operand needs that operand's twin to be declared.
    ValueId of(ValueId);
    bool exists(ValueId id) const { return id < static_cast<int>(value_.size()) && value_[id] >= 0; }

  private:
    std::string prefix_for_intermediates() const;

    EdgeProgram& program_;
    std::string prefix_, intermediate_prefix_;
    std::vector<OperandId> operand_;
    std::vector<ValueId> value_;
};

}  // namespace flashtp
