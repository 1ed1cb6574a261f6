/* The products of skinny.cuh for weights in blocks of 32. */
#include "kernels/cuda/skinny.cuh"

bool kv_skinny_launch_small(struct kv_cuda *cu, const struct kv_skinny *a)
{
    switch (a->type) {
    case KV_TYPE_Q4_0: kv_skinny_start_type<KV_TYPE_Q4_0>(cu, a); return true;
    case KV_TYPE_Q4_1: kv_skinny_start_type<KV_TYPE_Q4_1>(cu, a); return true;
    case KV_TYPE_Q5_0: kv_skinny_start_type<KV_TYPE_Q5_0>(cu, a); return true;
    case KV_TYPE_Q5_1: kv_skinny_start_type<KV_TYPE_Q5_1>(cu, a); return true;
    case KV_TYPE_Q8_0: kv_skinny_start_type<KV_TYPE_Q8_0>(cu, a); return true;
    case KV_TYPE_IQ4_NL: kv_skinny_start_type<KV_TYPE_IQ4_NL>(cu, a); return true;
    default: return false;
    }
}
