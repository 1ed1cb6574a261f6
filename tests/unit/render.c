/* The renderer's numbers and words: colors, scales, ticks, pooling, labels, terminal cells. */
#include "tests/unit/render.h"

#include "render/cells.h"
#include "render/text.h"
#include "render/utf8.h"
#include "tests/tap.h"

static uint32_t xterm_rgb(unsigned i)
{
    if (i >= 232) return 0x010101 * (8 + 10 * (i - 232));
    unsigned part[3] = { (i - 16) / 36, (i - 16) / 6 % 6, (i - 16) % 6 }, rgb = 0;
    for (int k = 0; k < 3; k++) rgb = rgb << 8 | (part[k] ? 55 + 40 * part[k] : 0);
    return rgb;
}

static void lightness(void)
{
    CHECK(fabs(color_lightness(0xffffff) - 100) <= 0.01, "white is %g", color_lightness(0xffffff));
    for (size_t m = 0; m < COLOR_MAPS; m++) {
        const struct color_map *map = &color_maps[m];
        /* A diverging map falls from its middle on. */
        int top = map->diverging ? 128 : 255, step = map->diverging ? (int)map->steps / 2 : (int)map->steps - 1;
        for (int i = 1; i < 256; i++) {
            double rise = color_lightness(map->rgb[i]) - color_lightness(map->rgb[i - 1]);
            CHECK(i <= top ? rise > 0 : rise < 0, "%s at %d: %g", map->name, i, rise);
        }
        CHECK(map->steps <= COLOR_STEPS && map->steps > 8, "%s: %zu steps", map->name, map->steps);
        for (int i = 1; i < (int)map->steps; i++) {
            double a = color_lightness(xterm_rgb(map->ladder[i - 1])),
                   b = color_lightness(xterm_rgb(map->ladder[i]));
            CHECK((i <= step ? b - a : a - b) >= 3 - 0.01, "%s: ladder step %d goes from %g to %g", map->name, i, a,
                b);
        }
        uint32_t zero = map->rgb[128], ground = xterm_rgb(map->ladder[map->steps / 2]);
        CHECK(!map->diverging || (zero == (zero & 255) * 0x010101 && ground == (ground & 255) * 0x010101),
            "zero is no grey");
        CHECK(!map->diverging || color_step(0.5, map->steps) == map->steps / 2, "zero is not the middle step");
        for (int i = 0; i < 256; i++)
            CHECK(map->rgb[i] != color_roles[COLOR_NODATA].rgb, "%s contains the color of no data", map->name);
    }
}

static void map_names(void)
{
    const struct color_map *map;
    struct kv_error err = { 0 };
    CHECK(!color_map(NULL, &map, &err) && !strcmp(map->name, "magma"), "the default is not magma");
    CHECK(
        !color_map("viridis", &map, &err) && map->rgb[0] == 0x440154 && map->rgb[255] == 0xfde725, "viridis' ends");
    CHECK(color_map("jet", &map, &err) == KV_BAD_ARG && strstr(err.text, "cividis"), "jet: %s", err.text);
    CHECK(color_at(map, NAN) == color_roles[COLOR_NODATA].rgb, "NaN has a map color");
    CHECK(color_at(map, -1) == map->rgb[0] && color_at(map, 2) == map->rgb[255], "out of range");
}

static struct scale fitted(struct scale_view view, const float *v, size_t n, enum kv_status *status)
{
    struct scale s;
    struct kv_error err;
    *status = scale_open(&s, &view, &err);
    if (*status) return s;
    scale_add(&s, v, n);
    *status = scale_fit(&s, &err);
    return s;
}

static void near(const char *what, double got, double want)
{
    CHECK(fabs(got - want) <= 1e-6 * fmax(1, fabs(want)), "%s: got %.9g, want %.9g", what, got, want);
}

static void scales(void)
{
    const float v[] = { NAN, 3, -1, INFINITY, 7, 1, 0.001f };
    enum kv_status status;
    struct scale s = fitted((struct scale_view){ 0 }, v, 7, &status);
    near("low", s.low, -1);
    near("high", s.high, 7);
    near("linear", scale_unit(&s, 3), 0.5);
    near("below", scale_unit(&s, -50), 0);
    CHECK(isnan(scale_unit(&s, NAN)) && isnan(scale_unit(&s, -INFINITY)), "no data has a place");
    s = fitted((struct scale_view){ .kind = SCALE_LOG, .fixed_max = true, .max = 10 }, v, 7, &status);
    near("log low", s.low, 0.001f);
    near("log", scale_unit(&s, 0.1), 0.5);
    near("log of 0", scale_unit(&s, 0), 0);
    s = fitted((struct scale_view){ .kind = SCALE_LOG }, (float[]){ -1, 0 }, 2, &status);
    CHECK(status == KV_BAD_ARG, "a log scale took no positive value");
    char unit[80];
    scale_unit_text(&s, "nats", unit, sizeof unit);
    CHECK(!strcmp(unit, "nats; log10"), "%s", unit);
    s = fitted((struct scale_view){ .kind = SCALE_LOG, .clip_low = 1, .clip_high = 99 }, v, 7, &status);
    scale_unit_text(&s, "nats", unit, sizeof unit);
    CHECK(!strcmp(unit, "nats; log10, clipped at 1 and 99 %"), "%s", unit);
    scale_close(&s);
    s = fitted((struct scale_view){ .symmetric = true }, v, 7, &status);
    near("symmetric low", s.low, -7);
    near("symmetric zero", scale_unit(&s, 0), 0.5);
    s = fitted((struct scale_view){ .kind = SCALE_RANK }, (float[]){ -8, 100, -1000, 0.5f, 0.5f }, 5, &status);
    near("lowest rank", scale_unit(&s, -1000), 0.1);
    near("tied rank", scale_unit(&s, 0.5), 0.6);
    near("highest rank", scale_unit(&s, 100), 0.9);
    scale_close(&s);
    s = fitted((struct scale_view){ 0 }, (float[]){ 4 }, 1, &status);
    near("one value", scale_unit(&s, 4), 0.5);
    fitted((struct scale_view){ .fixed_min = true, .fixed_max = true, .min = 2, .max = 2 }, v, 7, &status);
    CHECK(status == KV_BAD_ARG, "min = max was taken");
    fitted((struct scale_view){ .clip_low = 50, .clip_high = 20 }, v, 7, &status);
    CHECK(status == KV_BAD_ARG, "clip 50 to 20 was taken");
}

static void clipping(void)
{
    float v[1001];
    enum kv_status status;
    for (int i = 0; i <= 1000; i++) v[i] = (float)(i * 10 % 1001) - 500;
    struct scale s = fitted((struct scale_view){ .clip_low = 1, .clip_high = 99 }, v, 1001, &status);
    CHECK(fabs(s.low + 490) <= 490.0 / 2048 && fabs(s.high - 490) <= 490.0 / 2048, "%g to %g", s.low, s.high);
    near("beyond the clip", scale_unit(&s, 499), 1);
    scale_close(&s);
}

static void check_ticks(struct scale_view view, float low, float high, bool utf8, const char *want)
{
    struct scale_tick ticks[16];
    enum kv_status status;
    char got[256] = "";
    struct scale s = fitted(view, (float[]){ low, high }, 2, &status);
    size_t n = status ? 0 : scale_ticks(&s, 5, utf8, ticks, 16);
    for (size_t i = 0; i < n; i++) {
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", ticks[i].text);
        CHECK(ticks[i].at >= 0 && ticks[i].at <= 1, "tick %s lies at %g", ticks[i].text, ticks[i].at);
        CHECK(!i || ticks[i].at > ticks[i - 1].at, "tick %s does not rise", ticks[i].text);
    }
    CHECK(!strcmp(got, want), "%g to %g: \"%s\", want \"%s\"", low, high, got, want);
    scale_close(&s);
}

static void ticks(void)
{
    struct scale_view linear = { 0 }, log = { .kind = SCALE_LOG };
    check_ticks(linear, 0, 5.4f, false, "0 2 4");
    check_ticks(linear, -0.03f, 0.07f, false, "-0.02 0.00 0.02 0.04 0.06");
    check_ticks(linear, 0, 1810, false, "0 500 1000 1500");
    check_ticks(linear, 3, 3, false, "3");
    check_ticks(log, 1e-6f, 1, false, "1e-06 1e-04 1e-02 1e+00");
    check_ticks(log, 1e-6f, 1, true, "10⁻⁶ 10⁻⁴ 10⁻² 10⁰");
    check_ticks(log, 0.005f, 2, true, "0.01 0.1 1");
    check_ticks(log, 0.3f, 6, false, "0.5 1 2 5");
    near("nice", scale_nice(0.21), 0.5);
    near("nice", scale_nice(1000), 1000);
    near("nice", scale_nice(6e7), 1e8);
}

static void pooling(void)
{
    for (int round = 0; round < 60; round++) {
        size_t rows = 1 + (size_t)(40 * noise()), cols = 1 + (size_t)(40 * noise()), got = 0;
        size_t high = 1 + (size_t)(20 * noise()), wide = 1 + (size_t)(20 * noise());
        float m[40][40];
        struct pool p;
        struct kv_error err;
        enum pool_kind kind = round % 2 ? POOL_MAX : POOL_MEAN;
        for (size_t i = 0; i < 1600; i++) m[i / 40][i % 40] = noise() < 0.3 ? NAN : (float)(noise() - 0.5);
        REQUIRE(!pool_open(&p, kind, rows, cols, high, wide, &err), "%s", err.text);
        CHECK(p.out_rows <= high && p.out_cols <= wide, "%zu x %zu cells", p.out_rows, p.out_cols);
        for (size_t i = 0; i < rows; i++) {
            const float *out = pool_add(&p, m[i]);
            for (size_t c = 0; out && c < p.out_cols; c++) {
                double sum = 0, most = -INFINITY, n = 0;
                for (size_t r = got * p.rows_per; r <= i; r++) {
                    for (size_t j = c * p.cols_per; j < cols && j < (c + 1) * p.cols_per; j++) {
                        if (isnan(m[r][j])) continue;
                        sum += m[r][j];
                        most = fmax(most, m[r][j]);
                        n++;
                    }
                }
                double want = !n ? NAN : kind == POOL_MAX ? most : sum / n;
                CHECK(n ? fabs(out[c] - want) <= 1e-6 : isnan(out[c]), "%zu,%zu: %g not %g", got, c, out[c], want);
            }
            got += out != NULL;
        }
        CHECK(got == p.out_rows, "%zu rows of cells, not %zu", got, p.out_rows);
        pool_close(&p);
    }
    struct pool p;
    struct kv_error err;
    CHECK(pool_open(&p, POOL_MEAN, 0, 5, 9, 9, &err) == KV_BAD_ARG, "0 x 5 was pooled");
}

static void tokens_visible(void)
{
    char out[64];
    const struct {
        const char *bytes, *want;
        size_t n;
    } t[] = { { " Lisbon", "·Lisbon", 7 }, { "\n\n", "↵↵", 2 }, { "a b\t", "a b⇥", 4 },
        { "\xf0\x9f\x98", "\\xf0\\x9f\\x98", 3 }, { "日本", "日本", 6 }, { "\x1b[0m", "\\x1b[0m", 4 },
        { "", "", 0 }, { "a\0b", "a\\x00b", 3 } };
    for (size_t i = 0; i < KV_COUNT(t); i++) {
        utf8_visible(t[i].bytes, t[i].n, out, sizeof out);
        CHECK(!strcmp(out, t[i].want), "\"%s\", want \"%s\"", out, t[i].want);
    }
    utf8_visible("日本語", 9, out, 8);
    CHECK(!strcmp(out, "日本"), "cut inside a character: \"%s\"", out);
    CHECK(utf8_width("aé日😀e\u0301") == 7, "width %zu", utf8_width("aé日😀e\u0301"));
    CHECK(!utf8_valid("\xc0\x80") && !utf8_valid("\xed\xa0\x80") && !utf8_valid("\xf4\x90\x80\x80") &&
              utf8_valid("é"),
        "validity");
    for (int i = 0; i < 2000; i++) {
        char bytes[9];
        for (int k = 0; k < 8; k++) bytes[k] = (char)(256 * noise());
        bytes[8] = 0;
        utf8_visible(bytes, 8, out, sizeof out);
        CHECK(utf8_valid(out), "visible text is not UTF-8");
        utf8_width(bytes);
    }
}

/* Whether two characters that the font lacks look different: each shows its code point. */
static bool boxes_differ(struct text *t, struct text_style style, const char *a, const char *b)
{
    static uint8_t one[40 * 40 * 3], two[sizeof one];
    memset(one, 255, sizeof one);
    memset(two, 255, sizeof two);
    struct canvas c = { .width = 40, .rows = 40, .rgb = one }, d = { .width = 40, .rows = 40, .rgb = two };
    text_draw(t, &c, style, 4, 20, TEXT_LEFT, false, a);
    text_draw(t, &d, style, 4, 20, TEXT_LEFT, false, b);
    return memcmp(one, two, sizeof one) != 0;
}

static void text_fits(void)
{
    struct text *t;
    struct kv_error err = { 0 };
    struct text_style style = { TEXT_SANS, 13, 0 };
    const char *long_text = "日本語 naïve 😀 antidisestablishmentarianism \xff end";
    CHECK(text_open(&t, "tests", &err) == KV_NOT_FOUND && strstr(err.text, "fonts-dejavu-core"), "%s", err.text);
    REQUIRE(!text_open(&t, NULL, &err), "%s", err.text);
    for (int width = 0; width <= 400; width += 7) {
        for (size_t size = 1; size < 80; size += 13) {
            char cut[80];
            text_cut(t, style, long_text, width, cut, size);
            CHECK(strlen(cut) < size, "%zu bytes in %zu", strlen(cut), size);
            CHECK(size < 80 - 13 || width < 20 || text_width(t, style, cut) <= width, "\"%s\" is wider than %d",
                cut, width);
            CHECK(!strstr(cut, "\xe6\x97\xa5") || utf8_next(&(const char *){ cut }) == 0x65e5, "cut a character");
        }
    }
    CHECK(text_width(t, style, "日日") == 2 * text_width(t, style, "日"), "boxes differ");
    CHECK(text_width(t, style, "日") > text_width(t, style, "i"), "a CJK box is narrow");
    CHECK(text_width(t, style, "🦊") > text_width(t, style, "日"), "six digits need more room than four");
    CHECK(text_width(t, style, "é\u200d\ufe0f") == text_width(t, style, "é"), "joiners take room");
    CHECK(boxes_differ(t, style, "日", "本") && boxes_differ(t, style, "🦊", "🦉"), "boxes do not say of what");
    text_close(t);
}

static void collect(void *ctx, const char *text, size_t n) { fwrite(text, 1, n, ctx); }

/* Everything that cells.h draws, in one text. */
static char *cells_text(struct cells_view view, size_t *n)
{
    float v[30 * 40];
    char *text = NULL;
    FILE *f = open_memstream(&text, n);
    struct cells_out out = { collect, f };
    struct kv_error err = { 0 };
    for (int i = 0; i < 30 * 40; i++) v[i] = (float)((i * 37 % 101) / 100.0 * 5.43);
    v[40] = NAN;
    struct matrix small = { .rows = 30, .cols = 9, .data = v }, wide = { .rows = 4, .cols = 300, .data = v };
    struct cells_bar bar = { "L12", 1810, 1024, 900, 2000, "36.0 KiB" };
    view.title = "Entropy by layer and head";
    view.unit = "nats";
    view.row_prefix = "L";
    CHECK(!cells_heat(&out, &small, &view, &err), "%s", err.text);
    view.pool = POOL_MAX;
    view.scale.kind = SCALE_LOG;
    CHECK(!cells_heat(&out, &wide, &view, &err), "%s", err.text);
    CHECK(!cells_spark(&out, "KL", v, 150, &view, &err), "%s", err.text);
    CHECK(!cells_bar(&out, &bar, &view, &err), "%s", err.text);
    bar.requested = NAN;
    CHECK(!cells_bar(&out, &bar, &view, &err), "%s", err.text);
    CHECK(!cells_legend(&out, (enum color_role[]){ COLOR_USED, COLOR_APPLIED, COLOR_REQUESTED }, 3, &view, &err),
        "%s", err.text);
    fclose(f);
    return text;
}

/* To accept a change: GOLDEN=write in the environment, then read the diff. */
static void cells_ascii(void)
{
    const char *golden = "tests/golden/render-cells.txt", *mode = getenv("GOLDEN");
    size_t n, m;
    char *got = cells_text((struct cells_view){ 0 }, &n);
    if (mode && !strcmp(mode, "write")) {
        FILE *f = fopen(golden, "wb");
        fwrite(got, 1, n, f);
        fclose(f);
    }
    char *want = slurp(golden, &m);
    CHECK(want && n == m && !memcmp(got, want, n), "differs from %s", golden);
    for (size_t i = 0; i < n; i++) CHECK((unsigned char)got[i] < 128 && got[i] != 27, "byte %d", got[i]);
    free(got);
    free(want);
}

/* Columns of the widest line, sequences left out; checks that colors are reset at each line's end. */
static size_t widest(char *text)
{
    size_t most = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char plain[4096];
        size_t n = 0;
        bool colored = false;
        for (char *p = line; *p; p++) {
            if (*p != 27) {
                plain[n++] = *p;
                continue;
            }
            char *end = strchr(p, 'm');
            CHECK(end, "an open sequence");
            if (!end) return SIZE_MAX;
            colored = end - p != 3;
            p = end;
        }
        plain[n] = 0;
        CHECK(!colored, "colors leak out of \"%s\"", plain);
        most = kv_max(most, utf8_width(plain));
    }
    return most;
}

static void cells_colors(void)
{
    static const char *const mark[] = { NULL, "\033[3", "\033[48;5;", "\033[48;2;" };
    for (int i = 0; i < 16; i++) {
        struct cells_view view = {
            .color = (enum cells_color)(i % 4), .utf8 = i / 4 % 2, .half = i / 8, .width = 90
        };
        size_t n;
        char *text = cells_text(view, &n);
        CHECK(mark[i % 4] ? strstr(text, mark[i % 4]) != NULL : !strchr(text, 27), "mode %d", i);
        bool half = view.half && view.utf8 && view.color >= CELLS_256;
        CHECK((strstr(text, "▀") != NULL) == half, "mode %d: half blocks", i);
        size_t columns = widest(text);
        CHECK(columns <= 90, "mode %d is %zu columns wide", i, columns);
        free(text);
    }
    struct kv_error err = { 0 };
    struct cells_out out = { collect, stderr };
    struct matrix none = { .rows = 0, .cols = 3, .data = (float[]){ 0 } };
    CHECK(cells_heat(&out, &none, &(struct cells_view){ 0 }, &err) == KV_BAD_ARG, "0 rows were drawn");
    CHECK(cells_spark(&out, "x", NULL, 0, &(struct cells_view){ 0 }, &err) == KV_BAD_ARG, "no values were drawn");
    CHECK(cells_spark(&out, "x", (float[]){ 1 }, 1, &(struct cells_view){ .width = 5 }, &err) == KV_BAD_ARG,
        "5 columns");
}

static const struct tap_case cases[] = {
    { "lightness of maps and ladders rises", lightness },
    { "maps by name", map_names },
    { "scales", scales },
    { "clipping at percentiles", clipping },
    { "round ticks", ticks },
    { "pooling against brute force", pooling },
    { "tokens made visible", tokens_visible },
    { "text measured and cut", text_fits },
    { "cells in ASCII match the golden text", cells_ascii },
    { "cells in color", cells_colors },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
