// Objects linked into this process. Memory for code comes from a few large mappings.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace llvm::orc {
class JITDylib;
}

namespace flashtp::llvm_plugin {

struct Linked {
    llvm::orc::JITDylib* library = nullptr;
    void* address = nullptr;
};

/// Thread-safe. Errors are exceptions.
class Jit {
  public:
    /// The process's own. Never destroyed: code may run until the process ends.
    static Jit& instance();
    Jit();

    Linked link(std::string_view object, const std::string& symbol);
    void unload(llvm::orc::JITDylib*);

  private:
    struct Session;
    std::unique_ptr<Session> session_;
};

}  // namespace flashtp::llvm_plugin
