// Reads the log of `--ptxas-options=-v`.
#include <algorithm>
#include <charconv>
#include <string_view>

#include "runtime/backend_cuda.hpp"

namespace flashtp {
namespace {

/// The number that ends right before `after`; nothing found leaves `value` alone. " 48 bytes stack frame".
template <class T>
void number_before(std::string_view line, std::string_view after, T& value) {
    const std::size_t end = line.find(after);
    if (end == std::string_view::npos) return;
    const std::size_t last = line.find_last_not_of(' ', end == 0 ? 0 : end - 1);
    if (last == std::string_view::npos) return;
    const std::size_t gap = line.find_last_not_of("0123456789", last);
    const std::size_t first = gap == std::string_view::npos ? 0 : gap + 1;
    std::from_chars(line.data() + first, line.data() + last + 1, value);
}

}  // namespace

PtxasReport parse_ptxas_log(const std::string& log) {
    PtxasReport report;
    for (std::string_view rest = log; !rest.empty();) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        number_before(line, "registers", report.registers);
        number_before(line, "bytes stack frame", report.stack_bytes);
        number_before(line, "bytes spill stores", report.spill_stores);
        number_before(line, "bytes spill loads", report.spill_loads);
        const bool is_report = line.starts_with("ptxas info") || line.find("bytes stack frame") != std::string_view::npos;
        if (!is_report && !line.empty()) report.warnings.append(line).append("\n");
    }
    return report;
}

}  // namespace flashtp
