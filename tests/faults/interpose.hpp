// System calls that fail on request. This program defines them itself, so that its own code and the libraries it loads call them.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace flashtp::test {

/// The n-th call of a function from now on fails with an errno; with `persistent`, so do all later ones. With `performed` the call does
/// its work first and then reports the failure, as a lost reply of a network server does.
struct Fault {
    std::string call;
    int error = 0, nth = 1;
    bool persistent = false, performed = false;
};

/// Watches the calls of this thread for its scope, and lets some of them fail.
class Interposed {
  public:
    explicit Interposed(Fault fault = {});
    ~Interposed();
    Interposed(const Interposed&) = delete;
    Interposed& operator=(const Interposed&) = delete;

    /// Every call in order: "open /path", "link /path", "fsync", ...
    const std::vector<std::string>& calls() const;
    int count(const std::string& call) const;
    /// Whether the fault has struck.
    bool struck() const;
    /// Called before each call, with its name.
    void before_each(std::function<void(const std::string& call)>);
    /// From the next link or rename to a path on, the path is not seen, as by a network client that remembers its absence.
    void hide_published();
};

/// Names asked for with getenv and secure_getenv by any thread since the last call.
std::vector<std::string> take_environment_names();

/// The functions that can fail.
const std::vector<std::string>& interposed_calls();

}  // namespace flashtp::test
