// The C interface: C++ inside, no exception or LLVM type outside.
#include "runtime/llvm/plugin.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

#include "runtime/llvm/compile.hpp"
#include "runtime/llvm/host.hpp"
#include "runtime/llvm/jit.hpp"

namespace flashtp::llvm_plugin {
namespace {

void give(flashtp_llvm_text* to, std::string_view text) {
    to->data = static_cast<char*>(std::malloc(text.size() + 1));
    to->size = to->data ? text.size() : 0;
    if (!to->data) throw std::bad_alloc();
    std::memcpy(to->data, text.data(), text.size());
    to->data[text.size()] = '\0';
}

void release(flashtp_llvm_text* text) {
    if (!text) return;
    std::free(text->data);
    *text = {};
}

/// Runs a function and turns an exception into text.
template <class Function>
int guarded(flashtp_llvm_text* error, Function function) {
    *error = {};
    try {
        function();
        return 0;
    } catch (const std::exception& exception) {
        try {
            give(error, exception.what());
        } catch (...) {  // no memory for the message: the status alone says that it failed
        }
    } catch (...) {
    }
    return 1;
}

int host(flashtp_llvm_host* out, flashtp_llvm_text* error) {
    *out = {};
    return guarded(error, [&] {
        const Host host = detect_host();
        give(&out->triple, host.triple);
        give(&out->cpu, host.cpu);
        give(&out->features, host.features);
        out->vector_bits = host.vector_bits;
        out->vector_registers = host.vector_registers;
    });
}

int compile(const flashtp_llvm_source* source, flashtp_llvm_text* code, flashtp_llvm_text* log, flashtp_llvm_text* error) {
    *code = {};
    *log = {};
    return guarded(error, [&] {
        const Compiled compiled = compile_module({.text = {source->text, source->size},
                                                  .triple = source->triple,
                                                  .cpu = source->cpu,
                                                  .features = source->features,
                                                  .assembly = source->assembly != 0});
        give(code, compiled.code);
        give(log, compiled.log);
    });
}

int load(const void* object, size_t size, const char* symbol, flashtp_llvm_loaded** loaded, void** address,
         flashtp_llvm_text* error) {
    *loaded = nullptr;
    *address = nullptr;
    return guarded(error, [&] {
        const Linked linked = Jit::instance().link({static_cast<const char*>(object), size}, symbol);
        *loaded = reinterpret_cast<flashtp_llvm_loaded*>(linked.library);
        *address = linked.address;
    });
}

void unload(flashtp_llvm_loaded* loaded) {
    if (loaded) Jit::instance().unload(reinterpret_cast<llvm::orc::JITDylib*>(loaded));
}

}  // namespace
}  // namespace flashtp::llvm_plugin

const flashtp_llvm_api* flashtp_llvm_plugin(void) {
    using namespace flashtp::llvm_plugin;
    static const flashtp_llvm_api api = {FLASHTP_LLVM_ABI, build_identity().c_str(), host, compile, load, unload, release};
    return &api;
}
