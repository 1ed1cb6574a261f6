/* PNG files, row by row through libpng: memory is O(width). The filter and the zlib level are fixed and no time is
 * stored, so equal pixels and notes give equal bytes. Notes (the recipe) become tEXt chunks when they are ASCII,
 * else iTXt. The file appears whole or not at all (render/file.h). */
#ifndef RENDER_PNG_WRITER_H
#define RENDER_PNG_WRITER_H

#include "kernels/base.h"

enum png_kind {
    PNG_RGB,     /* 3 bytes a pixel */
    PNG_PALETTE, /* 1 byte a pixel, an index */
    PNG_GREY16,  /* one uint16_t a pixel, in the machine's byte order */
};

/* Key: 1 to 79 printable ASCII characters ("kvdbg:command"); text: UTF-8. Both are only read. */
struct png_note {
    const char *key, *text;
};

struct png_shape {
    size_t width, height; /* pixels, 1 to 1,000,000 (libpng's limit) */
    enum png_kind kind;
    const uint32_t *palette; /* PNG_PALETTE: colors 0xRRGGBB, 1 to 256 of them */
    size_t colors;
    const struct png_note *notes;
    size_t note_count;
};

struct png_writer;

enum kv_status png_writer_open(
    struct png_writer **out, const char *path, const struct png_shape *shape, struct kv_error *err);

/* The next row; rows beyond the height are refused. After a failure only abandon remains. */
enum kv_status png_writer_row(struct png_writer *w, const void *row, struct kv_error *err);

/* Ends the image, renames the file and frees the writer, whatever it returns. */
enum kv_status png_writer_commit(struct png_writer *w, struct kv_error *err);

/* Drops the file and frees the writer; NULL is harmless. */
void png_writer_abandon(struct png_writer *w);

/* What png_recipe_read gives; the pairs and their texts are owned. */
struct png_recipe {
    size_t width, height;
    struct png_note *notes;
    size_t count;
};

/* The notes before the image data of any PNG file, at most 64 chunks of at most 1 MiB each, decompressed. Latin-1
 * bytes of foreign tEXt chunks are given as they are. KV_BAD_FILE when it is no PNG or breaks off. */
enum kv_status png_recipe_read(const char *path, struct png_recipe *out, struct kv_error *err);
void png_recipe_free(struct png_recipe *recipe);

#endif
