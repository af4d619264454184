// The CUDA driver's functions, loaded at first use. Handles are opaque pointers; names are those of the driver's manual without
// the prefix `cu` and without the version suffix that the loaded symbol has.
#pragma once

#include <cstddef>

namespace flashtp {

using CudaStatus = int;
using CudaContext = void*;
using CudaModule = void*;
using CudaFunction = void*;
using CudaStream = void*;
using CudaEvent = void*;
using CudaGraph = void*;
using CudaGraphNode = void*;
using CudaGraphExec = void*;
using CudaAddress = unsigned long long;

/// CUlaunchAttribute and CUlaunchConfig.
struct CudaLaunchAttribute {
    static constexpr int programmatic_serialization = 6;
    int id;
    int padding;
    union {
        int allowed;
        unsigned long long words[8];
    };
};
struct CudaLaunch {
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
    CudaStream stream;
    CudaLaunchAttribute* attributes;
    unsigned attribute_count;
};

/// CUDA_KERNEL_NODE_PARAMS.
struct CudaKernelNode {
    CudaFunction function;
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
    void** arguments;
    void** packed;
    void* kernel;  ///< instead of the function
    CudaContext context;
};

/// CUmemPoolProps.
struct CudaPoolProperties {
    int allocation_type, handle_types, location_type, location;
    void* security;
    std::size_t most_bytes;
    unsigned char reserved[56];
};

struct Driver {
    /// Loads libcuda.so.1 and initialises it once. Throws DeviceError where there is no driver or it has no device, and ForkedError
    /// in a child of a process that did this.
    static const Driver& get();

    /// Throws DeviceError with the call and the driver's words; ContextLostError when no later call can succeed.
    void check(CudaStatus, const char* call) const;

    CudaStatus (*init)(unsigned);
    CudaStatus (*driver_version)(int*);
    CudaStatus (*error_name)(CudaStatus, const char**);
    CudaStatus (*error_string)(CudaStatus, const char**);
    CudaStatus (*device_count)(int*);
    CudaStatus (*device_get)(int*, int);
    CudaStatus (*device_name)(char*, int, int);
    CudaStatus (*device_attribute)(int*, int, int);
    CudaStatus (*device_memory)(std::size_t*, int);
    CudaStatus (*retain_primary)(CudaContext*, int);
    CudaStatus (*release_primary)(int);
    CudaStatus (*current_context)(CudaContext*);
    CudaStatus (*push_context)(CudaContext);
    CudaStatus (*pop_context)(CudaContext*);
    CudaStatus (*context_device)(int*);
    CudaStatus (*synchronize_context)();
    CudaStatus (*load_module)(CudaModule*, const void*);
    CudaStatus (*unload_module)(CudaModule);
    CudaStatus (*module_function)(CudaFunction*, CudaModule, const char*);
    CudaStatus (*function_attribute)(int*, int, CudaFunction);
    CudaStatus (*set_function_attribute)(CudaFunction, int, int);
    CudaStatus (*launch_kernel)(CudaFunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CudaStream,
                                void**, void**);
    CudaStatus (*launch_kernel_with)(const CudaLaunch*, CudaFunction, void**, void**);  ///< cuLaunchKernelEx
    CudaStatus (*occupancy)(int*, CudaFunction, int, std::size_t);
    CudaStatus (*allocate)(CudaAddress*, std::size_t);
    CudaStatus (*release)(CudaAddress);
    CudaStatus (*create_pool)(void**, const CudaPoolProperties*);
    CudaStatus (*destroy_pool)(void*);
    CudaStatus (*set_pool_attribute)(void*, int, void*);
    CudaStatus (*allocate_from_pool)(CudaAddress*, std::size_t, void*, CudaStream);
    CudaStatus (*release_async)(CudaAddress, CudaStream);
    CudaStatus (*copy_to_device)(CudaAddress, const void*, std::size_t);
    CudaStatus (*copy_to_host)(void*, CudaAddress, std::size_t);
    CudaStatus (*copy_on_device_async)(CudaAddress, CudaAddress, std::size_t, CudaStream);
    CudaStatus (*set_bytes_async)(CudaAddress, unsigned char, std::size_t, CudaStream);
    CudaStatus (*create_stream)(CudaStream*, unsigned);
    CudaStatus (*destroy_stream)(CudaStream);
    CudaStatus (*synchronize_stream)(CudaStream);
    CudaStatus (*wait_for_value)(CudaStream, CudaAddress, unsigned, unsigned);  ///< cuStreamWaitValue32
    CudaStatus (*write_value)(CudaStream, CudaAddress, unsigned, unsigned);     ///< cuStreamWriteValue32
    CudaStatus (*is_capturing)(CudaStream, int*);
    CudaStatus (*exchange_capture_mode)(int*);
    CudaStatus (*begin_capture)(CudaStream, int);
    CudaStatus (*end_capture)(CudaStream, CudaGraph*);
    CudaStatus (*graph_nodes)(CudaGraph, CudaGraphNode*, std::size_t*);
    CudaStatus (*kernel_node)(CudaGraphNode, CudaKernelNode*);                          ///< cuGraphKernelNodeGetParams
    CudaStatus (*set_kernel_node)(CudaGraphExec, CudaGraphNode, const CudaKernelNode*);  ///< cuGraphExecKernelNodeSetParams
    CudaStatus (*instantiate_graph)(CudaGraphExec*, CudaGraph, unsigned long long);
    CudaStatus (*upload_graph)(CudaGraphExec, CudaStream);
    CudaStatus (*launch_graph)(CudaGraphExec, CudaStream);
    CudaStatus (*destroy_graph)(CudaGraph);
    CudaStatus (*destroy_graph_exec)(CudaGraphExec);
    CudaStatus (*create_event)(CudaEvent*, unsigned);
    CudaStatus (*destroy_event)(CudaEvent);
    CudaStatus (*record_event)(CudaEvent, CudaStream);
    CudaStatus (*synchronize_event)(CudaEvent);
    CudaStatus (*elapsed_time)(float*, CudaEvent, CudaEvent);

  private:
    Driver();
};

/// Numbers of the driver's interface that this library uses.
namespace cuda_attribute {
inline constexpr int clock_khz = 13, multiprocessors = 16, memory_clock_khz = 36, memory_bus_bits = 37, l2_bytes = 38,
                     threads_per_multiprocessor = 39, capability_major = 75, capability_minor = 76,
                     shared_per_multiprocessor = 81, shared_per_block = 97;   // of a device
inline constexpr int local_bytes = 3, registers = 4, max_dynamic_shared = 8;  // of a function
}  // namespace cuda_attribute

/// Makes a context current for a scope. Does nothing where it is current already; null means the caller's context, or the primary
/// context of the first device where the caller has none.
class CurrentContext {
  public:
    explicit CurrentContext(CudaContext wanted = nullptr);
    ~CurrentContext();
    CurrentContext(const CurrentContext&) = delete;
    CurrentContext& operator=(const CurrentContext&) = delete;
    CudaContext get() const { return context_; }

  private:
    CudaContext context_ = nullptr;
    bool pushed_ = false;
};

/// Whether work on the stream goes into a CUDA graph instead of being run.
bool is_capturing(const void* stream);

/// For its scope, calls of this thread that load code or allocate do not end captures of other threads.
class AllowedDuringCapture {
  public:
    AllowedDuringCapture() { exchange(); }
    ~AllowedDuringCapture() { exchange(); }
    AllowedDuringCapture(const AllowedDuringCapture&) = delete;
    AllowedDuringCapture& operator=(const AllowedDuringCapture&) = delete;

  private:
    void exchange() { Driver::get().exchange_capture_mode(&mode_); }
    int mode_ = 2;  ///< CU_STREAM_CAPTURE_MODE_RELAXED
};

}  // namespace flashtp
