/* What a tokenizer is made of; for the files of engine/text only. */
#ifndef KV_TEXT_TABLES_H
#define KV_TEXT_TABLES_H

#include "engine/text/bpe.h"
#include "engine/text/pretokenize.h"
#include "engine/text/tokenizer.h"

enum { TOKEN_CONTROL = 1, TOKEN_END = 2, TOKEN_TEXT = 4 /* may be made of bytes by merges */ };

struct kv_tokenizer {
    struct pre_rule *pre;
    struct bpe_table merges;
    int32_t byte_id[256]; /* token of a single byte, -1 = none */
    int n_token;
    char *bytes;               /* the pieces, one behind the other */
    size_t *start;             /* [n_token + 1] piece i is bytes[start[i] .. start[i + 1]) */
    unsigned char *flag;       /* [n_token] TOKEN_ */
    int32_t *special;          /* by first byte, then longest first, then smallest id */
    size_t special_start[257]; /* special[special_start[b] .. special_start[b + 1]) begin with byte b */
    int32_t *id;               /* [n_id] ascending: only these have pieces, piece i is id[i]'s; NULL = all have */
    int n_id;
};

#endif
