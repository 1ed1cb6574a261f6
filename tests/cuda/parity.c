/* Op parity of a backend plugin against the CPU reference, on random shapes.
 * usage: parity [--small] [--seed N] [--sm N] [--plain LIST] [--json FILE] [--list] [--together] PLUGIN [NAME]
 *   --small       shapes that an emulated device computes in seconds
 *   --sm          newest kernels that the plugin may use, as 80
 *   --plain       what it does without, as graphs,early,fuse,hopper
 *   --together    all checks in one process, for tools that watch it; else each has its own
 *   NAME          only checks whose name has it
 * One TAP line a check; exit 0: all passed. */
#include "tests/cuda/parity.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUARD       256 /* bytes behind each buffer that must stay */
#define BUFFERS_MAX 256

/* A check that takes longer hangs; on an emulated device, on a busy machine. */
#define CHECK_SECONDS 90
#define CHECKS_MAX    256
#define SMALL_SECONDS 900

struct parity parity;

static struct buffer buffers[BUFFERS_MAX];
static size_t n_buffers;
static double *allowed[BUFFERS_MAX];
static size_t n_allowed;
static char failure[1024];
static uint64_t random_state;

/* ---- failures and random numbers ---- */

void fail(const char *fmt, ...)
{
    va_list args;
    if (failure[0]) return;
    va_start(args, fmt);
    vsnprintf(failure, sizeof failure, fmt, args);
    va_end(args);
}

bool failed(void) { return failure[0] != 0; }

void note(const char *fmt, ...)
{
    size_t used = strlen(failure);
    va_list args;
    if (!used || strstr(failure, ", in ")) return;
    used += (size_t)snprintf(failure + used, sizeof failure - used, ", in ");
    va_start(args, fmt);
    if (used < sizeof failure) vsnprintf(failure + used, sizeof failure - used, fmt, args);
    va_end(args);
}

uint32_t random_u32(void)
{
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

int between(int lo, int hi) { return lo + (int)(random_u32() % (uint32_t)(hi - lo + 1)); }

/* Four even numbers added up are near enough, and caches want hundreds of millions. */
float normal(void)
{
    uint32_t a = random_u32(), b = random_u32();
    float sum = (float)((a & 0xffff) + (a >> 16) + (b & 0xffff) + (b >> 16));
    return (sum * 0x1p-16f - 2) * 1.7320508f;
}

int one_of(const int *list, int n) { return list[between(0, n - 1)]; }

/* Each check has numbers of its own, whichever ran before it. */
static void seed_for(const char *name, uint64_t seed)
{
    random_state = seed * 0x9e3779b97f4a7c15ull + 1;
    for (; *name; name++) random_state = (random_state ^ (unsigned char)*name) * 0x100000001b3ull;
    random_state |= 1;
    for (int i = 0; i < 8; i++) random_u32();
}

/* ---- buffers ---- */

static struct buffer *make(size_t bytes, int fill)
{
    struct buffer *b = &buffers[n_buffers++];
    if (n_buffers > BUFFERS_MAX || !(b->cpu = malloc(bytes + GUARD)) || !(b->start = malloc(bytes + GUARD)) ||
        !(b->got = malloc(bytes + GUARD)) || !(b->gpu = parity.be->alloc(parity.gpu, bytes + GUARD))) {
        fprintf(stderr, "No memory for a buffer of %zu bytes.\n", bytes);
        exit(2);
    }
    b->bytes = bytes;
    memset(b->cpu, fill, bytes);
    memset((char *)b->cpu + bytes, 0xff, GUARD);
    return b;
}

struct buffer *input(size_t bytes)
{
    struct buffer *b = make(bytes, 0);
    b->guess = false;
    return b;
}

struct buffer *output(size_t bytes)
{
    struct buffer *b = make(bytes, 0xff);
    b->guess = true;
    return b;
}

struct buffer *normals(size_t count, float scale, bool in_place)
{
    struct buffer *b = input(count * sizeof(float));
    for (size_t i = 0; i < count; i++) f32(b)[i] = normal() * scale;
    b->guess = in_place;
    return b;
}

double *tolerances(size_t n)
{
    double *t = calloc(n ? n : 1, sizeof *t);
    if (!t || n_allowed == BUFFERS_MAX) exit(2);
    return allowed[n_allowed++] = t;
}

static void free_buffers(void)
{
    for (size_t i = 0; i < n_buffers; i++) {
        parity.be->release(parity.gpu, buffers[i].gpu, buffers[i].bytes + GUARD);
        free(buffers[i].cpu), free(buffers[i].start), free(buffers[i].got);
    }
    for (size_t i = 0; i < n_allowed; i++) free(allowed[i]);
    n_buffers = n_allowed = 0;
}

void next_shape(void)
{
    if (!failed()) free_buffers();
}

/* ---- running ---- */

void reserve(struct kv_limits limits)
{
    struct kv_error err = { 0 };
    if (parity.be->reserve(parity.gpu, &limits, &err)) fail("reserve: %s", err.text);
    if (kv_backend_cpu.reserve(parity.cpu, &limits, &err)) fail("reserve on the CPU: %s", err.text);
}

static enum kv_status on_gpu(op_fn *op, const void *args, struct kv_error *err)
{
    const struct side gpu = { parity.be, parity.gpu, true };
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < n_buffers && !status; i++)
        status = parity.be->write(parity.gpu, buffers[i].gpu, buffers[i].start, buffers[i].bytes + GUARD, err);
    if (!status) status = op(&gpu, args, err);
    if (!status) status = parity.be->sync(parity.gpu, err);
    return status;
}

static void read_back(bool again)
{
    struct kv_error err = { 0 };
    for (size_t i = 0; i < n_buffers && !failed(); i++) {
        struct buffer *b = &buffers[i];
        size_t all = b->bytes + GUARD;
        char *now = malloc(all);
        if (!now || parity.be->read(parity.gpu, now, b->gpu, all, &err)) fail("read: %s", err.text);
        for (size_t j = 0; j < GUARD && !failed(); j++)
            if ((unsigned char)now[b->bytes + j] != 0xff)
                fail("byte %zu behind buffer %zu of %zu bytes was written", j, i, b->bytes);
        if (!failed() && !b->guess && memcmp(now, b->start, b->bytes)) fail("input %zu was written", i);
        for (size_t j = 0; again && j < b->bytes && !failed(); j++)
            if (now[j] != ((char *)b->got)[j])
                fail("the second run differs in byte %zu of buffer %zu (%zu bytes)", j, i, b->bytes);
        memcpy(b->got, now, all);
        free(now);
    }
}

bool run_both(op_fn *op, const void *args)
{
    const struct side cpu = { &kv_backend_cpu, parity.cpu, false };
    struct kv_error cpu_err = { 0 }, gpu_err = { 0 };
    if (failed()) return false;
    for (size_t i = 0; i < n_buffers; i++) memcpy(buffers[i].start, buffers[i].cpu, buffers[i].bytes + GUARD);
    enum kv_status want = op(&cpu, args, &cpu_err);
    for (int again = 0; again < 2 && !failed(); again++) {
        enum kv_status got = on_gpu(op, args, &gpu_err);
        if (got != want)
            fail("status \"%s\" (%s), on the CPU \"%s\" (%s)", kv_status_text(got), gpu_err.text,
                kv_status_text(want), cpu_err.text);
        if (!failed() && !got) read_back(again);
    }
    return !want && !failed();
}

void must_refuse(op_fn *op, const void *args, const char *what)
{
    struct kv_error err = { 0 };
    if (failed()) return;
    for (size_t i = 0; i < n_buffers; i++) memcpy(buffers[i].start, buffers[i].cpu, buffers[i].bytes + GUARD);
    enum kv_status status = on_gpu(op, args, &err);
    size_t n = strlen(err.text);
    if (!status)
        fail("%s was not refused", what);
    else if (n < 2 || err.text[n - 1] != '.')
        fail("%s was refused without a sentence: \"%s\"", what, err.text);
    read_back(false);
    for (size_t i = 0; i < n_buffers && !failed(); i++)
        if (memcmp(buffers[i].got, buffers[i].start, buffers[i].bytes))
            fail("%s was refused, but buffer %zu was written", what, i);
}

/* ---- comparing ---- */

void compare_values(const float *got, const float *want, size_t count, const double *tolerance, const char *what)
{
    for (size_t i = 0; i < count && !failed(); i++) {
        double difference = fabs((double)got[i] - (double)want[i]);
        if (got[i] == want[i] || (isnan(want[i]) && isnan(got[i]))) continue;
        if (!(difference <= tolerance[i]))
            fail("%s[%zu] is %.9g, not %.9g: off by %.3g, allowed are %.3g", what, i, (double)got[i],
                (double)want[i], difference, tolerance[i]);
        else if (difference / tolerance[i] > parity.worst)
            parity.worst = difference / tolerance[i];
    }
}

void compare(const struct buffer *b, size_t count, const double *tolerance, const char *what)
{
    compare_values(b->got, b->cpu, count, tolerance, what);
}

void compare_norm(const struct buffer *b, size_t count, double most, const char *what)
{
    const float *got = b->got, *want = b->cpu;
    double difference = 0, length = 0;
    for (size_t i = 0; i < count; i++) {
        double d = got[i] == want[i] ? 0 : (double)got[i] - (double)want[i];
        difference += d * d;
        length += (double)want[i] * (double)want[i];
    }
    if (!failed() && !(sqrt(difference) <= most * sqrt(length)))
        fail("%s is off by %.3g of its length; %.3g are allowed", what, sqrt(difference / length), most);
}

void compare_bits(const struct buffer *b, const char *what)
{
    const unsigned char *got = b->got, *want = b->cpu;
    for (size_t i = 0; i < b->bytes && !failed(); i++)
        if (got[i] != want[i]) fail("%s differs in byte %zu: 0x%02x, not 0x%02x", what, i, got[i], want[i]);
}

/* ---- the program ---- */

struct options {
    const char *plugin, *only, *json;
    uint64_t seed;
    bool list, together;
};

static const char *const precision_name[] = { "fast", "f32", "int8" };

static const struct {
    const char *name;
    size_t at;
} slots[] = {
#define SLOT(name)                                                                                                 \
    {                                                                                                              \
#name, offsetof(struct kv_backend, name)                                                                   \
    }
    SLOT(embed), SLOT(norm), SLOT(linear), SLOT(rope), SLOT(interleave), SLOT(append), SLOT(attend), SLOT(columns),
    SLOT(probabilities), SLOT(norms), SLOT(cosine), SLOT(moments), SLOT(expect), SLOT(swiglu), SLOT(gather),
    SLOT(gather_heads), SLOT(fold), SLOT(select), SLOT(select_many), SLOT(argmax)
#undef SLOT
};

static bool has_slot(const char *name, size_t length)
{
    for (size_t i = 0; i < KV_COUNT(slots); i++) {
        void (*op)(void);
        memcpy(&op, (const char *)parity.be + slots[i].at, sizeof op);
        if (strlen(slots[i].name) == length && !strncmp(slots[i].name, name, length)) return op;
    }
    return true; /* no op: memory, passes */
}

/* The first op of the check that the plugin lacks; NULL = none. */
static const char *missing_op(const struct check *c)
{
    static char name[64];
    const char *lists[] = { c->name, c->needs };
    for (size_t i = 0; i < KV_COUNT(lists); i++)
        for (const char *p = lists[i]; p && *p; p += strcspn(p, ","), p += *p == ',') {
            size_t length = strcspn(p, " ,");
            snprintf(name, sizeof name, "%.*s", (int)length, p);
            if (!has_slot(p, length)) return name;
            if (!i) break; /* of the check's own name only the first word is an op */
        }
    return NULL;
}

static const struct kv_backend *open_plugin(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct kv_backend *(*plugin)(void) = NULL;
    if (library) *(void **)&plugin = dlsym(library, "kv_backend_plugin");
    const struct kv_backend *be = plugin ? plugin() : NULL;
    if (be && be->abi == KV_BACKEND_ABI && be->size == sizeof *be) return be;
    fprintf(
        stderr, "%s is no backend of this version: %s.\n", path, library ? "no symbol, or another ABI" : dlerror());
    return NULL;
}

static void *open_context(enum kv_precision precision)
{
    const struct kv_backend_options options = { .precision = precision, .sm = parity.sm };
    struct kv_error err = { 0 };
    void *ctx = NULL;
    if (!parity.be->init(&options, &ctx, &err)) return ctx;
    fprintf(stderr, "%s\n", err.text);
    exit(3);
}

/* Runs one check, prints its line, and adds a row to the report. */
static const char *name_of(const struct check *c, char *name, size_t size)
{
    snprintf(name, size, "%s, %s", c->name, precision_name[c->precision]);
    return name;
}

static bool run_check(const struct check *c, int number, const struct options *options, FILE *json)
{
    char name[128];
    const char *missing = missing_op(c);
    name_of(c, name, sizeof name);
    parity.precision = c->precision;
    parity.worst = 0;
    failure[0] = 0;
    seed_for(name, options->seed);
    if (!missing) {
        double from = kv_now_us();
        parity.gpu = open_context(c->precision);
        c->run();
        free_buffers();
        parity.be->free(parity.gpu);
        if (json)
            fprintf(json, "{\"check\": \"%s\", \"ok\": %s, \"error_of_tolerance\": %.4f, \"seconds\": %.3f}\n",
                name, failed() ? "false" : "true", parity.worst, (kv_now_us() - from) / 1e6);
        if (json) fflush(json);
    } else {
        fail("the plugin has no %s", missing);
    }
    printf("%sok %d - %s", failed() ? "not " : "", number, name);
    printf(failed() ? "\n# %s\n" : "\n", failure);
    fflush(stdout);
    return !failed();
}

/* What is to be run, and how far a process has come with it. */
struct list {
    const struct check *check[CHECKS_MAX];
    int n;
    volatile int *done; /* shared with the process that runs them */
};

static void list_checks(struct list *list, const char *only)
{
    const struct {
        const struct check *check;
        size_t n;
    } parts[] = { { row_checks, n_row_checks }, { linear_checks, n_linear_checks },
        { cache_checks, n_cache_checks }, { attend_checks, n_attend_checks }, { few_checks, n_few_checks },
        { pass_checks, n_pass_checks } };
    for (size_t i = 0; i < KV_COUNT(parts); i++)
        for (size_t k = 0; k < parts[i].n && list->n < CHECKS_MAX; k++) {
            char name[128];
            if (!only || strstr(name_of(&parts[i].check[k], name, sizeof name), only))
                list->check[list->n++] = &parts[i].check[k];
        }
}

/* Runs them to the first that fails. */
static bool run_on(struct list *list, const struct options *options, FILE *json)
{
    while (*list->done < list->n) {
        int at = *list->done;
        alarm(parity.small ? SMALL_SECONDS : CHECK_SECONDS);
        bool good = run_check(list->check[at], at + 1, options, json);
        *list->done = at + 1;
        if (!good) return false;
    }
    return true;
}

/* A kernel that faults or hangs takes its process along, with the device's context: another goes on behind it. (One
 * for each check would be simpler; a context takes a second to make.) False: a check failed. */
static bool run_apart(struct list *list, const struct options *options, FILE *json)
{
    char name[128];
    int status = 0, before = *list->done;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) return run_on(list, options, json);
    if (!child) exit(!run_on(list, options, json));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) < 2 && *list->done > before) return !WEXITSTATUS(status);
    if (*list->done == list->n) {
        printf("# A process that had run all its checks ended badly.\n");
        return false;
    }
    printf("not ok %d - %s\n# ", *list->done + 1, name_of(list->check[*list->done], name, sizeof name));
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        printf("It hung.\n");
    else if (WIFSIGNALED(status))
        printf("It died of signal %d.\n", WTERMSIG(status));
    else
        printf("It ended with status %d.\n", WEXITSTATUS(status));
    ++*list->done;
    return false;
}

static bool run_all(const struct options *options)
{
    struct list list = { .done = mmap(
                             NULL, sizeof *list.done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) };
    if (list.done == MAP_FAILED) return false;
    list_checks(&list, options->only);
    if (options->list) {
        char name[128];
        for (int i = 0; i < list.n; i++) puts(name_of(list.check[i], name, sizeof name));
        return true;
    }
    FILE *json = options->json ? fopen(options->json, "w") : NULL;
    int bad = 0;
    while (*list.done < list.n)
        bad += options->together ? !run_on(&list, options, json) : !run_apart(&list, options, json);
    if (json) fclose(json);
    printf("1..%d\n", list.n);
    return !bad && list.n;
}

int main(int argc, char **argv)
{
    struct options o = { .seed = 1 };
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--small"))
            parity.small = true;
        else if (!strcmp(argv[i], "--together"))
            o.together = true;
        else if (!strcmp(argv[i], "--list"))
            o.list = true;
        else if (!strcmp(argv[i], "--seed") && more)
            o.seed = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--sm") && more)
            parity.sm = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--plain") && more)
            setenv("KVDBG_PLAIN", argv[++i], 1);
        else if (!strcmp(argv[i], "--json") && more)
            o.json = argv[++i];
        else if (!o.plugin && !o.list)
            o.plugin = argv[i];
        else
            o.only = argv[i];
    }
    if (o.list) return !run_all(&o);
    if (!o.plugin) {
        fprintf(stderr, "usage: parity [--small] [--seed N] [--sm N] [--plain LIST] [--json FILE] "
                        "[--together] PLUGIN [NAME]\n");
        return 2;
    }
    const struct kv_backend_options cpu = { .precision = KV_PRECISION_F32,
        .simd = parity.small ? KV_SIMD_PLAIN : KV_SIMD_AUTO };
    struct kv_error err = { 0 };
    if (!(parity.be = open_plugin(o.plugin))) return 2;
    if (kv_backend_cpu.init(&cpu, &parity.cpu, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    bool ok = run_all(&o);
    kv_backend_cpu.free(parity.cpu);
    return !ok;
}
