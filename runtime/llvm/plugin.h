/* The C interface of libflashtp_llvm.so: LLVM behind plain functions, so that libflashtp.so never links it.
 *
 * All functions are thread-safe. Those that can fail return 0 on success; otherwise `error` holds why. Every flashtp_llvm_text
 * that a function filled is freed with `release`. */
#ifndef FLASHTP_RUNTIME_LLVM_PLUGIN_H
#define FLASHTP_RUNTIME_LLVM_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FLASHTP_LLVM_ABI 1u

/* Bytes, followed by a zero byte that `size` does not count. */
typedef struct flashtp_llvm_text {
    char* data;
    size_t size;
} flashtp_llvm_text;

typedef struct flashtp_llvm_host {
    flashtp_llvm_text triple, cpu;
    flashtp_llvm_text features; /* "-avx512f,+avx2,...", sorted by name; those the operating system masks are off */
    int32_t vector_bits;        /* the widest vectors worth using */
    int32_t vector_registers;
} flashtp_llvm_host;

typedef struct flashtp_llvm_source {
    const char* text; /* LLVM IR */
    size_t size;
    const char *triple, *cpu, *features;
    int32_t assembly; /* 0: a relocatable object; 1: assembly text */
} flashtp_llvm_source;

typedef struct flashtp_llvm_loaded flashtp_llvm_loaded;

typedef struct flashtp_llvm_api {
    uint32_t abi;         /* FLASHTP_LLVM_ABI */
    const char* identity; /* LLVM's version and this library's build: what decides the bytes that `compile` makes */
    int (*host)(flashtp_llvm_host* host, flashtp_llvm_text* error);
    /* Assertions of LLVM aside, any text gives code or an error. `log` holds warnings. */
    int (*compile)(const flashtp_llvm_source* source, flashtp_llvm_text* code, flashtp_llvm_text* log, flashtp_llvm_text* error);
    /* Links an object of the host's own kind and finds `symbol` in it. The object may be freed afterwards. */
    int (*load)(const void* object, size_t size, const char* symbol, flashtp_llvm_loaded** loaded, void** address,
                flashtp_llvm_text* error);
    /* Frees the code; nothing may run it any more. */
    void (*unload)(flashtp_llvm_loaded* loaded);
    void (*release)(flashtp_llvm_text* text);
} flashtp_llvm_api;

/* The only symbol of the library. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const flashtp_llvm_api*
flashtp_llvm_plugin(void);

#ifdef __cplusplus
}
#endif

#endif
