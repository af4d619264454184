// Saves duplicate work: one process of a machine compiles a kernel while others wait for it, for a limited time.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>

#include "runtime/cache/files.hpp"

namespace flashtp {

/// Nothing depends on this lock but time: a process that does not get it, because its holder hangs or locks do not work, goes on
/// without. The lock lies in a directory of this machine and this user, never in the cache, which may be on a network.
class WorkLock {
  public:
    enum class Outcome { locked, done_by_another, timed_out, unavailable };

    /// Waits until the lock is free, `done` returns true, or the time is up.
    WorkLock(const std::filesystem::path& directory, const std::string& key, std::chrono::duration<double> limit,
             const std::function<bool()>& done);

    Outcome outcome() const { return outcome_; }
    /// Whether somebody else had the lock at first.
    bool waited() const { return waited_; }

  private:
    File file_;
    Outcome outcome_ = Outcome::unavailable;
    bool waited_ = false;
};

/// A directory for locks that only this user can write, created when it is missing; empty where there is none.
std::filesystem::path lock_directory();

}  // namespace flashtp
