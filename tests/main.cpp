// The one main of all doctest cases. Suites say how often a case runs: a suite named `slow...` runs in release builds
// only, `nightly...` on request only (see tools/test). A case that cannot run here prints `SKIPPED: why` and returns.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
