/* The GGUF reader and the models made of files: the default model, small files of every architecture, and paths that are
 * none; gguf_hostile.c has the damaged ones. */
#include "tests/unit/gguf.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char default_model[] = "models/smollm2-135m-instruct-q4_1.gguf";

/* ---- files that must open ---- */

static void default_model_opens(void)
{
    struct kv_error err = { 0 };
    struct kv_model *m;
    if (access(default_model, R_OK)) SKIP("models/smollm2-135m-instruct-q4_1.gguf is not there; run: make model");
    REQUIRE(kv_model_open(default_model, &m, &err) == KV_OK, "%s", err.text);
    const struct kv_shape *s = &m->shape;
    CHECK(!err.text[0] && !err.code, "a sentence is left: %s", err.text);
    CHECK(!strcmp(s->arch, "llama") && s->n_layer == 30 && s->hidden == 576 && s->n_ff == 1536, "%s %d %d %d",
        s->arch, s->n_layer, s->hidden, s->n_ff);
    CHECK(s->n_head == 9 && s->n_kv_head == 3 && s->head_dim == 64 && s->rope_dim == 64, "%d %d %d", s->n_head,
        s->n_kv_head, s->head_dim);
    CHECK(s->n_vocab == 49152 && s->n_context == 8192 && s->sliding_window == 0, "%d %d", s->n_vocab, s->n_context);
    CHECK(s->rope_theta == 1e5F && s->norm_eps == 1e-5F && s->rope_pairing == KV_ROPE_ADJACENT, "theta %g eps %g",
        (double)s->rope_theta, (double)s->norm_eps);
    CHECK(m->token_embd.type == KV_TYPE_Q8_0 && m->output.data == m->token_embd.data, "head is not tied Q8_0");
    int q4_1 = 0;
    for (int l = 0; l < s->n_layer; l++) {
        const struct kv_layer_weights *w = &m->layer[l];
        const struct kv_tensor all[] = { w->q, w->k, w->v, w->o, w->gate, w->up, w->down };
        for (size_t i = 0; i < KV_COUNT(all); i++) q4_1 += all[i].type == KV_TYPE_Q4_1;
        CHECK(w->k.rows == 192 && w->k.cols == 576 && w->down.rows == 576 && w->down.cols == 1536, "layer %d", l);
        CHECK(!w->q_norm.data && !w->q_bias.data && w->attn_norm.type == KV_TYPE_F32, "layer %d", l);
    }
    CHECK(q4_1 == 210, "%d matrices are Q4_1", q4_1);
    CHECK(m->weight_bytes == 96576768, "%zu bytes of weights", m->weight_bytes);
    const struct kv_vocabulary *v = &m->vocabulary;
    CHECK(v->n_token == 49152 && v->n_merge == 48900 && v->token_type, "%d tokens, %d merges", v->n_token,
        v->n_merge);
    CHECK(v->bos == 1 && v->eos == 2 && v->unknown == 0 && !v->add_bos, "%d %d %d", v->bos, v->eos, v->unknown);
    CHECK(m->n_end == 1 && m->end[0] == 2, "%d ends", m->n_end);
    CHECK(same(v->kind, "gpt2") && same(v->pre, "smollm") && v->chat_template.length > 100, "kind or pre");
    CHECK(same(v->token[1], "<|im_start|>") && v->token_type[1] == 3 && v->token_type[100] == 1, "token 1");
    CHECK(touch(m) != 0, "nothing was read");
    kv_model_close(m);
}

static void small_files_open(void)
{
    static const char *const archs[] = { "llama", "qwen2", "qwen3" };
    for (size_t i = 0; i < KV_COUNT(archs); i++) {
        for (uint32_t version = 2; version <= 3; version++) {
            struct gw w;
            struct kv_model *m;
            struct kv_error err;
            uint8_t *data;
            gw_model(&w, archs[i]);
            w.version = version;
            enum kv_status status = open_spec(&w, &data, &m, &err);
            CHECK(status == KV_OK, "%s v%u: %s", archs[i], version, err.text);
            if (!status) {
                const struct kv_layer_weights *l = &m->layer[0];
                CHECK((m->shape.rope_pairing == KV_ROPE_ADJACENT) == (i == 0), "%s: pairing", archs[i]);
                CHECK(!!l->q_bias.data == (i == 1) && !!l->k_norm.data == (i == 2), "%s: parts", archs[i]);
                CHECK(l->o.rows == 32 && l->gate.rows == 64 && l->down.cols == 64 && l->v.rows == 16, "shapes");
                CHECK(!strcmp(m->shape.name, "a small?model"), "name '%s'", m->shape.name);
                size_t at = gw_tensor(&w, "blk.0.attn_k.weight")->offset;
                CHECK(*(const uint8_t *)l->k.data == (uint8_t)(at * 7 + 1), "%s: wrong place", archs[i]);
                CHECK(m->vocabulary.n_token == 8 && m->vocabulary.token_type[5] == 3, "vocabulary");
                CHECK(m->vocabulary.unknown == -1 && m->vocabulary.eos == 5 && m->vocabulary.add_bos, "ids");
                CHECK(same(m->vocabulary.merge[0], "a b") && same(m->vocabulary.token[6], "\xC4\xA0"), "strings");
                CHECK(touch(m) != 0, "nothing was read");
                kv_model_close(m);
            }
            free(data);
        }
    }
}

static void optional_keys_have_defaults(void)
{
    static const char *const optional[] = { "llama.attention.head_count_kv", "llama.attention.key_length",
        "llama.attention.value_length", "llama.rope.dimension_count", "llama.vocab_size", "llama.rope.freq_base",
        "general.name", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
        "tokenizer.ggml.merges", "tokenizer.ggml.token_type", "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_bos_token", "tokenizer.chat_template" };
    struct gw w;
    struct kv_model *m;
    struct kv_error err;
    uint8_t *data;
    gw_model(&w, "llama");
    for (size_t i = 0; i < KV_COUNT(optional); i++) gw_drop_key(&w, optional[i]);
    gw_tensor(&w, "blk.0.attn_k.weight")->dim[1] =
        32; /* as many KV heads as query heads; reads into its neighbour */
    gw_tensor(&w, "blk.0.attn_v.weight")->dim[1] = 32;
    gw_tensor(&w, "blk.0.attn_k.weight")->offset = w.data_bytes;
    gw_tensor(&w, "blk.0.attn_v.weight")->offset = w.data_bytes + 32 * 34 + 32 - 32 * 34 % 32;
    w.data_bytes += 2 * (32 * 34 + 32);
    gw_add(&w, "output.weight", KV_TYPE_F32, 32, 8);
    gw_number(&w, "tokenizer.ggml.eot_token_id", GGUF_U32, 6);
    enum kv_status status = open_spec(&w, &data, &m, &err);
    CHECK(status == KV_OK, "%s", err.text);
    if (!status) {
        CHECK(m->n_end == 1 && m->end[0] == 6, "%d ends without a vocabulary", m->n_end);
        CHECK(m->shape.n_kv_head == 2 && m->shape.head_dim == 16 && m->shape.rope_dim == 16, "heads");
        CHECK(m->shape.rope_theta == 10000 && m->shape.n_vocab == 8, "theta %g", (double)m->shape.rope_theta);
        CHECK(m->output.type == KV_TYPE_F32 && m->output.data != m->token_embd.data, "untied output");
        CHECK(m->vocabulary.n_token == 0 && m->vocabulary.bos == -1 && !m->vocabulary.add_bos, "vocabulary");
        CHECK(!err.text[0] && err.code == KV_OK, "a sentence is left: %s", err.text);
        kv_model_close(m);
    }
    free(data);
}

static void values_of_any_width(void)
{
    struct gw w = { .version = 3, .alignment = 32 };
    struct kv_error err = { 0 };
    struct gguf *file;
    size_t size, count = 0;
    uint32_t u = 0;
    float f = 0;
    bool b = false;
    struct kv_string text;
    struct kv_string *strings = NULL;
    int32_t *numbers = NULL;
    double wide = 2.5, huge = 1e300;
    gw_number(&w, "i8", GGUF_I8, 127);
    gw_number(&w, "minus", GGUF_I16, 0xfffe);
    gw_number(&w, "u64", GGUF_U64, UINT32_MAX);
    gw_number(&w, "too big", GGUF_U64, (uint64_t)UINT32_MAX + 1);
    gw_number(&w, "i64 least", GGUF_I64, (uint64_t)1 << 63);
    gw_raw(&w, "f64", GGUF_F64, &wide, 8);
    gw_raw(&w, "f64 huge", GGUF_F64, &huge, 8);
    gw_number(&w, "bool", GGUF_BOOL, 1);
    gw_number(&w, "bool 2", GGUF_BOOL, 2);
    gw_text(&w, "text", "hello");
    gw_raw(&w, "numbers", GGUF_ARRAY, "\x05\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\xff\xff\xff\xff", 20);
    gw_raw(&w, "none", GGUF_ARRAY, "\x08\0\0\0\0\0\0\0\0\0\0\0", 12);
    gw_raw(&w, "nested", GGUF_ARRAY, "\x09\0\0\0\x01\0\0\0\0\0\0\0\x00\0\0\0\x02\0\0\0\0\0\0\0\x07\x08", 26);
    gw_add(&w, "t", KV_TYPE_BF16, 5, 3);
    uint8_t *data = gw_write(&w, &size, NULL);
    enum kv_status status = gguf_open_memory(data, size, &file, &err);
    CHECK(status == KV_OK, "%s", err.text);
    if (!status) {
        CHECK(!gguf_u32(file, "i8", &u, &err) && u == 127, "i8 %u", u);
        CHECK(!gguf_u32(file, "u64", &u, &err) && u == UINT32_MAX, "u64 %u", u);
        CHECK(gguf_u32(file, "minus", &u, &err) == KV_BAD_FILE && strstr(err.text, "-2"), "%s", err.text);
        CHECK(gguf_u32(file, "too big", &u, &err) == KV_BAD_FILE && strstr(err.text, "4294967296"), "%s", err.text);
        CHECK(gguf_u32(file, "i64 least", &u, &err) == KV_BAD_FILE && strstr(err.text, "-9223372036854775808"),
            "%s", err.text);
        CHECK(gguf_u32(file, "bool", &u, &err) == KV_BAD_FILE && u == UINT32_MAX, "%s", err.text);
        CHECK(gguf_u32(file, "absent", &u, &err) == KV_NOT_FOUND, "%s", err.text);
        CHECK(!gguf_f32(file, "f64", &f, &err) && f == 2.5F, "f64 %g", (double)f);
        CHECK(!gguf_f32(file, "f64 huge", &f, &err) && isinf(f), "f64 %g", (double)f);
        CHECK(!gguf_bool(file, "bool", &b, &err) && b, "bool");
        CHECK(gguf_bool(file, "bool 2", &b, &err) == KV_BAD_FILE, "bool 2");
        CHECK(!gguf_string(file, "text", &text, &err) && same(text, "hello"), "text");
        CHECK(!gguf_i32s(file, "numbers", &numbers, &count, &err) && count == 2 && numbers[1] == -1, "numbers");
        CHECK(!gguf_strings(file, "none", &strings, &count, &err) && count == 0, "empty array");
        CHECK(gguf_strings(file, "numbers", &strings, &count, &err) == KV_BAD_FILE, "numbers as strings");
        CHECK(gguf_has(file, "nested") && !gguf_has(file, "neste") && !gguf_has(file, "nested2"), "has");
        const struct gguf_tensor *t = gguf_tensor(file, "t");
        CHECK(t && t->bytes == 30 && t->dim[1] == 3 && *(const uint8_t *)t->data == 1, "tensor");
        CHECK(gguf_tensor_count(file) == 1 && !gguf_tensor(file, ""), "tensors");
        free(strings);
        free(numbers);
        gguf_close(file);
    }
    free(data);
}

/* ---- paths ---- */

static void check_path(const char *path, enum kv_status expected, const char *says)
{
    struct kv_model *m = NULL;
    struct kv_error err = { 0 };
    enum kv_status status = kv_model_open(path, &m, &err);
    CHECK(status == expected, "%s: %s (%s)", path, kv_status_text(status), err.text);
    if (expected)
        CHECK(is_one_sentence(err.text) && strstr(err.text, says), "%s: %s", path, err.text);
    else
        CHECK(m && !strcmp(m->path, path), "path");
    kv_model_close(m);
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    REQUIRE(f, "%s cannot be written", path);
    CHECK(fwrite(data, 1, size, f) == size, "%s", path);
    fclose(f);
}

static void paths_of_every_kind(void)
{
    char dir[] = "/tmp/kvdbg-gguf-XXXXXX", path[64], fifo[64], longer[600];
    struct gw w;
    size_t size;
    REQUIRE(mkdtemp(dir), "no temporary directory");
    snprintf(path, sizeof path, "%s/model.gguf", dir);
    snprintf(fifo, sizeof fifo, "%s/fifo.gguf", dir);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;

    check_path(path, KV_IO, "No such file");
    check_path(longer, KV_IO, "too long");
    check_path(dir, KV_BAD_FILE, "no config.json");
    check_path("/dev/null", KV_IO, "no regular file");
    CHECK(!mkfifo(fifo, 0600), "no FIFO");
    check_path(fifo, KV_IO, "no regular file");
    write_file(path, "", 0);
    check_path(path, KV_BAD_FILE, "is empty");
    write_file(path, "Once upon a time", 16);
    check_path(path, KV_BAD_FILE, "begins with 'Once'");
    write_file(path, "G", 1);
    check_path(path, KV_BAD_FILE, "begins with 'G'");
    gw_model(&w, "llama");
    uint8_t *data = gw_write(&w, &size, NULL);
    write_file(path, data, size);
    check_path(path, KV_OK, "");
    write_file(path, data, size - 1);
    check_path(path, KV_BAD_FILE, "cut or damaged");
    free(data);
    unlink(path);
    unlink(fifo);
    rmdir(dir);
}

static const struct tap_case cases[] = {
    { "the default model has the shape, types and vocabulary that it is known for", default_model_opens },
    { "small files of each architecture and version open", small_files_open },
    { "keys that may be absent have defaults", optional_keys_have_defaults },
    { "values are read at any width and refused out of range", values_of_any_width },
    { "paths: missing, directory, FIFO, empty, text, cut", paths_of_every_kind },
};
int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
