#include "compiler/trace.hpp"

#include <fmt/format.h>

namespace flashtp {

double Trace::total_seconds() const {
    double total = 0;
    for (const Step& step : steps_) total += step.seconds;
    return total;
}

void Trace::record(std::string_view pass, double seconds, std::string text) {
    const bool unchanged = dump_ && !steps_.empty() && text == previous_;
    steps_.push_back({std::string(pass), seconds, unchanged ? "(unchanged)\n" : text});
    previous_ = std::move(text);
    last_ = Clock::now();
}

std::string to_string(const Trace& trace) {
    std::string text;
    for (const Trace::Step& step : trace.steps()) text += fmt::format("== {} ==\n{}", step.pass, step.text);
    return text;
}

}  // namespace flashtp
