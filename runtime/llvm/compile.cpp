#include "runtime/llvm/compile.hpp"

#include <memory>
#include <mutex>
#include <stdexcept>

#include <llvm-c/Target.h>
#include <llvm/AsmParser/Parser.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Target/TargetOptions.h>
#include <llvm/Transforms/Scalar/ADCE.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>

namespace flashtp::llvm_plugin {
namespace {

void initialize_targets() {
    static std::once_flag once;
    std::call_once(once, [] {
        LLVMInitializeX86TargetInfo();
        LLVMInitializeX86Target();
        LLVMInitializeX86TargetMC();
        LLVMInitializeX86AsmPrinter();
        LLVMInitializeAArch64TargetInfo();
        LLVMInitializeAArch64Target();
        LLVMInitializeAArch64TargetMC();
        LLVMInitializeAArch64AsmPrinter();
        // Kernels come in the order that keeps few values alive; the scheduler would make it 10 % more spills.
        const char* const options[] = {"flashtp", "-enable-misched=false"};
        llvm::cl::ParseCommandLineOptions(2, options);
    });
}

/// Collects what LLVM would print.
class Messages : public llvm::DiagnosticHandler {
  public:
    explicit Messages(std::string& text) : text_(text) {}
    bool handleDiagnostics(const llvm::DiagnosticInfo& info) override {
        if (info.getSeverity() != llvm::DS_Error && info.getSeverity() != llvm::DS_Warning) return true;
        llvm::raw_string_ostream out(text_);
        llvm::DiagnosticPrinterRawOStream printer(out);
        info.print(printer);
        out << '\n';
        return true;
    }

  private:
    std::string& text_;
};

std::unique_ptr<llvm::Module> parse(const Source& source, llvm::LLVMContext& context) {
    llvm::SMDiagnostic problem;
    std::unique_ptr<llvm::Module> module =
        llvm::parseAssembly(llvm::MemoryBufferRef({source.text.data(), source.text.size()}, "kernel"), problem, context);
    if (!module) {
        std::string text;
        llvm::raw_string_ostream out(text);
        problem.print("LLVM IR", out, false);
        throw std::runtime_error(text);
    }
    return module;
}

std::unique_ptr<llvm::TargetMachine> machine_for(const Source& source) {
    std::string error;
    const llvm::Target* const target = llvm::TargetRegistry::lookupTarget(source.triple, error);
    if (!target) throw std::runtime_error(error);
    llvm::TargetOptions options;
    options.MCOptions.AsmVerbose = source.assembly;  // it says which instructions spill
    options.AllowFPOpFusion = llvm::FPOpFusion::Standard;  // what `contract` and fmuladd ask for, and nothing else
    std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(
        source.triple, source.cpu, source.features, options, llvm::Reloc::PIC_, std::nullopt, llvm::CodeGenOptLevel::Default));
    if (!machine) throw std::runtime_error("no code generator for " + source.triple);
    return machine;
}

/// The text is in SSA form, its vectors are explicit and its loops are as long as they shall be. What is left to do: common
/// addresses, what a loop need not repeat, and shuffles whose results nobody reads. The full O2 pipeline takes three times as
/// long and makes no faster code.
void optimize(llvm::Module& module, llvm::TargetMachine& machine) {
    llvm::PassBuilder builder(&machine);
    llvm::LoopAnalysisManager loops;
    llvm::FunctionAnalysisManager functions;
    llvm::CGSCCAnalysisManager components;
    llvm::ModuleAnalysisManager modules;
    builder.registerModuleAnalyses(modules);
    builder.registerCGSCCAnalyses(components);
    builder.registerFunctionAnalyses(functions);
    builder.registerLoopAnalyses(loops);
    builder.crossRegisterProxies(loops, functions, components, modules);

    llvm::FunctionPassManager passes;
    passes.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
    passes.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), /*UseMemorySSA=*/true));
    passes.addPass(llvm::ADCEPass());
    for (llvm::Function& function : module)
        if (!function.isDeclaration()) passes.run(function, functions);
}

std::string generate(llvm::Module& module, llvm::TargetMachine& machine, bool assembly) {
    llvm::SmallString<0> code;
    llvm::raw_svector_ostream out(code);
    llvm::legacy::PassManager passes;
    const auto kind = assembly ? llvm::CodeGenFileType::AssemblyFile : llvm::CodeGenFileType::ObjectFile;
    if (machine.addPassesToEmitFile(passes, out, nullptr, kind)) throw std::runtime_error("this target cannot emit files");
    passes.run(module);
    return std::string(code);
}

}  // namespace

Compiled compile_module(const Source& source) {
    initialize_targets();
    Compiled compiled;
    llvm::LLVMContext context;
    context.setDiagnosticHandler(std::make_unique<Messages>(compiled.log));
    const std::unique_ptr<llvm::Module> module = parse(source, context);
    std::string broken;
    llvm::raw_string_ostream out(broken);
    if (llvm::verifyModule(*module, &out)) throw std::runtime_error(broken);
    const std::unique_ptr<llvm::TargetMachine> machine = machine_for(source);
    module->setTargetTriple(source.triple);
    module->setDataLayout(machine->createDataLayout());
    optimize(*module, *machine);
    compiled.code = generate(*module, *machine, source.assembly);
    return compiled;
}

}  // namespace flashtp::llvm_plugin
