#include "runtime/driver.hpp"

#include <atomic>
#include <string>

#include <fmt/format.h>

#include "ir/error.hpp"
#include "runtime/fork_count.hpp"
#include "runtime/shared_library.hpp"

namespace flashtp {
namespace {

/// Binds functions and notices the first that is missing.
class Binder {
  public:
    explicit Binder(const SharedLibrary& library) : library_(library) {}
    template <class Function>
    void operator()(Function*& function, const char* name) {
        library_.bind(function, name);
        if (!function) throw DeviceError(fmt::format("the CUDA driver lacks {}: it is older than CUDA 12", name));
    }

  private:
    const SharedLibrary& library_;
};

SharedLibrary open_driver() {
    std::string error;
    const auto library = SharedLibrary::open("libcuda.so.1", error);
    if (!library) throw DeviceError(fmt::format("there is no CUDA driver on this machine ({})", error));
    return *library;
}

void bind_devices(Binder& bind, Driver& d) {
    bind(d.init, "cuInit");
    bind(d.driver_version, "cuDriverGetVersion");
    bind(d.error_name, "cuGetErrorName");
    bind(d.error_string, "cuGetErrorString");
    bind(d.device_count, "cuDeviceGetCount");
    bind(d.device_get, "cuDeviceGet");
    bind(d.device_name, "cuDeviceGetName");
    bind(d.device_attribute, "cuDeviceGetAttribute");
    bind(d.device_memory, "cuDeviceTotalMem_v2");
    bind(d.retain_primary, "cuDevicePrimaryCtxRetain");
    bind(d.release_primary, "cuDevicePrimaryCtxRelease_v2");
    bind(d.current_context, "cuCtxGetCurrent");
    bind(d.push_context, "cuCtxPushCurrent_v2");
    bind(d.pop_context, "cuCtxPopCurrent_v2");
    bind(d.context_device, "cuCtxGetDevice");
    bind(d.synchronize_context, "cuCtxSynchronize");
}

void bind_code(Binder& bind, Driver& d) {
    bind(d.load_module, "cuModuleLoadData");
    bind(d.unload_module, "cuModuleUnload");
    bind(d.module_function, "cuModuleGetFunction");
    bind(d.function_attribute, "cuFuncGetAttribute");
    bind(d.set_function_attribute, "cuFuncSetAttribute");
    bind(d.launch_kernel, "cuLaunchKernel");
    bind(d.launch_kernel_with, "cuLaunchKernelEx");
    bind(d.occupancy, "cuOccupancyMaxActiveBlocksPerMultiprocessor");
}

void bind_memory(Binder& bind, Driver& d) {
    bind(d.allocate, "cuMemAlloc_v2");
    bind(d.release, "cuMemFree_v2");
    bind(d.create_pool, "cuMemPoolCreate");
    bind(d.destroy_pool, "cuMemPoolDestroy");
    bind(d.set_pool_attribute, "cuMemPoolSetAttribute");
    bind(d.allocate_from_pool, "cuMemAllocFromPoolAsync");
    bind(d.release_async, "cuMemFreeAsync");
    bind(d.copy_to_device, "cuMemcpyHtoD_v2");
    bind(d.copy_to_host, "cuMemcpyDtoH_v2");
    bind(d.copy_on_device_async, "cuMemcpyDtoDAsync_v2");
    bind(d.set_bytes_async, "cuMemsetD8Async");
}

void bind_streams(Binder& bind, Driver& d) {
    bind(d.create_stream, "cuStreamCreate");
    bind(d.destroy_stream, "cuStreamDestroy_v2");
    bind(d.synchronize_stream, "cuStreamSynchronize");
    bind(d.wait_for_value, "cuStreamWaitValue32_v2");
    bind(d.write_value, "cuStreamWriteValue32_v2");
    bind(d.is_capturing, "cuStreamIsCapturing");
    bind(d.exchange_capture_mode, "cuThreadExchangeStreamCaptureMode");
    bind(d.begin_capture, "cuStreamBeginCapture_v2");
    bind(d.end_capture, "cuStreamEndCapture");
    bind(d.create_event, "cuEventCreate");
    bind(d.destroy_event, "cuEventDestroy_v2");
    bind(d.record_event, "cuEventRecord");
    bind(d.synchronize_event, "cuEventSynchronize");
    bind(d.elapsed_time, "cuEventElapsedTime");
}

void bind_graphs(Binder& bind, Driver& d) {
    bind(d.graph_nodes, "cuGraphGetNodes");
    bind(d.kernel_node, "cuGraphKernelNodeGetParams_v2");
    bind(d.set_kernel_node, "cuGraphExecKernelNodeSetParams_v2");
    bind(d.instantiate_graph, "cuGraphInstantiateWithFlags");
    bind(d.upload_graph, "cuGraphUpload");
    bind(d.launch_graph, "cuGraphLaunch");
    bind(d.destroy_graph, "cuGraphDestroy");
    bind(d.destroy_graph_exec, "cuGraphExecDestroy");
}

}  // namespace

Driver::Driver() {
    const SharedLibrary library = open_driver();
    Binder bind(library);
    for (const auto group : {bind_devices, bind_code, bind_memory, bind_streams, bind_graphs}) group(bind, *this);
    check(init(0), "cuInit");
    int devices = 0;
    check(device_count(&devices), "cuDeviceGetCount");
    if (devices == 0) throw DeviceError("the CUDA driver has no device");
}

const Driver& Driver::get() {
    static std::atomic<std::uint64_t> user{0};
    const std::uint64_t self = fork_count();
    std::uint64_t first = 0;
    if (!user.compare_exchange_strong(first, self) && first != self)
        throw ForkedError(
            "this process was forked from one that had used CUDA, where CUDA cannot be used; start processes with exec "
            "(in Python: multiprocessing's \"spawn\") or fork before the first use");
    static const Driver driver;  // immutable; a failure is tried again at the next call
    return driver;
}

/// Errors of a kernel after which every call of the context fails.
static bool ends_context(CudaStatus status) {
    constexpr CudaStatus launch_timeout = 702, context_destroyed = 709, assertion = 710, illegal_address = 700,
                         hardware_stack = 714, launch_failed = 719;
    return status == launch_timeout || status == context_destroyed || status == assertion || status == illegal_address ||
           (status >= hardware_stack && status <= launch_failed);
}

void Driver::check(CudaStatus status, const char* call) const {
    if (status == 0) return;
    const char *name = nullptr, *text = nullptr;
    error_name(status, &name);
    error_string(status, &text);
    const std::string message =
        fmt::format("{}: {} ({})", call, text ? text : "unknown error", name ? name : std::to_string(status));
    if (ends_context(status))
        throw ContextLostError(message + "; the context is lost, only a new process can use the device again");
    throw DeviceError(message);
}

bool is_capturing(const void* stream) {
    constexpr CudaStatus capture_implicit = 906;  // the default stream, while another one is captured
    int status = 0;
    const CudaStatus result = Driver::get().is_capturing(const_cast<void*>(stream), &status);
    return result == capture_implicit || (result == 0 && status != 0);
}

/// Retained once for the life of the process: programs that bring no context of their own share it with everyone else.
static CudaContext first_primary_context() {
    static const CudaContext context = [] {
        const Driver& driver = Driver::get();
        int device = 0;
        driver.check(driver.device_get(&device, 0), "cuDeviceGet");
        CudaContext primary = nullptr;
        driver.check(driver.retain_primary(&primary, device), "cuDevicePrimaryCtxRetain");
        return primary;
    }();
    return context;
}

CurrentContext::CurrentContext(CudaContext wanted) {
    const Driver& driver = Driver::get();
    driver.check(driver.current_context(&context_), "cuCtxGetCurrent");
    if (wanted ? context_ == wanted : context_ != nullptr) return;
    context_ = wanted ? wanted : first_primary_context();
    driver.check(driver.push_context(context_), "cuCtxPushCurrent");
    pushed_ = true;
}

CurrentContext::~CurrentContext() {
    CudaContext popped = nullptr;
    if (pushed_) Driver::get().pop_context(&popped);
}

}  // namespace flashtp
