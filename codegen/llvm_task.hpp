// One task as one LLVM function, in SSA form from the start: phis at loops and branches, found from the assignments in their bodies.
#pragma once

#include <map>
#include <span>

#include "codegen/llvm_text.hpp"
#include "ir/kernel.hpp"

namespace flashtp::llvm_text {

/// What a register holds at this point. A uniform register is kept as a vector with equal lanes: vector arithmetic costs what
/// scalar arithmetic does and saves the broadcast before each use. Either form is made when it is asked for.
struct Value {
    Name vector, scalar;
};

/// A pointer and an element offset known now, which ends up in the address of the instruction.
struct Address {
    Name pointer;
    std::int64_t offset = 0;
};

class TaskEmitter {
  public:
    TaskEmitter(const Kernel& kernel, const KernelTask& task, const Elements& compute, FunctionText& text, bool masked_loads);

    /// Writes the body; the function's label "entry" has been written.
    void run();
    /// Definition of the constants that the code reads from memory, once it was emitted.
    std::string coefficient_table() const;

  private:
    // Control flow and integers (llvm_task.cpp)
    struct Assigned {
        std::vector<RegId> registers;
        std::vector<IntId> ints;
    };
    struct State {
        std::vector<Value> registers;
        std::vector<Name> ints;
        std::vector<int> int_depth;               ///< loop depth of the value: addresses add outer parts first
        std::map<std::string, Name> expressions;  ///< integer expressions and pointers computed in an enclosing block
    };

    void block(const Block&);
    void statement(const Comment&);
    void statement(const IntLet& node) { set_int(node.var, integer(node.value)); }
    void statement(const IntSet& node) { set_int(node.var, integer(node.value)); }
    void statement(const IntLoad&);
    void statement(const IntMin&);
    void statement(const For&);
    void statement(const If&);
    void statement(const WindowOpen&);
    void statement(const WindowRead&);
    template <class Node>
    void statement(const Node&) {
        unsupported();
    }
    [[noreturn]] void unsupported() const;

    void straight(const For&, const Name& begin, const Name& end);
    Assigned carried_by(const Block&) const;
    void set_int(IntId, Name);
    Affine fold(const Affine&) const;
    Name integer(const Affine&);
    Name sum(const Name& a, const Name& b);
    Name product(const Name& a, std::int64_t factor);
    template <class Make>
    Name once(const std::string& key, Make make);
    Name load_index(BufferId, const Affine& index, bool null_is_identity);
    void phi(const std::string& type, const Name& name, const Name& a, const std::string& from_a, const Name& b,
             const std::string& from_b);
    void merge(const Assigned&, const State& before, const std::string& from_before, const State& after,
               const std::string& from_after);
    void start_block(const std::string& label);

    // Arithmetic and lane sums
    void statement(const Move&);
    void statement(const Mul&);
    void statement(const Fma&);
    void statement(const LaneSum&);
    Name vector_of(RegId);
    Name vector_of(const Arg&);
    Name coefficient(double);
    Name scalar_of(RegId);
    std::vector<Name> vectors_of(std::span<const RegId>);

    // Memory (llvm_access.cpp)
    void statement(const Load&);
    void statement(const Store&);
    void statement(const ReduceStore&);
    void statement(const Prefetch&);
    Address address(BufferId, const Affine& base);
    Address address(const Access&);
    Elements elements_of(const Access&) const;
    std::vector<Address> lane_addresses(const Access&, const Elements&);
    std::vector<Name> load_vectors(const Access&, const Elements&, const std::vector<bool>& wanted);
    std::vector<Name> load_interleaved(const Access&, const Elements&, const std::vector<bool>& wanted);
    std::vector<Name> load_rows(const Access&, const Elements&, const std::vector<bool>& wanted);
    Name load_scattered(const Access&, const Elements&, int component);
    void store_vectors(const Access&, const Elements&, const std::vector<Name>& values, bool accumulate);
    void store_interleaved(const Access&, const Elements&, const std::vector<Name>& values, bool accumulate);
    void store_rows(const Access&, const Elements&, const std::vector<Name>& values, bool accumulate);
    void store_scattered(const Access&, const Elements&, const std::vector<Name>& values, bool accumulate);
    Name convert(const Name&, int width, const Elements& from, const Elements& to);
    Name widened(const Name&, int width, const Elements& from, const Elements& to);
    Name narrowed(const Name&, int width, const Elements& from, const Elements& to);

    const Kernel& kernel_;
    const KernelTask& task_;
    const Elements& compute_;
    FunctionText& text_;
    const bool masked_loads_;
    State now_;
    std::string label_ = "entry";  ///< of the block being written
    int depth_ = 0, labels_ = 0;
    std::vector<BufferId> windows_;
    std::vector<double> coefficients_;
    std::string coefficients_name_;
};

}  // namespace flashtp::llvm_text
