/* The GEMV of gemv.cuh for F32, F16 and BF16 weights. */
#include "kernels/cuda/gemv.cuh"

bool kv_gemv_launch_float(struct kv_cuda *cu, const struct kv_gemv *a)
{
    switch (a->type) {
    case KV_TYPE_F32: kv_gemv_start_type<KV_TYPE_F32>(cu, a); return true;
    case KV_TYPE_F16: kv_gemv_start_type<KV_TYPE_F16>(cu, a); return true;
    case KV_TYPE_BF16: kv_gemv_start_type<KV_TYPE_BF16>(cu, a); return true;
    default: return false;
    }
}
