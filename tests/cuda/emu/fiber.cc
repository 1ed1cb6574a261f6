/* Fibers, the order in which they run, and the ways in which they wait for each other. */
#include "emu.h"
#include "fiber.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES ((size_t)512 << 10)
#else
#define STACK_BYTES ((size_t)128 << 10)
#endif
#define YIELDS_MAX 20000000 /* without anybody getting further: a spin that never ends */

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

struct gathering {
    unsigned mask; /* lanes wanted */
    int wanted, came, waits;
    const char *what;
    emu_complete complete;
    emu_where where;
    void *data[EMU_THREADS_MAX];
    int who[EMU_THREADS_MAX];
};

enum state { READY, WAITING, DONE };

struct fiber {
    void *sp;
    char *stack;
    void *fake; /* ASan's */
    enum state state;
    const char *what;
    emu_where where;
    /* of emu_wait */
    void *object;
    bool (*ready)(void *);
    void (*land)(void *);
};

static struct {
    const emu_kernel *kernel;
    int threads, live, now, n_ready, n_polling;
    int ready[EMU_THREADS_MAX / EMU_WARP][EMU_WARP], ready_of[EMU_THREADS_MAX / EMU_WARP]; /* by warp */
    int order[EMU_THREADS_MAX / EMU_WARP]; /* warps, the most favored first */
    bool favors;                           /* else all that are ready have the same chance */
    long yields;
    fiber fibers[EMU_THREADS_MAX];
    fiber home; /* the caller's own stack */
    const void *home_bottom;
    size_t home_size;
    unsigned gone[EMU_THREADS_MAX / EMU_WARP];            /* lanes that left, by warp */
    gathering warp[EMU_THREADS_MAX / EMU_WARP][EMU_WARP]; /* one a mask */
    gathering group[EMU_THREADS_MAX / 128];
    gathering barrier[16];
} block;

static uint64_t random_state;

/* A number below n. */
static unsigned draw(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % n);
}

int emu_thread_number(void) { return block.now; }
int emu_lane(void) { return block.now % EMU_WARP; }
bool emu_in_kernel(void) { return block.kernel != NULL; }

/* ---- complaints ---- */

static void print_kernel(void)
{
    const emu_kernel *k = block.kernel;
    char name[512];
    if (!k) return;
    emu_function_name(k->function, name, sizeof name);
    fprintf(stderr,
        "emulator: kernel %s, grid %ux%ux%u, block %ux%ux%u, %zu bytes of shared memory; block (%u, %u, %u)\n",
        name, k->grid.x, k->grid.y, k->grid.z, k->block.x, k->block.y, k->block.z, k->shared, blockIdx.x,
        blockIdx.y, blockIdx.z);
}

void emu_die(const char *fmt, ...)
{
    va_list args;
    fflush(stdout);
    fprintf(stderr, "emulator: ");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n");
    print_kernel();
    if (block.kernel && block.now >= 0)
        fprintf(
            stderr, "emulator: thread (%u, %u, %u), number %d\n", threadIdx.x, threadIdx.y, threadIdx.z, block.now);
    abort();
}

[[noreturn]] static void deadlock(void)
{
    fprintf(stderr, "emulator: threads wait for ever; %d of %d have left the kernel\n", block.threads - block.live,
        block.threads);
    print_kernel();
    for (int t = 0, told = 0; t < block.threads && told < 8; t++) {
        const fiber *f = &block.fibers[t];
        bool first = f->state == WAITING;
        for (int s = 0; s < t && first; s++)
            first = block.fibers[s].state != WAITING || block.fibers[s].where.line() != f->where.line() ||
                    block.fibers[s].what != f->what;
        if (!first) continue;
        int alike = 0;
        for (int s = t; s < block.threads; s++)
            alike += block.fibers[s].state == WAITING && block.fibers[s].where.line() == f->where.line() &&
                     block.fibers[s].what == f->what;
        fprintf(stderr, "emulator: %d threads, the first of them %d, wait in %s at %s:%u\n", alike, t, f->what,
            f->where.file_name(), f->where.line());
        told++;
    }
    abort();
}

/* ---- switching ---- */

extern "C" void emu_switch(void **save, void *to);

#ifdef __x86_64__
asm(R"(
.text
.globl emu_switch
.hidden emu_switch
.type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch, .-emu_switch
)");

static void *first_frame(char *top, void (*entry)(void))
{
    void **sp = (void **)(top - 16);
    sp[-1] = NULL; /* no one to return to */
    sp[-2] = (void *)entry;
    for (int i = 3; i <= 8; i++) sp[-i] = NULL;
    return sp - 8;
}
#else
#include <ucontext.h>

extern "C" void emu_switch(void **save, void *to)
{
    ucontext_t here;
    *save = &here;
    swapcontext(&here, (ucontext_t *)to);
}

static void *first_frame(char *top, void (*entry)(void))
{
    ucontext_t *context = (ucontext_t *)((uintptr_t)(top - sizeof *context) & ~(uintptr_t)63);
    getcontext(context);
    context->uc_stack.ss_sp = top - STACK_BYTES;
    context->uc_stack.ss_size = (size_t)((char *)context - (top - STACK_BYTES));
    context->uc_link = NULL;
    makecontext(context, entry, 0);
    return context;
}
#endif

static void arrived(void)
{
#ifdef __SANITIZE_ADDRESS__
    fiber *f = block.now < 0 ? &block.home : &block.fibers[block.now];
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(f->fake, &bottom, &size);
    if (!block.home_size) {
        block.home_bottom = bottom;
        block.home_size = size;
    }
#endif
}

/* Runs fiber `to`, -1 = the caller of emu_run, until somebody switches back. */
static void switch_to(int to, bool leave)
{
    int from = block.now;
    if (from == to) return;
    fiber *f = from < 0 ? &block.home : &block.fibers[from], *t = to < 0 ? &block.home : &block.fibers[to];
    block.now = to;
    if (to >= 0) {
        unsigned n = (unsigned)to, x = blockDim.x, y = blockDim.y;
        threadIdx = { n % x, n / x % y, n / x / y };
    }
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(
        leave ? NULL : &f->fake, to < 0 ? block.home_bottom : t->stack, to < 0 ? block.home_size : STACK_BYTES);
#else
    (void)leave;
#endif
    emu_switch(&f->sp, t->sp);
    arrived();
}

/* The next thread. Where all have the same chance, they stay close together and seldom overtake each other by a whole
 * barrier. So in most blocks some warps are favored and run as far as they can while the others stand still, until the
 * favor changes: what lacks a barrier is then read long before it is written, or written while it is still to be read. */
static int take_ready(void)
{
    int warp = 0;
    if (!block.n_ready) return -1;
    if (block.favors && !draw(256))
        std::swap(block.order[0], block.order[draw((unsigned)block.threads) / EMU_WARP]);
    if (block.favors) {
        int i = 0, warps = (block.threads + EMU_WARP - 1) / EMU_WARP;
        while (i < warps && !block.ready_of[block.order[i]]) i++;
        for (warp = i < warps ? block.order[i] : 0; !block.ready_of[warp];) warp++;
    } else {
        int left = (int)draw((unsigned)block.n_ready);
        while (left >= block.ready_of[warp]) left -= block.ready_of[warp++];
    }
    int *ready = block.ready[warp], i = (int)draw((unsigned)block.ready_of[warp]), t = ready[i];
    ready[i] = ready[--block.ready_of[warp]];
    block.n_ready--;
    return t;
}

static void make_ready(int t)
{
    int warp = t / EMU_WARP;
    block.fibers[t].state = READY;
    block.ready[warp][block.ready_of[warp]++] = t;
    block.n_ready++;
}

/* Another favor for each block. */
static void choose_favor(void)
{
    int warps = (block.threads + EMU_WARP - 1) / EMU_WARP;
    block.favors = draw(4) > 0;
    for (int i = 0; i < warps; i++) {
        int other = (int)draw((unsigned)i + 1);
        block.order[i] = block.order[other];
        block.order[other] = i;
    }
}

static void wait_for_others(const char *what, emu_where where)
{
    fiber *f = &block.fibers[block.now];
    f->state = WAITING;
    f->what = what;
    f->where = where;
    switch_to(take_ready(), false);
}

/* Wakes those in emu_wait() whose time has come; true when there is one. */
static bool poll(bool land)
{
    bool woke = false;
    for (int t = 0; t < block.threads && block.n_polling; t++) {
        fiber *f = &block.fibers[t];
        if (f->state != WAITING || !f->ready) continue;
        if (land && f->land) f->land(f->object);
        if (!f->ready(f->object)) continue;
        f->ready = NULL;
        block.n_polling--;
        make_ready(t);
        woke = true;
    }
    return woke;
}

void emu_yield(emu_where where)
{
    if (++block.yields > YIELDS_MAX) emu_die("a thread spins for ever at %s:%u", where.file_name(), where.line());
    make_ready(block.now);
    poll(false);
    switch_to(take_ready(), false);
}

void emu_wait(const char *what, void *object, bool (*ready)(void *), void (*land)(void *), emu_where where)
{
    fiber *f = &block.fibers[block.now];
    if (ready(object)) return;
    f->object = object;
    f->ready = ready;
    f->land = land;
    block.n_polling++;
    wait_for_others(what, where);
}

/* ---- gatherings ---- */

static void dissolve(gathering *g)
{
    for (int i = 0; i < g->waits; i++)
        if (g->who[i] != block.now) make_ready(g->who[i]);
    g->came = g->waits = 0;
}

static void come(gathering *g, int slot, const char *what, void *mine, bool waits, emu_where where)
{
    if (!g->came) {
        g->what = what;
        g->where = where;
        memset(g->data, 0, sizeof g->data[0] * EMU_WARP);
    }
    g->data[slot] = mine;
    if (waits) g->who[g->waits++] = block.now;
    g->came++;
    block.yields = 0;
}

static bool is_full(int warp, const gathering *g)
{
    unsigned there = block.gone[warp];
    for (int i = 0; i < g->waits; i++) there |= 1u << g->who[i] % EMU_WARP;
    return g->came && !(g->mask & ~there);
}

/* The one for this mask, or a free one: there are as many as lanes, and a lane waits in one at a time. */
static gathering *gathering_of(gathering *all, unsigned mask)
{
    gathering *one = NULL;
    for (int i = 0; i < EMU_WARP; i++) {
        if (all[i].came && all[i].mask == mask) return &all[i];
        if (!all[i].came && !one) one = &all[i];
    }
    return one;
}

void emu_warp(unsigned mask, const char *what, void *mine, emu_complete complete, emu_where where)
{
    int warp = block.now / EMU_WARP, lane = emu_lane();
    if (!(mask >> lane & 1))
        emu_die("%s at %s:%u: its mask %08x leaves out lane %d itself", what, where.file_name(), where.line(), mask,
            lane);
    gathering *g = gathering_of(block.warp[warp], mask);
    if (g->came && strcmp(g->what, what))
        emu_die("%s at %s:%u meets %s at %s:%u in one warp", what, where.file_name(), where.line(), g->what,
            g->where.file_name(), g->where.line());
    g->mask = mask;
    g->complete = complete;
    come(g, lane, what, mine, true, where);
    if (!is_full(warp, g)) {
        wait_for_others(what, where);
        return;
    }
    if (complete) complete(g->data, EMU_WARP);
    dissolve(g);
}

static void gather(gathering *g, int wanted, int slot, const char *what, void *mine, emu_complete complete,
    bool waits, emu_where where)
{
    if (g->came && g->wanted != wanted)
        emu_die("%s at %s:%u waits for %d threads, and at %s:%u for %d", what, where.file_name(), where.line(),
            wanted, g->where.file_name(), g->where.line(), g->wanted);
    if (g->came && complete && strcmp(g->what, what))
        emu_die("%s at %s:%u meets %s at %s:%u", what, where.file_name(), where.line(), g->what,
            g->where.file_name(), g->where.line());
    g->wanted = wanted;
    come(g, slot < 0 ? g->came : slot, what, mine, waits, where);
    if (g->came < wanted) {
        if (waits) wait_for_others(what, where);
        return;
    }
    if (complete) complete(g->data, wanted);
    dissolve(g);
}

void emu_warpgroup(const char *what, void *mine, emu_complete complete, emu_where where)
{
    if (block.threads < 128) emu_die("%s in a block of %d threads; a warpgroup is 128", what, block.threads);
    gather(&block.group[block.now / 128], 128, block.now % 128, what, mine, complete, true, where);
}

static gathering *barrier_of(int id, int *threads, const char *what, emu_where where)
{
    if (id < 0 || id > 15)
        emu_die("%s at %s:%u: there is no barrier %d", what, where.file_name(), where.line(), id);
    if (!*threads) *threads = block.threads;
    if (*threads % EMU_WARP && *threads != block.threads)
        emu_die("%s at %s:%u is for %d threads, which are no whole warps", what, where.file_name(), where.line(),
            *threads);
    return &block.barrier[id];
}

void emu_barrier(int id, int threads, const char *what, void *mine, emu_complete complete, emu_where where)
{
    bool whole = !threads;
    gathering *g = barrier_of(id, &threads, what, where);
    /* One barrier in two places of the source is one on the machine, but by luck; CUDA forbids it for __syncthreads. */
    if (whole && g->came && (g->where.line() != where.line() || strcmp(g->where.file_name(), where.file_name())))
        emu_die("threads of one block are at different barriers: %s:%u and %s:%u", g->where.file_name(),
            g->where.line(), where.file_name(), where.line());
    gather(g, threads, -1, what, mine, complete, true, where);
}

void emu_barrier_arrive(int id, int threads, emu_where where)
{
    gathering *g = barrier_of(id, &threads, "bar.arrive", where);
    gather(g, threads, -1, "bar.arrive", NULL, NULL, false, where);
}

/* ---- a block, and a grid ---- */

/* Lanes that leave are no longer waited for by their warp. */
static void leave_kernel(void)
{
    int me = block.now, warp = me / EMU_WARP;
    emu_async_exit(me);
    emu_tensor_exit(me);
    block.gone[warp] |= 1u << emu_lane();
    block.fibers[me].state = DONE;
    block.live--;
    for (int i = 0; i < EMU_WARP; i++) {
        gathering *g = &block.warp[warp][i];
        if (!is_full(warp, g)) continue;
        if (g->complete) g->complete(g->data, EMU_WARP);
        dissolve(g);
    }
    switch_to(take_ready(), true);
    __builtin_unreachable();
}

static void fiber_main(void)
{
    arrived();
    block.kernel->body();
    leave_kernel();
}

static char *stack_of(int t)
{
    static char *stacks;
    size_t guard = (size_t)getpagesize(), each = STACK_BYTES + guard;
    if (!stacks) {
        stacks = (char *)mmap(NULL, each * EMU_THREADS_MAX, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks == MAP_FAILED) emu_die("no memory for stacks");
        for (int i = 0; i < EMU_THREADS_MAX; i++) mprotect(stacks + (size_t)i * each, guard, PROT_NONE);
    }
    return stacks + (size_t)t * each + guard;
}

static void run_block(void)
{
    memset(block.gone, 0, sizeof block.gone);
    memset(block.ready_of, 0, sizeof block.ready_of);
    block.n_ready = block.n_polling = 0;
    choose_favor();
    block.yields = 0;
    block.live = block.threads;
    for (int t = 0; t < block.threads; t++) {
        fiber *f = &block.fibers[t];
        f->stack = stack_of(t);
        f->fake = NULL;
        f->ready = NULL;
#ifdef __SANITIZE_ADDRESS__
        ASAN_UNPOISON_MEMORY_REGION(f->stack, STACK_BYTES);
#endif
        f->sp = first_frame(f->stack + STACK_BYTES, fiber_main);
        make_ready(t);
    }
    for (int t = block.threads; t % EMU_WARP; t++) block.gone[t / EMU_WARP] |= 1u << t % EMU_WARP;
    emu_shared_begin(block.kernel->shared);
    emu_async_begin(block.threads);
    emu_tensor_begin(block.threads);
    while (block.live) {
        if (!block.n_ready && !poll(false) && !poll(true)) deadlock();
        switch_to(take_ready(), false);
    }
    for (gathering &g : block.barrier)
        if (g.came)
            emu_die("a barrier has %d of %d threads when the block ends (%s:%u)", g.came, g.wanted,
                g.where.file_name(), g.where.line());
}

/* i -> a*i + b mod n is a shuffle when a has no factor in common with n. */
static size_t coprime_to(size_t n)
{
    for (;;) {
        size_t a = 1 + draw((unsigned)(n > 1u << 30 ? 1u << 30 : n)), x = a, y = n;
        while (y) {
            size_t rest = x % y;
            x = y;
            y = rest;
        }
        if (x == 1) return a;
    }
}

void emu_run(const emu_kernel &kernel)
{
    const char *seed = getenv("EMU_SEED");
    if (!random_state) random_state = (seed ? strtoull(seed, NULL, 10) : 1) * 0x9e3779b97f4a7c15ull | 1;
    block.kernel = &kernel;
    block.now = -1;
    block.threads = (int)(kernel.block.x * kernel.block.y * kernel.block.z);
    gridDim = kernel.grid;
    blockDim = kernel.block;
    size_t n = (size_t)kernel.grid.x * kernel.grid.y * kernel.grid.z, a = coprime_to(n), b = draw(1u << 30) % n;
    for (size_t i = 0; i < n; i++) {
        size_t at = (a * i + b) % n;
        blockIdx = { (unsigned)(at % gridDim.x), (unsigned)(at / gridDim.x % gridDim.y),
            (unsigned)(at / gridDim.x / gridDim.y) };
        run_block();
    }
    block.kernel = NULL;
}
