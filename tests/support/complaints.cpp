#include "tests/support/complaints.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

namespace flashtp::test {

std::vector<std::string> complaints(std::int64_t count, const std::function<std::string(std::int64_t)>& check) {
    std::vector<std::string> texts(static_cast<std::size_t>(count));
    std::atomic<std::int64_t> next{0};
    const auto work = [&] {
        for (std::int64_t n = next++; n < count; n = next++) {
            try {
                texts[static_cast<std::size_t>(n)] = check(n);
            } catch (const std::exception& error) {
                texts[static_cast<std::size_t>(n)] = error.what();
            }
        }
    };
    std::vector<std::thread> helpers;
    for (unsigned n = 1; n < std::thread::hardware_concurrency(); ++n) helpers.emplace_back(work);
    work();
    for (std::thread& helper : helpers) helper.join();
    std::erase_if(texts, [](const std::string& text) { return text.empty(); });
    return texts;
}

}  // namespace flashtp::test
