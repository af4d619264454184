// Loops, loads, arithmetic and copies: what printers print and the interpreter runs. Decisions are all taken.
//
// A kernel is a program for one warp: `lanes` lanes in lock step. Integers and control flow are uniform over the lanes; registers
// hold one number a lane, or one for all lanes where `uniform` is set. On a GPU a lane is a thread of a 32-wide warp; on a CPU the
// lanes of a register are one SIMD vector. Lanes meet only in ReduceStore, LaneSum, LaneGet, SpreadSums and shared memory; a shared word written by one
// lane is read by another only after SyncWarp (or StageWait for asynchronous copies).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ir/dtype.hpp"
#include "ir/target.hpp"
#include "ir/view.hpp"

namespace flashtp {

using IntId = int;     ///< index into KernelTask::ints
using RegId = int;     ///< index into KernelTask::registers
using BufferId = int;  ///< index into Kernel::buffers
using SharedId = int;  ///< index into KernelTask::shared
using MatrixId = int;  ///< index into KernelTask::matrices

/// Every task has these integers first: the chunk it works on, and its rows [row_begin, row_end).
enum ReservedInt : IntId { int_chunk = 0, int_row_begin = 1, int_row_end = 2 };

/// constant + sum of factor * variable, in 64-bit arithmetic.
struct Affine {
    std::int64_t constant = 0;
    std::vector<std::pair<IntId, std::int64_t>> terms;  ///< sorted by variable, no zero factors

    Affine() = default;
    Affine(std::int64_t value) : constant(value) {}
    static Affine of(IntId variable, std::int64_t factor = 1);
    Affine& operator+=(const Affine&);
    Affine times(std::int64_t factor) const;
    friend Affine operator+(Affine a, const Affine& b) { return a += b; }
    friend bool operator==(const Affine&, const Affine&) = default;
};

enum class BufferKind {
    operand,  ///< global memory, elements of `dtype`; a load widens, a store rounds
    index,    ///< global memory, int32; may be null where a load says identity_if_null
    table     ///< constant int32 table that is part of the code
};
struct Buffer {
    std::string name;
    BufferKind kind = BufferKind::operand;
    DType dtype = DType::float32;
    std::optional<Operand> operand;          ///< width, row and role, for operand buffers
    bool streaming = false;                  ///< touched once: loads and stores bypass the cache where the target can
    bool zeroed = false;                     ///< the launcher zeroes it first: written by additions or not completely
    bool shared_rows = false;                ///< rows are written by several warps or threads: atomics, or private copies a thread
    std::vector<std::int32_t> table;
    friend bool operator==(const Buffer&, const Buffer&) = default;
};

/// Shared memory of one warp, in elements of the compute dtype; `offset` is within the warp's region.
struct SharedBuffer {
    std::string name;
    std::int64_t offset = 0, size = 0;
    friend bool operator==(const SharedBuffer&, const SharedBuffer&) = default;
};

/// Columns of a matrix in global memory, ready in shared memory for all warps of a block when its tasks begin: for products over tiles.
/// They are runs of columns, first[i] + chunk * chunk_step + (0 .. run - 1), one after the other.
struct BlockMatrix {
    std::string name;
    BufferId buffer = 0;
    std::int64_t rows = 0, pitch = 0;  ///< of the matrix in memory, which is row-major
    std::vector<std::int64_t> first;
    std::int64_t run = 0, chunk_step = 0;
    std::optional<BufferId> bias;      ///< a row of the same columns
    bool written = false;              ///< products add to it where it is, and nothing is loaded

    std::int64_t width() const { return run * static_cast<std::int64_t>(first.size()); }
    friend bool operator==(const BlockMatrix&, const BlockMatrix&) = default;
};

/// A register or a literal.
using Arg = std::variant<RegId, double>;

enum class Place { global, shared };

/// Element of (lane, component): base + lane * lane_stride + component * component_stride, for lanes < active; other lanes read 0
/// and write nothing. With a table the lane's part is table[table_base + lane] * lane_stride instead.
struct Access {
    Place place = Place::global;
    int buffer = 0;  ///< BufferId or SharedId
    Affine base;
    std::int64_t lane_stride = 0, component_stride = 1;
    int active = 0;
    std::optional<BufferId> table;
    Affine table_base;
    std::optional<DType> stored = {};  ///< shared memory: what its words hold instead of numbers of the compute type; base counts these
    friend bool operator==(const Access&, const Access&) = default;
};

/// How a value reaches memory. `atomic` also holds against other warps; on a CPU it is a plain addition to memory that the
/// runtime made private to the thread. Where lanes may address the same element (a table), additions act lane after lane.
enum class StoreMode { store, add, atomic };

struct KernelStatement;  // the node wrapper below
using Block = std::vector<KernelStatement>;

struct Comment { std::string text; friend bool operator==(const Comment&, const Comment&) = default; };
/// Declares an integer.
struct IntLet { IntId var; Affine value; friend bool operator==(const IntLet&, const IntLet&) = default; };
/// Assigns one declared before.
struct IntSet { IntId var; Affine value; friend bool operator==(const IntSet&, const IntSet&) = default; };
/// Declares or assigns (`declare`) buffer[index]; an index buffer that is null reads as index where identity_if_null.
struct IntLoad {
    IntId var; BufferId buffer; Affine index; bool identity_if_null = false; bool declare = true;
    friend bool operator==(const IntLoad&, const IntLoad&) = default;
};
struct IntMin { IntId var; Affine a, b; friend bool operator==(const IntMin&, const IntMin&) = default; };
/// Keeps an integer in one element of shared memory, written by one lane (of each team, in a loop over teams), and declares one from
/// there. The bits of a number of the compute type hold it: only IntGet reads it.
struct IntPut { SharedId shared; Affine at; IntId value; friend bool operator==(const IntPut&, const IntPut&) = default; };
struct IntGet { IntId var; SharedId shared; Affine at; friend bool operator==(const IntGet&, const IntGet&) = default; };
/// Declares var and runs the body for begin, begin + step, ... < end.
struct For;
/// Runs the body where a < b.
struct If;

struct Move { RegId dst; Arg src; friend bool operator==(const Move&, const Move&) = default; };
struct Mul { RegId dst; Arg a, b; friend bool operator==(const Mul&, const Mul&) = default; };
/// dst = a * b + c, one rounding.
struct Fma { RegId dst; Arg a, b, c; friend bool operator==(const Fma&, const Fma&) = default; };

/// dst[k] = component k. Uniform registers are read with lane_stride 0. `again`: where the number is used, even if it was read before;
/// keeping it in a register instead is not wanted.
struct Load { std::vector<RegId> dst; Access from; bool again = false; friend bool operator==(const Load&, const Load&) = default; };
/// Component k = or += src[k]. Uniform registers are written by one lane.
struct Store { Access to; std::vector<RegId> src; StoreMode mode; friend bool operator==(const Store&, const Store&) = default; };
/// dst[k] (uniform) = sum over lanes of src[k].
struct LaneSum { std::vector<RegId> dst, src; friend bool operator==(const LaneSum&, const LaneSum&) = default; };
/// dst[k] (uniform) = src[k] of one lane. On GPUs.
struct LaneGet { std::vector<RegId> dst, src; Affine lane; friend bool operator==(const LaneGet&, const LaneGet&) = default; };
/// Adds to dst of lane `first + k` the sum over lanes of src[k]; other lanes keep theirs. About a shuffle a sum, where LaneSum takes two and
/// every lane gets all sums. `first` is a multiple of the number of sums, rounded up to a power of two. On GPUs.
struct SpreadSums { RegId dst; std::vector<RegId> src; Affine first; friend bool operator==(const SpreadSums&, const SpreadSums&) = default; };
/// Component k (contiguous) = or += sum over lanes of src[k]. `scratch`, where not negative, is shared memory of at least
/// reduce_scratch(count) elements from its start on that nothing else is in: a SyncWarp comes first, and another before it is read.
struct ReduceStore { Access to; std::vector<RegId> src; StoreMode mode; SharedId scratch = -1; friend bool operator==(const ReduceStore&, const ReduceStore&) = default; };

/// Asks for `count` contiguous elements ahead of their use, to be written where `write`. They exist; no result depends on it.
struct Prefetch {
    BufferId buffer; Affine base; std::int64_t count; bool write = false;
    friend bool operator==(const Prefetch&, const Prefetch&) = default;
};

/// The lanes together copy `count` contiguous elements between global and shared memory, in either direction; `mode` applies to a
/// global destination. Lane i handles elements i, i + lanes, ... To shared memory `vector` elements at a time, aligned as in AsyncCopy,
/// and readable after the next SyncWarp only.
struct CopyLanes {
    SharedId shared; Affine shared_base; BufferId global; Affine global_base; std::int64_t count; bool to_shared; StoreMode mode;
    int vector = 1;
    friend bool operator==(const CopyLanes&, const CopyLanes&) = default;
};

/// The ring. Between StageFill and StageCommit, AsyncCopy fills a stage; StageWait makes what was committed to it readable by
/// every lane. A stage may be refilled once all lanes have read it and SyncWarp was executed.
struct RingBegin { friend bool operator==(const RingBegin&, const RingBegin&) = default; };
struct StageFill { IntId stage; Affine bulk_bytes; friend bool operator==(const StageFill&, const StageFill&) = default; };
/// Contiguous elements of the operand's own type from global to shared memory, in whole words. bulk: one instruction by one lane, 16-byte aligned addresses and size;
/// otherwise each lane copies `vector` elements at a time (vector * element size is 4, 8 or 16 bytes and aligned).
struct AsyncCopy {
    SharedId shared; Affine shared_base; BufferId global; Affine global_base; std::int64_t count; bool bulk; int vector = 1;
    friend bool operator==(const AsyncCopy&, const AsyncCopy&) = default;
};
struct StageCommit { IntId stage; friend bool operator==(const StageCommit&, const StageCommit&) = default; };
struct StageWait { IntId stage, phase; friend bool operator==(const StageWait&, const StageWait&) = default; };
/// stage = (stage + 1) mod stages; phase, where present, flips on wrap-around.
struct StageNext { IntId stage; std::optional<IntId> phase; friend bool operator==(const StageNext&, const StageNext&) = default; };

/// A window over an index buffer read at consecutive positions from begin: the lanes hold 32 entries ahead, so that a read costs
/// a shuffle and not a memory latency. Reads must be at begin, begin + 1, ... < end; a loop over teams reads several at once, a
/// power of two in every loop over the window. A null buffer reads as the identity.
struct WindowOpen { int window; BufferId buffer; Affine begin, end; friend bool operator==(const WindowOpen&, const WindowOpen&) = default; };
struct WindowRead { int window; IntId var; Affine position; friend bool operator==(const WindowRead&, const WindowRead&) = default; };

/// Where a launch shares out edges, narrows the edges [begin, end) of the rows to those that this warp does, and ends the task if there are
/// none; what it stores to receiver rows is then added atomically to memory the launcher zeroed. Otherwise nothing happens.
struct PartOfEdges { IntId begin, end; friend bool operator==(const PartOfEdges&, const PartOfEdges&) = default; };

/// Declares the number of the task's rows among those of all warps: row_begin / rows a warp. Receivers are not split.
struct RangeNumber { IntId var; friend bool operator==(const RangeNumber&, const RangeNumber&) = default; };

/// Adds `count` contiguous shared elements to global memory, or stores them there, asynchronously (16-byte aligned), with what the lanes
/// wrote before: a SyncWarp is part of it. One BulkReduce is one group. Where `pending` is not negative it waits until at most that many groups of
/// this warp still read shared memory, and after the next SyncWarp every lane may write there.
struct BulkReduce {
    SharedId shared; Affine shared_base; BufferId global; Affine global_base; std::int64_t count; int pending = -1;
    StoreMode mode = StoreMode::atomic;
    friend bool operator==(const BulkReduce&, const BulkReduce&) = default;
};
/// Waits until no group of this warp still reads shared memory: before a task ends.
struct BulkEnd { friend bool operator==(const BulkEnd&, const BulkEnd&) = default; };
/// A kernel starts while its outputs are being zeroed: from here on they are zero. On a GPU it comes before the first write.
struct ZerosReady { friend bool operator==(const ZerosReady&, const ZerosReady&) = default; };

/// Summands that a product over a tile takes at a time: with no more, all of `from` is read before `to` is written.
inline constexpr std::int64_t summands_of_pass = 64;

/// Of edges r < rows of a tile: to[r, c] = factor * sum over k of from[r, k] * M[k, c], and the matrix's bias. Operands are halved for
/// tensor cores, which keep the accuracy of float32: docs/design/fused-radial.md. `tile` is a multiple of 16 and at least rows, and what
/// is in rows beyond is lost. A SyncWarp comes before and after. With at most summands_of_pass summands `to` may lie over `from`.
struct TileProduct {
    SharedId to = 0, from = 0;
    std::int64_t to_pitch = 0, from_pitch = 0;
    MatrixId matrix = 0;
    int tile = 16;
    Affine rows;
    double factor = 1;
    bool bias = false;
    friend bool operator==(const TileProduct&, const TileProduct&) = default;
};
/// Of edges at positions [begin, end) whose rows are in global memory, a row of `tile` a position, one of `rows` an edge:
///   to_tile:   tile[p, c] = or += factor * sum over k of rows[edge[p], k] * M[k, c], and the matrix's bias;
///   to_rows:   rows[edge[p], k] += factor * sum over c of tile[p, c] * M[k, c];
///   to_matrix: M[k, c] += factor * sum over p of rows[edge[p], k] * tile[p, c]; or without rows, M[0, c] += sum over p of tile[p, c].
/// M's columns in memory are those of the tile. What is added to is added to atomically, but for tiles. Accurate as a TileProduct.
struct EdgeProduct {
    enum class To { tile, rows, matrix } to = To::tile;
    BufferId tile = 0, edge = 0;
    std::optional<BufferId> rows;
    MatrixId matrix = 0;
    Affine begin, end;
    double factor = 1;
    bool add = false, bias = false;  ///< to_tile
    friend bool operator==(const EdgeProduct&, const EdgeProduct&) = default;
};
struct SyncWarp { friend bool operator==(const SyncWarp&, const SyncWarp&) = default; };

/// With `teams` the lanes form that many teams of equal size, and iteration i runs on team i % teams, for at most teams * rounds iterations:
/// the body holds window reads, then puts and copies that are not in bulk.
struct For {
    IntId var; Affine begin, end; std::int64_t step = 1; Block body; int teams = 0, rounds = 1;
    bool operator==(const For&) const;
};
struct If { Affine a, b; Block body; bool operator==(const If&) const; };

using KernelNode = std::variant<Comment, IntLet, IntSet, IntLoad, IntMin, IntPut, IntGet, For, If, Move, Mul, Fma, Load, Store, LaneSum, LaneGet, SpreadSums, ReduceStore,
                                Prefetch, CopyLanes, RingBegin, StageFill, AsyncCopy, StageCommit, StageWait, StageNext, WindowOpen,
                                WindowRead, PartOfEdges, RangeNumber, BulkReduce, BulkEnd, ZerosReady, TileProduct, EdgeProduct, SyncWarp>;
struct KernelStatement {
    KernelNode node;
    friend bool operator==(const KernelStatement&, const KernelStatement&) = default;
};
inline bool For::operator==(const For& o) const {
    return var == o.var && begin == o.begin && end == o.end && step == o.step && body == o.body && teams == o.teams && rounds == o.rounds;
}
inline bool If::operator==(const If& o) const { return a == o.a && b == o.b && body == o.body; }

struct Register {
    std::string name;
    bool uniform = false;
    friend bool operator==(const Register&, const Register&) = default;
};

/// Straight-line code for some paths. Registers and integers are declared by their first assignment, in a block that encloses
/// every use.
struct KernelTask {
    std::string name;
    std::vector<std::string> comments;  ///< the paths
    std::int64_t chunks = 1;            ///< values of int_chunk: 0 .. chunks - 1
    std::vector<std::string> ints;      ///< names; the reserved ones first
    std::vector<Register> registers;
    std::vector<SharedBuffer> shared;
    std::vector<BlockMatrix> matrices;
    int windows = 0;
    CopyMechanism copy = CopyMechanism::plain;  ///< into its ring
    bool element_copies = false;                ///< some AsyncCopy is not bulk: with barriers, every lane arrives as well
    Block body;
    friend bool operator==(const KernelTask&, const KernelTask&) = default;
};

/// On a GPU every (task, chunk) is a row of blocks and every warp of it takes rows_per_warp consecutive rows (a launch argument), or all
/// warps of the launch share the edges: of a task that takes longer an edge, more warps take fewer each.
/// On a CPU the function runs all tasks and chunks for the rows it is given.
struct Kernel {
    std::string name;
    std::vector<std::string> header;  ///< spec, request and schedule, printed above the code
    Target target;
    DType compute = DType::float32;   ///< type of registers and shared memory
    int lanes = 1;
    bool contract = true;             ///< a product and the sum it goes into may be rounded once where the code does not say so
    bool receiver_rows = false;       ///< rows are receivers, else edges
    /// It adds up parts of rows of that kind: these are its rows, and senders are as receivers to it. Parts of the shared row are ranges of
    /// rows of the kernel before that cuts them into few.
    std::optional<Row> sums;
    std::int64_t most_ranges = 0;     ///< not 0: launches cut the rows into so many ranges at most, a warp's each
    std::vector<Buffer> buffers;      ///< kernel arguments in this order (tables are not arguments)
    std::vector<KernelTask> tasks;
    int stages = 0;                   ///< ring depth
    bool windows = false;             ///< a launch runs the edges at positions [edge_begin, edge_end) alone, and adds to rows of receivers
    std::int64_t shared_elements = 0; ///< a warp's region: the largest task's, without barriers
    int warps_per_block = 1, min_blocks = 1, rows_per_warp = 1;
    friend bool operator==(const Kernel&, const Kernel&) = default;
};

std::string to_string(const Kernel&);
/// Throws InternalError with the kernel when a register is read before it is assigned, an id is out of range, an alignment rule of
/// asynchronous copies is broken, or a buffer is used against its role.
void verify(const Kernel&);

/// Whether a launch that splits receivers turns stores to the buffer into atomic additions.
bool added_by_parts(const Kernel&, const Buffer&);

/// Whether a launch with few receivers shares out edges to exactly the warps that run at a time. So do kernels that add up over edges and
/// write gradients too: they take long, and what a share adds is little of it. Others split each receiver's edges into parts.
bool shares_edges(const Kernel&);

/// Elements that ReduceStore takes to add up so many registers through shared memory.
std::int64_t reduce_scratch(std::size_t count, int lanes);
/// Sums that ReduceStore adds up at a time.
inline constexpr std::size_t most_sums = 32;

/// Where the parts of a block's matrix lie, in bytes: two halves of every number with a row a column, the exponent of their
/// scale, the bias.
struct MatrixLayout {
    std::int64_t depth, width, pitch;  ///< hidden channels and columns in whole fragments; distance of columns in halves
    std::int64_t low, exponent, bias, bytes;
};
MatrixLayout matrix_layout(const BlockMatrix&);
/// Of GPUs whose tensor cores take 16 x 8 x 16 halves.
inline constexpr int least_capability_of_products = 80;
/// Whether a product over edges is part of it.
bool has_edge_products(const Kernel&);
/// Of all matrices of the task that has most.
std::int64_t matrix_bytes(const Kernel&);

/// Whether some task fills its ring by barriers.
bool uses_barriers(const Kernel&);

/// Bytes of shared memory a block needs, barriers included.
std::int64_t shared_bytes(const Kernel&);

}  // namespace flashtp
