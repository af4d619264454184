#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ir/error.hpp"
#include "runtime/thread_pool.hpp"

using namespace flashtp;

TEST_CASE("thread pool: every number runs once, zero on the caller") {
    for (const int threads : {1, 2, 3, 8, 33}) {
        std::vector<int> calls(static_cast<std::size_t>(threads));
        std::thread::id zero;
        parallel(threads, [&](int thread) {
            ++calls[static_cast<std::size_t>(thread)];
            if (thread == 0) zero = std::this_thread::get_id();
        });
        CHECK(calls == std::vector<int>(static_cast<std::size_t>(threads), 1));
        CHECK(zero == std::this_thread::get_id());
    }
    int calls = 0;
    parallel(1, [&](int) { ++calls; });
    CHECK(calls == 1);
    std::atomic<int> several{0};
    parallel(0, [&](int) { ++several; });
    CHECK(several >= 1);
}

TEST_CASE("thread pool: helpers are kept, and a number stays on its helper") {
    std::vector<std::thread::id> first(4), again(4);
    parallel(4, [&](int thread) { first[static_cast<std::size_t>(thread)] = std::this_thread::get_id(); });
    const int helpers = helper_threads();
    for (int round = 0; round < 50; ++round) {
        parallel(4, [&](int thread) { again[static_cast<std::size_t>(thread)] = std::this_thread::get_id(); });
        CHECK(again == first);
    }
    CHECK(helper_threads() == helpers);
}

TEST_CASE("thread pool: the first exception by number arrives after all are done") {
    std::atomic<int> done{0};
    try {
        parallel(6, [&](int thread) {
            if (thread == 2 || thread == 4) throw std::runtime_error(std::to_string(thread));
            ++done;
        });
        FAIL("no exception");
    } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()) == "2");
    }
    CHECK(done == 4);
    std::atomic<int> after{0};
    parallel(6, [&](int) { ++after; });
    CHECK(after == 6);
}

TEST_CASE("thread pool: many callers, and calls within calls") {
    std::atomic<long> sum{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 6; ++caller) {
        callers.emplace_back([&] {
            for (int round = 0; round < 60; ++round) {
                parallel(4, [&](int outer) { parallel(3, [&](int inner) { sum += 10 * outer + inner; }); });
            }
        });
    }
    for (std::thread& caller : callers) caller.join();
    CHECK(sum == 6L * 60 * (3 * 10 * (0 + 1 + 2 + 3) + 4 * (0 + 1 + 2)));
    CHECK(helper_threads() <= 64);  // callers do not multiply helpers
}

#if !defined(__SANITIZE_THREAD__)  // its run-time does not support threads in the child of a process with threads
TEST_CASE("thread pool: works in the child of a fork") {
    parallel(3, [](int) {});
    const pid_t child = fork();
    if (child == 0) {
        std::atomic<int> calls{0};
        parallel(3, [&](int) { ++calls; });
        _exit(calls == 3 && helper_threads() == 2 ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}
#endif

TEST_CASE("thread pool: a pool of the caller's runs every number, exceptions go around it, a missing number is an error") {
    int calls = 0;
    const CallerPool backwards{[](void* user, std::int32_t count, void (*work)(void*, std::int32_t), void* context) {
                                   ++*static_cast<int*>(user);
                                   while (count > 0) work(context, --count);
                               },
                               &calls};
    std::vector<int> order;
    parallel_on(backwards)(3, [&](int number) { order.push_back(number); });
    CHECK(order == std::vector<int>{2, 1, 0});
    CHECK(calls == 1);
    const auto failing = [&] { parallel_on(backwards)(3, [](int number) { throw std::runtime_error(std::to_string(number)); }); };
    CHECK_THROWS_WITH_AS(failing(), "0", std::runtime_error);

    const CallerPool lazy{[](void*, std::int32_t, void (*work)(void*, std::int32_t), void* context) { work(context, 0); }, nullptr};
    CHECK_THROWS_WITH_AS(parallel_on(lazy)(3, [](int) {}), "the caller's pool left out 2 of 3 numbers", UserError);
}
