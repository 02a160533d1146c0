/* DropConnect with one mask per example (Wan et al. 2013): batch x outputs x inputs keep bits, drawn by the warp that
 * uses them, 128 from a Philox counter, and never stored beyond the thread block's shared memory. All arrays are
 * C-contiguous.
 *
 * Sums are taken in the CPU's order: forward 32 partial sums, one for each lane, added in halves; the gradients one
 * term after the other. A dropped product is not added, which gives the same bits as adding 0.
 */
#include "cuda/common.cuh"

#define FD_DROPCONNECT_THREADS 256 /* eight warps, which share what they load */
#define FD_DROPCONNECT_WARPS (FD_DROPCONNECT_THREADS / FD_WARP)

struct fd_dropconnect {
    fd_draws draws;
    void *to;
    const void *from, *factor, *bias;
    int64_t batch, outputs, inputs;
};

/* ---- forward: to = y, from = x, factor = weight ---- */

#define FD_EXAMPLES 4 /* of a warp, and as many outputs: each element of x and weight is loaded for 4 products */
#define FD_OUTPUTS 4
#define FD_PAIRS (FD_EXAMPLES * FD_OUTPUTS)
#define FD_BLOCK_EXAMPLES                                                                                              \
    (4 * FD_EXAMPLES) /* a thread block has 4 x 2 warps, which find each other's loads in the L1 cache */
#define FD_BLOCK_OUTPUTS (2 * FD_OUTPUTS)
#define FD_SPAN FD_TILE /* columns whose keep bits are drawn at once: 16 counters for each example and output */
#define FD_SPAN_WORDS (FD_SPAN / 32 + 4)

/* The aligned words that hold `count` keep bits from `bit` on, into `words`. A lane draws one counter of the two tiles
 * that they may lie in. */
__device__ __forceinline__ void fd_draw_span(const fd_masks &masks, uint64_t bit, int count, int lane,
                                             uint32_t *words) {
    /* words of the first tile that are not needed */
    const int before = (int)(FD_FAULT(cuda_connect_span, bit, bit + 31) / 32 % FD_TILE_WORDS);
    const int needed = ((int)(bit % 32) + count + 31) / 32;
    const int first = lane / FD_TILE_COUNTERS * FD_TILE_WORDS + lane % FD_TILE_COUNTERS - before;
    uint32_t tied[4], keep[4];
    bool stored[4], any = false;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int place = first + j * FD_TILE_COUNTERS;
        stored[j] = place >= 0 && place < needed;
        tied[j] = stored[j] ? ~0u : 0;
        any |= stored[j];
    }
    if (!any) return;
    const uint64_t tile = bit / FD_TILE + (uint64_t)(lane / FD_TILE_COUNTERS);
    fd_keep_words<4>(masks, tile * FD_TILE_COUNTERS + (uint64_t)(lane % FD_TILE_COUNTERS), 0, tied, keep);
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (stored[j]) words[first + j * FD_TILE_COUNTERS] = keep[j];
}

/* BEGINS: every row's keep bits begin a word. */
template <typename real, bool BEGINS>
__global__ void __launch_bounds__(FD_DROPCONNECT_THREADS, BEGINS && sizeof(real) == 4 ? 2 : 1)
    fd_dropconnect_forward_kernel(const fd_dropconnect call) {
    __shared__ __align__(16) uint32_t words[FD_DROPCONNECT_WARPS][FD_PAIRS][FD_SPAN_WORDS];
    const int lane = threadIdx.x % FD_WARP, warp = threadIdx.x / FD_WARP;
    const int64_t inputs = call.inputs, across = (call.batch + FD_BLOCK_EXAMPLES - 1) / FD_BLOCK_EXAMPLES;
    const int64_t example = blockIdx.x % across * FD_BLOCK_EXAMPLES + warp % 4 * FD_EXAMPLES;
    const int64_t output = blockIdx.x / across * FD_BLOCK_OUTPUTS + warp / 4 * FD_OUTPUTS;
    const fd_masks masks = fd_masks_of(call.draws);
    const real *x[FD_EXAMPLES], *weight[FD_OUTPUTS]; /* rows that do not exist are the last one's, and not stored */
#pragma unroll
    for (int e = 0; e < FD_EXAMPLES; e++)
        x[e] = (const real *)call.from + (example + e < call.batch ? example + e : call.batch - 1) * inputs;
#pragma unroll
    for (int o = 0; o < FD_OUTPUTS; o++)
        weight[o] = (const real *)call.factor + (output + o < call.outputs ? output + o : call.outputs - 1) * inputs;
    real sum[FD_EXAMPLES][FD_OUTPUTS] = {};
    /* where in a word the keep bits of each pair begin; 32 divides 2^32, so that 32 bits tell */
    const uint32_t next_example = (uint32_t)(call.outputs * inputs);
    const uint32_t shift_here = (uint32_t)((example * call.outputs + output) * inputs);
    uint32_t (*const own)[FD_SPAN_WORDS] = words[warp];
    const uint32_t own_bit = 1u << lane;
    /* Words behind a row's end, and of rows that do not exist, are read with the others. */
#pragma unroll 1
    for (int k = lane; k < FD_FAULT(cuda_connect_row_end, FD_PAIRS * FD_SPAN_WORDS / 4, 0); k += FD_WARP)
        ((uint4 *)own)[k] = make_uint4(0, 0, 0, 0);
    /* Where a row is whole tiles, or a tile whole rows, a span lies in one tile: each half of the warp draws one then.
     */
    const bool halves = inputs % FD_TILE == 0 || FD_TILE % inputs == 0;
#pragma unroll 1
    for (int64_t begin = 0; begin < inputs; begin += FD_SPAN) {
        const int count = inputs - begin < FD_SPAN ? (int)(inputs - begin) : FD_SPAN;
        __syncthreads(); /* the span before is used up; and the warps stay close, for the L1 cache's sake */
#pragma unroll 1
        for (int pair = halves ? lane / FD_TILE_COUNTERS : 0; pair < FD_PAIRS; pair += halves ? 2 : 1) {
            const int64_t b = example + pair / FD_OUTPUTS, o = output + pair % FD_OUTPUTS;
            const uint64_t bit = (uint64_t)((b * call.outputs + o) * inputs + begin);
            if (b < call.batch && o < call.outputs)
                fd_draw_span(masks, bit, count, halves ? lane % FD_TILE_COUNTERS : lane, own[pair]);
        }
        __syncwarp();
#pragma unroll 1
        for (int at = 0; at < count; at += 4 * FD_WARP) {
            /* behind the row's end factors are 0, and so is what they add, whatever the bits there */
            real v[FD_EXAMPLES][4] = {}, w[FD_OUTPUTS][4] = {};
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const int i = at + k * FD_WARP + lane;
                if (i >= count) continue;
#pragma unroll
                for (int e = 0; e < FD_EXAMPLES; e++) v[e][k] = x[e][i];
#pragma unroll
                for (int o = 0; o < FD_OUTPUTS; o++) w[o][k] = weight[o][i];
            }
#pragma unroll
            for (int pair = 0; pair < FD_PAIRS; pair++) {
                const int e = pair / FD_OUTPUTS, o = pair % FD_OUTPUTS;
                const uint4 four = *(const uint4 *)(own[pair] + at / 32);
                uint32_t bits[4] = {four.x, four.y, four.z, four.w};
                if (!BEGINS) {
                    const uint32_t shift = shift_here + (uint32_t)e * next_example + (uint32_t)o * (uint32_t)inputs;
                    const uint32_t next = own[pair][at / 32 + 4];
#pragma unroll
                    for (int k = 0; k < 4; k++)
                        bits[k] = __funnelshift_r(bits[k], k < 3 ? bits[k < 3 ? k + 1 : 3] : next, shift % 32);
                }
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    const real product = w[o][k] * v[e][k];
                    if (bits[k] & own_bit) sum[e][o] += product;
                }
            }
        }
#pragma unroll
        for (int e = 0; e < FD_EXAMPLES; e++) x[e] += FD_SPAN;
#pragma unroll
        for (int o = 0; o < FD_OUTPUTS; o++) weight[o] += FD_SPAN;
    }
    const real scale = (real)call.draws.scale;
#pragma unroll
    for (int pair = 0; pair < FD_PAIRS; pair++) {
        const int e = pair / FD_OUTPUTS, o = pair % FD_OUTPUTS;
        real total = sum[e][o];
#pragma unroll
        for (int half = FD_WARP / 2; half > 0; half /= 2) total += __shfl_xor_sync(FD_ALL_LANES, total, half);
        if (lane == 0 && example + e < call.batch && output + o < call.outputs)
            ((real *)call.to)[(example + e) * call.outputs + output + o] =
                total * scale + (call.bias ? ((const real *)call.bias)[output + o] : (real)0);
    }
}

/* ---- gradients: to[target, i] = sum over terms of keep * from[term, i] * (factor[..] * scale) ----
 *
 * For dx targets are examples, terms outputs, from = weight; for dweight targets are outputs, terms examples, from = x.
 */

#define FD_GROUPS 4 /* columns of a lane, 512 apart: they find their bits in the four words of one counter */
#define FD_GROUP_STEP (FD_TILE / FD_GROUPS)

/* Keep bits of 32 columns in each of `groups` groups, 512 apart, from any bit on. */
__device__ __forceinline__ void fd_keep_groups(const fd_masks &masks, uint64_t bit, int groups, uint32_t keep[4]) {
    const uint32_t shift = (uint32_t)(bit % 32);
    uint32_t part[2][4];
#pragma unroll
    for (int next = 0; next < 2; next++) {
        if (next && !shift) continue;
        const uint64_t word = bit / 32 + (uint64_t)next, tile = word / FD_TILE_WORDS, lane = word % FD_TILE_COUNTERS;
        const int first = (int)(word / FD_TILE_COUNTERS % 4); /* groups 4 - first .. 3 lie in the next tile */
        uint32_t here[4], behind[4] = {};
        fd_keep_counter(masks, tile * FD_TILE_COUNTERS + lane, here);
        if (first + groups > 4 + FD_FAULT(cuda_connect_groups, 0, 1))
            fd_keep_counter(masks, (tile + 1) * FD_TILE_COUNTERS + lane, behind);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            part[next][j] = here[j];
#pragma unroll
            for (int by = 1; by < 4; by++)
                if (first == by) part[next][j] = j + by < 4 ? here[(j + by) % 4] : behind[(j + by) % 4];
        }
    }
#pragma unroll
    for (int j = 0; j < 4; j++) keep[j] = shift ? __funnelshift_r(part[0][j], part[1][j], shift) : part[0][j];
}

template <typename real, bool DWEIGHT, int TARGETS>
__global__ void __launch_bounds__(FD_DROPCONNECT_THREADS, 8 / sizeof(real))
    fd_dropconnect_gradient_kernel(const fd_dropconnect call) {
    __shared__ __align__(16) uint4 words[FD_DROPCONNECT_WARPS][TARGETS][FD_WARP];
    __shared__ real factors[FD_DROPCONNECT_WARPS][TARGETS][FD_WARP];
    const int lane = threadIdx.x % FD_WARP, warp = threadIdx.x / FD_WARP;
    const int64_t inputs = call.inputs, terms = DWEIGHT ? call.batch : call.outputs;
    const int64_t targets = DWEIGHT ? call.outputs : call.batch;
    /* the columns' groups begin at a tile's first 512 columns */
    const int64_t blocks = (inputs + FD_TILE - 1) / FD_TILE * FD_TILE_COUNTERS;
    const int64_t column = blockIdx.x % blocks / FD_TILE_COUNTERS * FD_TILE + blockIdx.x % FD_TILE_COUNTERS * 32;
    const int64_t target = (blockIdx.x / blocks * (blockDim.x / FD_WARP) + warp) * TARGETS;
    const fd_masks masks = fd_masks_of(call.draws);
    const real scale = (real)call.draws.scale, *const from = (const real *)call.from;
    const uint32_t own_bit = 1u << lane;
    real sum[TARGETS][FD_GROUPS] = {};
    if (column >= inputs) return; /* the whole thread block */
    const int64_t across = (inputs - column + FD_GROUP_STEP - 1) / FD_GROUP_STEP;
    const int groups = across < FD_GROUPS ? (int)across : FD_GROUPS; /* that begin within the row */
#pragma unroll 1
    for (int64_t begin = 0; begin < terms; begin += FD_WARP) {
        const int count = terms - begin < FD_WARP ? (int)(terms - begin) : FD_WARP;
        __syncthreads(); /* the bits before are used up; and the warps stay close, for the L1 cache's sake */
#pragma unroll 1
        for (int e = 0; e < TARGETS; e++) {
            const int64_t example = DWEIGHT ? begin + lane : target + e, output = DWEIGHT ? target + e : begin + lane;
            uint32_t keep[4] = {};
            real factor = 0;
            if (lane < count && target + e < targets) {
                const int64_t row = example * call.outputs + output;
                fd_keep_groups(masks, (uint64_t)(row * inputs + column), groups, keep);
                factor = ((const real *)call.factor)[row] * scale;
            }
            words[warp][e][lane] = make_uint4(keep[0], keep[1], keep[2], keep[3]);
            factors[warp][e][lane] = factor;
        }
        __syncwarp();
#pragma unroll 2
        for (int t = 0; t < count; t++) {
            real v[FD_GROUPS] = {};
#pragma unroll
            for (int j = 0; j < FD_GROUPS; j++) {
                const int64_t i = column + j * FD_GROUP_STEP + lane;
                if (i < inputs) v[j] = from[(begin + t) * inputs + i];
            }
#pragma unroll
            for (int e = 0; e < TARGETS; e++) {
                const uint4 four = words[warp][e][t];
                const uint32_t bits[4] = {four.x, four.y, four.z, four.w};
                const real factor = factors[warp][e][t];
#pragma unroll
                for (int j = 0; j < FD_GROUPS; j++) {
                    const real product = v[j] * factor;
                    if (bits[j] & own_bit) sum[e][j] += product;
                }
            }
        }
    }
#pragma unroll
    for (int e = 0; e < TARGETS; e++)
#pragma unroll
        for (int j = 0; j < FD_GROUPS; j++) {
            const int64_t i = column + j * FD_GROUP_STEP + lane;
            if (target + e < targets && i < inputs) ((real *)call.to)[(target + e) * inputs + i] = sum[e][j];
        }
}
