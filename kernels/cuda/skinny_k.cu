/* The products of skinny.cuh for weights in blocks of 256. */
#include "kernels/cuda/skinny.cuh"

bool kv_skinny_launch_k(struct kv_cuda *cu, const struct kv_skinny *a)
{
    switch (a->type) {
    case KV_TYPE_Q2_K: kv_skinny_start_type<KV_TYPE_Q2_K>(cu, a); return true;
    case KV_TYPE_Q3_K: kv_skinny_start_type<KV_TYPE_Q3_K>(cu, a); return true;
    case KV_TYPE_Q4_K: kv_skinny_start_type<KV_TYPE_Q4_K>(cu, a); return true;
    case KV_TYPE_Q5_K: kv_skinny_start_type<KV_TYPE_Q5_K>(cu, a); return true;
    case KV_TYPE_Q6_K: kv_skinny_start_type<KV_TYPE_Q6_K>(cu, a); return true;
    case KV_TYPE_IQ4_XS: kv_skinny_start_type<KV_TYPE_IQ4_XS>(cu, a); return true;
    default: return false;
    }
}
