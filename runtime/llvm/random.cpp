// The one symbol of LLVM that is newer than glibc 2.34. With a definition here the plug-in loads where glibc is older than the
// one that LLVM was built with.
#include <cerrno>
#include <cstdint>

#include <sys/random.h>

/// glibc 2.36's. LLVM numbers temporary files with it. It stays inside this library.
extern "C" std::uint32_t arc4random() noexcept {
    std::uint32_t number = 0;
    while (getrandom(&number, sizeof number, 0) < 0 && errno == EINTR) {}
    return number;
}
