/* What a GGUF file is made of, for the files that read it. Internal to engine/model. */
#ifndef KV_GGUF_FILE_H
#define KV_GGUF_FILE_H

#include "engine/model/gguf.h"

struct pair {
    struct kv_string key;
    uint32_t type;
    const uint8_t *value; /* behind the type; checked to its end */
};

struct gguf_part {
    char *path;
    struct gguf *file; /* NULL: the first, which holds the others */
};

struct gguf {
    const uint8_t *data;
    size_t size;
    bool mapped;
    struct pair *pair; /* [n_pair] by key */
    size_t n_pair;
    struct gguf_tensor *tensor; /* [n_tensor] by name, of all parts */
    size_t n_tensor;
    struct gguf_part *part; /* [n_part] in their order; none where the file is whole */
    int n_part;
};

/* The order of tensors, for qsort and bsearch. */
int gguf_by_name(const void *a, const void *b);

#endif
