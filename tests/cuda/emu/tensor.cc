/* Matrix instructions of a warp and of a warpgroup, with the fragments of the PTX ISA. */
#include "emu_ptx.h"
#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "fiber.h"

#include <cstring>
#include <deque>
#include <vector>

static float half_at(uint16_t bits, bool bf16)
{
    return bf16 ? __bfloat162float(__ushort_as_bfloat16(bits)) : __half2float(__ushort_as_half(bits));
}

/* Half i of an array of registers. */
static float half_of(const uint32_t *r, int i, bool bf16)
{
    return half_at((uint16_t)(r[i / 2] >> i % 2 * 16), bf16);
}

/* ---- ldmatrix, stmatrix: lane l holds of a matrix row l/4, columns 2*(l%4) and the next; transposed: the reverse ---- */

struct matrices {
    uint32_t *r;
    unsigned char *row;
    int n;
    bool transposed, store;
};

static void move_matrices(void *const *data, int)
{
    const matrices *first = (const matrices *)data[0];
    for (int lane = 0; lane < EMU_WARP; lane++)
        if (!data[lane]) emu_die("ldmatrix or stmatrix without lane %d", lane);
    for (int m = 0; m < first->n; m++)
        for (int lane = 0; lane < EMU_WARP; lane++) {
            matrices *mine = (matrices *)data[lane];
            for (int e = 0; e < 2; e++) {
                int i = lane / 4, j = lane % 4 * 2 + e;
                int row = first->transposed ? j : i, column = first->transposed ? i : j;
                uint16_t *at = (uint16_t *)((const matrices *)data[m * 8 + row])->row + column;
                uint16_t *half = (uint16_t *)&mine->r[m] + e;
                if (first->store)
                    memcpy(at, half, 2);
                else
                    memcpy(half, at, 2);
            }
        }
}

void emu_ldmatrix(uint32_t *r, int n, const void *row, bool transposed, emu_where where)
{
    matrices mine = { r, (unsigned char *)row, n, transposed, false };
    if (emu_lane() < n * 8) emu_check(row, 16, 16, true, "ldmatrix row");
    emu_warp(0xffffffffu, transposed ? "ldmatrix.trans" : "ldmatrix", &mine, move_matrices, where);
}

void emu_stmatrix(const uint32_t *r, int n, void *row, bool transposed, emu_where where)
{
    matrices mine = { (uint32_t *)r, (unsigned char *)row, n, transposed, true };
    if (emu_lane() < n * 8) emu_check(row, 16, 16, true, "stmatrix row");
    emu_warp(0xffffffffu, transposed ? "stmatrix.trans" : "stmatrix", &mine, move_matrices, where);
}

/* ---- mma.sync: A row, B column. Lane l: A has rows l/4 and l/4 + 8, columns 2*(l%4).. and, from k 8 on, 8 further; B
 * the same columns as rows, and column l/4; C rows l/4 and l/4 + 8, columns 2*(l%4).. ---- */

struct product {
    void *c;
    const uint32_t *a, *b;
    bool bf16;
};

static const product *of_lane(void *const *data, int lane)
{
    if (!data[lane]) emu_die("mma without lane %d", lane);
    return (const product *)data[lane];
}

/* k columns of halves. */
static void multiply_halves(void *const *data, int k)
{
    float a[16][16], b[16][8];
    for (int lane = 0; lane < EMU_WARP; lane++) {
        const product *p = of_lane(data, lane);
        int row = lane / 4, at = lane % 4 * 2;
        for (int i = 0; i < k / 2; i++) {
            int e = i % 2, down = i / 2 % 2 * 8, right = i / 4 * 8;
            a[row + down][at + e + right] = half_of(p->a, i, p->bf16);
        }
        for (int i = 0; i < k / 4; i++) b[at + i % 2 + i / 2 * 8][row] = half_of(p->b, i, p->bf16);
    }
    for (int lane = 0; lane < EMU_WARP; lane++) {
        float *c = (float *)of_lane(data, lane)->c;
        for (int i = 0; i < 4; i++) {
            int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            float sum = 0;
            for (int x = 0; x < k; x++) sum += a[row][x] * b[x][column];
            c[i] += sum;
        }
    }
}

static void multiply_16(void *const *data, int) { multiply_halves(data, 16); }
static void multiply_8(void *const *data, int) { multiply_halves(data, 8); }

void emu_mma_m16n8k16(float *c, const uint32_t *a, const uint32_t *b, bool bf16, emu_where where)
{
    product mine = { c, a, b, bf16 };
    emu_warp(0xffffffffu, "mma.m16n8k16", &mine, multiply_16, where);
}

void emu_mma_m16n8k8(float *c, const uint32_t *a, const uint32_t *b, bool bf16, emu_where where)
{
    product mine = { c, a, b, bf16 };
    emu_warp(0xffffffffu, "mma.m16n8k8", &mine, multiply_8, where);
}

/* Bytes: four columns a register, and 16 further from the third register of A on. */
static void multiply_bytes(void *const *data, int)
{
    int8_t a[16][32], b[32][8];
    for (int lane = 0; lane < EMU_WARP; lane++) {
        const product *p = of_lane(data, lane);
        int row = lane / 4, at = lane % 4 * 4;
        for (int i = 0; i < 16; i++)
            a[row + i / 4 % 2 * 8][at + i % 4 + i / 8 * 16] = (int8_t)(p->a[i / 4] >> i % 4 * 8);
        for (int i = 0; i < 8; i++) b[at + i % 4 + i / 4 * 16][row] = (int8_t)(p->b[i / 4] >> i % 4 * 8);
    }
    for (int lane = 0; lane < EMU_WARP; lane++) {
        int32_t *c = (int32_t *)of_lane(data, lane)->c;
        for (int i = 0; i < 4; i++)
            for (int x = 0; x < 32; x++) c[i] += a[lane / 4 + i / 2 * 8][x] * b[x][lane % 4 * 2 + i % 2];
    }
}

void emu_mma_m16n8k32_s8(int32_t *c, const uint32_t *a, const uint32_t *b, emu_where where)
{
    product mine = { c, a, b, false };
    emu_warp(0xffffffffu, "mma.m16n8k32.s8", &mine, multiply_bytes, where);
}

/* ---- wgmma ---- */

struct wgmma {
    float *d;
    uint32_t a[4];
    uint64_t desc_a, desc_b, group;
    int n;
    bool from_registers, scale_d, bf16, transposed_a, transposed_b;
};

static struct {
    std::deque<wgmma> waiting;
    uint64_t group;
} queue[EMU_THREADS_MAX];

void emu_tensor_begin(int threads)
{
    for (int t = 0; t < threads; t++) {
        queue[t].waiting.clear();
        queue[t].group = 0;
    }
}

void emu_tensor_exit(int thread)
{
    if (!queue[thread].waiting.empty()) emu_die("a thread leaves the kernel with wgmmas not waited for");
}

/* A shared memory descriptor: address, leading and stride byte offsets, all / 16, and the swizzle. Elements are of 16
 * bits. K-major: rows of the matrix (m or n) lie in groups of 8, `stride` apart; with a swizzle of W bytes a group is
 * 8 rows of W bytes, without one it is 8 x 16 bytes and the next 8 columns (k) come `leading` later. MN-major: a row
 * of memory holds W bytes of m or n at one k; 8 values of k are `stride` apart from the next 8, and the next W bytes
 * of m or n come `leading` later. */
static const unsigned char *element(uint64_t desc, int mn, int k, bool transposed)
{
    uint32_t start = (uint32_t)(desc & 0x3fff) << 4, leading = (uint32_t)(desc >> 16 & 0x3fff) << 4;
    uint32_t stride = (uint32_t)(desc >> 32 & 0x3fff) << 4, mode = (uint32_t)(desc >> 62);
    uint32_t width = mode ? 256u >> mode : 16, address, c = (uint32_t)mn, x = (uint32_t)k;
    if (desc >> 49 & 7) emu_die("wgmma: a descriptor with a base offset");
    if (!transposed && mode)
        address = start + c / 8 * stride + c % 8 * width + x * 2;
    else if (!transposed)
        address = start + c / 8 * stride + c % 8 * 16 + x / 8 * leading + x % 8 * 2;
    else if (mode)
        address = start + c / (width / 2) * leading + c % (width / 2) * 2 + x / 8 * stride + x % 8 * width;
    else
        address = start + c / 8 * stride + c % 8 * 2 + x / 8 * leading + x % 8 * 16;
    uint32_t mask = mode ? 8u / (1u << (mode - 1)) - 1 : 0;
    address ^= (address >> 7 & mask) << 4;
    return emu_shared_pointer(address, 2);
}

static float element_value(uint64_t desc, int mn, int k, bool transposed, bool bf16)
{
    uint16_t bits;
    memcpy(&bits, element(desc, mn, k, transposed), sizeof bits);
    return half_at(bits, bf16);
}

/* One product of the warpgroup: thread t has of D rows 16*(t/32) + t%32/4 and 8 below, and so of A in registers. */
static void execute(wgmma *const w[128])
{
    const wgmma *first = w[0];
    static float a[64][16], b[256][16];
    for (int t = 0; t < 128; t++) {
        if (w[t]->desc_b != first->desc_b || w[t]->n != first->n || w[t]->scale_d != first->scale_d ||
            (!first->from_registers && w[t]->desc_a != first->desc_a))
            emu_die("wgmma: thread %d of the warpgroup asks for another product than thread 0", t);
        for (int i = 0; i < 8 && first->from_registers; i++)
            a[t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8][t % 4 * 2 + i % 2 + i / 4 * 8] =
                half_of(w[t]->a, i, first->bf16);
    }
    for (int m = 0; m < 64 && !first->from_registers; m++)
        for (int k = 0; k < 16; k++) a[m][k] = element_value(first->desc_a, m, k, first->transposed_a, first->bf16);
    for (int n = 0; n < first->n; n++)
        for (int k = 0; k < 16; k++) b[n][k] = element_value(first->desc_b, n, k, first->transposed_b, first->bf16);
    for (int t = 0; t < 128; t++)
        for (int i = 0; i < first->n / 2; i++) {
            int row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + t % 4 * 2 + i % 2;
            float sum = 0;
            for (int k = 0; k < 16; k++) sum += a[row][k] * b[column][k];
            w[t]->d[i] = (first->scale_d ? w[t]->d[i] : 0) + sum;
        }
}

void emu_wgmma(float *d, int n, const uint32_t *a, uint64_t desc_a, uint64_t desc_b, bool scale_d, bool bf16,
    bool transposed_a, bool transposed_b, emu_where where)
{
    if (n < 8 || n > 256 || n % 8) emu_die("wgmma of n %d at %s:%u", n, where.file_name(), where.line());
    auto &mine = queue[emu_thread_number()];
    wgmma w = { d, {}, desc_a, desc_b, mine.group, n, a != NULL, scale_d, bf16, transposed_a, transposed_b };
    if (a) memcpy(w.a, a, sizeof w.a);
    mine.waiting.push_back(w);
}

void emu_wgmma_commit(void) { queue[emu_thread_number()].group++; }

struct wait {
    int thread;
    uint64_t below; /* group */
};

static void execute_all(void *const *data, int)
{
    const wait *first = (const wait *)data[0];
    for (;;) {
        wgmma *w[128];
        for (int t = 0; t < 128; t++) {
            auto &q = queue[((const wait *)data[t])->thread].waiting;
            bool any = !q.empty() && q.front().group < ((const wait *)data[t])->below;
            if (!any && t && w[0])
                emu_die("wgmma: thread %d of the warpgroup has asked for fewer than thread 0", t);
            w[t] = any ? &q.front() : NULL;
            if (t && any && !w[0]) emu_die("wgmma: thread %d of the warpgroup has asked for more than thread 0", t);
        }
        if (!w[0]) return;
        execute(w);
        for (int t = 0; t < 128; t++) queue[first->thread + t].waiting.pop_front();
    }
}

void emu_wgmma_wait(int groups, emu_where where)
{
    int me = emu_thread_number();
    uint64_t group = queue[me].group;
    wait mine = { me, group > (uint64_t)groups ? group - (uint64_t)groups : 0 };
    emu_warpgroup("wgmma.wait_group", &mine, execute_all, where);
}

/* ---- elect ---- */

struct election {
    bool elected;
};

static void elect(void *const *data, int count)
{
    bool done = false;
    for (int lane = 0; lane < count; lane++) {
        if (!data[lane]) continue;
        ((election *)data[lane])->elected = !done;
        done = true;
    }
}

bool emu_elect_sync(unsigned mask, emu_where where)
{
    election mine = { false };
    emu_warp(mask, "elect.sync", &mine, elect, where);
    return mine.elected;
}
