/* Random blocks: whole numbers drawn uniformly, f16 fields chosen so that the values come out in the size asked for. */
#include "engine/model/random_row.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* splitmix64 (Steele, Lea, Flood 2014): a counter and a mixer, so that any row can be made alone. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

static uint64_t next(uint64_t *state) { return mix(*state += 0x9e3779b97f4a7c15U); }

uint64_t random_stream(uint64_t seed, uint64_t tensor, uint64_t row)
{
    return mix(mix(mix(seed + 1) + tensor) + row);
}

float random_unit(uint64_t bits) { return (float)(bits & 0xffff) * 0x1p-16F; }

static uint16_t half_bits(float x)
{
    uint32_t bits, magnitude;
    float a = fabsf(x);
    memcpy(&bits, &a, sizeof bits);
    magnitude = a < 0x1p-14F ? (uint32_t)lrintf(a * 0x1p24F) : (bits - (112U << 23) + (1U << 12)) >> 13;
    return (uint16_t)(magnitude | (signbit(x) ? 0x8000U : 0));
}

static const float root_12 = 3.4641016F; /* a uniform number's width over its deviation */

void random_f32(float *out, size_t n, float middle, float std, uint64_t state)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        bits = i % 4 ? bits >> 16 : next(&state);
        out[i] = middle + (random_unit(bits) - 0.5F) * (std * root_12);
    }
}

static void random_16(int type, uint16_t *out, size_t n, float std, uint64_t state)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        bits = i % 4 ? bits >> 16 : next(&state);
        float x = (random_unit(bits) - 0.5F) * (std * root_12);
        uint32_t wide;
        memcpy(&wide, &x, sizeof wide);
        out[i] = type == KV_TYPE_F16 ? half_bits(x) : (uint16_t)(wide >> 16);
    }
}

/* What blocks of random bytes are worth. */
struct worth {
    float deviation; /* of values with scale 1 and the minimum below */
    float minimum;   /* field of the minimum over the scale that puts the mean at 0 */
    bool one_sign;   /* values are as often positive as negative already; else the scale's sign is drawn too */
};

static struct worth worth_of(int type)
{
    switch (type) {
    case KV_TYPE_Q4_0: return (struct worth){ 4.6368F, 0, false };
    case KV_TYPE_Q4_1: return (struct worth){ 4.6097722F, -7.5F, true };
    case KV_TYPE_Q5_0: return (struct worth){ 9.2466F, 0, false };
    case KV_TYPE_Q5_1: return (struct worth){ 9.2331F, -15.5F, true };
    case KV_TYPE_Q8_0: return (struct worth){ 73.6F, 0, true };
    case KV_TYPE_Q2_K: return (struct worth){ 13.86F, 1.5F, true };
    case KV_TYPE_Q3_K: return (struct worth){ 43.3F, 0, false };
    case KV_TYPE_Q4_K: return (struct worth){ 258.2F, 7.5F, true };
    case KV_TYPE_Q5_K: return (struct worth){ 526.4F, 15.5F, true };
    case KV_TYPE_Q6_K: return (struct worth){ 1366.8F, 0, false };
    case KV_TYPE_IQ4_NL: return (struct worth){ 67.44F, 0, false };
    default: return (struct worth){ 1244.2F, 0, false }; /* IQ4_XS */
    }
}

/* Bytes [from, to) of a block. */
static void random_bytes(uint8_t *block, int from, int to, uint64_t *state)
{
    for (; from < to; from += 8) {
        uint64_t bits = next(state);
        memcpy(block + from, &bits, to - from < 8 ? (size_t)(to - from) : 8);
    }
}

/* The scale is drawn first, then all bytes but the f16 fields. In Q8_0 -128 has no place in quantisers' rounding, and
 * 0 in its stead keeps the mean at 0. */
static void random_block(int type, const struct kv_type_info *info, uint8_t *out, float std, uint64_t *state)
{
    struct worth w = worth_of(type);
    uint64_t bits = next(state);
    float d = std / w.deviation * (0.75F + 0.5F * random_unit(bits));
    if (!w.one_sign && bits >> 63) d = -d;
    uint16_t half[2] = { half_bits(d), half_bits(w.minimum * d) };
    random_bytes(out, 0, info->half, state);
    random_bytes(out, info->half + 2 * info->halves, info->bytes, state);
    memcpy(out + info->half, half, 2 * (size_t)info->halves);
    for (int i = 2; i < info->bytes && type == KV_TYPE_Q8_0; i++)
        if (out[i] == 0x80) out[i] = 0;
}

void random_row(int type, uint8_t *out, size_t n, float std, uint64_t state)
{
    const struct kv_type_info *info = kv_type_info(type);
    if (type == KV_TYPE_F32)
        random_f32((float *)out, n, 0, std, state);
    else if (info->elements == 1)
        random_16(type, (uint16_t *)out, n, std, state);
    else
        for (size_t i = 0; i < n / (size_t)info->elements; i++)
            random_block(type, info, out + i * (size_t)info->bytes, std, &state);
}
