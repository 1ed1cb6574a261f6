/* engine.*, decode.* and judge.* settings as typed fields, beside the policy's; one table serves set, show, help.
 */
#ifndef KV_SETTINGS_H
#define KV_SETTINGS_H

#include "engine/engine.h"
#include "engine/policy/policy.h"

#define SETTINGS_SEGMENT_MOST 8192 /* rows of a prefill pass */

enum settings_backend { BACKEND_AUTO, BACKEND_CPU, BACKEND_CUDA };
enum settings_kv { SETTINGS_KV_F16, SETTINGS_KV_F32, SETTINGS_KV_BF16 };

struct settings {
    struct kv_policy policy;
    int backend;   /* enum settings_backend */
    int precision; /* enum kv_precision */
    int kv;        /* enum settings_kv; f32 precision means f32 here too */
    int threads;   /* 0 = all cores */
    int segment; /* rows of a prefill pass; SETTING_AUTO = what engine_segment() says, never so in a request's own */
    int snapshot, stats_all, sliding; /* booleans */
    int tokens;                       /* longest reply */
    double temperature;
    int top_k;
    double top_p, min_p;
    int64_t seed;
    int leader_full; /* boolean: both runs are fed the full cache's tokens, else the compressed run's own */
    int judge_tokens;
};

void settings_init(struct settings *s);

#endif
