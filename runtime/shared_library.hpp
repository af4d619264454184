// Libraries that are loaded when they are first needed, and never unloaded: drivers and compilers leave threads and handlers behind.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace flashtp {

class SharedLibrary {
  public:
    /// Nothing when the loader does not find it; `error` then says why.
    static std::optional<SharedLibrary> open(const std::string& name_or_path, std::string& error);

    /// Null when there is no such symbol.
    void* symbol(const char* name) const;
    template <class Function>
    void bind(Function*& function, const char* name) const {
        function = reinterpret_cast<Function*>(symbol(name));
    }
    /// The file that holds a function of this library.
    static std::filesystem::path file_of(const void* function);

  private:
    explicit SharedLibrary(void* handle) : handle_(handle) {}
    void* handle_;
};

}  // namespace flashtp
