#include <doctest/doctest.h>

#include <algorithm>

#include "ir/error.hpp"
#include "ir/target.hpp"

using namespace flashtp;

TEST_CASE("target: every CUDA architecture has the copies and the shared memory of its generation") {
    for (const char* name : {"sm_80", "sm_86", "sm_89"}) CHECK(cuda_target(name).copy == CopyMechanism::groups);
    for (const char* name : {"sm_90", "sm_90a", "sm_100", "sm_120"}) CHECK(cuda_target(name).copy == CopyMechanism::barrier);

    const Target hopper = cuda_target("sm_90a");
    CHECK(hopper.platform == Platform::cuda);
    CHECK(hopper.name == "sm_90a");
    CHECK(hopper.compute_capability == 90);
    CHECK(hopper.lanes == 32);
    CHECK(lanes_of(hopper, 8) == 32);
    CHECK(hopper.registers_per_lane == 255);
    CHECK(hopper.shared_bytes_per_block == 232448);
    CHECK(hopper.shared_bytes_per_multiprocessor == 233472);
    CHECK(cuda_target("sm_80").shared_bytes_per_block == 166912);
    CHECK(cuda_target("sm_120").shared_bytes_per_block == 101376);
}

TEST_CASE("target: CPU rows say their vectors and accept the name with and without its prefix") {
    CHECK(cpu_target("x86-64-v3") == cpu_target("cpu:x86-64-v3"));
    CHECK(cpu_target("x86-64-v3").name == "cpu:x86-64-v3");
    CHECK(cpu_target("x86-64-v2").lanes == 4);
    CHECK(cpu_target("x86-64-v3").lanes == 8);
    CHECK(cpu_target("x86-64-v4").lanes == 16);
    CHECK(cpu_target("x86-64-v3").registers_per_lane == 16);
    CHECK(cpu_target("x86-64-v4").registers_per_lane == 32);

    const Target arm = cpu_target("aarch64+neon");
    CHECK(arm.triple == "aarch64-unknown-linux-gnu");
    CHECK(lanes_of(arm, 4) == 4);
    CHECK(lanes_of(arm, 8) == 2);
    CHECK(arm.registers_per_lane == 32);
}

TEST_CASE("target: features are sorted, so that equal targets compare and hash equal") {
    for (const std::string& name : known_targets()) {
        if (!name.starts_with("cpu:")) continue;
        const std::vector<std::string> features = cpu_target(name).features;
        CHECK(std::ranges::is_sorted(features));
        for (const std::string& feature : features) CHECK(feature.front() == '+');
    }
}

TEST_CASE("target: known names are accepted, unknown ones listed with the nearest") {
    for (const std::string& name : known_targets())
        CHECK((name.starts_with("sm_") ? cuda_target(name) : cpu_target(name)).name == name);
    CHECK_THROWS_AS(cuda_target("sm_70"), UserError);
    CHECK_THROWS_AS(cpu_target(""), UserError);
    try {
        cpu_target("x86-64-v5");
    } catch (const UserError& error) {
        const std::string message = error.what();
        CHECK(message.find("x86-64-v5") != std::string::npos);
        CHECK(message.find("sm_90a") != std::string::npos);
        CHECK(message.find("aarch64+neon") != std::string::npos);
    }
}
