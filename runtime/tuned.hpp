// Schedules that were measured: the winner is kept beside the kernels, and found by later processes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "compiler/pipeline.hpp"
#include "runtime/cache/key.hpp"

namespace flashtp {

std::string_view to_string(SizeClass);

/// The knobs that won, or none where the scheduler's own choice did.
struct TunedSchedule {
    std::optional<ScheduleKnobs> knobs;
    std::string measured;  ///< for people: where, with how many edges, and by how much it won
    friend bool operator==(const TunedSchedule&, const TunedSchedule&) = default;
};
std::string to_text(const TunedSchedule&);
/// Throws UserError for anything that to_text does not write.
TunedSchedule parse_tuned(std::string_view text);

/// Names the winner of a request, a device and a class of sizes. A schedule that another compiler was measured with is not looked at.
Key tuned_key(const Problem&, const Request&, const Target&, SizeClass);

/// Every knob by name.
std::string to_json(const ScheduleKnobs&);

}  // namespace flashtp
