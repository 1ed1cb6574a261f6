/* Element types of tensors, as GGUF numbers them, with the block that each is stored in. */
#ifndef KV_TYPES_H
#define KV_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* name, GGUF number, elements a block, bytes a block, byte at which its f16 fields begin, how many they are: a scale,
 * or a scale and a minimum */
#define KV_QUANTIZED_LIST(X)                                                                                       \
    X(Q4_0, 2, 32, 18, 0, 1)                                                                                       \
    X(Q4_1, 3, 32, 20, 0, 2)                                                                                       \
    X(Q5_0, 6, 32, 22, 0, 1)                                                                                       \
    X(Q5_1, 7, 32, 24, 0, 2)                                                                                       \
    X(Q8_0, 8, 32, 34, 0, 1)                                                                                       \
    X(Q2_K, 10, 256, 84, 80, 2)                                                                                    \
    X(Q3_K, 11, 256, 110, 108, 1)                                                                                  \
    X(Q4_K, 12, 256, 144, 0, 2)                                                                                    \
    X(Q5_K, 13, 256, 176, 0, 2)                                                                                    \
    X(Q6_K, 14, 256, 210, 208, 1)                                                                                  \
    X(IQ4_NL, 20, 32, 18, 0, 1)                                                                                    \
    X(IQ4_XS, 23, 256, 136, 0, 1)

#define KV_TYPE_LIST(X)                                                                                            \
    X(F32, 0, 1, 4, 0, 0)                                                                                          \
    X(F16, 1, 1, 2, 0, 1)                                                                                          \
    X(BF16, 30, 1, 2, 0, 0)                                                                                        \
    KV_QUANTIZED_LIST(X)

enum kv_type {
#define X(name, number, elements, bytes, half, halves) KV_TYPE_##name = number,
    KV_TYPE_LIST(X)
#undef X
        KV_TYPE_NONE = -1
};

struct kv_type_info {
    const char *name; /* "Q4_1" */
    int elements;     /* per block */
    int bytes;        /* per block */
    int half, halves; /* f16 fields of a block: byte of the first, number */
};

#ifdef __cplusplus
extern "C" {
#endif

/* Facts about a type; NULL for a number that kvdbg does not read. */
const struct kv_type_info *kv_type_info(int type);

/* Bytes of n elements of this type; n must be a multiple of the block. */
static inline size_t kv_type_bytes(int type, size_t n)
{
    const struct kv_type_info *t = kv_type_info(type);
    return t ? n / (size_t)t->elements * (size_t)t->bytes : 0;
}

#ifdef __cplusplus
}
#endif

#endif
