/* Copies that land later (cp.async, TMA), the mbarriers that say when, and shared memory itself. */
#include "emu_ptx.h"
#include "cuda.h"
#include "fiber.h"

#include <cstring>
#include <deque>
#include <link.h>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

/* ---- shared memory ---- */

/* The first kilobyte belongs to the system, as on sm_90; so address 0 is never right. */
#define DYNAMIC_WINDOW 1024u

alignas(1024) static unsigned char dynamic[EMU_SHARED_MAX];
static size_t dynamic_size;

/* `__shared__` variables are thread_local ones (see cuda_runtime.h), for then the linker gathers them in one place. */
static thread_local char anchor;
static struct {
    unsigned char *p;
    size_t size;
} statics;

static int find_statics(struct dl_phdr_info *info, size_t, void *here)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type != PT_TLS || !info->dlpi_tls_data) continue;
        unsigned char *p = (unsigned char *)info->dlpi_tls_data;
        if ((unsigned char *)here < p || (unsigned char *)here >= p + h->p_memsz) continue;
        statics.p = p;
        statics.size = h->p_memsz;
        return 1;
    }
    return 0;
}

void emu_shared_begin(size_t bytes)
{
    if (!statics.p) {
        *(volatile char *)&anchor = 1;
        dl_iterate_phdr(find_statics, &anchor);
        if (!statics.p) emu_die("static shared memory cannot be found");
    }
    dynamic_size = bytes;
    memset(statics.p, 0xff, statics.size);
    ASAN_UNPOISON_MEMORY_REGION(dynamic, sizeof dynamic);
    memset(dynamic, 0xff, bytes);
    ASAN_POISON_MEMORY_REGION(dynamic + bytes, sizeof dynamic - bytes);
}

unsigned char *emu_dynamic_shared(void) { return dynamic; }

uint32_t emu_shared_address(const void *p)
{
    const unsigned char *at = (const unsigned char *)p;
    if (at >= dynamic && at < dynamic + sizeof dynamic) return DYNAMIC_WINDOW + (uint32_t)(at - dynamic);
    if (at >= statics.p && at < statics.p + statics.size) return EMU_STATIC_WINDOW + (uint32_t)(at - statics.p);
    emu_die("%p is no address in shared memory", p);
}

unsigned char *emu_shared_pointer(uint32_t address, size_t bytes)
{
    bool fixed = address >= EMU_STATIC_WINDOW;
    size_t at = address - (fixed ? EMU_STATIC_WINDOW : DYNAMIC_WINDOW), size = fixed ? statics.size : dynamic_size;
    if (address < DYNAMIC_WINDOW || at > size || bytes > size - at)
        emu_die("shared address 0x%x, %zu bytes, is outside of the %zu bytes that there are", address, bytes, size);
    return (fixed ? statics.p : dynamic) + at;
}

void emu_check(const void *p, size_t align, size_t bytes, bool shared, const char *what)
{
    if ((uintptr_t)p % align) emu_die("%s at %p, which is no multiple of %zu", what, p, align);
    if (shared) emu_shared_pointer(emu_shared_address(p), bytes);
}

/* ---- what is in flight ---- */

struct copy {
    unsigned char *to;
    const unsigned char *from;
    unsigned size, take;
    uint64_t group;
};

struct flight {
    std::deque<copy> copies;
    uint64_t group;
    std::vector<std::pair<uint64_t, std::function<void()>>> stores;
    uint64_t store_group;
};

struct mbarrier {
    void *at;
    unsigned expected, pending, phase;
    long tx;
    std::vector<std::pair<unsigned, std::function<void()>>> loads; /* bytes, and the copy */
};

#define MBARRIER_MARK 0xb0a770fb0a770f00ull /* what lies in shared memory: overwritten, it is noticed */

static flight threads[EMU_THREADS_MAX];
static std::deque<mbarrier> barriers;

static flight *my_flight(void) { return &threads[emu_thread_number()]; }

void emu_async_begin(int n)
{
    for (int t = 0; t < n; t++) {
        threads[t].copies.clear();
        threads[t].stores.clear();
        threads[t].group = threads[t].store_group = 0;
    }
    barriers.clear();
}

void emu_async_exit(int thread)
{
    size_t n = threads[thread].stores.size();
    if (n) emu_die("a thread leaves the kernel with %zu bulk stores not waited for", n);
}

/* ---- cp.async ---- */

void emu_cp_async(void *to, const void *from, int size, int take)
{
    if (size != 4 && size != 8 && size != 16) emu_die("cp.async of %d bytes; 4, 8 or 16 can be had", size);
    if (take < 0 || take > size) emu_die("cp.async of %d bytes takes %d", size, take);
    emu_check(to, (size_t)size, (size_t)size, true, "cp.async to");
    if (take) emu_check(from, (size_t)size, (size_t)size, false, "cp.async from");
    memset(to, 0xff, (size_t)size);
    flight *mine = my_flight();
    mine->copies.push_back(
        { (unsigned char *)to, (const unsigned char *)from, (unsigned)size, (unsigned)take, mine->group });
}

void emu_cp_async_commit(void) { my_flight()->group++; }

static void land_copies(flight *mine, uint64_t below)
{
    while (!mine->copies.empty() && mine->copies.front().group < below) {
        const copy &c = mine->copies.front();
        memset(c.to, 0, c.size);
        memcpy(c.to, c.from, c.take);
        mine->copies.pop_front();
    }
}

void emu_cp_async_wait(int groups)
{
    flight *mine = my_flight();
    if (groups < 0)
        land_copies(mine, UINT64_MAX);
    else if (mine->group >= (uint64_t)groups)
        land_copies(mine, mine->group - (uint64_t)groups);
}

/* ---- mbarrier ---- */

static mbarrier *barrier_at(void *at, const char *what)
{
    emu_check(at, 8, 8, true, what);
    for (mbarrier &b : barriers)
        if (b.at == at) {
            uint64_t mark;
            memcpy(&mark, at, sizeof mark);
            if (mark != MBARRIER_MARK) emu_die("%s: the mbarrier was overwritten", what);
            return &b;
        }
    emu_die("%s: there was no mbarrier.init", what);
}

void emu_mbarrier_init(void *at, unsigned count)
{
    emu_check(at, 8, 8, true, "mbarrier.init");
    if (count < 1 || count >= 1u << 20) emu_die("mbarrier.init for %u threads", count);
    for (const mbarrier &b : barriers)
        if (b.at == at) emu_die("mbarrier.init of an mbarrier in use");
    barriers.push_back({ at, count, count, 0, 0, {} });
    const uint64_t mark = MBARRIER_MARK;
    memcpy(at, &mark, sizeof mark);
}

void emu_mbarrier_inval(void *at)
{
    mbarrier *b = barrier_at(at, "mbarrier.inval");
    b->at = NULL;
}

static void turn_over(mbarrier *b)
{
    if (b->pending || b->tx) return;
    b->phase ^= 1;
    b->pending = b->expected;
}

void emu_mbarrier_arrive(void *at, unsigned count)
{
    mbarrier *b = barrier_at(at, "mbarrier.arrive");
    if (count > b->pending)
        emu_die("mbarrier.arrive: more threads than the %u that it was initialized for", b->expected);
    b->pending -= count;
    turn_over(b);
}

void emu_mbarrier_expect_tx(void *at, unsigned bytes)
{
    mbarrier *b = barrier_at(at, "mbarrier.expect_tx");
    b->tx += bytes;
    if (b->tx >= 1 << 20) emu_die("mbarrier.expect_tx: %ld bytes are more than it counts", b->tx);
}

void emu_cp_async_mbarrier_arrive(void *at)
{
    flight *mine = my_flight();
    mbarrier *b = barrier_at(at, "cp.async.mbarrier.arrive");
    if (!b->pending)
        emu_die("cp.async.mbarrier.arrive: more threads than the %u that it was initialized for", b->expected);
    std::deque<copy> copies;
    copies.swap(mine->copies);
    b->loads.push_back({ 0, [b, copies] {
                            for (const copy &c : copies) {
                                memset(c.to, 0, c.size);
                                memcpy(c.to, c.from, c.take);
                            }
                            b->pending--;
                        } });
}

struct phase {
    mbarrier *b;
    unsigned parity;
};

static bool is_over(void *object)
{
    const phase *p = (const phase *)object;
    return p->b->phase != p->parity;
}

/* Lets the copies of the phase come in, for everybody waits. */
static void land(void *object)
{
    mbarrier *b = ((const phase *)object)->b;
    std::vector<std::pair<unsigned, std::function<void()>>> loads;
    loads.swap(b->loads);
    for (const auto &load : loads) {
        load.second();
        b->tx -= load.first;
        turn_over(b);
    }
}

bool emu_mbarrier_try_wait(void *at, unsigned parity, emu_where where)
{
    phase p = { barrier_at(at, "mbarrier.try_wait"), parity & 1 };
    emu_wait("mbarrier.try_wait", &p, is_over, land, where);
    return true;
}

bool emu_mbarrier_test_wait(void *at, unsigned parity, emu_where where)
{
    phase p = { barrier_at(at, "mbarrier.test_wait"), parity & 1 };
    if (is_over(&p)) return true;
    emu_yield(where);
    land(&p);
    return is_over(&p);
}

/* ---- bulk copies ---- */

void emu_bulk_load(void *to, const void *from, unsigned bytes, void *at)
{
    mbarrier *b = barrier_at(at, "cp.async.bulk");
    if (!bytes || bytes % 16) emu_die("cp.async.bulk of %u bytes, which is no multiple of 16", bytes);
    emu_check(to, 16, bytes, true, "cp.async.bulk to");
    emu_check(from, 16, bytes, false, "cp.async.bulk from");
    memset(to, 0xff, bytes);
    b->loads.push_back({ bytes, [=] { memcpy(to, from, bytes); } });
}

static void push_store(std::function<void()> store)
{
    flight *mine = my_flight();
    mine->stores.push_back({ mine->store_group, std::move(store) });
}

void emu_bulk_store(void *to, const void *from, unsigned bytes)
{
    if (!bytes || bytes % 16) emu_die("cp.async.bulk of %u bytes, which is no multiple of 16", bytes);
    emu_check(from, 16, bytes, true, "cp.async.bulk from");
    emu_check(to, 16, bytes, false, "cp.async.bulk to");
    push_store([=] { memcpy(to, from, bytes); });
}

void emu_bulk_commit(void) { my_flight()->store_group++; }

void emu_bulk_wait(int groups, bool)
{
    flight *mine = my_flight();
    if (mine->store_group < (uint64_t)groups) return;
    uint64_t below = mine->store_group - (uint64_t)groups;
    std::vector<std::pair<uint64_t, std::function<void()>>> left;
    for (auto &store : mine->stores)
        if (store.first < below)
            store.second();
        else
            left.push_back(std::move(store));
    mine->stores.swap(left);
}

/* ---- TMA ---- */

/* Calls move(place in the box's rows, element's address or NULL when out of range) for each element of the box. */
static void walk_box(
    const emu_tensor_map *m, const int *coordinate, const std::function<void(size_t, unsigned char *)> &move)
{
    size_t count = 1, at = 0;
    for (int d = 0; d < m->dims; d++) count *= m->box[d];
    for (size_t i = 0; i < count; i++, at += m->bytes) {
        size_t rest = i;
        unsigned char *p = (unsigned char *)m->base;
        bool inside = true;
        for (int d = 0; d < m->dims; d++) {
            int64_t c = coordinate[d] + (int64_t)(rest % m->box[d]) * m->step[d];
            rest /= m->box[d];
            inside = inside && c >= 0 && c < (int64_t)m->size[d];
            p += c * (int64_t)m->stride[d];
        }
        move(at, inside ? p : NULL);
    }
}

static const emu_tensor_map *map_of(const void *p, int dims, const void *shared, const char *what)
{
    const emu_tensor_map *m = (const emu_tensor_map *)p;
    emu_check(p, 64, 0, false, "a tensor map");
    if (m->mark != EMU_TENSOR_MARK) emu_die("%s: no tensor map", what);
    if (m->dims != dims) emu_die("%s: %d coordinates for a tensor of %d dimensions", what, dims, m->dims);
    size_t bytes = m->bytes;
    for (int d = 0; d < m->dims; d++) bytes *= m->box[d];
    emu_check(shared, 128, bytes, true, what);
    return m;
}

/* Where byte `at` of the box lies from `to` on: the 16-byte pieces of a row change places by the address's bits. */
static unsigned char *swizzled(const emu_tensor_map *m, unsigned char *to, size_t at)
{
    uint32_t address = emu_shared_address(to + at);
    uint32_t other = address ^ ((address >> 7 & (uint32_t)m->swizzle) << 4);
    return to + at + other - address;
}

void emu_tma_load(void *to, const void *map, const int *coordinate, int dims, void *at)
{
    mbarrier *b = barrier_at(at, "TMA load");
    const emu_tensor_map *m = map_of(map, dims, to, "TMA load to");
    unsigned bytes = m->bytes;
    int c[5] = {};
    for (int d = 0; d < dims; d++) c[d] = coordinate[d], bytes *= m->box[d];
    memset(to, 0xff, bytes);
    emu_tensor_map copy = *m;
    b->loads.push_back({ bytes, [=] {
                            walk_box(&copy, c, [&](size_t place, unsigned char *p) {
                                unsigned char *q = swizzled(&copy, (unsigned char *)to, place);
                                if (p)
                                    memcpy(q, p, copy.bytes);
                                else
                                    memset(q, 0, copy.bytes);
                            });
                        } });
}

void emu_tma_store(const void *map, const int *coordinate, int dims, const void *from)
{
    emu_tensor_map copy = *map_of(map, dims, from, "TMA store from");
    int c[5] = {};
    for (int d = 0; d < dims; d++) c[d] = coordinate[d];
    push_store([=] {
        walk_box(&copy, c, [&](size_t place, unsigned char *p) {
            if (p) memcpy(p, swizzled(&copy, (unsigned char *)from, place), copy.bytes);
        });
    });
}
