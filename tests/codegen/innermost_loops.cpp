#include "tests/codegen/innermost_loops.hpp"

#include <map>
#include <sstream>

namespace flashtp::test {

namespace {

struct Instruction {
    std::string function, opcode, operands;
    bool spill = false;  ///< as LLVM's comment says
};

struct Listing {
    std::vector<Instruction> instructions;
    std::map<std::string, std::size_t> labels;
};

bool is_local(const std::string& label) { return label.starts_with(".L"); }

Listing parse(const std::string& assembly) {
    Listing listing;
    std::string function, line;
    for (std::istringstream lines(assembly); std::getline(lines, line);) {
        const bool spill = line.find("-byte Spill") != std::string::npos;
        line = line.substr(0, line.find('#'));
        const std::size_t colon = line.find(':');
        if (colon != std::string::npos && line[0] != '\t') {
            const std::string label = line.substr(0, colon);
            listing.labels[label] = listing.instructions.size();
            if (!is_local(label)) function = label;
            continue;
        }
        std::istringstream words(line);
        Instruction instruction{function, {}, {}, spill};
        words >> instruction.opcode;
        std::getline(words, instruction.operands);
        instruction.operands.erase(instruction.operands.find_last_not_of(" \t") + 1);
        if (!instruction.opcode.empty() && instruction.opcode[0] != '.') listing.instructions.push_back(instruction);
    }
    return listing;
}

bool is_scalar(const std::string& opcode) { return opcode.ends_with("ss") || opcode.ends_with("sd"); }

bool multiplies(const std::string& opcode) {
    return opcode.starts_with("vfmadd") || opcode.starts_with("vfnmadd") || opcode.starts_with("vfmsub") || opcode.starts_with("vmulp") ||
           opcode.starts_with("vmuls");
}

InnermostLoop describe(const Listing& listing, std::size_t first, std::size_t last) {
    InnermostLoop loop;
    loop.function = listing.instructions[first].function;
    for (std::size_t n = first; n <= last; ++n) {
        const Instruction& i = listing.instructions[n];
        ++loop.instructions;
        if (multiplies(i.opcode)) ++(is_scalar(i.opcode) ? loop.scalar_multiply_adds : loop.vector_multiply_adds);
        if (i.spill) ++(i.opcode.starts_with("v") ? loop.spills : loop.integer_spills);
    }
    return loop;
}

}  // namespace

std::vector<InnermostLoop> innermost_loops(const std::string& assembly) {
    const Listing listing = parse(assembly);
    std::vector<InnermostLoop> loops;
    std::size_t last_begin = 0;
    for (std::size_t n = 0; n < listing.instructions.size(); ++n) {
        const Instruction& i = listing.instructions[n];
        const std::size_t name = i.operands.find(".L");
        if (i.opcode[0] != 'j' || name == std::string::npos) continue;
        const auto target = listing.labels.find(i.operands.substr(name));
        if (target == listing.labels.end() || target->second > n) continue;
        // A backward branch to before an inner loop closes an outer one.
        if (!loops.empty() && target->second <= last_begin) continue;
        loops.push_back(describe(listing, target->second, n));
        last_begin = target->second;
    }
    return loops;
}

}  // namespace flashtp::test
