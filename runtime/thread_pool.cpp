#include "runtime/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "ir/error.hpp"
#include "runtime/options.hpp"
#include "runtime/per_process.hpp"

namespace flashtp {
namespace {

constexpr int max_helpers = 1023;

/// One call of parallel(), on the caller's stack.
class Job {
  public:
    Job(const std::function<void(int)>& work, int threads) : work_(work), errors_(static_cast<std::size_t>(threads)) {}

    void run(int thread) {
        try {
            work_(thread);
        } catch (...) {
            errors_[static_cast<std::size_t>(thread)] = std::current_exception();
        }
    }
    void expect_helper() {
        const std::lock_guard lock(mutex_);
        ++pending_;
    }
    /// The last thing a helper does with a job. Notifies under the lock: the caller destroys the job once it sees zero.
    void helper_done() {
        const std::lock_guard lock(mutex_);
        if (--pending_ == 0) done_.notify_one();
    }
    int pending() {
        const std::lock_guard lock(mutex_);
        return pending_;
    }
    void wait_for_helpers() {
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return pending_ == 0; });
    }
    void throw_first_error() const {
        for (const std::exception_ptr& error : errors_)
            if (error) std::rethrow_exception(error);
    }

  private:
    const std::function<void(int)>& work_;
    std::vector<std::exception_ptr> errors_;  ///< by thread
    std::mutex mutex_;
    std::condition_variable done_;
    int pending_ = 0;  ///< helpers that were given a part and have not finished it
};

class Helper {
  public:
    /// Throws std::system_error when the system has no thread left.
    Helper() {
        std::thread([this] { loop(); }).detach();
    }

    /// Only its owner gives work to a helper, and only when it is free.
    bool claim() { return !busy_.exchange(true, std::memory_order_acquire); }
    void give(Job& job, int thread) {
        const std::lock_guard lock(mutex_);
        job_ = &job;
        thread_ = thread;
        wake_.notify_one();
    }

  private:
    void loop() {
        for (;;) {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [&] { return job_ != nullptr; });
            Job& job = *std::exchange(job_, nullptr);
            const int thread = thread_;
            lock.unlock();
            job.run(thread);
            busy_.store(false, std::memory_order_release);  // free before the caller goes on, which may call again at once
            job.helper_done();
        }
    }

    std::atomic<bool> busy_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    Job* job_ = nullptr;
    int thread_ = 0;
};

/// Never destroyed: its helpers wait until the process ends.
class Pool {
  public:
    /// The helper for a number, claimed; null when it is busy or cannot be started.
    Helper* claim(int index) {
        const std::lock_guard lock(mutex_);
        while (static_cast<int>(helpers_.size()) <= index) {
            if (helpers_.size() >= max_helpers) return nullptr;
            try {
                helpers_.reserve(helpers_.size() + 1);
                helpers_.push_back(std::make_unique<Helper>());
            } catch (const std::exception&) {  // no memory or no thread left: the caller does the work itself
                return nullptr;
            }
        }
        Helper* const helper = helpers_[static_cast<std::size_t>(index)].get();
        return helper->claim() ? helper : nullptr;
    }

    int size() {
        const std::lock_guard lock(mutex_);
        return static_cast<int>(helpers_.size());
    }

  private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Helper>> helpers_;
};

Pool& process_pool() {
    static const auto* const pools = new PerProcess<Pool>;
    return pools->get();
}

}  // namespace

void parallel(int threads, const std::function<void(int thread)>& work) {
    if (threads <= 0) threads = default_threads();
    if (threads == 1) return work(0);
    Job job(work, threads);
    std::vector<int> own;
    own.reserve(static_cast<std::size_t>(threads));  // nothing below throws: helpers may be at work on `job`
    own.push_back(0);
    for (int thread = 1; thread < threads; ++thread) {
        Helper* const helper = process_pool().claim(thread - 1);
        if (!helper) {
            own.push_back(thread);
            continue;
        }
        job.expect_helper();
        helper->give(job, thread);
    }
    for (const int thread : own) job.run(thread);
    job.wait_for_helpers();
    job.throw_first_error();
}

ParallelFor parallel_on(CallerPool pool) {
    return [pool](int threads, const std::function<void(int)>& work) {
        Job job(work, threads);
        for (int thread = 0; thread < threads; ++thread) job.expect_helper();
        const auto part = [](void* context, std::int32_t number) {
            Job& mine = *static_cast<Job*>(context);
            mine.run(number);
            mine.helper_done();
        };
        pool.run(pool.user, threads, part, &job);
        if (const int missing = job.pending()) user_error("the caller's pool left out {} of {} numbers", missing, threads);
        job.throw_first_error();
    };
}

int helper_threads() { return process_pool().size(); }

}  // namespace flashtp
