/* FlashTP-JIT: compiles equivariant tensor products and runs them on CUDA devices and CPUs.
 *
 * C99. Every function that can fail returns a status; flashtp_last_message() says in words what the last failing call of the
 * calling thread found. No function throws, exits, prints or changes the caller's CUDA context. All functions may be called from
 * any thread at any time, except that a handle must not be in use while it is destroyed.
 *
 * Structures start with their size, which the caller sets to sizeof(the structure): a program that was built against an older
 * header keeps working with a newer library. Fields at zero have their default meaning; a library older than the header refuses
 * fields that it does not know unless they are zero.
 *
 *     flashtp_engine *engine;
 *     flashtp_engine_create(NULL, &engine);
 *     flashtp_request request = {.size = sizeof request, .problem = "{\"irreps_in1\": \"8x0e+8x1o\", ...}"};
 *     flashtp_program *program;
 *     if (flashtp_compile(engine, &request, &program) != FLASHTP_OK) puts(flashtp_last_message());
 */
#ifndef FLASHTP_FLASHTP_H
#define FLASHTP_FLASHTP_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FLASHTP_API __attribute__((visibility("default")))
#else
#define FLASHTP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status ------------------------------------------------------------------------------------------------------------ */

typedef int32_t flashtp_status;
enum {
    FLASHTP_OK = 0,
    FLASHTP_INVALID_ARGUMENT = 1, /* a null, misaligned or negative argument, or one out of range; the message names it */
    FLASHTP_INVALID_PROBLEM = 2,  /* the problem or request breaks a rule; the message names it and the instruction or key */
    FLASHTP_LIMIT_EXCEEDED = 3,   /* the problem is beyond a documented limit; the message names it */
    FLASHTP_COMPILE_FAILED = 4,   /* a compiler is missing or refused the code; the message has its log */
    FLASHTP_DEVICE_ERROR = 5,     /* no CUDA driver or device, or a call to it failed; the message has the driver's words */
    FLASHTP_OUT_OF_MEMORY = 6,
    FLASHTP_INTERNAL_ERROR = 7, /* a mistake in this library; please report the message */
    FLASHTP_NOT_CACHED = 8,     /* only cached kernels are allowed, and one is in no cache; the message has its key */
    FLASHTP_NOT_PREPARED = 9,   /* code would have to be loaded during CUDA graph capture: call flashtp_program_prepare before it */
    FLASHTP_FORKED = 10,        /* a CUDA call in a child of fork() whose parent had used CUDA */
    FLASHTP_CONTEXT_LOST = 11   /* an earlier failure of a kernel made the CUDA context unusable; only a new process helps */
};

/* "FLASHTP_INVALID_PROBLEM" and so on; "unknown status" for other numbers. Never null. */
FLASHTP_API const char *flashtp_status_string(flashtp_status status);
/* What the last failing call of this thread found; "" when none failed. Valid until this thread's next call. Never null. */
FLASHTP_API const char *flashtp_last_message(void);
/* "0.1.0" */
FLASHTP_API const char *flashtp_version(void);

/* ---- Engine ------------------------------------------------------------------------------------------------------------ */

/* Owns the compilers and the kernel cache. Programs stay valid after their engine is destroyed. */
typedef struct flashtp_engine flashtp_engine;

enum { FLASHTP_LOG_DEBUG = 0, FLASHTP_LOG_INFO = 1, FLASHTP_LOG_WARNING = 2 };
/* Called from any thread, never from two at once. It must not call this library. */
typedef void (*flashtp_log_callback)(int32_t level, const char *message, void *user);

typedef struct flashtp_engine_options {
    size_t size;
    const char *cache_directory; /* an absolute path; null: FLASHTP_CACHE_DIR, else the user's cache directory; "": memory only */
    int32_t threads;             /* of runs on the CPU; 0: FLASHTP_NUM_THREADS, else all cores */
    int32_t reserved;
    flashtp_log_callback log; /* null: silent */
    void *log_user;
    /* Cache directories and packs that are read after the directory and never written: absolute paths separated by colons; null:
     * FLASHTP_CACHE_PATH (nothing where cache_directory is "") */
    const char *read_only_caches;
    int32_t require_cached; /* 1: a kernel that is in no cache is FLASHTP_NOT_CACHED; -1: compile; 0: as FLASHTP_REQUIRE_CACHED says */
    int32_t self_check;     /* 1: compare kernels with the exact evaluation before first use; -1: do not; 0: as FLASHTP_SELF_CHECK says */
} flashtp_engine_options;

/* `options` may be null. Compilers and drivers are loaded when they are first needed. */
FLASHTP_API flashtp_status flashtp_engine_create(const flashtp_engine_options *options, flashtp_engine **engine);
/* Null is allowed. */
FLASHTP_API void flashtp_engine_destroy(flashtp_engine *engine);

typedef struct flashtp_cache_counts {
    size_t size;
    int64_t hits, misses, rejected, stored, store_failures;
    int64_t read_only_hits;                         /* of the hits, those of read-only directories and packs */
    int64_t untrusted, unreadable, damaged, other_key; /* of the rejected: whose owner or mode is wrong, that could not be read,
                                                       * whose content is wrong, that hold another key */
    int64_t lock_timeouts, evicted;
    int64_t program_hits, program_misses; /* requests that were found without lowering them, and that were not */
    int64_t tuned_hits;                   /* schedules that `flashtp-compile tune` had measured */
} flashtp_cache_counts;
/* What this engine's kernel cache on disk did so far. */
FLASHTP_API flashtp_status flashtp_engine_cache_counts(const flashtp_engine *engine, flashtp_cache_counts *counts);

/* ---- Programs ---------------------------------------------------------------------------------------------------------- */

/* A compiled request. Immutable: any number of threads may run it at once. */
typedef struct flashtp_program flashtp_program;

/* Orders and names of operands (x: first input, y: second input, w: weights, z: result):
 *   0  x y w -> z
 *   1  x y w d_z -> d_x d_y d_w                               gradients for the upstream gradient d_z
 *   2  x y w d_z t_x t_y t_w -> t_z t_d_x t_d_y t_d_w         gradients of (d_x, d_y, d_w) contracted with the cotangents t_*
 *   3  all inputs of 2 and d_t_z d_t_d_x d_t_d_y d_t_d_w -> d_x d_y d_w d_d_z d_t_x d_t_y d_t_w
 * Problems without weights have no w and nothing derived from it. */
typedef struct flashtp_request {
    size_t size;
    const char *problem; /* JSON, see docs/spec.md */
    int32_t order;       /* 0 to 3 */
    int32_t reserved;
    const char *outputs; /* names separated by commas, a subset of the order's outputs; null or "": all */
    const char *absent;  /* cotangents that are zero and no operands: t_* at orders 2 and 3, d_t_* at order 3; null: none */
    const char *target;  /* null or "cpu": this host; "cuda": the current device; "sm_90a", "cpu:x86-64-v3", ... */
    int64_t edges;       /* about how many the graphs will have, 0: many. Picks among schedules that `flashtp-compile tune` measured;
                          * any program runs any graph */
} flashtp_request;

/* Compiles, or finds the result in memory or on disk. Needs no device, except for the target "cuda". */
FLASHTP_API flashtp_status flashtp_compile(flashtp_engine *engine, const flashtp_request *request, flashtp_program **program);
/* Null is allowed. */
FLASHTP_API void flashtp_program_destroy(flashtp_program *program);

/* Whether a problem keeps the rules of docs/spec.md and the limits; the message names what does not. Compiles nothing. */
FLASHTP_API flashtp_status flashtp_check_problem(const char *problem);

enum { FLASHTP_INPUT = 0, FLASHTP_OUTPUT = 1 };
enum { FLASHTP_FLOAT32 = 0, FLASHTP_FLOAT64 = 1, FLASHTP_BFLOAT16 = 2, FLASHTP_FLOAT16 = 3 };
/* What a row of an operand belongs to: its number of rows is that of the graph, and 1 for shared operands. */
enum { FLASHTP_ROW_EDGE = 0, FLASHTP_ROW_SENDER = 1, FLASHTP_ROW_RECEIVER = 2, FLASHTP_ROW_SHARED = 3 };

/* A row-major matrix [rows][width] without gaps. */
typedef struct flashtp_operand {
    size_t size;
    const char *name; /* valid as long as the program */
    int32_t role, row, dtype;
    int32_t used; /* 0: an input that no kernel reads; its pointer may be null */
    int64_t width;
} flashtp_operand;
FLASHTP_API flashtp_status flashtp_program_operand_count(const flashtp_program *program, int32_t *count);
FLASHTP_API flashtp_status flashtp_program_operand(const flashtp_program *program, int32_t index, flashtp_operand *operand);

typedef struct flashtp_kernel {
    size_t size;
    const char *name, *key; /* valid as long as the program; the key is the name of its cache entry, 64 hexadecimal digits */
    int64_t code_bytes;
    int32_t registers, cached;         /* registers of a lane (CUDA), else 0; whether it was loaded from disk */
    int64_t spill_bytes, shared_bytes; /* local memory of a lane, shared memory of a block (CUDA) */
    /* Launch shape on CUDA for many rows: blocks of threads_per_block threads, ceil(rows / rows_per_block) by grid_y, one dimension
     * each; rows are receivers (receiver_rows) or edges. With fewer rows a warp takes one, or a part of a receiver's edges. A CPU
     * kernel runs any range of rows. */
    int32_t threads_per_block, rows_per_block, grid_y, receiver_rows;
    int64_t launches;   /* runs of this program that launched it: proof of which kernel ran */
    int32_t self_check; /* 1: it was compared with the exact evaluation and agrees; 0: it was not compared */
    int32_t reserved;
} flashtp_kernel;
FLASHTP_API flashtp_status flashtp_program_kernel_count(const flashtp_program *program, int32_t *count);
FLASHTP_API flashtp_status flashtp_program_kernel(const flashtp_program *program, int32_t index, flashtp_kernel *kernel);

enum { FLASHTP_EXPLAIN_TEXT = 0, FLASHTP_EXPLAIN_JSON = 1 };
/* What was decided and why, and what it costs. `text` is valid as long as the program. */
FLASHTP_API flashtp_status flashtp_program_explain(flashtp_program *program, int32_t format, const char **text);

/* ---- Graphs and runs --------------------------------------------------------------------------------------------------- */

/* A convolution reads x by sender and adds to z by receiver. The index arrays hold the edges grouped by receiver: those of
 * receiver r are at positions row_ptr[r] to row_ptr[r + 1]. flashtp_build_receiver_index makes them. A plain batch has its number
 * of rows as edges, senders and receivers, and no arrays. */
typedef struct flashtp_graph {
    size_t size;
    int64_t edges, senders, receivers;
    const int32_t *row_ptr; /* [receivers + 1] */
    const int32_t *sender;  /* [edges] sender of the edge at each position */
    const int32_t *edge;    /* [edges] row of edge operands (y, w, ...) at each position; null: rows are in receiver order */
    /* CUDA: in device memory, how many rows a plain batch has, of at most `edges`; null: `edges`. A convolution has row_ptr[receivers] of
     * at most `edges` edges in any case. Rows of edge outputs beyond are zero or left as they were; of a
     * deterministic problem they may hold anything. */
    const int64_t *edge_count;
    /* For problems with "deterministic" on CUDA devices, else null: the transpose of the index, and device memory, aligned to 16 bytes, that
     * nothing else uses until the launch is done; flashtp_program_workspace says how much. */
    const int32_t *sender_ptr; /* [senders + 1] the edges of sender s are at position[sender_ptr[s]] to position[sender_ptr[s + 1]] */
    const int32_t *position;   /* [edges]; null: 0, 1, 2, ... */
    void *workspace;
    size_t workspace_bytes;
} flashtp_graph;

/* Loads the code (CUDA: into the current context), so that later runs only run. Optional, except before CUDA graph capture. */
FLASHTP_API flashtp_status flashtp_program_prepare(const flashtp_program *program);

/* Runs on this host. `operands` are `count` pointers in the order of flashtp_program_operand, aligned to their element type;
 * outputs are overwritten. threads 0: the engine's. Returns when all is done. */
FLASHTP_API flashtp_status flashtp_run_cpu(const flashtp_program *program, void *const *operands, int32_t count,
                                           const flashtp_graph *graph, int32_t threads);

/* Threads of the caller's: OpenMP, oneTBB, a framework's pool. `parallel` calls work(context, 0) ... work(context, count - 1), each
 * once, on any threads and in any order, and returns when all have returned. `work` neither throws nor waits for another number. */
typedef void (*flashtp_work)(void *context, int32_t number);
typedef struct flashtp_pool {
    size_t size;
    void (*parallel)(void *user, int32_t count, flashtp_work work, void *context);
    void *user;
    int32_t threads; /* count at most: as many as the pool runs at a time */
    int32_t reserved;
} flashtp_pool;
/* flashtp_run_cpu on these threads, without any of this library's own. Results are those of flashtp_run_cpu with pool->threads. */
FLASHTP_API flashtp_status flashtp_run_cpu_on(const flashtp_program *program, void *const *operands, int32_t count,
                                              const flashtp_graph *graph, const flashtp_pool *pool);

/* Device memory that flashtp_launch_cuda needs in graph->workspace: partial sums of a deterministic problem, 0 for others. Of the graph it
 * looks at the counts. With more than 0 bytes the launch needs sender_ptr too. */
FLASHTP_API flashtp_status flashtp_program_workspace(const flashtp_program *program, const flashtp_graph *graph, size_t *bytes);

/* Enqueues on a CUstream (null: the default stream) of the current context, or of the first device's primary context where
 * there is none. Device pointers, aligned to 16 bytes (index arrays: 4). After flashtp_program_prepare in the same context it
 * neither allocates nor waits, and may be captured into a CUDA graph. */
FLASHTP_API flashtp_status flashtp_launch_cuda(const flashtp_program *program, void *const *operands, int32_t count,
                                               const flashtp_graph *graph, void *stream);

/* ---- Receiver index ---------------------------------------------------------------------------------------------------- */

/* Edges in any order: arrays [edges] of int32_t or int64_t, as index_bits (32 or 64) says. */
typedef struct flashtp_edges {
    size_t size;
    int64_t edges, senders, receivers; /* each below 2^31 - 1 */
    const void *sender, *receiver;
    int32_t index_bits;
    int32_t by_sender; /* 1: edges of one receiver in the order of their senders; 0: in the order they have here */
    /* CUDA: in device memory, how many edges there are, of at most `edges`; null: `edges`. A CUDA graph that was captured with arrays for
     * `edges` of them then serves every list that fits. */
    const int64_t *edge_count;
} flashtp_edges;

/* Fills row_ptr[receivers + 1], sender[edges] and edge[edges] on this host; edges of one receiver (and, with by_sender, of one sender)
 * keep their order. *sorted (may be null) is 1 when the edges were in that order already: then give null as the graph's `edge`, kernels
 * run faster.
 * A row out of range is FLASHTP_INVALID_ARGUMENT; the message names the edge and its value.
 * The transpose is a second call: with the `sender` that the first one made as receivers and as senders it gives sender_ptr, and as
 * `edge` the positions. With by_sender in the first call, sums of a deterministic problem do not depend on the order of the edges. */
FLASHTP_API flashtp_status flashtp_build_receiver_index(const flashtp_edges *edges, int32_t *row_ptr, int32_t *sender,
                                                        int32_t *edge, int32_t *sorted);

/* Device memory that flashtp_build_receiver_index_cuda needs while it runs. Looks at the counts only. */
FLASHTP_API flashtp_status flashtp_receiver_index_workspace(const flashtp_edges *edges, size_t *bytes);

/* The same on a device, and the same result: all pointers are device pointers. Enqueues on the stream and neither allocates nor
 * waits, except that the first call in a context compiles and loads the code. report[0] becomes the first edge with a row out of
 * range, `edges` where edge_count is more, or -1; report[1] becomes 0 when the edges were sorted, else 1. With an invalid edge the index is of no use, but safe to
 * use. The workspace is aligned to 16 bytes. */
FLASHTP_API flashtp_status flashtp_build_receiver_index_cuda(flashtp_engine *engine, const flashtp_edges *edges, int32_t *row_ptr,
                                                             int32_t *sender, int32_t *edge, int64_t report[2],
                                                             void *workspace, size_t workspace_bytes, void *stream);

#ifdef __cplusplus
}
#endif

#endif
