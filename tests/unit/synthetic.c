/* Made-up models: the same seed gives the same bytes on any number of threads, shapes are those of the real models,
 * and the numbers are finite and as large as was asked for. */
#include "engine/model/synthetic.h"
#include "kernels/blocks.h"
#include "tests/tap.h"

#include <omp.h>
#include <stdlib.h>

/* ---- helpers ---- */

static struct kv_model *open_model(const char *path)
{
    struct kv_error err = { 0 };
    struct kv_model *m = NULL;
    enum kv_status status = kv_model_open(path, &m, &err);
    CHECK(status == KV_OK && m, "%s: %s", path, err.text);
    return m;
}

/* FNV-1a over the bytes of every tensor of the model. */
static uint64_t add_tensor(uint64_t hash, const struct kv_tensor *t)
{
    const uint8_t *bytes = t->data;
    size_t n = t->data ? kv_type_bytes(t->type, (size_t)t->cols) * (size_t)t->rows : 0;
    for (size_t i = 0; i < n; i++) hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t digest(const struct kv_model *m)
{
    uint64_t hash = add_tensor(UINT64_C(0xcbf29ce484222325), &m->token_embd);
    hash = add_tensor(add_tensor(hash, &m->output_norm), &m->output);
    for (int l = 0; l < m->shape.n_layer; l++) {
        const struct kv_layer_weights *w = &m->layer[l];
        const struct kv_tensor *all[] = { &w->attn_norm, &w->ffn_norm, &w->q_norm, &w->k_norm, &w->q, &w->k, &w->v,
            &w->o, &w->gate, &w->up, &w->down };
        for (size_t i = 0; i < KV_COUNT(all); i++) hash = add_tensor(hash, all[i]);
    }
    return hash;
}

static uint64_t digest_of(const char *path, int threads)
{
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    struct kv_model *m = open_model(path);
    omp_set_num_threads(before);
    uint64_t hash = m ? digest(m) : 0;
    kv_model_close(m);
    return hash;
}

static float element(const struct kv_tensor *t, size_t row, size_t col)
{
    const uint8_t *p = (const uint8_t *)t->data + row * kv_type_bytes(t->type, (size_t)t->cols);
    const struct kv_type_info *info = kv_type_info(t->type);
    struct kv_group group;
    float x;
    if (t->type == KV_TYPE_BF16) return kv_bf16_to_f32(kv_u16(p + 2 * col));
    if (t->type == KV_TYPE_F16) return kv_half(p + 2 * col);
    if (t->type == KV_TYPE_F32) {
        memcpy(&x, p + 4 * col, sizeof x);
        return x;
    }
    size_t in_block = col % (size_t)info->elements;
    p += col / (size_t)info->elements * (size_t)info->bytes;
    kv_group_read(t->type, p, (int)(in_block / KV_GROUP), &group);
    return kv_group_value(&group, (int)(in_block % KV_GROUP));
}

/* Weights of one block may share a scale, so the mean is that of as many numbers as there are blocks. */
static void check_numbers(const char *what, const struct kv_tensor *t, double mean, double least, double most)
{
    double sum = 0, squares = 0, n = (double)t->rows * t->cols;
    size_t bad = 0;
    for (int r = 0; r < t->rows; r++)
        for (int c = 0; c < t->cols; c++) {
            double x = (double)element(t, (size_t)r, (size_t)c) - mean;
            bad += !isfinite(x);
            sum += x;
            squares += x * x;
        }
    double std = sqrt(squares / n);
    CHECK(!bad, "%s: %zu numbers are not finite", what, bad);
    CHECK(std >= least && std <= most, "%s: deviation %g, expected %g to %g", what, std, least, most);
    double blocks = n / kv_type_info(t->type)->elements;
    CHECK(fabs(sum / n) <= 6 * most / sqrt(blocks), "%s: the mean is off by %g", what, sum / n);
}

/* ---- cases ---- */

static void shapes_are_the_real_ones(void)
{
    static const struct {
        const char *path, *arch;
        int n_layer, hidden, n_ff, n_head, n_kv_head, head_dim, n_vocab, n_context, sliding_window;
        float theta, eps;
        int type, head_type;
        bool tied, qk_norm;
        size_t bytes;
    } rows[] = {
        { "synthetic:smollm2-135m", "llama", 30, 576, 1536, 9, 3, 64, 49152, 8192, 0, 1e5F, 1e-5F, KV_TYPE_Q4_1,
            KV_TYPE_Q8_0, true, false, 96576768 },
        { "synthetic:smollm2-135m:q8_0", "llama", 30, 576, 1536, 9, 3, 64, 49152, 8192, 0, 1e5F, 1e-5F,
            KV_TYPE_Q8_0, KV_TYPE_Q8_0, true, false, 143025408 },
        { "synthetic:tiny", "llama", 3, 64, 128, 4, 2, 16, 320, 512, 0, 1e4F, 1e-5F, KV_TYPE_F32, KV_TYPE_F32,
            false, false, 608000 },
        { "synthetic:tiny:q4_1", "llama", 3, 64, 128, 4, 2, 16, 320, 512, 0, 1e4F, 1e-5F, KV_TYPE_Q4_1,
            KV_TYPE_Q4_1, false, false, 96512 },
        { "synthetic:long", "llama", 1, 64, 128, 4, 2, 16, 320, 40960, 0, 1e6F, 1e-5F, KV_TYPE_F32, KV_TYPE_F32,
            false, false, 312064 },
        { "synthetic:tiny:9:bf16", "llama", 3, 64, 128, 4, 2, 16, 320, 512, 0, 1e4F, 1e-5F, KV_TYPE_BF16,
            KV_TYPE_BF16, false, false, 304896 },
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_model *m = open_model(rows[i].path);
        if (!m) return;
        const struct kv_shape *s = &m->shape;
        const char *path = rows[i].path;
        CHECK(m->synthetic && !strcmp(m->path, path), "%s: path '%s'", path, m->path);
        CHECK(!strncmp(s->name, "synthetic:", 10), "%s: the name '%s' does not say so", path, s->name);
        CHECK(!strcmp(s->arch, rows[i].arch) && s->n_layer == rows[i].n_layer && s->hidden == rows[i].hidden,
            "%s: %s %d %d", path, s->arch, s->n_layer, s->hidden);
        CHECK(s->n_ff == rows[i].n_ff && s->n_head == rows[i].n_head && s->n_kv_head == rows[i].n_kv_head, "%s",
            path);
        CHECK(s->head_dim == rows[i].head_dim && s->rope_dim == s->head_dim, "%s: head_dim %d", path, s->head_dim);
        CHECK(s->n_vocab == rows[i].n_vocab && s->n_context == rows[i].n_context, "%s: vocab %d", path, s->n_vocab);
        CHECK(s->sliding_window == rows[i].sliding_window, "%s: window %d", path, s->sliding_window);
        CHECK(s->rope_theta == rows[i].theta && s->norm_eps == rows[i].eps, "%s: theta or eps", path);
        CHECK(m->layer[0].q.type == rows[i].type && m->token_embd.type == rows[i].head_type, "%s: types", path);
        CHECK((m->output.data == m->token_embd.data) == rows[i].tied, "%s: tied", path);
        CHECK(!!m->layer[s->n_layer - 1].q_norm.data == rows[i].qk_norm, "%s: QK norm", path);
        CHECK(m->layer[0].k.rows == s->n_kv_head * s->head_dim && m->layer[0].k.cols == s->hidden, "%s: K", path);
        CHECK(m->weight_bytes == rows[i].bytes, "%s: %zu bytes", path, m->weight_bytes);
        CHECK(m->vocabulary.n_token == s->n_vocab, "%s: %d tokens", path, m->vocabulary.n_token);
        kv_model_close(m);
    }
}

static size_t available_bytes(void)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %llu", &kib) != 1) continue;
    if (f) fclose(f);
    return (size_t)kib * 1024;
}

static void too_large_a_model_is_refused(void)
{
    struct kv_error err = { 0 };
    struct kv_model *m = NULL;
    if (available_bytes() > (size_t)28 << 30) SKIP("this machine has memory for the largest made-up model");
    double began = kv_now_us();
    CHECK(kv_model_open("synthetic:mistral-7b:f32", &m, &err) == KV_NO_MEMORY && !m, "%s", err.text);
    CHECK(strstr(err.text, "need 28966928384 bytes; ") && strstr(err.text, " are available."), "%s", err.text);
    CHECK(kv_now_us() - began < 1e6, "refused after memory was touched");
    kv_model_close(m);
}

static void big_shapes_are_the_real_ones(void)
{
    static const struct {
        const char *path;
        size_t bytes;
        int n_layer, window;
        bool qk_norm;
    } rows[] = { { "synthetic:qwen3-4b", 2514704384, 36, 0, true },
        { "synthetic:mistral-7b", 4526981120, 32, 4096, false } };
    if (!getenv("KVDBG_TEST_BIG")) SKIP("fills 4.5 GB; set KVDBG_TEST_BIG=1 to run it");
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_model *m = open_model(rows[i].path);
        if (!m) return;
        CHECK(m->weight_bytes == rows[i].bytes, "%s: %zu bytes", rows[i].path, m->weight_bytes);
        CHECK(m->shape.n_layer == rows[i].n_layer && m->shape.sliding_window == rows[i].window, "%s", rows[i].path);
        CHECK(!!m->layer[0].k_norm.data == rows[i].qk_norm, "%s: QK norm", rows[i].path);
        CHECK((m->shape.rope_pairing == KV_ROPE_HALVES) == rows[i].qk_norm, "%s: pairing", rows[i].path);
        kv_model_close(m);
    }
}

static void bytes_follow_the_seed_alone(void)
{
    uint64_t one = digest_of("synthetic:tiny", 1);
    CHECK(one == digest_of("synthetic:tiny", 3), "the thread count changed the bytes");
    CHECK(one == digest_of("synthetic:tiny:0", 1), "seed 0 is not the default");
    CHECK(one != digest_of("synthetic:tiny:1", 1), "seed 1 gives the bytes of seed 0");
    CHECK(one != digest_of("synthetic:tiny:18446744073709551615", 1), "the largest seed gives the bytes of seed 0");
    CHECK(one == UINT64_C(0xcf281c92ed6dfd95), "the bytes of synthetic:tiny have changed: %llx",
        (unsigned long long)one);
    uint64_t large = digest_of("synthetic:smollm2-135m:7:q4_1", 1);
    CHECK(
        large == digest_of("synthetic:smollm2-135m:q4_1:7", 4), "the thread count or the order changed the bytes");
    CHECK(large != digest_of("synthetic:smollm2-135m", 2), "seed 7 gives the bytes of seed 0");
}

static void numbers_are_of_the_size_asked_for(void)
{
    static const struct {
        const char *name;
        int type;
    } all[] = {
#define X(name, number, elements, bytes, half, halves) { #name, number },
        KV_TYPE_LIST(X)
#undef X
    };
    for (size_t i = 0; i < KV_COUNT(all); i++) {
        char path[64];
        snprintf(path, sizeof path, "synthetic:tiny:%s", all[i].name);
        struct kv_model *m = open_model(path);
        if (!m) return;
        for (int l = 0; l < m->shape.n_layer; l++) {
            check_numbers(path, &m->layer[l].down, 0, 0.19, 0.21);
            check_numbers(path, &m->layer[l].v, 0, 0.19, 0.21);
            check_numbers(path, &m->layer[l].attn_norm, 1, 0.12, 0.18);
        }
        check_numbers(path, &m->output, 0, 0.19, 0.21);
        kv_model_close(m);
        snprintf(path, sizeof path, "synthetic:smollm2-135m:%s", all[i].name);
        if (!(m = open_model(path))) return;
        CHECK(m->layer[3].down.type == all[i].type, "%s: down is of type %d", path, m->layer[3].down.type);
        check_numbers(path, &m->layer[3].down, 0, 0.036, 0.044);
        check_numbers(path, &m->token_embd, 0, 0.036, 0.044);
        kv_model_close(m);
    }
    struct kv_model *m = open_model("synthetic:smollm2-135m");
    if (!m) return;
    check_numbers("smollm2 gate", &m->layer[29].gate, 0, 0.036, 0.044);
    kv_model_close(m);
}

/* Rows of 576 are no whole blocks of 256: such matrices are of the type that llama-quantize takes then. */
static void rows_that_do_not_fit_get_another_type(void)
{
    static const struct {
        const char *path;
        int type;
    } rows[] = { { "synthetic:smollm2-135m:q2_k", KV_TYPE_IQ4_NL },
        { "synthetic:smollm2-135m:q3_k", KV_TYPE_IQ4_NL }, { "synthetic:smollm2-135m:q4_k", KV_TYPE_Q5_0 },
        { "synthetic:smollm2-135m:q5_k", KV_TYPE_Q5_1 }, { "synthetic:smollm2-135m:q6_k", KV_TYPE_Q8_0 },
        { "synthetic:smollm2-135m:iq4_xs", KV_TYPE_IQ4_NL } };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_model *m = open_model(rows[i].path);
        if (!m) return;
        CHECK(m->layer[0].q.type == rows[i].type, "%s: query is of type %d", rows[i].path, m->layer[0].q.type);
        CHECK(
            m->token_embd.type == rows[i].type, "%s: embeddings are of type %d", rows[i].path, m->token_embd.type);
        kv_model_close(m);
    }
}

/* Heads must differ, or a debugger of attention has nothing to show. */
static void heads_have_gains_of_their_own(void)
{
    struct kv_model *m = open_model("synthetic:tiny");
    if (!m) return;
    double least = INFINITY, most = 0;
    for (int l = 0; l < 3; l++)
        for (int h = 0; h < 4; h++) {
            double squares = 0;
            for (size_t r = 0; r < 16; r++)
                for (size_t c = 0; c < 64; c++) {
                    double x = (double)element(&m->layer[l].q, (size_t)h * 16 + r, c);
                    squares += x * x;
                }
            least = fmin(least, squares);
            most = fmax(most, squares);
        }
    CHECK(most > 4 * least, "the strongest query head is only %g times the weakest", sqrt(most / least));
    kv_model_close(m);
}

static int find_token(const struct kv_vocabulary *v, const char *text, size_t length)
{
    for (int i = 0; i < v->n_token; i++)
        if (v->token[i].length == length && !memcmp(v->token[i].text, text, length)) return i;
    return -1;
}

static void check_merge(const struct kv_vocabulary *v, int i)
{
    struct kv_string merge = v->merge[i];
    const char *gap = memchr(merge.text, ' ', merge.length);
    REQUIRE(gap, "merge %d has no space", i);
    char joined[32];
    size_t a = (size_t)(gap - merge.text), b = merge.length - a - 1;
    memcpy(joined, merge.text, a);
    memcpy(joined + a, gap + 1, b);
    int left = find_token(v, merge.text, a), right = find_token(v, gap + 1, b),
        whole = find_token(v, joined, a + b);
    CHECK(whole == 256 + i, "merge %d (%.*s) makes token %d", i, (int)merge.length, merge.text, whole);
    CHECK(left >= 0 && left < whole && right >= 0 && right < whole, "merge %d: its halves come too late", i);
}

static void vocabulary_is_readable(void)
{
    struct kv_model *m = open_model("synthetic:tiny");
    if (!m) return;
    const struct kv_vocabulary *v = &m->vocabulary;
    CHECK(find_token(v, "A", 1) == 'A' && find_token(v, "\xC4\xA0", 2) == ' ', "bytes are not their own tokens");
    CHECK(find_token(v, "\xC4\x8A", 2) == '\n' && find_token(v, "\xC3\xBF", 2) == 255, "newline or 255");
    CHECK(find_token(v, "\xC5\x83", 2) == 173, "the soft hyphen is the last of the replaced bytes");
    for (int i = 0; i < v->n_token; i++)
        CHECK(find_token(v, v->token[i].text, v->token[i].length) == i, "token %d stands twice", i);
    CHECK(v->n_merge == 61, "%d merges", v->n_merge);
    for (int i = 0; i < v->n_merge; i++) check_merge(v, i);
    CHECK(find_token(v, "<|im_end|>", 10) == v->eos && v->token_type[v->eos] == 3, "eos %d", v->eos);
    CHECK(find_token(v, "<|im_start|>", 12) == v->bos && v->token_type[v->bos] == 3 && !v->add_bos, "bos");
    CHECK(v->token_type['A'] == 1 && v->chat_template.length > 50, "types or template");
    kv_model_close(m);

    if (!(m = open_model("synthetic:smollm2-135m"))) return;
    v = &m->vocabulary;
    CHECK(find_token(v,
              "<fake\xC4\xA0"
              "1234>",
              12) == 1234,
        "token 1234");
    CHECK(find_token(v, "<|im_end|>", 10) == v->eos && v->eos == 49151 && v->n_merge == 0, "eos %d", v->eos);
    kv_model_close(m);
}

static void bad_names_are_refused(void)
{
    static const struct {
        const char *path;
        enum kv_status status;
        const char *says;
    } rows[] = {
        { "synthetic:gpt5", KV_NOT_FOUND,
            "'gpt5'; there are qwen3-4b, qwen3-4b-128k, mistral-7b, smollm2-135m, tiny, tiny-sliding, tiny-qwen3, "
            "tiny-mistral and long." },
        { "synthetic:", KV_NOT_FOUND, "''" },
        { "synthetic:Tiny", KV_NOT_FOUND, "'Tiny'" },
        { "synthetic:\x1b[31m", KV_NOT_FOUND, "'?[31m'" },
        { "synthetic:tiny:", KV_BAD_ARG, "''" },
        { "synthetic:tiny:-1", KV_BAD_ARG, "'-1'" },
        { "synthetic:tiny:iq2_s", KV_BAD_ARG,
            "'iq2_s' does not fit; expected synthetic:NAME[:SEED][:TYPE] with a type of f32 f16 bf16 q4_0 q4_1 "
            "q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs." },
        { "synthetic:tiny:1:2", KV_BAD_ARG, "'2'" },
        { "synthetic:tiny:f32:bf16", KV_BAD_ARG, "'bf16'" },
        { "synthetic:tiny:1:f32:", KV_BAD_ARG, "''" },
        { "synthetic:tiny:18446744073709551616", KV_BAD_ARG, "too large" },
        { "synthetic:tiny:99999999999999999999999999999999999999999", KV_BAD_ARG, "too large" },
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_error err = { 0 };
        struct kv_model *m = NULL;
        enum kv_status status = kv_model_open(rows[i].path, &m, &err);
        CHECK(status == rows[i].status && !m, "%s: %s", rows[i].path, kv_status_text(status));
        CHECK(strstr(err.text, rows[i].says), "%s: %s", rows[i].path, err.text);
        kv_model_close(m);
    }
}

static const struct tap_case cases[] = {
    { "shapes are those of the real models", shapes_are_the_real_ones },
    { "qwen3-4b and mistral-7b are the real ones", big_shapes_are_the_real_ones },
    { "a model larger than memory is refused with both sizes", too_large_a_model_is_refused },
    { "bytes follow the seed, not the thread count", bytes_follow_the_seed_alone },
    { "numbers are finite and of the size asked for", numbers_are_of_the_size_asked_for },
    { "rows that do not fit get another type", rows_that_do_not_fit_get_another_type },
    { "query heads have gains of their own", heads_have_gains_of_their_own },
    { "the tiny vocabulary is readable and its merges are sound", vocabulary_is_readable },
    { "bad names, seeds and types are refused", bad_names_are_refused },
};
int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
