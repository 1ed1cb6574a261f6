/* The renderer's files. Pictures are checked for what can be said without eyes: equal bytes, sizes, notes, colors
 * where they must be, and that a failure leaves no file. */
#include "tests/unit/render.h"

#include <dirent.h>
#include <png.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "render/color.h"
#include "render/csv.h"
#include "render/figure.h"
#include "render/npy.h"
#include "tests/tap.h"

static char folder[64];

/* A path in the test's own folder; four at a time are valid. */
static const char *in(const char *name)
{
    static char path[4][400];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

/* Empties the folder and says how many files were in it. */
static int sweep(void)
{
    int n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        unlink(in(e->d_name));
        n++;
    }
    if (dir) closedir(dir);
    return n;
}

static bool same_files(const char *a, const char *b)
{
    size_t n, m;
    char *x = slurp(a, &n), *y = slurp(b, &m);
    bool same = x && y && n && n == m && !memcmp(x, y, n);
    free(x);
    free(y);
    return same;
}

static const struct png_note notes[] = { { "kvdbg:command", "export png a.png heat entropy -log" },
    { "kvdbg:prompt", "日本語 \"7481\" é" }, { "kvdbg:policy", "{\"preset\": \"seed\",\n \"ratio\": 0.25}" } };

static enum kv_status write_png(const char *path, size_t rows, struct kv_error *err)
{
    const uint32_t colors[] = { 0xff0000, 0x00ff00, 0x123456 };
    struct png_shape shape = { 64, rows, PNG_PALETTE, colors, 3, notes, KV_COUNT(notes) };
    struct png_writer *w;
    uint8_t row[64];
    enum kv_status status = png_writer_open(&w, path, &shape, err);
    for (size_t i = 0; i < rows && !status; i++) {
        for (size_t j = 0; j < 64; j++) row[j] = (uint8_t)(rand() % 3);
        status = png_writer_row(w, row, err);
    }
    if (!status) return png_writer_commit(w, err);
    png_writer_abandon(w);
    return status;
}

static void png_notes(void)
{
    struct kv_error err = { 0 };
    struct png_recipe recipe;
    srand(1);
    REQUIRE(!write_png(in("a.png"), 40, &err), "%s", err.text);
    srand(1);
    REQUIRE(!write_png(in("b.png"), 40, &err), "%s", err.text);
    CHECK(same_files(in("a.png"), in("b.png")), "two runs differ");
    REQUIRE(!png_recipe_read(in("a.png"), &recipe, &err), "%s", err.text);
    CHECK(recipe.width == 64 && recipe.height == 40 && recipe.count == 3, "%zu notes", recipe.count);
    for (size_t i = 0; i < recipe.count; i++)
        CHECK(!strcmp(recipe.notes[i].key, notes[i].key) && !strcmp(recipe.notes[i].text, notes[i].text), "%s = %s",
            recipe.notes[i].key, recipe.notes[i].text);
    png_recipe_free(&recipe);
    size_t n;
    char *bytes = slurp(in("a.png"), &n);
    CHECK(memmem(bytes, n, "tEXtkvdbg:command", 17) && memmem(bytes, n, "iTXtkvdbg:prompt", 16), "chunk types");
    CHECK(!memmem(bytes, n, "tIME", 4), "the time is stored");
    free(bytes);
    const struct png_note bad[] = { { "", "x" }, { "ké", "x" }, { "k", "\xff" } };
    for (size_t i = 0; i < 3; i++) {
        struct png_shape shape = { 1, 1, PNG_RGB, NULL, 0, &bad[i], 1 };
        struct png_writer *w;
        CHECK(png_writer_open(&w, in("c.png"), &shape, &err) == KV_BAD_ARG && !w, "note %zu was taken", i);
    }
    CHECK(sweep() == 2, "a refused picture left a file");
}

static void png_hostile(void)
{
    struct kv_error err = { 0 };
    struct png_recipe recipe;
    size_t n;
    REQUIRE(!write_png(in("a.png"), 8, &err), "%s", err.text);
    char *bytes = slurp(in("a.png"), &n);
    for (int round = 0; bytes && round < 400; round++) {
        FILE *f = fopen(in("x.png"), "wb");
        size_t at = (size_t)(noise() * (double)n), keep = round % 2 ? at : n;
        char was = bytes[at];
        bytes[at] = (char)(256 * noise());
        fwrite(bytes, 1, keep, f);
        fclose(f);
        bytes[at] = was;
        if (!png_recipe_read(in("x.png"), &recipe, &err))
            png_recipe_free(&recipe);
        else
            CHECK(err.text[0], "a failure without a sentence");
    }
    free(bytes);
    FILE *f = fopen(in("x.png"), "wb");
    fputs("not a picture", f);
    fclose(f);
    CHECK(png_recipe_read(in("x.png"), &recipe, &err) == KV_BAD_FILE, "text was read as PNG");
    CHECK(png_recipe_read(in("none.png"), &recipe, &err) == KV_IO, "a missing file was read");
    sweep();
}

/* Pixels of a PNG as RGB, by libpng's own simple reader; the caller frees them. */
static uint8_t *pixels(const char *path, size_t *w, size_t *h)
{
    png_image image = { .version = PNG_IMAGE_VERSION };
    *w = *h = 0;
    if (!png_image_begin_read_from_file(&image, path)) return NULL;
    image.format = PNG_FORMAT_RGB;
    *w = image.width;
    *h = image.height;
    uint8_t *rgb = malloc(PNG_IMAGE_SIZE(image));
    if (!rgb || !png_image_finish_read(&image, NULL, rgb, 0, NULL)) png_image_free(&image);
    return rgb;
}

static size_t count_color(const char *path, uint32_t color)
{
    size_t w, h, n = 0;
    uint8_t *rgb = pixels(path, &w, &h);
    for (size_t i = 0; i < w * h; i++)
        n += (uint32_t)(rgb[3 * i] << 16 | rgb[3 * i + 1] << 8 | rgb[3 * i + 2]) == color;
    free(rgb);
    return n;
}

static void map_sizes(void)
{
    static const size_t size[][2] = { { 30, 9 }, { 36, 32 }, { 1, 1 }, { 1, 700 }, { 700, 1 }, { 30, 1300 },
        { 1500, 1500 } };
    float *v = malloc(1500 * 1500 * sizeof *v);
    for (size_t i = 0; v && i < 1500 * 1500; i++) v[i] = i % 11 ? (float)noise() : NAN;
    for (size_t i = 0; v && i < KV_COUNT(size); i++) {
        struct matrix m = { .rows = size[i][0], .cols = size[i][1], .data = v };
        struct figure_view view = { .title = "Entropy",
            .x = { .title = "head" },
            .y = { .title = "layer" },
            .unit = "nats",
            .scale.kind = (enum scale_kind)(i % 3),
            .notes = notes,
            .note_count = KV_COUNT(notes) };
        struct kv_error err = { 0 };
        struct png_recipe recipe;
        REQUIRE(!figure_map(in("a.png"), &m, &view, &err), "%s", err.text);
        REQUIRE(!figure_map(in("b.png"), &m, &view, &err), "%s", err.text);
        CHECK(same_files(in("a.png"), in("b.png")), "%zu x %zu: two runs differ", m.rows, m.cols);
        REQUIRE(!png_recipe_read(in("a.png"), &recipe, &err), "%s", err.text);
        CHECK(recipe.width <= 1600 && recipe.height <= 1400, "%zu x %zu pixels", recipe.width, recipe.height);
        const char *pool = NULL;
        for (size_t k = 0; k < recipe.count; k++)
            if (!strcmp(recipe.notes[k].key, "kvdbg:pool")) pool = recipe.notes[k].text;
        CHECK(pool && !strcmp(pool, m.rows == 1500   ? "mean of 2x2"
                                    : m.cols == 1300 ? "mean of 1x2"
                                                     : "none"),
            "pooled %s", pool ? pool : "?");
        png_recipe_free(&recipe);
    }
    free(v);
    sweep();
}

static enum kv_status triangle(void *ctx, size_t i, float *out, struct kv_error *err)
{
    size_t *calls = ctx;
    if (*calls != i) return kv_fail(err, KV_BAD_ARG, "Row %zu after %zu calls.", i, *calls);
    ++*calls;
    for (size_t j = 0; j < 100; j++) out[j] = (float)(i + j);
    return i == 77 && calls[1] ? kv_fail(err, KV_STOPPED, "Stopped on request.") : KV_OK;
}

static void map_pixels(void)
{
    size_t calls[2] = { 0, 0 };
    struct matrix m = { .rows = 100, .cols = 100, .row = triangle, .ctx = calls, .causal = true };
    struct figure_view view = { .map = "viridis", .square = true };
    struct kv_error err = { 0 };
    REQUIRE(!figure_map(in("a.png"), &m, &view, &err), "%s", err.text);
    CHECK(calls[0] == 100, "%zu rows were asked for", calls[0]);
    /* 960 / 100 = 9 pixels a cell; 4,950 cells above the diagonal. */
    size_t none = count_color(in("a.png"), color_roles[COLOR_NODATA].rgb);
    CHECK(none >= 4950 * 81 && none < 4950 * 81 + 200, "%zu pixels of no data", none);
    CHECK(count_color(in("a.png"), color_maps[1].rgb[255]) >= 81, "the largest value has no color");
    calls[0] = 0;
    calls[1] = 1;
    CHECK(figure_map(in("b.png"), &m, &view, &err) == KV_STOPPED, "a stopped source went on");
    CHECK(sweep() == 1, "a stopped picture left a file");
}

static void kept_and_budgets(void)
{
    enum { L = 12, N = 400 };
    static uint8_t role[L * N * 5];
    struct kv_error err = { 0 };
    for (size_t i = 0; i < sizeof role; i++)
        role[i] = i % N < 4 ? COLOR_SINK : noise() < 0.25 ? COLOR_KEPT : COLOR_EVICTED;
    struct figure_view view = { .title = "Retained tokens", .x = { .title = "position" } };
    struct figure_kept kept = { L, N, role, false }, wide = { L, N * 5, role, false }, none = { L, 0, role, false };
    REQUIRE(!figure_kept(in("a.png"), &kept, &view, &err), "%s", err.text);
    REQUIRE(!figure_kept(in("b.png"), &kept, &view, &err), "%s", err.text);
    CHECK(same_files(in("a.png"), in("b.png")), "two runs differ");
    CHECK(count_color(in("a.png"), color_roles[COLOR_SINK].rgb) >= L * 4 * 20, "sinks are missing");
    CHECK(count_color(in("a.png"), color_roles[COLOR_PINNED].rgb) == 0, "a class that does not occur is drawn");
    CHECK(!figure_kept(in("c.png"), &wide, &view, &err), "%s", err.text);
    CHECK(count_color(in("c.png"), color_roles[COLOR_SINK].rgb) == 0, "pooled positions have classes");
    CHECK(figure_kept(in("d.png"), &none, &view, &err) == KV_BAD_ARG, "no positions were drawn");
    role[5] = 99;
    CHECK(figure_kept(in("d.png"), &kept, &view, &err) == KV_BAD_ARG && strstr(err.text, "position 5"), "%s",
        err.text);
    double ask[3] = { 1810.5, NAN, 0 }, use[3] = { 1024, 700, 0 };
    struct figure_budget b = { 3, ask, use, use, NULL }, zero = { 3, use + 2, NULL, NULL, NULL };
    zero.layers = 1;
    CHECK(!figure_budget(in("e.png"), &b, &view, &err) && !figure_budget(in("f.png"), &b, &view, &err), "%s",
        err.text);
    CHECK(same_files(in("e.png"), in("f.png")), "two runs differ");
    CHECK(!figure_budget(in("f.png"), &zero, &view, &err), "%s", err.text);
    b.layers = 0;
    CHECK(figure_budget(in("g.png"), &b, &view, &err) == KV_BAD_ARG, "no layers were drawn");
    CHECK(sweep() == 5, "files left over");
}

/* Two runs' kept sets: classes where they fit, the difference of shares where not. */
static void kept_compared(void)
{
    enum { L = 3, N = 2000 };
    static uint8_t role[L * N];
    static const uint8_t classes[] = { COLOR_EVICTED, COLOR_KEPT, COLOR_HERE, COLOR_THERE };
    struct kv_error err = { 0 };
    for (size_t i = 0; i < L * N; i++) role[i] = classes[i % 4];
    struct figure_view view = { .title = "Two policies" };
    struct figure_kept small = { L, 100, role, true }, wide = { L, N, role, true };
    REQUIRE(!figure_kept(in("a.png"), &small, &view, &err), "%s", err.text);
    REQUIRE(!figure_kept(in("b.png"), &small, &view, &err), "%s", err.text);
    CHECK(same_files(in("a.png"), in("b.png")), "two runs differ");
    CHECK(count_color(in("a.png"), color_roles[COLOR_THERE].rgb) > L * 25 * 20, "no class of the other run");
    REQUIRE(!figure_kept(in("c.png"), &wide, &view, &err), "%s", err.text);
    /* Blocks of two: (evicted, both) = 0, (here, there) = 0. */
    CHECK(count_color(in("c.png"), color_maps[4].rgb[128]) > 500 * 20, "zero is not grey");
    CHECK(sweep() == 3, "files left over");
}

/* Evicted keys are hatched from their row on, whatever their value; sinks have a mark above. */
static void map_marks(void)
{
    enum { N = 40 };
    static float v[N * N];
    uint8_t gone[N] = { 0 }, sinks[N] = { 1, 1 };
    struct kv_error err = { 0 };
    memset(gone + 5, 1, 10);
    for (size_t i = 0; i < N * N; i++) v[i] = i / N >= 30 && gone[i % N] ? NAN : 0.5f;
    struct matrix m = { .rows = N, .cols = N, .data = v };
    struct figure_view view = { .square = true, .gone = gone, .gone_from = 30, .sinks = sinks };
    REQUIRE(!figure_map(in("a.png"), &m, &view, &err), "%s", err.text);
    CHECK(count_color(in("a.png"), color_roles[COLOR_EVICTED].rgb) > 10 * 10 * 200, "no evicted cells");
    /* Two triangles of 16 pixels and a swatch of 14 x 12. */
    size_t n = count_color(in("a.png"), color_roles[COLOR_SINK].rgb);
    CHECK(n == 2 * 16 + 14 * 12, "%zu pixels of sinks", n);
    view.gone_from = N;
    view.sinks = NULL;
    REQUIRE(!figure_map(in("b.png"), &m, &view, &err), "%s", err.text);
    CHECK(count_color(in("b.png"), color_roles[COLOR_EVICTED].rgb) < 300, "cells that were read are hatched");
    sweep();
}

static enum kv_status panel(void *ctx, size_t k, struct matrix *out, const uint8_t **gone, struct kv_error *err)
{
    static float v[64 * 64];
    static const uint8_t evicted[64] = { 0, 1, 1 };
    size_t *odd = ctx;
    for (size_t i = 0; i < KV_COUNT(v); i++) v[i] = (float)(k + i % 64);
    if (k == 2) *gone = evicted;
    *out = (struct matrix){ .rows = 64, .cols = k == *odd ? 63 : 64, .data = v, .causal = true };
    return k == 99 ? kv_fail(err, KV_STOPPED, "Stopped on request.") : KV_OK;
}

static void grids(void)
{
    static const size_t counts[] = { 1, 4, 9, 30, 32 };
    static const char *const names[100] = { "head 0", "日本語 🦊",
        "a name that is a good deal longer than its panel is wide" };
    const char *name[100];
    struct kv_error err = { 0 };
    struct png_recipe r;
    size_t odd = SIZE_MAX;
    for (size_t i = 0; i < 100; i++) name[i] = names[i] ? names[i] : "head";
    struct figure_view view = {
        .title = "All heads", .square = true, .gone_from = 60, .unit = "attention (probability)"
    };
    for (size_t i = 0; i < KV_COUNT(counts); i++) {
        struct figure_grid grid = { counts[i], name, panel, &odd };
        REQUIRE(!figure_grid(in("a.png"), &grid, &view, &err), "%s", err.text);
        REQUIRE(!figure_grid(in("b.png"), &grid, &view, &err), "%s", err.text);
        CHECK(same_files(in("a.png"), in("b.png")), "%zu panels: two runs differ", counts[i]);
        REQUIRE(!png_recipe_read(in("a.png"), &r, &err), "%s", err.text);
        CHECK(r.width <= 1300 && r.height <= 1100, "%zu panels: %zu x %zu", counts[i], r.width, r.height);
        png_recipe_free(&r);
    }
    struct figure_grid none = { 0, name, panel, &odd }, stops = { 100, name, panel, &odd };
    CHECK(figure_grid(in("c.png"), &none, &view, &err) == KV_BAD_ARG, "no panels were drawn");
    CHECK(figure_grid(in("c.png"), &stops, &view, &err) == KV_STOPPED, "a stopped panel went on");
    odd = 3;
    stops.panels = 5;
    CHECK(
        figure_grid(in("c.png"), &stops, &view, &err) == KV_BAD_ARG && strstr(err.text, "Panel 3"), "%s", err.text);
    CHECK(sweep() == 2, "a refused page left a file");
}

static void plots(void)
{
    enum { N = 3000 };
    static double y[N];
    static uint8_t role[N];
    struct kv_error err = { 0 };
    for (size_t i = 0; i < N; i++) {
        y[i] = i == 7 ? NAN : 10.0 / (double)(i + 1);
        role[i] = i < 40 ? COLOR_KEPT : COLOR_EVICTED;
    }
    struct figure_plot p = { .n = 60,
        .y = y,
        .role = role,
        .level = 0.3,
        .level_text = "cut-off 0.3",
        .mark = 40,
        .mark_text = "40 of 60" };
    struct figure_view view = { .title = "Scores", .unit = "score", .x = { .title = "rank" } };
    for (int kind = 0; kind < 2; kind++) {
        view.scale.kind = kind ? SCALE_LOG : SCALE_LINEAR;
        REQUIRE(!figure_plot(in("a.png"), &p, &view, &err), "%s", err.text);
        REQUIRE(!figure_plot(in("b.png"), &p, &view, &err), "%s", err.text);
        CHECK(same_files(in("a.png"), in("b.png")), "two runs differ");
        CHECK(count_color(in("a.png"), color_roles[COLOR_KEPT].rgb) > 1000, "no columns");
    }
    p.n = N;
    CHECK(!figure_plot(in("a.png"), &p, &view, &err), "%s", err.text);
    view.scale.kind = SCALE_RANK;
    CHECK(figure_plot(in("c.png"), &p, &view, &err) == KV_BAD_ARG, "columns have ranks");
    view.scale.kind = SCALE_LINEAR;
    double zero[2] = { 0, NAN };
    struct figure_plot flat = { .n = 2, .y = zero, .role = role, .level = NAN, .level_text = "mean n/a" };
    CHECK(!figure_plot(in("a.png"), &flat, &view, &err), "%s", err.text);
    role[1] = 250;
    CHECK(figure_plot(in("c.png"), &flat, &view, &err) == KV_BAD_ARG, "a class that is none");
    role[1] = COLOR_KEPT;
    flat.n = 0;
    CHECK(figure_plot(in("c.png"), &flat, &view, &err) == KV_BAD_ARG, "nothing was drawn");
    CHECK(sweep() == 2, "a refused plot left a file");
}

static void raw16_exact(void)
{
    float v[6] = { 0, 1, 0.5f, NAN, 0.25f, 0.125f };
    struct matrix m = { .rows = 2, .cols = 3, .data = v };
    struct figure_view view = { 0 };
    struct kv_error err = { 0 };
    REQUIRE(!figure_raw16(in("a.png"), &m, &view, &err), "%s", err.text);
    FILE *f = fopen(in("a.png"), "rb");
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, f);
    png_read_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_bytepp rows = png_get_rows(png, info);
    CHECK(png_get_bit_depth(png, info) == 16, "%d bits", png_get_bit_depth(png, info));
    for (int i = 0; i < 6; i++) {
        int grey = rows[i / 3][i % 3 * 2] << 8 | rows[i / 3][i % 3 * 2 + 1];
        int want = isnan(v[i]) ? 0 : 1 + (int)lround(65534 * v[i]);
        CHECK(grey == want, "value %d is %d, not %d", i, grey, want);
    }
    png_destroy_read_struct(&png, &info, NULL);
    fclose(f);
    sweep();
}

static void file_failures(void)
{
    struct kv_error err = { 0 };
    const char *bad[] = { in("none/a.png"), folder, "/dev/full", "" };
    for (size_t i = 0; i < KV_COUNT(bad); i++)
        CHECK(write_png(bad[i], 4, &err) && strlen(err.text) > 10, "%s was written", bad[i]);
    /* A limit on file size is the disk that is full: the old file must stay. */
    struct rlimit old, tight = { 4096, RLIM_INFINITY };
    static double zeros[1 << 16];
    size_t shape = KV_COUNT(zeros), n;
    struct csv c;
    REQUIRE(!npy_write(in("a.npy"), NPY_U1, "x", &(size_t){ 1 }, 1, &err), "%s", err.text);
    getrlimit(RLIMIT_FSIZE, &old);
    tight.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &tight);
    enum kv_status png = write_png(in("b.png"), 4000, &err),
                   npy = npy_write(in("a.npy"), NPY_F8, zeros, &shape, 1, &err);
    enum kv_status csv = csv_open(&c, in("c.csv"), (const char *[]){ "x" }, 1, &err);
    for (int i = 0; i < 9999 && !csv; i++) csv_count(&c, i), csv_end_row(&c);
    if (!csv) csv = csv_commit(&c, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(png == KV_IO && npy == KV_IO && csv == KV_IO, "png %d, npy %d, csv %d", png, npy, csv);
    CHECK(strstr(err.text, "c.csv"), "%s", err.text);
    char *bytes = slurp(in("a.npy"), &n);
    CHECK(bytes && n == 129, "the old file has %zu bytes", n);
    free(bytes);
    CHECK(sweep() == 1, "a failed write left a file");
    if (!geteuid()) return; /* root may write everywhere */
    chmod(folder, 0500);
    CHECK(write_png(in("d.png"), 4, &err) == KV_IO, "wrote into a read-only folder");
    chmod(folder, 0700);
}

static void npy_bytes(void)
{
    static const char head[] =
        "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    const float v[6] = { 1, 2, 3, 4, 5, NAN };
    struct kv_error err = { 0 };
    struct npy n;
    size_t size;
    REQUIRE(!npy_write(in("a.npy"), NPY_F4, v, (size_t[]){ 2, 3 }, 2, &err), "%s", err.text);
    char *bytes = slurp(in("a.npy"), &size);
    REQUIRE(size == 128 + sizeof v, "%zu bytes", size);
    CHECK(!memcmp(bytes, head, sizeof head - 1) && bytes[127] == '\n' && bytes[126] == ' ', "header");
    CHECK(!memcmp(bytes + 128, v, sizeof v), "data");
    free(bytes);
    REQUIRE(!npy_open(&n, in("b.npy"), NPY_I4, (size_t[]){ 5 }, 1, &err), "%s", err.text);
    CHECK(!npy_put(&n, v, 8, &err) && npy_put(&n, v, 16, &err) == KV_BAD_ARG, "more than the shape was taken");
    CHECK(npy_commit(&n, &err) == KV_BAD_ARG, "less than the shape was taken");
    CHECK(npy_open(&n, in("b.npy"), NPY_F8, (size_t[]){ SIZE_MAX / 2, 3 }, 2, &err) == KV_BAD_ARG, "overflow");
    CHECK(sweep() == 1, "a refused array left a file");
}

static void csv_quoting(void)
{
    static const char want[] = "name,value,count\n\"a,b\",0.1,1\n\"say \"\"hi\"\"\",nan,-5\n\" edge\",inf,0\n"
                               "\"two\nlines\",1.23456789e-07,9007199254740993\n,3,3\n";
    const char *names[] = { "name", "value", "count" },
               *text[] = { "a,b", "say \"hi\"", " edge", "two\nlines", NULL };
    const double value[] = { 0.1, -NAN, INFINITY, 1.23456789e-7, 3 };
    const int64_t count[] = { 1, -5, 0, 9007199254740993, 3 };
    struct kv_error err = { 0 };
    struct csv c;
    size_t n;
    REQUIRE(!csv_open(&c, in("a.csv"), names, 3, &err), "%s", err.text);
    for (int i = 0; i < 5; i++) {
        csv_text(&c, text[i]);
        csv_number(&c, value[i]);
        csv_count(&c, count[i]);
        csv_end_row(&c);
    }
    REQUIRE(!csv_commit(&c, &err), "%s", err.text);
    char *bytes = slurp(in("a.csv"), &n);
    CHECK(bytes && !strcmp(bytes, want), "got %s", bytes ? bytes : "nothing");
    free(bytes);
    REQUIRE(!csv_open(&c, in("b.csv"), names, 3, &err), "%s", err.text);
    csv_end_row(&c);
    CHECK(csv_commit(&c, &err) == KV_BAD_ARG, "a short row was taken");
    CHECK(sweep() == 1, "a refused table left a file");
}

static const struct tap_case cases[] = {
    { "PNG notes come back, bytes repeat", png_notes },
    { "damaged PNG files are refused", png_hostile },
    { "heat maps of all sizes", map_sizes },
    { "heat map pixels, causal rows, stopping", map_pixels },
    { "kept maps and budgets", kept_and_budgets },
    { "two runs' kept maps", kept_compared },
    { "evicted cells and sinks are marked", map_marks },
    { "small multiples", grids },
    { "columns with a level and a mark", plots },
    { "raw16 values come back", raw16_exact },
    { "failed writes leave nothing", file_failures },
    { "npy bytes", npy_bytes },
    { "csv quoting", csv_quoting },
};

int main(int argc, char **argv)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/render.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) return 1;
    int rc = tap_main(argc, argv, cases, KV_COUNT(cases));
    sweep();
    rmdir(folder);
    return rc;
}
