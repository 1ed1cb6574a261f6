/* Writes small GGUF files, well-formed unless told otherwise, for tests and as seeds of the fuzzer. */
#ifndef GGUF_WRITER_H
#define GGUF_WRITER_H

#include <stddef.h>
#include <stdint.h>

struct gw_key {
    char name[96];
    uint32_t type; /* enum gguf_value_type, or what a test makes of it */
    uint8_t value[320];
    size_t bytes;
};

struct gw_tensor {
    char name[96];
    uint32_t type, n_dims;
    uint64_t dim[8];
    uint64_t offset; /* in the data, as gw_model placed it */
    uint64_t bytes;
};

struct gw {
    uint32_t version;
    uint64_t n_key_claimed, n_tensor_claimed; /* added to the true counts in the header */
    uint64_t data_bytes, alignment;
    size_t n_key, n_tensor;
    struct gw_key key[48];
    struct gw_tensor tensor[48];
};

/* A model of this architecture: 1 layer, 32 wide, 64 FFN, 2 query heads and 1 KV head of 16, 8 tokens, matrices
 * Q8_0, output tied; every key that kvdbg reads in its usual type. */
void gw_model(struct gw *w, const char *arch);

/* Sets a key, new or there already. The number of gw_number is written as the type's bytes of it, lowest first. */
void gw_raw(struct gw *w, const char *name, uint32_t type, const void *value, size_t bytes);
void gw_number(struct gw *w, const char *name, uint32_t type, uint64_t number);
void gw_float(struct gw *w, const char *name, float number);
void gw_text(struct gw *w, const char *name, const char *text);
void gw_drop_key(struct gw *w, const char *name);

/* Adds a tensor at the end of the data; finds one (NULL = none); takes one out, leaving its bytes. */
struct gw_tensor *gw_add(struct gw *w, const char *name, uint32_t type, uint64_t cols, uint64_t rows);
struct gw_tensor *gw_tensor(struct gw *w, const char *name);
void gw_drop_tensor(struct gw *w, const char *name);

/* The file's bytes, in a block of exactly that size for the caller to free; *header (may be NULL) = bytes before
 * the data's padding. Byte k of the data is k * 7 + 1. */
uint8_t *gw_write(const struct gw *w, size_t *size, size_t *header);

#endif
