// What the caller fixes instead of leaving it to the scheduler.
#pragma once

#include <optional>
#include <string>

#include "compiler/choose_schedule.hpp"
#include "compiler/factor.hpp"
#include "ir/schedule.hpp"

namespace flashtp {

struct LoweringOptions {
    std::optional<Schedule> schedule;    ///< e.g. from --schedule FILE or the tuner
    std::optional<Factoring> factoring;
    std::optional<ScheduleKnobs> knobs;  ///< instead of default_knobs
    bool general = false;                ///< use the general schedule even where a special one applies (tests)
    std::string tuned;                   ///< where the knobs come from, for explain; decides nothing
};

}  // namespace flashtp
