#include "runtime/llvm/host.hpp"

#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include <llvm-c/Core.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/Triple.h>

namespace flashtp::llvm_plugin {
namespace {

void set_vectors(Host& host, const llvm::StringMap<bool>& features) {
    const auto has = [&](llvm::StringRef name) { return features.lookup(name); };
    if (llvm::Triple(host.triple).isAArch64()) {
        host.vector_registers = 32;
    } else if (has("avx512f") && has("avx512vl") && has("avx512dq") && has("avx512bw")) {
        host.vector_bits = 512;
        host.vector_registers = 32;
    } else if (has("avx2")) {
        host.vector_bits = 256;
    }
}

/// Finds the NT_GNU_BUILD_ID note of the library that contains this code.
int read_build_id(dl_phdr_info* info, std::size_t, void* result) {
    const auto here = reinterpret_cast<ElfW(Addr)>(&read_build_id);
    bool ours = false;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = info->dlpi_phdr[i];
        const ElfW(Addr) begin = info->dlpi_addr + segment.p_vaddr;
        ours |= segment.p_type == PT_LOAD && begin <= here && here < begin + segment.p_memsz;
    }
    if (!ours) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)& segment = info->dlpi_phdr[i];
        if (segment.p_type != PT_NOTE) continue;
        const auto* at = reinterpret_cast<const unsigned char*>(info->dlpi_addr + segment.p_vaddr);
        const unsigned char* const end = at + segment.p_memsz;
        while (at + sizeof(ElfW(Nhdr)) <= end) {
            ElfW(Nhdr) note;
            std::memcpy(&note, at, sizeof note);
            const unsigned char* const name = at + sizeof note;
            const unsigned char* const content = name + (note.n_namesz + 3) / 4 * 4;
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
                for (std::size_t k = 0; k < note.n_descsz; ++k) {
                    static constexpr char digits[] = "0123456789abcdef";
                    *static_cast<std::string*>(result) += {digits[content[k] >> 4], digits[content[k] & 15]};
                }
                return 1;
            }
            at = content + (note.n_descsz + 3) / 4 * 4;
        }
    }
    return 1;
}

/// The version of the LLVM in the process, which a shared libLLVM may have newer than the headers.
std::string llvm_version() {
    unsigned major = 0, minor = 0, patch = 0;
    LLVMGetVersion(&major, &minor, &patch);
    return "LLVM " + std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

}  // namespace

Host detect_host() {
    Host host;
    host.triple = llvm::sys::getProcessTriple();
    host.cpu = llvm::sys::getHostCPUName().str();
    const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
    std::vector<std::string> names;
    for (const auto& feature : features) names.push_back((feature.second ? "+" : "-") + feature.first().str());
    std::ranges::sort(names, {}, [](const std::string& name) { return name.substr(1); });
    for (const std::string& name : names) host.features += (host.features.empty() ? "" : ",") + name;
    set_vectors(host, features);
    return host;
}

const std::string& build_identity() {
    static const std::string identity = [] {
        std::string build_id;
        dl_iterate_phdr(read_build_id, &build_id);
        return llvm_version() + (build_id.empty() ? "" : ", build " + build_id);
    }();
    return identity;
}

}  // namespace flashtp::llvm_plugin
