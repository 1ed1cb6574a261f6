/* Made-up models: a table of shapes, a counter-based generator that writes blocks, a made-up vocabulary. */
#include "engine/model/synthetic.h"

#include "engine/bytes.h"
#include "engine/model/arch.h"
#include "engine/model/random_row.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

enum { N_BYTES = 256, N_CONTROL = 3, FAKE_BYTES = 24, CACHE_LINE = 64 };

static const char prefix[] = "synthetic:";
static const char *const control_tokens[N_CONTROL] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };
static const char chat_template[] = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
                                    "message['content'] + '<|im_end|>\\n' }}{% endfor %}"
                                    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/* Merges of "tiny", best first; each makes the token that its two halves spell. */
static const char *const tiny_merges[] = { "Ġ t", "h e", "i n", "e r", "a n", "o n", "r e", "Ġ a", "Ġ s", "Ġ w",
    "Ġ o", "Ġ b", "Ġ c", "Ġ m", "Ġ f", "Ġ p", "Ġ n", "Ġ d", "e n", "a t", "o r", "o u", "e s", "i s", "i t", "a r",
    "a l", "e d", "s t", "l l", "l y", "v e", "Ġ h", "Ġt he", "in g", "an d", "Ġ and", "Ġo f", "Ġt o", "Ġ in",
    "Ġ is", "Ġ it", "a s", "Ġw as", "Ġf or", "Ġ on", "h at", "Ġt hat", "ou r", "Ġ y", "Ġy ou", "u m", "Ġn um",
    "b er", "Ġnum ber", "a g", "i c", "ag ic", "Ġm agic", "k e", "Ġ he" };

struct recipe {
    const char *name;
    struct kv_shape shape;
    int type;      /* of the matrices unless the user names one */
    int head_type; /* of token_embd and output where the matrices are Q4_1, as files of this size have it */
    float std;     /* of the weights: about 1 / sqrt(hidden), so that activations keep their size */
    bool tied, readable;
};

#define LLAMA .arch = "llama", .rope_pairing = KV_ROPE_ADJACENT
#define QWEN3 .arch = "qwen3", .rope_pairing = KV_ROPE_HALVES
static const struct recipe recipes[] = {
    { "qwen3-4b",
        { QWEN3, .n_layer = 36, .hidden = 2560, .n_ff = 9728, .n_head = 32, .n_kv_head = 8, .head_dim = 128,
            .n_vocab = 151936, .n_context = 40960, .rope_dim = 128, .rope_theta = 1e6F, .norm_eps = 1e-6F },
        KV_TYPE_Q4_1, KV_TYPE_Q4_1, 0.02F, true, false },
    /* As the maker's file has it with YaRN switched on, but for the turning of its heads. */
    { "qwen3-4b-128k",
        { QWEN3, .n_layer = 36, .hidden = 2560, .n_ff = 9728, .n_head = 32, .n_kv_head = 8, .head_dim = 128,
            .n_vocab = 151936, .n_context = 132096, .rope_dim = 128, .rope_theta = 1e6F, .norm_eps = 1e-6F },
        KV_TYPE_Q4_1, KV_TYPE_Q4_1, 0.02F, true, false },
    { "mistral-7b",
        { LLAMA, .n_layer = 32, .hidden = 4096, .n_ff = 14336, .n_head = 32, .n_kv_head = 8, .head_dim = 128,
            .n_vocab = 32000, .n_context = 32768, .rope_dim = 128, .rope_theta = 1e4F, .norm_eps = 1e-5F,
            .sliding_window = 4096 },
        KV_TYPE_Q4_1, KV_TYPE_Q4_1, 0.02F, false, false },
    { "smollm2-135m",
        { LLAMA, .n_layer = 30, .hidden = 576, .n_ff = 1536, .n_head = 9, .n_kv_head = 3, .head_dim = 64,
            .n_vocab = 49152, .n_context = 8192, .rope_dim = 64, .rope_theta = 1e5F, .norm_eps = 1e-5F },
        KV_TYPE_Q4_1, KV_TYPE_Q8_0, 0.04F, true, false },
    { "tiny",
        { LLAMA, .n_layer = 3, .hidden = 64, .n_ff = 128, .n_head = 4, .n_kv_head = 2, .head_dim = 16,
            .n_vocab = N_BYTES + KV_COUNT(tiny_merges) + N_CONTROL, .n_context = 512, .rope_dim = 16,
            .rope_theta = 1e4F, .norm_eps = 1e-5F },
        KV_TYPE_F32, KV_TYPE_Q4_1, 0.2F, false, true },
    /* The same with a window that a short prompt outgrows, in all layers but the first. */
    { "tiny-sliding",
        { LLAMA, .n_layer = 3, .hidden = 64, .n_ff = 128, .n_head = 4, .n_kv_head = 2, .head_dim = 16,
            .n_vocab = N_BYTES + KV_COUNT(tiny_merges) + N_CONTROL, .n_context = 512, .rope_dim = 16,
            .rope_theta = 1e4F, .norm_eps = 1e-5F, .sliding_window = 16, .sees_all = { 1 } },
        KV_TYPE_F32, KV_TYPE_Q4_1, 0.2F, false, true },
    /* Shapes in small of the two above: heads of their width, norms of heads, windows. */
    { "tiny-qwen3",
        { QWEN3, .n_layer = 2, .hidden = 128, .n_ff = 192, .n_head = 4, .n_kv_head = 2, .head_dim = 64,
            .n_vocab = N_BYTES + KV_COUNT(tiny_merges) + N_CONTROL, .n_context = 512, .rope_dim = 64,
            .rope_theta = 1e6F, .norm_eps = 1e-6F },
        KV_TYPE_BF16, KV_TYPE_Q4_1, 0.12F, true, true },
    { "tiny-mistral",
        { LLAMA, .n_layer = 2, .hidden = 128, .n_ff = 256, .n_head = 4, .n_kv_head = 1, .head_dim = 128,
            .n_vocab = N_BYTES + KV_COUNT(tiny_merges) + N_CONTROL, .n_context = 512, .rope_dim = 128,
            .rope_theta = 1e4F, .norm_eps = 1e-5F, .sliding_window = 48 },
        KV_TYPE_Q4_1, KV_TYPE_Q8_0, 0.12F, false, true },
    /* One layer that reads very long prompts, for maps of 32,768 x 32,768. */
    { "long",
        { LLAMA, .n_layer = 1, .hidden = 64, .n_ff = 128, .n_head = 4, .n_kv_head = 2, .head_dim = 16,
            .n_vocab = N_BYTES + KV_COUNT(tiny_merges) + N_CONTROL, .n_context = 40960, .rope_dim = 16,
            .rope_theta = 1e6F, .norm_eps = 1e-5F },
        KV_TYPE_F32, KV_TYPE_Q4_1, 0.2F, false, true },
};

/* What the model's close releases. */
struct arena {
    uint8_t *weights;
    size_t bytes;
    char *text; /* of the tokens */
};

/* ---- weights ---- */

struct filling {
    const struct recipe *recipe;
    uint64_t seed;
    int type;
    uint8_t *weights; /* NULL = only add up the bytes */
    size_t bytes;
    uint64_t index;
};

static void fill_row(uint8_t *out, const struct kv_tensor *t, enum arch_role role, float std, uint64_t state)
{
    size_t n = (size_t)t->cols;
    if (role == ARCH_NORM)
        random_f32((float *)out, n, 1, 0.15F, state);
    else if (role == ARCH_BIAS)
        random_f32((float *)out, n, 0, 0.02F, state);
    else
        random_row(t->type, out, n, std, state);
}

/* The type asked for, or the one that llama-quantize takes in its stead where rows are no whole blocks. */
static int fitting_type(int type, int cols)
{
    if (cols % kv_type_info(type)->elements == 0) return type;
    switch (type) {
    case KV_TYPE_Q4_K: return KV_TYPE_Q5_0;
    case KV_TYPE_Q5_K: return KV_TYPE_Q5_1;
    case KV_TYPE_Q6_K: return KV_TYPE_Q8_0;
    default: return KV_TYPE_IQ4_NL;
    }
}

/* Each query head gets a gain of its own, from flat attention to peaked, so that entropies differ as they do in
 * trained models. */
static float head_gain(const struct filling *f, const struct arch_tensor *what, int row)
{
    if (what->role != ARCH_QUERY) return 1;
    uint64_t head = (uint64_t)(row / f->recipe->shape.head_dim);
    return 0.25F + 1.75F * random_unit(random_stream(f->seed, f->index, UINT64_MAX - head));
}

static enum kv_status fill(void *ctx, const struct arch_tensor *what, struct kv_tensor *slot, struct kv_error *err)
{
    struct filling *f = ctx;
    (void)err;
    if (what->optional && (what->role == ARCH_BIAS || f->recipe->tied)) return KV_OK;
    int type = what->role == ARCH_NORM || what->role == ARCH_BIAS        ? KV_TYPE_F32
               : what->role == ARCH_EMBEDDING && f->type == KV_TYPE_Q4_1 ? f->recipe->head_type
                                                                         : fitting_type(f->type, what->cols);
    size_t row_bytes = kv_type_bytes(type, (size_t)what->cols), bytes = row_bytes * (size_t)what->rows;
    if (f->weights) {
        uint8_t *base = f->weights + f->bytes;
        struct kv_tensor t = { base, type, what->rows, what->cols };
#pragma omp parallel for schedule(static)
        for (int row = 0; row < what->rows; row++)
            fill_row(base + row_bytes * (size_t)row, &t, what->role, f->recipe->std * head_gain(f, what, row),
                random_stream(f->seed, f->index, (uint64_t)row));
        *slot = t;
    }
    f->index++;
    f->bytes += (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    return KV_OK;
}

static enum kv_status make_weights(struct kv_model *model, struct filling *f, struct kv_error *err)
{
    struct arena *arena = model->owner;
    const struct arch *arch;
    enum kv_status status =
        arch_find((struct kv_string){ model->shape.arch, strlen(model->shape.arch) }, true, &arch, err);
    if (status || (status = arch_each_tensor(model, arch, fill, f, err))) return status;
    size_t wanted = f->bytes, available = kv_memory_free();
    if (available && wanted > available)
        return kv_fail(err, KV_NO_MEMORY, "The weights of %s need %zu bytes; %zu are available.", model->shape.name,
            wanted, available);
    void *map = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return kv_fail(
            err, KV_NO_MEMORY, "The weights of %s need %zu bytes: %s.", model->shape.name, wanted, strerror(errno));
    madvise(map, wanted, MADV_HUGEPAGE); /* a fault per 4 KiB would take longer than the numbers */
    arena->weights = f->weights = map;
    arena->bytes = wanted;
    f->bytes = 0;
    f->index = 0;
    status = arch_each_tensor(model, arch, fill, f, err);
    mprotect(map, wanted, PROT_READ); /* immutable, as a mapped file is */
    if (f->recipe->tied) model->output = model->token_embd;
    model->weight_bytes = wanted;
    return status;
}

/* ---- vocabulary ---- */

/* GPT-2's byte-level alphabet: printable Latin-1 stands for itself, every other byte for the next free code point
 * from 256 on. Writes 1 or 2 bytes of UTF-8 and returns their count. */
static size_t byte_symbol(int byte, char out[2])
{
    int code = 0, free_code = 256;
    for (int b = 0; b <= byte; b++) {
        bool printable = (b >= 33 && b <= 126) || (b >= 161 && b != 173);
        code = printable ? b : free_code++;
    }
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3f));
    return 2;
}

/* Writes the text of one token that is no control token and returns its length. */
static size_t token_text(const struct recipe *recipe, int id, char out[FAKE_BYTES])
{
    if (id < N_BYTES) return byte_symbol(id, out);
    if (!recipe->readable) return (size_t)snprintf(out, FAKE_BYTES, "<fake\xC4\xA0%d>", id);
    const char *merge = tiny_merges[id - N_BYTES], *gap = strchr(merge, ' ');
    return (size_t)snprintf(out, FAKE_BYTES, "%.*s%s", (int)(gap - merge), merge, gap + 1);
}

static enum kv_status make_vocabulary(struct kv_model *model, const struct recipe *recipe, struct kv_error *err)
{
    struct kv_vocabulary *v = &model->vocabulary;
    struct arena *arena = model->owner;
    int n = recipe->shape.n_vocab, n_merge = recipe->readable ? (int)KV_COUNT(tiny_merges) : 0;
    int32_t *token_type = kv_alloc((size_t)n, sizeof *token_type);
    v->token = kv_alloc((size_t)n, sizeof *v->token);
    v->merge = kv_alloc((size_t)n_merge, sizeof *v->merge);
    v->token_type = token_type;
    char *text = arena->text = kv_alloc((size_t)n, FAKE_BYTES);
    if (!token_type || !v->token || !v->merge || !text)
        return kv_fail(err, KV_NO_MEMORY, "No memory for the %d tokens of %s.", n, model->shape.name);

    for (int id = 0; id < n; id++, text += FAKE_BYTES) {
        bool is_control = id >= n - N_CONTROL;
        const char *name = is_control ? control_tokens[id - (n - N_CONTROL)] : text;
        v->token[id] = (struct kv_string){ name, is_control ? strlen(name) : token_text(recipe, id, text) };
        token_type[id] = is_control ? 3 : 1;
    }
    for (int i = 0; i < n_merge; i++) v->merge[i] = (struct kv_string){ tiny_merges[i], strlen(tiny_merges[i]) };
    v->kind = (struct kv_string){ "gpt2", 4 };
    v->pre = (struct kv_string){ "smollm", 6 };
    v->chat_template = (struct kv_string){ chat_template, sizeof chat_template - 1 };
    v->n_token = n;
    v->n_merge = n_merge;
    v->unknown = n - 3;
    v->bos = n - 2;
    v->eos = n - 1;
    return KV_OK;
}

/* ---- opening ---- */

static enum kv_status unknown_name(struct kv_string name, struct kv_error *err)
{
    char known[300];
    size_t n = 0;
    for (size_t i = 0; i < KV_COUNT(recipes) && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s",
            !i                          ? ""
            : i + 1 < KV_COUNT(recipes) ? ", "
                                        : " and ",
            recipes[i].name);
    return kv_fail(
        err, KV_NOT_FOUND, "There is no synthetic model %s; there are %s.", gguf_quote(name).text, known);
}

/* One of the parts behind the name: digits are the seed, anything else a type. */
static enum kv_status read_option(struct kv_string part, bool given[2], struct filling *f, struct kv_error *err)
{
    char text[32] = "";
    bool digits = part.length > 0;
    for (size_t i = 0; i < part.length; i++) digits = digits && isdigit((unsigned char)part.text[i]);
    if (part.length < sizeof text) memcpy(text, part.text, part.length);

    if (digits && !given[0]) {
        errno = 0;
        f->seed = strtoull(text, NULL, 10);
        if (!*text || errno)
            return kv_fail(err, KV_BAD_ARG, "Seed %s is too large, expected at most 18446744073709551615.",
                gguf_quote(part).text);
        given[0] = true;
        return KV_OK;
    }
#define X(name, number, elements, bytes, half, halves)                                                             \
    if (!given[1] && !strcasecmp(text, #name)) {                                                                   \
        f->type = number;                                                                                          \
        given[1] = true;                                                                                           \
        return KV_OK;                                                                                              \
    }
    KV_TYPE_LIST(X)
#undef X
    char known[200] = "";
    size_t n = 0;
#define X(name, number, elements, bytes, half, halves)                                                             \
    n += (size_t)snprintf(known + n, sizeof known - n, " %s", #name);
    KV_TYPE_LIST(X)
#undef X
    for (char *c = known; *c; c++) *c = (char)tolower((unsigned char)*c);
    return kv_fail(err, KV_BAD_ARG, "%s does not fit; expected synthetic:NAME[:SEED][:TYPE] with a type of%s.",
        gguf_quote(part).text, known);
}

static enum kv_status parse(const char *path, struct filling *f, struct kv_error *err)
{
    const char *at = path + strlen(prefix);
    struct kv_string part = { at, strcspn(at, ":") };
    bool given[2] = { false, false };
    for (size_t i = 0; i < KV_COUNT(recipes); i++)
        if (strlen(recipes[i].name) == part.length && !memcmp(recipes[i].name, part.text, part.length))
            *f = (struct filling){ .recipe = &recipes[i], .type = recipes[i].type };
    if (!f->recipe) return unknown_name(part, err);
    for (at += part.length; *at == ':'; at += part.length) {
        at++;
        part = (struct kv_string){ at, strcspn(at, ":") };
        enum kv_status status = read_option(part, given, f, err);
        if (status) return status;
    }
    return KV_OK;
}

static void close_arena(struct kv_model *model)
{
    struct arena *arena = model->owner;
    if (arena && arena->weights) munmap(arena->weights, arena->bytes);
    if (arena) free(arena->text);
    free(arena);
}

bool synthetic_is(const char *path) { return !strncmp(path, prefix, strlen(prefix)); }

enum kv_status synthetic_open(const char *path, struct kv_model **out, struct kv_error *err)
{
    struct filling f = { 0 };
    struct kv_model *model = NULL;
    *out = NULL;
    enum kv_status status = parse(path, &f, err);
    if (status) return status;
    if (!(model = kv_alloc(1, sizeof *model)))
        return kv_fail(err, KV_NO_MEMORY, "No memory to open %s.", f.recipe->name);
    model->close = close_arena;
    model->synthetic = true;
    model->shape = f.recipe->shape;
    snprintf(model->shape.name, sizeof model->shape.name, "%s%s", prefix, f.recipe->name);
    model->path = kv_strdup(path);
    model->owner = kv_alloc(1, sizeof(struct arena));
    model->layer = kv_alloc((size_t)model->shape.n_layer, sizeof *model->layer);
    if (!model->path || !model->owner || !model->layer)
        status = kv_fail(err, KV_NO_MEMORY, "No memory to open %s.", model->shape.name);
    if (!status) status = make_weights(model, &f, err);
    if (!status) status = make_vocabulary(model, f.recipe, err);
    if (status) {
        kv_model_close(model);
        return status;
    }
    *out = model;
    return KV_OK;
}
