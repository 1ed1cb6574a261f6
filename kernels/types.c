/* The table behind kv_type_info. */
#include "kernels/types.h"

const struct kv_type_info *kv_type_info(int type)
{
    switch (type) {
#define X(name, number, elements, bytes)                                                                       \
    case number: {                                                                                             \
        static const struct kv_type_info info = { #name, elements, bytes };                                    \
        return &info;                                                                                          \
    }
        KV_TYPE_LIST(X)
#undef X
    default: return NULL;
    }
}
