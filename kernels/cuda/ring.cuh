/* Rings of tiles between warpgroups on Hopper: one fetches by cp.async, others multiply with wgmma. A place in a ring is
 * a stage, and in bit 8 the parity of its round. */
#ifndef KV_CUDA_RING_CUH
#define KV_CUDA_RING_CUH

#include "kernels/cuda/hopper.cuh"

/* A ring's barriers: a tile has come; all warps that multiply are done with it. */
template <int stages> struct kv_ring {
    uint64_t full[stages], empty[stages];
};

#define KV_RING_FETCH 0x100 /* where who fetches begins: the first round finds the ring empty */

KV_DEVICE int kv_ring_stage(int at) { return at & 0xff; }
KV_DEVICE int kv_ring_parity(int at) { return at >> 8; }
template <int stages> KV_DEVICE int kv_ring_next(int at)
{
    return kv_ring_stage(at) + 1 < stages ? at + 1 : (at ^ 0x100) & 0x100;
}

/* Waits until the tile at `at` has come; until who fetches may write there. */
template <int stages> KV_DEVICE void kv_ring_wait_full(struct kv_ring<stages> *ring, int at)
{
    kv_mbarrier_wait(&ring->full[kv_ring_stage(at)], kv_ring_parity(at));
}
template <int stages> KV_DEVICE void kv_ring_wait_empty(struct kv_ring<stages> *ring, int at)
{
    kv_mbarrier_wait(&ring->empty[kv_ring_stage(at)], kv_ring_parity(at));
}

/* All but the last `groups` tiles asked for are there: this thread's part of the one at `at` is for wgmma to read. */
template <int groups, int stages> KV_DEVICE void kv_ring_hand_over(struct kv_ring<stages> *ring, int at)
{
    kv_cp_async_wait<groups>();
    kv_proxy_fence();
    kv_mbarrier_arrive(&ring->full[kv_ring_stage(at)]);
}

/* This warp is done with the tile at `at`. */
template <int stages> KV_DEVICE void kv_ring_release(struct kv_ring<stages> *ring, int at)
{
    if (kv_thread() % KV_WARP == 0) kv_mbarrier_arrive(&ring->empty[kv_ring_stage(at)]);
}

/* Byte of 16 bytes of a row in a tile of so many: panels of 64 channels, rows of 128 bytes, eight of them swizzled. */
KV_DEVICE int kv_panel_at(int row, int chunk, int rows)
{
    return chunk / 8 * rows * 128 + row * 128 + (chunk % 8 ^ row % 8) * 16;
}

/* What takes a descriptor from channel 0 to channel 16 c of a tile of `rows` rows. */
KV_DEVICE uint32_t kv_panel_step(int c, int rows) { return (uint32_t)((c / 4 * rows * 128 + c % 4 * 32) >> 4); }

#endif
