#include "runtime/llvm/jit.hpp"

#include <atomic>
#include <stdexcept>

#include <llvm/ExecutionEngine/JITLink/JITLink.h>
#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/MapperJITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/MemoryMapper.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/Object/ObjectFile.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/Triple.h>

#include "runtime/per_process.hpp"

namespace flashtp::llvm_plugin {
namespace {

namespace orc = llvm::orc;
namespace jitlink = llvm::jitlink;
using namespace llvm::BitmaskEnumDetail;  // operators of MemProt

/// Address space reserved at a time; untouched pages cost nothing.
constexpr std::size_t slab_bytes = 16u << 20;

void check(llvm::Error error) {
    if (error) throw std::runtime_error(llvm::toString(std::move(error)));
}

template <class T>
T take(llvm::Expected<T> value) {
    if (!value) throw std::runtime_error(llvm::toString(value.takeError()));
    return std::move(*value);
}

/// The linker would take any object it can read.
void check_machine(llvm::MemoryBufferRef object) {
    const auto file = take(llvm::object::ObjectFile::createObjectFile(object));
    const llvm::Triple host(llvm::sys::getProcessTriple());
    if (file->getArch() == host.getArch()) return;
    throw std::runtime_error("the object is for " + llvm::Triple::getArchTypeName(file->getArch()).str() +
                             ", this process runs on " + host.getArchName().str());
}

/// Gives constants the protection of code. A process may have 65,530 mappings; neighbours of equal protection are one, so that
/// thousands of kernels in a slab take one mapping and not two each.
class OneProtection : public orc::ObjectLinkingLayer::Plugin {
  public:
    void modifyPassConfig(orc::MaterializationResponsibility&, jitlink::LinkGraph&, jitlink::PassConfiguration& config) override {
        config.PostPrunePasses.emplace_back([](jitlink::LinkGraph& graph) {
            for (jitlink::Section& section : graph.sections())
                if (section.getMemProt() == orc::MemProt::Read) section.setMemProt(orc::MemProt::Read | orc::MemProt::Exec);
            return llvm::Error::success();
        });
    }
    llvm::Error notifyFailed(orc::MaterializationResponsibility&) override { return llvm::Error::success(); }
    llvm::Error notifyRemovingResources(orc::JITDylib&, orc::ResourceKey) override { return llvm::Error::success(); }
    void notifyTransferringResources(orc::JITDylib&, orc::ResourceKey, orc::ResourceKey) override {}
};

}  // namespace

struct Jit::Session {
    orc::ExecutionSession session;
    orc::ObjectLinkingLayer linker;
    orc::JITDylib& process;  ///< symbols of this process, for calls that code generation may add (memset)
    std::atomic<std::uint64_t> libraries{0};

    Session()
        : session(take(orc::SelfExecutorProcessControl::Create())),
          linker(session, take(orc::MapperJITLinkMemoryManager::CreateWithMapper<orc::InProcessMemoryMapper>(slab_bytes))),
          process(session.createBareJITDylib("process")) {
        session.setErrorReporter([](llvm::Error error) { llvm::consumeError(std::move(error)); });  // the caller gets them too
        linker.addPlugin(std::make_shared<OneProtection>());
        process.addGenerator(take(orc::DynamicLibrarySearchGenerator::GetForCurrentProcess('\0')));
    }
};

Jit::Jit() : session_(std::make_unique<Session>()) {}

Jit& Jit::instance() {
    static const auto* const jits = new PerProcess<Jit>;
    return jits->get();
}

Linked Jit::link(std::string_view object, const std::string& symbol) {
    check_machine({{object.data(), object.size()}, symbol});
    Session& s = *session_;
    orc::JITDylib& library = s.session.createBareJITDylib("kernel" + std::to_string(s.libraries++));
    try {
        library.addToLinkOrder(s.process);
        check(s.linker.add(library, llvm::MemoryBuffer::getMemBufferCopy({object.data(), object.size()}, library.getName())));
        const orc::ExecutorSymbolDef found = take(s.session.lookup({&library}, symbol));
        return {&library, found.getAddress().toPtr<void*>()};
    } catch (...) {
        unload(&library);
        throw;
    }
}

void Jit::unload(orc::JITDylib* library) {
    // A child of fork() leaves alone what its parent linked: locks of the parent's session may be held for ever.
    if (&library->getExecutionSession() != &session_->session) return;
    llvm::consumeError(session_->session.removeJITDylib(*library));
}

}  // namespace flashtp::llvm_plugin
