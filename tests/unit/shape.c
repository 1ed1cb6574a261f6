/* Parts of a model's shape that files write in many ways: layers with a window as text, RoPE's scaling. */
#include "engine/model/rope.h"
#include "engine/model/window.h"
#include "tests/tap.h"

#include <stdlib.h>

static void windows_as_text(void)
{
    static const char *const good[] = { "all", "none", "0", "7", "0-6", "1-7", "0,2,4,6", "0-1,3,5-7" };
    static const char *const bad[] = { "8", "0-8", "-1", "3-2", "1,", ",1", "1-", "every", "1;2",
        "99999999999999999999", "1 2" };
    struct kv_shape s = { .n_layer = 8, .sliding_window = 5 };
    char text[WINDOW_TEXT];
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        CHECK(window_parse(good[i], &s), "%s is refused", good[i]);
        window_layers(&s, text, sizeof text);
        CHECK(!strcmp(text, good[i]), "%s became %s", good[i], text);
    }
    for (size_t i = 0; i < KV_COUNT(bad); i++) CHECK(!window_parse(bad[i], &s), "%s is taken", bad[i]);
    CHECK(window_parse("", &s), "no text is no list");
    s.sliding_window = 0;
    window_layers(&s, text, sizeof text);
    CHECK(!*text && !kv_shape_window(&s, 3), "layers without a window: %s", text);
}

/* Any set of layers comes back from its text, and a text that is too long says so. */
static void windows_come_back(void)
{
    struct kv_shape s = { .n_layer = KV_MAX_LAYERS, .sliding_window = 9 }, back = s;
    char text[WINDOW_TEXT], small[24];
    for (unsigned seed = 1; seed <= 50; seed++) {
        unsigned state = seed * 2654435761u;
        for (size_t i = 0; i < sizeof s.sees_all; i++) {
            state = state * 1664525u + 1013904223u;
            s.sees_all[i] = seed == 1 ? 0xaa : (unsigned char)(state >> 24);
        }
        window_layers(&s, text, sizeof text);
        CHECK(window_parse(text, &back) && !memcmp(back.sees_all, s.sees_all, sizeof s.sees_all), "%u: %s", seed,
            text);
        window_layers(&s, small, sizeof small);
        CHECK(strlen(small) < sizeof small && strstr(small, "..."), "%u: %s", seed, small);
    }
}

static void rope_refusals(void)
{
    static const struct {
        struct kv_rope_scaling rope;
        const char *says;
    } bad[] = { { { .kind = KV_ROPE_LINEAR }, "factor 0" },
        { { .kind = KV_ROPE_LINEAR, .factor = NAN }, "factor nan" },
        { { .kind = KV_ROPE_YARN, .factor = 4 }, "original context of 0" },
        { { .kind = KV_ROPE_YARN, .factor = 4, .original_context = 64, .beta_fast = -1 }, "beta_fast -1" },
        { { .kind = KV_ROPE_YARN, .factor = 4, .original_context = 64, .attention = INFINITY },
            "attention_factor inf" },
        { { .kind = KV_ROPE_LLAMA3, .factor = 8, .original_context = 64, .low_freq = 4, .high_freq = 4 },
            "more than low_freq_factor 4" },
        { { .kind = KV_ROPE_LLAMA3, .factor = 8, .original_context = 64, .high_freq = 4 }, "low_freq_factor 0" },
        { { .kind = KV_ROPE_DIVISORS, .divisor = { 1, -1 } }, "-1" } };
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        struct kv_shape s = { .rope_dim = 16, .rope_theta = 1e4F, .rope = bad[i].rope };
        struct kv_error err = { 0 };
        CHECK(rope_settle(&s, &err) == KV_BAD_FILE && strstr(err.text, bad[i].says), "case %zu: %s", i, err.text);
    }
    struct kv_shape wide = { .rope_dim = 2 * KV_ROPE_PAIRS + 2, .rope_theta = 1e4F };
    struct kv_error err = { 0 };
    CHECK(rope_settle(&wide, &err) == KV_UNSUPPORTED && strstr(err.text, "258"), "%s", err.text);
}

/* The frequencies that the scalings change, and those that they leave. */
static void rope_tables(void)
{
    struct kv_shape s = { .rope_dim = 64, .rope_theta = 1e4F };
    struct kv_error err = { 0 };
    float plain[32], f[32];
    CHECK(rope_frequencies(&s, plain) == 1 && plain[0] == 1, "plain");
    s.rope = (struct kv_rope_scaling){ .kind = KV_ROPE_LINEAR, .factor = 4 };
    CHECK(!rope_settle(&s, &err) && rope_frequencies(&s, f) == 1, "%s", err.text);
    for (int c = 0; c < 32; c++) CHECK(f[c] == plain[c] / 4, "linear: channel %d", c);
    s.rope = (struct kv_rope_scaling){ .kind = KV_ROPE_YARN, .factor = 4, .original_context = 4096 };
    s.n_context = 4096;
    CHECK(!rope_settle(&s, &err) && s.n_context == 16384, "%s; context %d", err.text, s.n_context);
    s.n_context = 40000;
    CHECK(!rope_settle(&s, &err) && s.n_context == 40000, "%s; context %d", err.text, s.n_context);
    float scale = rope_frequencies(&s, f);
    CHECK(fabs((double)scale - (0.1 * log(4) + 1)) < 1e-6, "YaRN scales by %g", (double)scale);
    CHECK(f[0] == plain[0] && fabsf(f[31] * 4 / plain[31] - 1) < 1e-6F, "YaRN: %g and %g", (double)f[0],
        (double)f[31]);
    char text[64];
    rope_describe(&s, text, sizeof text);
    CHECK(!strcmp(text, "yarn 4 x 4096"), "%s", text);
    s.rope.attention = 1.35F, s.rope.beta_slow = 2;
    rope_describe(&s, text, sizeof text);
    CHECK(!strcmp(text, "yarn 4 x 4096, beta 32 2, cosines x 1.35"), "%s", text);
    s.rope.attention = s.rope.beta_slow = 0;
    s.rope.mscale = 1, s.rope.mscale_all_dim = 2;
    scale = rope_frequencies(&s, f);
    CHECK(fabs((double)scale - (0.1 * log(4) + 1) / (0.2 * log(4) + 1)) < 1e-6, "mscale: %g", (double)scale);
    s.rope = (struct kv_rope_scaling){
        .kind = KV_ROPE_LLAMA3, .factor = 8, .original_context = 8192, .low_freq = 1, .high_freq = 4
    };
    CHECK(!rope_settle(&s, &err) && s.rope.kind == KV_ROPE_DIVISORS, "%s", err.text);
    rope_frequencies(&s, f);
    CHECK(f[0] == plain[0] && f[31] == plain[31] / 8, "Llama 3: %g and %g", (double)f[0], (double)f[31]);
}

static const struct tap_case cases[] = {
    { "layers with a window as text", windows_as_text },
    { "any set of layers comes back", windows_come_back },
    { "RoPE scalings that cannot be", rope_refusals },
    { "RoPE scalings change what they should", rope_tables },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
