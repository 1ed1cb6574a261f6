/* The table behind kv_type_info. */
#include "kernels/types.h"

const struct kv_type_info *kv_type_info(int type)
{
    switch (type) {
#define X(name, number, elements, bytes, half, halves)                                                             \
    case number: {                                                                                                 \
        static const struct kv_type_info info = { #name, elements, bytes, half, halves };                          \
        return &info;                                                                                              \
    }
        KV_TYPE_LIST(X)
#undef X
    default: return NULL;
    }
}
