// A record of the passes of one compilation: name, time and, when asked for, the program each returned.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flashtp {

/// `program = trace("factor", factor(paths, ...))`: verifies what a pass returned and passes it on. The time of a pass is the time
/// since the trace was made or the previous pass was recorded.
class Trace {
  public:
    struct Step {
        std::string pass;
        double seconds = 0;
        std::string text;  ///< the printed program when dumping; "(unchanged)" where the pass did nothing
    };

    explicit Trace(bool dump = false) : dump_(dump), last_(Clock::now()) {}

    /// Any level that has verify and to_string.
    template <class Program>
    Program operator()(std::string_view pass, Program program) {
        const double seconds = elapsed();
        verify(program);
        record(pass, seconds, dump_ ? to_string(program) : std::string());
        return program;
    }

    const std::vector<Step>& steps() const { return steps_; }
    bool dumps() const { return dump_; }
    double total_seconds() const;

  private:
    using Clock = std::chrono::steady_clock;

    double elapsed() const { return std::chrono::duration<double>(Clock::now() - last_).count(); }
    void record(std::string_view pass, double seconds, std::string text);

    bool dump_;
    Clock::time_point last_;
    std::string previous_;
    std::vector<Step> steps_;
};

/// Every step under a heading with its time left out, so that the text is the same on every machine.
std::string to_string(const Trace&);

}  // namespace flashtp
