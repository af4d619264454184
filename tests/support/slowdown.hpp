// How much longer instrumented programs may take than the times that tests demand.
#pragma once

namespace flashtp::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr double slowdown = 20;
#else
inline constexpr double slowdown = 1;
#endif

}  // namespace flashtp::test
