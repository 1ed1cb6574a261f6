/* Hostile GGUF files, each of which must be refused with one sentence that says why. */
#include "tests/unit/gguf.h"

enum change {
    NUMBER,   /* key := type a, number b */
    TEXT,     /* key := string text */
    RAW,      /* key := type a, the first b bytes of text */
    NO_KEY,   /* key taken out */
    NO_T,     /* tensor taken out */
    T_TYPE,   /* type := a */
    T_RANK,   /* number of dimensions := a */
    T_DIM,    /* dimension a := b */
    T_OFFSET, /* offset := a */
    T_NAME,   /* name := text */
    T_MORE,   /* another tensor, F32 [1][32], of that name */
    KEYS,     /* header claims a more keys */
    TENSORS,  /* header claims a more tensors */
    VERSION   /* := a */
};

#define NAN_BITS 0x7fc00000
#define INF_BITS 0x7f800000
#define EPS      "llama.attention.layer_norm_rms_epsilon"
#define V        "blk.0.attn_v.weight"

static const struct hostile {
    const char *what;
    enum kv_status status;
    const char *says;
    enum change change;
    const char *name;
    uint64_t a, b;
    const char *text;
} hostiles[] = {
    /* header */
    { "version 0", KV_UNSUPPORTED, "version 0", VERSION, "", 0, 0, "" },
    { "version 1", KV_UNSUPPORTED, "version 1", VERSION, "", 1, 0, "" },
    { "version 4", KV_UNSUPPORTED, "version 4", VERSION, "", 4, 0, "" },
    { "big-endian", KV_UNSUPPORTED, "big-endian", VERSION, "", 0x03000000, 0, "" },
    { "one key too many", KV_BAD_FILE, "", KEYS, "", 1, 0, "" },
    { "2^32 keys", KV_BAD_FILE, "4294967", KEYS, "", UINT64_C(1) << 32, 0, "" },
    { "2^64 - 1 keys", KV_BAD_FILE, "keys", KEYS, "", UINT64_MAX - 40, 0, "" },
    { "one tensor too many", KV_BAD_FILE, "tensor", TENSORS, "", 1, 0, "" },
    { "2^63 tensors", KV_BAD_FILE, "claims 9223", TENSORS, "", UINT64_C(1) << 63, 0, "" },
    { "one tensor too few", KV_BAD_FILE, "missing", TENSORS, "", UINT64_MAX, 0, "" },
    /* metadata */
    { "no architecture", KV_BAD_FILE, "general.architecture", NO_KEY, "general.architecture", 0, 0, "" },
    { "architecture is a number", KV_BAD_FILE, "U32", NUMBER, "general.architecture", GGUF_U32, 1, "" },
    { "unknown architecture", KV_UNSUPPORTED, "'gemma' is not supported; kvdbg reads llama, qwen2 and qwen3", TEXT,
        "general.architecture", 0, 0, "gemma" },
    { "empty architecture", KV_UNSUPPORTED, "''", TEXT, "general.architecture", 0, 0, "" },
    { "architecture with control characters", KV_UNSUPPORTED, "'?[2Jx?'", TEXT, "general.architecture", 0, 0,
        "\x1b[2Jx\x9b" },
    { "architecture of 300 letters", KV_UNSUPPORTED, "aaa...'", TEXT, "general.architecture", 0, 0,
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "a" },
    { "value of unknown type", KV_BAD_FILE, "type 13", NUMBER, "x", 13, 0, "" },
    { "value of type 2^32 - 1", KV_BAD_FILE, "type 4294967295", NUMBER, "x", UINT32_MAX, 0, "" },
    { "array of unknown type", KV_BAD_FILE, "array of type 77", NUMBER, "x", GGUF_ARRAY, 77, "" },
    { "array of 2^61 U64, whose bytes wrap", KV_BAD_FILE, "claims an array", RAW, "x", GGUF_ARRAY, 12,
        "\x0a\0\0\0\0\0\0\0\0\0\0\x20" },
    { "array of 2^64 - 1 bytes", KV_BAD_FILE, "18446744073709551615", RAW, "x", GGUF_ARRAY, 12,
        "\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff" },
    { "array of 2^31 strings", KV_BAD_FILE, "2147483648", RAW, "x", GGUF_ARRAY, 12,
        "\x08\0\0\0\0\0\0\x80\0\0\0\0" },
    { "array of 2^40 arrays", KV_BAD_FILE, "claims an array", RAW, "x", GGUF_ARRAY, 12,
        "\x09\0\0\0\0\0\0\0\0\1\0\0" },
    { "arrays nested five deep", KV_UNSUPPORTED, "nests arrays", RAW, "x", GGUF_ARRAY, 60,
        "\x09\0\0\0\1\0\0\0\0\0\0\0\x09\0\0\0\1\0\0\0\0\0\0\0\x09\0\0\0\1\0\0\0\0\0\0\0"
        "\x09\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" },
    { "string of 2^64 - 1 bytes", KV_BAD_FILE, "'x'", RAW, "x", GGUF_STRING, 8,
        "\xff\xff\xff\xff\xff\xff\xff\xff" },
    { "string of 2^63 bytes", KV_BAD_FILE, "'x'", RAW, "x", GGUF_STRING, 8, "\0\0\0\0\0\0\0\x80" },
    { "key without a name", KV_BAD_FILE, "0 bytes", NUMBER, "", GGUF_U8, 0, "" },
    { "alignment 0", KV_BAD_FILE, "alignment", NUMBER, "general.alignment", GGUF_U32, 0, "" },
    { "alignment 48", KV_BAD_FILE, "is 48", NUMBER, "general.alignment", GGUF_U32, 48, "" },
    { "alignment 1", KV_BAD_FILE, "is 1", NUMBER, "general.alignment", GGUF_U32, 1, "" },
    { "alignment 2^31, past the file", KV_BAD_FILE, "", NUMBER, "general.alignment", GGUF_U32, 0x80000000, "" },
    { "alignment is text", KV_BAD_FILE, "expected an integer", TEXT, "general.alignment", 0, 0, "32" },
    /* the shape */
    { "no block count", KV_BAD_FILE, "llama.block_count", NO_KEY, "llama.block_count", 0, 0, "" },
    { "no layers", KV_BAD_FILE, "expected 1 to 1024", NUMBER, "llama.block_count", GGUF_U32, 0, "" },
    { "1025 layers", KV_BAD_FILE, "1025", NUMBER, "llama.block_count", GGUF_U32, 1025, "" },
    { "1024 layers, of which one is there", KV_BAD_FILE, "'blk.1.attn_norm.weight' is missing", NUMBER,
        "llama.block_count", GGUF_U32, 1024, "" },
    { "-1 layers", KV_BAD_FILE, "-1", NUMBER, "llama.block_count", GGUF_I32, UINT32_MAX, "" },
    { "layers as a float", KV_BAD_FILE, "F32", NUMBER, "llama.block_count", GGUF_F32, 0x3f800000, "" },
    { "layers as text", KV_BAD_FILE, "STRING", TEXT, "llama.block_count", 0, 0, "1" },
    { "width 0", KV_BAD_FILE, "embedding_length", NUMBER, "llama.embedding_length", GGUF_U32, 0, "" },
    { "width 33", KV_BAD_FILE, "token_embd", NUMBER, "llama.embedding_length", GGUF_U32, 33, "" },
    { "width 2^32 - 1", KV_BAD_FILE, "4294967295", NUMBER, "llama.embedding_length", GGUF_U32, UINT32_MAX, "" },
    { "width 2^40", KV_BAD_FILE, "1099511627776", NUMBER, "llama.embedding_length", GGUF_U64, UINT64_C(1) << 40,
        "" },
    { "FFN of another width", KV_BAD_FILE, "ffn_gate", NUMBER, "llama.feed_forward_length", GGUF_U32, 96, "" },
    { "FFN widths as an array", KV_BAD_FILE, "ARRAY", RAW, "llama.feed_forward_length", GGUF_ARRAY, 16,
        "\x04\0\0\0\1\0\0\0\0\0\0\0\x40\0\0\0" },
    { "no heads", KV_BAD_FILE, "head_count", NUMBER, "llama.attention.head_count", GGUF_U32, 0, "" },
    { "heads beyond the KV heads", KV_BAD_FILE, "multiple of its 3 KV heads", NUMBER,
        "llama.attention.head_count_kv", GGUF_U32, 3, "" },
    { "4096 heads", KV_BAD_FILE, "attn_q", NUMBER, "llama.attention.head_count", GGUF_U32, 4096, "" },
    { "0 KV heads", KV_BAD_FILE, "expected 1", NUMBER, "llama.attention.head_count_kv", GGUF_U32, 0, "" },
    { "odd head width", KV_UNSUPPORTED, "15 wide", NUMBER, "llama.attention.key_length", GGUF_U32, 15, "" },
    { "head width 512", KV_UNSUPPORTED, "512 wide", NUMBER, "llama.attention.key_length", GGUF_U32, 512, "" },
    { "values of another width", KV_UNSUPPORTED, "8 wide", NUMBER, "llama.attention.value_length", GGUF_U32, 8,
        "" },
    { "odd rotated channels", KV_BAD_FILE, "rope.dimension_count", NUMBER, "llama.rope.dimension_count", GGUF_U32,
        7, "" },
    { "more rotated channels than there are", KV_BAD_FILE, "up to 16", NUMBER, "llama.rope.dimension_count",
        GGUF_U32, 18, "" },
    { "context 0", KV_BAD_FILE, "context_length", NUMBER, "llama.context_length", GGUF_U32, 0, "" },
    { "context 2^31", KV_BAD_FILE, "2147483648", NUMBER, "llama.context_length", GGUF_U32, 0x80000000, "" },
    { "sliding window -1", KV_BAD_FILE, "sliding_window", NUMBER, "llama.attention.sliding_window", GGUF_I32,
        UINT32_MAX, "" },
    { "vocabulary of another size", KV_BAD_FILE, "has 8 rows", NUMBER, "llama.vocab_size", GGUF_U32, 9, "" },
    { "no epsilon", KV_BAD_FILE, "epsilon", NO_KEY, EPS, 0, 0, "" },
    { "epsilon 0", KV_BAD_FILE, "positive", NUMBER, EPS, GGUF_F32, 0, "" },
    { "epsilon NaN", KV_BAD_FILE, "positive", NUMBER, EPS, GGUF_F32, NAN_BITS, "" },
    { "epsilon as an integer", KV_BAD_FILE, "expected F32", NUMBER, EPS, GGUF_U32, 1, "" },
    { "theta infinite", KV_BAD_FILE, "freq_base", NUMBER, "llama.rope.freq_base", GGUF_F32, INF_BITS, "" },
    { "theta negative", KV_BAD_FILE, "freq_base", NUMBER, "llama.rope.freq_base", GGUF_F32, 0xbf800000, "" },
    /* what is not built */
    { "LongRoPE", KV_UNSUPPORTED, "RoPE scaling 'longrope' is not supported", TEXT, "llama.rope.scaling.type", 0, 0,
        "longrope" },
    { "YaRN without a factor", KV_BAD_FILE, "factor 0", TEXT, "llama.rope.scaling.type", 0, 0, "yarn" },
    { "linear scaling without a factor", KV_BAD_FILE, "factor 0", TEXT, "llama.rope.scaling.type", 0, 0, "linear" },
    { "scaling by a negative factor", KV_BAD_FILE, "factor -1", NUMBER, "llama.rope.scaling.factor", GGUF_F32,
        0xbf800000, "" },
    { "scaling factor NaN", KV_BAD_FILE, "scale_linear", NUMBER, "llama.rope.scale_linear", GGUF_F32, NAN_BITS,
        "" },
    { "scaling kind as a number", KV_BAD_FILE, "U8", NUMBER, "llama.rope.scaling.type", GGUF_U8, 1, "" },
    { "another extrapolation than YaRN's", KV_UNSUPPORTED, "yarn_ext_factor", NUMBER,
        "llama.rope.scaling.yarn_ext_factor", GGUF_F32, 0x3f000000, "" },
    { "scaling by a tensor of another size", KV_BAD_FILE, "rope_freqs.weight", T_MORE, "rope_freqs.weight", 0, 0,
        "" },
    { "window pattern of another length", KV_BAD_FILE, "2 elements for 1 layers", RAW,
        "llama.attention.sliding_window_pattern", GGUF_ARRAY, 14, "\x07\0\0\0\2\0\0\0\0\0\0\0\1\0" },
    { "window pattern as a number", KV_BAD_FILE, "sliding_window_pattern", NUMBER,
        "llama.attention.sliding_window_pattern", GGUF_U32, 2, "" },
    { "attention both ways", KV_UNSUPPORTED, "not causal", NUMBER, "llama.attention.causal", GGUF_BOOL, 0, "" },
    { "experts", KV_UNSUPPORTED, "8 experts", NUMBER, "llama.expert_count", GGUF_U32, 8, "" },
    { "a tensor nobody uses", KV_UNSUPPORTED, "'blk.0.attn_k_norm.weight'", T_MORE, "blk.0.attn_k_norm.weight", 0,
        0, "" },
    /* tensors */
    { "no embeddings", KV_BAD_FILE, "'token_embd.weight' is missing", NO_T, "token_embd.weight", 0, 0, "" },
    { "no V", KV_BAD_FILE, "'blk.0.attn_v.weight' is missing", NO_T, V, 0, 0, "" },
    { "no output norm", KV_BAD_FILE, "output_norm", NO_T, "output_norm.weight", 0, 0, "" },
    { "two tensors of one name", KV_BAD_FILE, "twice", T_NAME, V, 0, 0, "blk.0.attn_k.weight" },
    { "tensor without a name", KV_BAD_FILE, "0 bytes", T_NAME, V, 0, 0, "" },
    { "tensor with control characters", KV_BAD_FILE, "is missing", T_NAME, V, 0, 0, "\x1b]0;x\x07" },
    { "tensor of type IQ2_XS", KV_UNSUPPORTED, "'blk.0.attn_v.weight' is of type 17 (IQ2_XS)", T_TYPE, V, 17, 0,
        "" },
    { "tensor of type IQ1_M", KV_UNSUPPORTED, "29 (IQ1_M)", T_TYPE, V, 29, 0, "" },
    { "tensor of type IQ3_S", KV_UNSUPPORTED, "21 (IQ3_S)", T_TYPE, V, 21, 0, "" },
    { "tensor of type TQ1_0", KV_UNSUPPORTED, "34 (TQ1_0)", T_TYPE, V, 34, 0, "" },
    { "tensor of type MXFP4", KV_UNSUPPORTED, "39 (MXFP4)", T_TYPE, V, 39, 0, "" },
    { "tensor of type 999", KV_UNSUPPORTED, "999 (an unknown type)", T_TYPE, V, 999, 0, "" },
    { "tensor of type 2^32 - 1", KV_UNSUPPORTED, "4294967295", T_TYPE, V, UINT32_MAX, 0, "" },
    { "rows that are no multiple of a block", KV_BAD_FILE, "rows of 32 elements, not a multiple of the 256", T_TYPE,
        V, KV_TYPE_Q6_K, 0, "" },
    { "norm in F16", KV_UNSUPPORTED, "is F16", T_TYPE, "output_norm.weight", KV_TYPE_F16, 0, "" },
    { "tensor of no dimension", KV_BAD_FILE, "0 dimensions", T_RANK, V, 0, 0, "" },
    { "tensor of five dimensions", KV_BAD_FILE, "5 dimensions", T_RANK, V, 5, 0, "" },
    { "tensor of 2^32 - 1 dimensions", KV_BAD_FILE, "4294967295 dimensions", T_RANK, V, UINT32_MAX, 0, "" },
    { "dimension 0", KV_BAD_FILE, "0 elements along dimension 1", T_DIM, V, 1, 0, "" },
    { "dimension 2^63", KV_BAD_FILE, "9223372036854775808", T_DIM, V, 1, UINT64_C(1) << 63, "" },
    { "dimensions whose product wraps", KV_BAD_FILE, "more elements", T_DIM, V, 1, UINT64_C(1) << 59, "" },
    { "dimensions past the file", KV_BAD_FILE, "cut or damaged", T_DIM, V, 1, UINT64_C(1) << 40, "" },
    { "other rows than the metadata says", KV_BAD_FILE, "ask for 32 x 16", T_DIM, V, 1, 15, "" },
    { "a vector for a matrix", KV_BAD_FILE, "ask for 32 x 64", T_RANK, "blk.0.ffn_up.weight", 1, 0, "" },
    { "more embeddings than a vocabulary", KV_BAD_FILE, "token_embd", T_DIM, "token_embd.weight", 1,
        UINT64_C(1) << 33, "" },
    { "offset off the alignment", KV_BAD_FILE, "multiple of the alignment 32", T_OFFSET, V, 33, 0, "" },
    { "offset past the file", KV_BAD_FILE, "cut or damaged", T_OFFSET, V, 1 << 20, 0, "" },
    { "offset that wraps into the header", KV_BAD_FILE, "cut or damaged", T_OFFSET, V, UINT64_MAX - 31, 0, "" },
    { "offset of 2^63", KV_BAD_FILE, "cut or damaged", T_OFFSET, V, UINT64_C(1) << 63, 0, "" },
    { "offset of another tensor", KV_BAD_FILE, "overlap", T_OFFSET, V, 0, 0, "" },
    /* the vocabulary */
    { "tokens as text", KV_BAD_FILE, "expected ARRAY", TEXT, "tokenizer.ggml.tokens", 0, 0, "a b c" },
    { "tokens as numbers", KV_BAD_FILE, "expected STRING", RAW, "tokenizer.ggml.tokens", GGUF_ARRAY, 12,
        "\x04\0\0\0\0\0\0\0\0\0\0\0" },
    { "fewer tokens than rows", KV_BAD_FILE, "has 1 tokens", RAW, "tokenizer.ggml.tokens", GGUF_ARRAY, 21,
        "\x08\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0a" },
    { "fewer token types than tokens", KV_BAD_FILE, "1 elements for 8 tokens", RAW, "tokenizer.ggml.token_type",
        GGUF_ARRAY, 16, "\x05\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0" },
    { "token types as floats", KV_BAD_FILE, "array of F32", RAW, "tokenizer.ggml.token_type", GGUF_ARRAY, 12,
        "\x06\0\0\0\0\0\0\0\0\0\0\0" },
    { "merges of arrays", KV_BAD_FILE, "array of ARRAY", RAW, "tokenizer.ggml.merges", GGUF_ARRAY, 12,
        "\x09\0\0\0\0\0\0\0\0\0\0\0" },
    { "end token past the vocabulary", KV_BAD_FILE, "is token 8", NUMBER, "tokenizer.ggml.eos_token_id", GGUF_U32,
        8, "" },
    { "begin token -5", KV_BAD_FILE, "-5", NUMBER, "tokenizer.ggml.bos_token_id", GGUF_I32, 0xfffffffb, "" },
    { "add-bos 7", KV_BAD_FILE, "expected 0 or 1", NUMBER, "tokenizer.ggml.add_bos_token", GGUF_BOOL, 7, "" },
    { "template as a number", KV_BAD_FILE, "chat_template", NUMBER, "tokenizer.chat_template", GGUF_U8, 7, "" },
    { "name as an array", KV_BAD_FILE, "general.name", NUMBER, "general.name", GGUF_ARRAY, GGUF_U8, "" },
};

static void apply(struct gw *w, const struct hostile *h)
{
    struct gw_tensor *t = gw_tensor(w, h->name);
    switch (h->change) {
    case NUMBER: gw_number(w, h->name, (uint32_t)h->a, h->b); return;
    case TEXT: gw_text(w, h->name, h->text); return;
    case RAW: gw_raw(w, h->name, (uint32_t)h->a, h->text, h->b); return;
    case NO_KEY: gw_drop_key(w, h->name); return;
    case NO_T: gw_drop_tensor(w, h->name); return;
    case T_TYPE: t->type = (uint32_t)h->a; return;
    case T_RANK: t->n_dims = (uint32_t)h->a, t->dim[2] = 2; return;
    case T_DIM: t->dim[h->a] = h->b; return;
    case T_OFFSET: t->offset = h->a; return;
    case T_NAME: snprintf(t->name, sizeof t->name, "%s", h->text); return;
    case T_MORE: gw_add(w, h->name, KV_TYPE_F32, 32, 1); return;
    case KEYS: w->n_key_claimed = h->a; return;
    case TENSORS: w->n_tensor_claimed = h->a; return;
    case VERSION: w->version = (uint32_t)h->a; return;
    }
}

static void hostile_files_are_refused(void)
{
    CHECK(KV_COUNT(hostiles) >= 60, "%zu cases", KV_COUNT(hostiles));
    for (size_t i = 0; i < KV_COUNT(hostiles); i++) {
        const struct hostile *h = &hostiles[i];
        struct gw w;
        struct kv_model *m = NULL;
        struct kv_error err;
        uint8_t *data;
        gw_model(&w, "llama");
        apply(&w, h);
        enum kv_status status = open_spec(&w, &data, &m, &err);
        CHECK(status == h->status, "%s: %s (%s)", h->what, kv_status_text(status), err.text);
        CHECK(err.code == status && is_one_sentence(err.text), "%s: no sentence: %s", h->what, err.text);
        CHECK(strstr(err.text, h->says), "%s: does not say %s: %s", h->what, h->says, err.text);
        CHECK(!m, "%s: a model is left", h->what);
        kv_model_close(m);
        free(data);
    }
}

/* A key twice cannot be told to the writer, which finds keys by name. */
static void double_keys_are_refused(void)
{
    struct gw w;
    struct kv_model *m;
    struct kv_error err;
    uint8_t *data;
    gw_model(&w, "llama");
    gw_number(&w, "x", GGUF_U8, 0);
    gw_number(&w, "y", GGUF_U8, 0);
    w.key[w.n_key - 1].name[0] = 'x';
    CHECK(open_spec(&w, &data, &m, &err) == KV_BAD_FILE && strstr(err.text, "'x' stands"), "%s", err.text);
    free(data);
}

static void every_truncation_is_refused(void)
{
    struct gw w;
    size_t size, header;
    gw_model(&w, "qwen3");
    uint8_t *data = gw_write(&w, &size, &header);
    for (size_t n = 0; n < size; n += n < header ? 1 : 97) {
        struct kv_model *m = NULL;
        struct kv_error err = { 0 };
        uint8_t *cut = malloc(n + !n);
        if (n) memcpy(cut, data, n);
        enum kv_status status = kv_model_open_memory(cut, n, &m, &err);
        CHECK(status == KV_BAD_FILE && is_one_sentence(err.text), "%zu bytes: %d %s", n, (int)status, err.text);
        kv_model_close(m);
        free(cut);
    }
    free(data);
}

/* Most damage is noticed, some is not (a letter of a name): either way a sentence, or a model that can be read. */
static void damaged_bytes_never_crash(void)
{
    static const uint8_t patterns[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    struct gw w;
    size_t size, header, refused = 0, opened = 0;
    gw_model(&w, "qwen2");
    uint8_t *data = gw_write(&w, &size, &header);
    for (size_t at = 0; at < header; at++)
        for (size_t k = 0; k < KV_COUNT(patterns) + 8; k++) {
            struct kv_model *m = NULL;
            struct kv_error err = { 0 };
            uint8_t was = data[at];
            data[at] = k < 8 ? was ^ (uint8_t)(1U << k) : patterns[k - 8];
            enum kv_status status = kv_model_open_memory(data, size, &m, &err);
            if (status) {
                CHECK(status == KV_BAD_FILE || status == KV_UNSUPPORTED, "byte %zu: %d", at, (int)status);
                CHECK(is_one_sentence(err.text), "byte %zu: %s", at, err.text);
                refused++;
            } else {
                CHECK(touch(m) != 0, "byte %zu: nothing was read", at);
                opened++;
            }
            kv_model_close(m);
            data[at] = was;
        }
    CHECK(refused > opened && opened > 0, "%zu refused, %zu opened", refused, opened);
    free(data);
}

static const struct tap_case cases[] = {
    { "hostile files are refused, each with its sentence", hostile_files_are_refused },
    { "a key that stands twice is refused", double_keys_are_refused },
    { "every truncation is refused", every_truncation_is_refused },
    { "damaged bytes never crash", damaged_bytes_never_crash },
};
int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
