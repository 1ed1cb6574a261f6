/* libpng with its errors turned into sentences. Each function that calls libpng holds the setjmp itself and no
 * local that changes after it. */
#include "render/png_writer.h"

#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "render/file.h"
#include "render/utf8.h"

enum { NOTE_CHUNKS = 64, NOTE_BYTES = 1 << 20 };

struct png_writer {
    struct file_out file;
    png_structp png;
    png_infop info;
    size_t height, written;
    struct kv_error why; /* of a failed write */
    jmp_buf jump;
};

/* libpng reports by longjmp; the sentence is kept if a callback has not left a better one. */
struct reader {
    FILE *stream;
    struct kv_error why;
    jmp_buf jump;
};

static void write_failed(png_structp png, png_const_charp text)
{
    struct png_writer *w = png_get_error_ptr(png);
    if (!w->why.code) kv_fail(&w->why, KV_IO, "Cannot write %.300s: libpng says %s.", w->file.path, text);
    longjmp(w->jump, 1);
}

static void read_failed(png_structp png, png_const_charp text)
{
    struct reader *r = png_get_error_ptr(png);
    kv_fail(&r->why, KV_BAD_FILE, "%s", text);
    longjmp(r->jump, 1);
}

static void ignore_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void put_bytes(png_structp png, png_bytep data, size_t bytes)
{
    struct png_writer *w = png_get_io_ptr(png);
    if (file_write(&w->file, data, bytes, &w->why)) png_error(png, "the write failed");
}

static void flush_nothing(png_structp png) { (void)png; }

static enum kv_status check_note(const struct png_note *note, struct kv_error *err)
{
    size_t n = strlen(note->key);
    bool ok = n >= 1 && n <= 79 && note->key[0] != ' ' && note->key[n - 1] != ' ' && !strstr(note->key, "  ");
    for (size_t i = 0; i < n; i++) ok = ok && note->key[i] >= ' ' && note->key[i] <= '~';
    if (!ok) return kv_fail(err, KV_BAD_ARG, "\"%.80s\" cannot be the key of a PNG note.", note->key);
    if (!utf8_valid(note->text))
        return kv_fail(err, KV_BAD_ARG, "The PNG note \"%s\" is not valid UTF-8.", note->key);
    return KV_OK;
}

static bool is_ascii(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text > '~' || (*text < ' ' && *text != '\n')) return false;
    }
    return true;
}

static enum kv_status put_notes(struct png_writer *w, const struct png_shape *shape, struct kv_error *err)
{
    enum kv_status status = KV_OK;
    for (size_t i = 0; i < shape->note_count && !status; i++) status = check_note(&shape->notes[i], err);
    for (size_t i = 0; i < shape->note_count && !status; i++) {
        const struct png_note *note = &shape->notes[i];
        /* libpng copies both strings. */
        png_text chunk = { .key = (char *)note->key, .text = (char *)note->text };
        chunk.compression = is_ascii(note->text) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        png_set_text(w->png, w->info, &chunk, 1);
    }
    return status;
}

static void put_palette(struct png_writer *w, const struct png_shape *shape)
{
    png_color colors[256];
    for (size_t i = 0; i < shape->colors; i++) {
        uint32_t c = shape->palette[i];
        colors[i] = (png_color){ (png_byte)(c >> 16), (png_byte)(c >> 8), (png_byte)c };
    }
    png_set_PLTE(w->png, w->info, colors, (int)shape->colors);
}

static enum kv_status begin(struct png_writer *w, const struct png_shape *shape, struct kv_error *err)
{
    static const int type[] = { PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_PALETTE, PNG_COLOR_TYPE_GRAY };
    if (setjmp(w->jump)) {
        if (err) *err = w->why;
        return w->why.code;
    }
    png_set_write_fn(w->png, w, put_bytes, flush_nothing);
    png_set_IHDR(w->png, w->info, (png_uint_32)shape->width, (png_uint_32)shape->height,
        shape->kind == PNG_GREY16 ? 16 : 8, type[shape->kind], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
        PNG_FILTER_TYPE_DEFAULT);
    png_set_filter(w->png, PNG_FILTER_TYPE_DEFAULT, shape->kind == PNG_PALETTE ? PNG_FILTER_NONE : PNG_FILTER_UP);
    png_set_compression_level(w->png, 9);
    if (shape->kind == PNG_PALETTE) put_palette(w, shape);
    enum kv_status status = put_notes(w, shape, err);
    if (status) return status;
    png_write_info(w->png, w->info);
    /* PNG is big-endian; every machine we run on is little-endian. */
    if (shape->kind == PNG_GREY16 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) png_set_swap(w->png);
    return KV_OK;
}

enum kv_status png_writer_open(
    struct png_writer **out, const char *path, const struct png_shape *shape, struct kv_error *err)
{
    *out = NULL;
    if (!shape->width || !shape->height || shape->width > 1000000 || shape->height > 1000000)
        return kv_fail(err, KV_BAD_ARG, "A PNG of %zu x %zu pixels cannot be written; each side is 1 to 1000000.",
            shape->width, shape->height);
    if (shape->kind == PNG_PALETTE && (!shape->colors || shape->colors > 256))
        return kv_fail(err, KV_BAD_ARG, "A palette has 1 to 256 colors, got %zu.", shape->colors);
    struct png_writer *w = kv_alloc(1, sizeof *w);
    if (!w) return kv_fail(err, KV_NO_MEMORY, "No memory for a PNG writer.");
    w->height = shape->height;
    enum kv_status status = file_open(&w->file, path, err);
    if (status) goto fail;
    w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, write_failed, ignore_warning);
    if (w->png) w->info = png_create_info_struct(w->png);
    if (!w->info) {
        status = kv_fail(err, KV_NO_MEMORY, "libpng could not start.");
        goto fail;
    }
    status = begin(w, shape, err);
    if (status) goto fail;
    *out = w;
    return KV_OK;
fail:
    png_writer_abandon(w);
    return status;
}

enum kv_status png_writer_row(struct png_writer *w, const void *row, struct kv_error *err)
{
    if (w->written == w->height) return kv_fail(err, KV_BAD_ARG, "The PNG has its %zu rows already.", w->height);
    if (setjmp(w->jump)) {
        if (err) *err = w->why;
        return w->why.code;
    }
    png_write_row(w->png, row);
    w->written++;
    return KV_OK;
}

static enum kv_status end(struct png_writer *w, struct kv_error *err)
{
    if (w->written != w->height)
        return kv_fail(err, KV_BAD_ARG, "The PNG got %zu of its %zu rows.", w->written, w->height);
    if (setjmp(w->jump)) {
        if (err) *err = w->why;
        return w->why.code;
    }
    png_write_end(w->png, NULL);
    return KV_OK;
}

enum kv_status png_writer_commit(struct png_writer *w, struct kv_error *err)
{
    enum kv_status status = end(w, err);
    if (!status) status = file_commit(&w->file, err);
    png_writer_abandon(w);
    return status;
}

void png_writer_abandon(struct png_writer *w)
{
    if (!w) return;
    png_destroy_write_struct(&w->png, &w->info);
    file_abandon(&w->file);
    free(w);
}

static enum kv_status copy_notes(struct png_recipe *out, const png_text *chunks, int n, struct kv_error *err)
{
    out->notes = kv_alloc((size_t)n, sizeof *out->notes);
    for (int i = 0; i < n && out->notes; i++) {
        out->notes[i] = (struct png_note){ kv_strdup(chunks[i].key), kv_strdup(chunks[i].text) };
        out->count++;
        if (!out->notes[i].key || !out->notes[i].text) break;
    }
    if (!out->notes || (out->count && !out->notes[out->count - 1].text))
        return kv_fail(err, KV_NO_MEMORY, "No memory for %d PNG notes.", n);
    return KV_OK;
}

static bool read_head(struct reader *r, png_structp png, png_infop info)
{
    if (setjmp(r->jump)) return false;
    png_set_chunk_cache_max(png, NOTE_CHUNKS);
    png_set_chunk_malloc_max(png, NOTE_BYTES);
    png_init_io(png, r->stream);
    png_read_info(png, info);
    return true;
}

enum kv_status png_recipe_read(const char *path, struct png_recipe *out, struct kv_error *err)
{
    struct reader r = { 0 };
    png_infop info = NULL;
    png_textp chunks = NULL;
    enum kv_status status = KV_OK;
    memset(out, 0, sizeof *out);
    r.stream = fopen(path, "rb");
    if (!r.stream) return kv_fail(err, KV_IO, "Cannot read %.300s: %s.", path, strerror(errno));
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, read_failed, ignore_warning);
    if (png) info = png_create_info_struct(png);
    if (!info) {
        status = kv_fail(err, KV_NO_MEMORY, "libpng could not start.");
    } else if (!read_head(&r, png, info)) {
        status = kv_fail(err, KV_BAD_FILE, "%.300s is not a readable PNG file: libpng says %s.", path, r.why.text);
    } else {
        int n = 0;
        png_get_text(png, info, &chunks, &n);
        out->width = png_get_image_width(png, info);
        out->height = png_get_image_height(png, info);
        status = copy_notes(out, chunks, n, err);
    }
    png_destroy_read_struct(&png, &info, NULL);
    fclose(r.stream);
    if (status) png_recipe_free(out);
    return status;
}

void png_recipe_free(struct png_recipe *recipe)
{
    for (size_t i = 0; i < recipe->count; i++) {
        free((char *)recipe->notes[i].key);
        free((char *)recipe->notes[i].text);
    }
    free(recipe->notes);
    memset(recipe, 0, sizeof *recipe);
}
