// CUDA devices and their memory, for tests, tools and the engine. Everything acts on the caller's current context, or on the first
// device's primary context where the caller has none. Throws DeviceError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ir/target.hpp"

namespace flashtp {

struct DeviceFacts {
    int ordinal = 0;
    std::string name;
    int compute_capability = 0;  ///< 90 for 9.0
    int multiprocessors = 0, threads_per_multiprocessor = 0, clock_khz = 0;
    std::int64_t memory_bytes = 0, l2_bytes = 0, shared_bytes_per_block = 0, shared_bytes_per_multiprocessor = 0;
    int driver_version = 0;  ///< 13000 for 13.0
};

/// Whether there is a driver with a device; never throws. `why_not` says what is missing.
bool has_cuda_device(std::string* why_not = nullptr);
std::vector<DeviceFacts> cuda_devices();
DeviceFacts current_device();

/// The target whose code runs best on a device: its own architecture, else the newest older one of the same generation. Throws
/// DeviceError for devices older than any target.
Target device_target(int compute_capability);
Target current_device_target();

/// The caller's context, or the first device's primary context.
void* current_context();
/// Waits for all work of the current context.
void synchronize_device();

/// Device memory; freed in the context it was allocated in.
class DeviceBuffer {
  public:
    DeviceBuffer() = default;
    explicit DeviceBuffer(std::size_t bytes);
    ~DeviceBuffer() { reset(); }
    DeviceBuffer(DeviceBuffer&&) noexcept;
    DeviceBuffer& operator=(DeviceBuffer&&) noexcept;

    template <class T>
    static DeviceBuffer copy_of(std::span<const T> values) {
        DeviceBuffer buffer(values.size_bytes());
        buffer.upload(values.data(), values.size_bytes());
        return buffer;
    }
    void* data() const { return data_; }  ///< null for no bytes
    std::size_t bytes() const { return bytes_; }
    /// These wait until they are done.
    void upload(const void* from, std::size_t bytes, std::size_t offset = 0);
    void download(void* to, std::size_t bytes, std::size_t offset = 0) const;
    void fill(unsigned char byte);

  private:
    void reset() noexcept;
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
    void* context_ = nullptr;
};

/// A stream that does not wait for the default stream.
class DeviceStream {
  public:
    DeviceStream();
    ~DeviceStream();
    DeviceStream(const DeviceStream&) = delete;
    DeviceStream& operator=(const DeviceStream&) = delete;
    void* get() const { return stream_; }
    void synchronize() const;

  private:
    void *stream_ = nullptr, *context_ = nullptr;
};

class DeviceEvent {
  public:
    DeviceEvent();
    ~DeviceEvent();
    DeviceEvent(const DeviceEvent&) = delete;
    DeviceEvent& operator=(const DeviceEvent&) = delete;
    void record(void* stream);
    void synchronize() const;
    /// Between two events that were recorded; waits for this one.
    double milliseconds_since(const DeviceEvent& earlier) const;

  private:
    void *event_ = nullptr, *context_ = nullptr;
};

}  // namespace flashtp
