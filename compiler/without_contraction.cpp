#include "compiler/without_contraction.hpp"

#include "compiler/kernel_builder.hpp"

namespace flashtp {

namespace {

class Separator {
  public:
    explicit Separator(KernelTask& task) : task_(task) {}

    Block operator()(const Block& block) {
        Block result;
        for (const KernelStatement& statement : block) std::visit([&](const auto& node) { add(node, result); }, statement.node);
        return result;
    }

  private:
    bool uniform(const Arg& arg) const {
        const RegId* const id = std::get_if<RegId>(&arg);
        return !id || task_.registers[*id].uniform;
    }

    void add(const Fma& node, Block& block) {
        const auto product = static_cast<RegId>(task_.registers.size());
        task_.registers.push_back({"product" + std::to_string(product), uniform(node.a) && uniform(node.b)});
        emit(block, Mul{product, node.a, node.b});
        emit(block, Fma{node.dst, product, 1.0, node.c});
    }
    void add(For node, Block& block) {
        node.body = (*this)(node.body);
        emit(block, std::move(node));
    }
    void add(If node, Block& block) {
        node.body = (*this)(node.body);
        emit(block, std::move(node));
    }
    template <class Node>
    void add(const Node& node, Block& block) {
        emit(block, node);
    }

    KernelTask& task_;
};

}  // namespace

Kernel without_contraction(Kernel kernel) {
    kernel.contract = false;
    for (KernelTask& task : kernel.tasks) task.body = Separator(task)(task.body);
    return kernel;
}

}  // namespace flashtp
