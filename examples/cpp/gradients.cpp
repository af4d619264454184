// A layer's value and gradients on the CPU: the backward program against differences of the forward program.
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <flashtp/flashtp.h>

namespace {

const char* const layer = R"({
    "irreps_in1": "8x0e+4x1o", "irreps_in2": "0e+1o+2e", "irreps_out": "8x0e+4x0e+8x1o+4x1o",
    "instructions": [[0, 0, 0, "uvu", true], [0, 1, 2, "uvu", true], [1, 1, 1, "uvu", true], [1, 2, 3, "uvu", true]],
    "dtype": "float64"})";

void check(flashtp_status status) {
    if (status != FLASHTP_OK)
        throw std::runtime_error(std::string(flashtp_status_string(status)) + ": " + flashtp_last_message());
}

template <class T>
T sized() {
    T value{};
    value.size = sizeof value;
    return value;
}

using Engine = std::unique_ptr<flashtp_engine, decltype(&flashtp_engine_destroy)>;
using Program = std::unique_ptr<flashtp_program, decltype(&flashtp_program_destroy)>;

Engine make_engine() {
    flashtp_engine* engine = nullptr;
    check(flashtp_engine_create(nullptr, &engine));
    return {engine, &flashtp_engine_destroy};
}

Program compile(const Engine& engine, int order) {
    auto request = sized<flashtp_request>();
    request.problem = layer;
    request.order = order;
    flashtp_program* program = nullptr;
    check(flashtp_compile(engine.get(), &request, &program));
    return {program, &flashtp_program_destroy};
}

/// Edges grouped by receiver, with the arrays they live in.
struct Graph {
    std::vector<std::int32_t> row_ptr, sender, edge;
    flashtp_graph view = sized<flashtp_graph>();

    Graph(const std::vector<std::int64_t>& from, const std::vector<std::int64_t>& to, std::int64_t nodes)
        : row_ptr(nodes + 1), sender(from.size()), edge(from.size()) {
        auto list = sized<flashtp_edges>();
        list.edges = static_cast<std::int64_t>(from.size());
        list.senders = list.receivers = nodes;
        list.sender = from.data();
        list.receiver = to.data();
        list.index_bits = 64;
        check(flashtp_build_receiver_index(&list, row_ptr.data(), sender.data(), edge.data(), nullptr));
        view.edges = list.edges;
        view.senders = view.receivers = nodes;
        view.row_ptr = row_ptr.data();
        view.sender = sender.data();
        view.edge = edge.data();
    }
    std::int64_t rows(std::int32_t row) const {
        return row == FLASHTP_ROW_EDGE ? view.edges : row == FLASHTP_ROW_SHARED ? 1 : view.senders;
    }
};

/// Memory for every operand of a program, found by name.
class Operands {
  public:
    Operands(const Program& program, const Graph& graph) {
        std::int32_t count = 0;
        check(flashtp_program_operand_count(program.get(), &count));
        for (std::int32_t i = 0; i < count; ++i) {
            auto operand = sized<flashtp_operand>();
            check(flashtp_program_operand(program.get(), i, &operand));
            names_.emplace_back(operand.name);
            memory_.emplace_back(graph.rows(operand.row) * operand.width);
        }
    }
    std::vector<double>& operator[](const std::string& name) {
        for (std::size_t i = 0; i < names_.size(); ++i) {
            if (names_[i] == name) return memory_[i];
        }
        throw std::runtime_error("no operand " + name);
    }
    void run(const Program& program, const Graph& graph) {
        std::vector<void*> pointers;
        for (auto& memory : memory_) pointers.push_back(memory.data());
        check(flashtp_run_cpu(program.get(), pointers.data(), static_cast<std::int32_t>(pointers.size()), &graph.view, 0));
    }

  private:
    std::vector<std::string> names_;
    std::vector<std::vector<double>> memory_;
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

int run() {
    const Engine engine = make_engine();
    const Program forward = compile(engine, 0), backward = compile(engine, 1);
    const Graph graph({0, 1, 2, 3, 1, 0}, {3, 0, 0, 2, 2, 3}, 4);
    Operands values(forward, graph), gradients(backward, graph);
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    for (const char* name : {"x", "y", "w"}) {
        for (double& value : values[name]) value = normal(random);
        gradients[name] = values[name];
    }
    for (double& value : gradients["d_z"]) value = normal(random);
    gradients.run(backward, graph);

    // The layer is linear in each input alone, so a difference of two values is exact up to rounding.
    int wrong = 0;
    for (const std::string name : {"x", "y", "w"}) {
        values.run(forward, graph);
        const double before = dot(values["z"], gradients["d_z"]);
        values[name][1] += 0.5;
        values.run(forward, graph);
        const double difference = (dot(values["z"], gradients["d_z"]) - before) / 0.5, gradient = gradients["d_" + name][1];
        values[name][1] -= 0.5;
        std::printf("d_%s[1]: difference %.12f, gradient %.12f\n", name.c_str(), difference, gradient);
        wrong += !(std::fabs(difference - gradient) < 1e-10);
    }
    return wrong;
}

}  // namespace

int main() {
    try {
        return run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
