// Numbers of two bytes in memory, which become float32 when they are read and are rounded to nearest even when they are written.
// Follows device.cuh in kernels that have some.
namespace warp {

struct bfloat16 {
    unsigned short bits;

    bfloat16() = default;
    __device__ __forceinline__ explicit bfloat16(float v) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(v)); }
    __device__ __forceinline__ operator float() const { return __uint_as_float(u32(bits) << 16); }
};

struct float16 {
    unsigned short bits;

    float16() = default;
    __device__ __forceinline__ explicit float16(float v) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(v)); }
    __device__ __forceinline__ operator float() const {
        float v;
        asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(bits));
        return v;
    }
};

// Words of shared memory that hold such numbers.
template <class T>
__device__ __forceinline__ const T* stored(const float* words) {
    return reinterpret_cast<const T*>(words);
}

__device__ __forceinline__ float load_once(const bfloat16* p) { return *p; }
__device__ __forceinline__ float load_once(const float16* p) { return *p; }
__device__ __forceinline__ void store_once(bfloat16* p, float v) { __stcs(&p->bits, bfloat16(v).bits); }
__device__ __forceinline__ void store_once(float16* p, float v) { __stcs(&p->bits, float16(v).bits); }

}  // namespace warp
