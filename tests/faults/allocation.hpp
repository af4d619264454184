// Memory that runs out on request.
#pragma once

namespace flashtp::test {

/// The n-th `new` of this thread from now on throws; 0: none does. Not all later ones: nlohmann's JSON allocates in destructors.
void fail_allocations(int nth);
/// Whether one has since the last call of fail_allocations.
bool allocation_failed();

}  // namespace flashtp::test
