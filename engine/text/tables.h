/* What a tokenizer is made of; for the files of engine/text only. */
#ifndef KV_TEXT_TABLES_H
#define KV_TEXT_TABLES_H

#include "engine/text/arena.h"
#include "engine/text/bpe.h"
#include "engine/text/pretokenize.h"
#include "engine/text/tokenizer.h"

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_BYTE = 6 }; /* token_type */

/* TOKEN_TEXT: may be made of bytes or characters by merges. TOKEN_GUARDED: text makes it only where special tokens
 * are parsed. */
enum { TOKEN_CONTROL = 1, TOKEN_END = 2, TOKEN_TEXT = 4, TOKEN_GUARDED = 8 };

/* Text of a token -> id, open addressing, at most half full. Of tokens with the same text a normal one counts before
 * the others, and the first before the later ones. */
struct name_table {
    int32_t *id; /* [mask + 1], -1 = empty slot */
    size_t mask;
    const struct kv_string *token; /* [n_token] borrowed */
};

enum kv_status named_open(struct name_table *names, const struct kv_string *token, int n, struct kv_error *err);

/* Slot of the token whose text is head followed by tail, or the empty slot where it belongs. */
size_t named_slot(const struct name_table *names, struct kv_string head, struct kv_string tail);
int32_t named_find(const struct name_table *names, struct kv_string head, struct kv_string tail); /* -1 = none */

struct added_token {
    struct kv_string text;
    int32_t id;
    uint8_t rule; /* KV_ADDED bits */
};

/* Tokens that are looked for in text before it falls into words. */
struct added_set {
    struct added_token *token; /* [start[256]] by first byte, then longest first, then smallest id */
    size_t start[257];         /* token[start[b] .. start[b + 1]) begin with byte b */
};

struct kv_tokenizer {
    struct pre_rule *pre;
    int n_split;
    struct kv_text_step *step; /* [n_step] all but the splits */
    int n_step;
    struct added_set raw, normal; /* looked for in the text itself, and at KV_STEP_ADDED */
    struct bpe_table merges;
    bool characters; /* SentencePiece BPE: words fall into characters first; else into bytes */
    bool ignore_merges, byte_fallback, fuse_unknown;
    int32_t unknown;        /* -1 = none */
    int32_t byte_id[256];   /* token of a single byte, -1 = none */
    struct kv_string *key;  /* [n_token] what words are compared with; NULL where no word is */
    struct name_table word; /* of the keys of tokens that are text; id NULL where key is NULL */
    struct arena strings;
    int n_token;
    char *bytes;         /* the pieces, one behind the other */
    size_t *start;       /* [n_token + 1] piece i is bytes[start[i] .. start[i + 1]) */
    unsigned char *flag; /* [n_token] TOKEN_ */
    int32_t *id;         /* [n_id] ascending: only these have pieces, piece i is id[i]'s; NULL = all have */
    int n_id;
};

/* Fills t->raw and t->normal; pieces and flags are there. */
enum kv_status added_open(struct kv_tokenizer *t, const struct kv_vocabulary *v, struct kv_error *err);

/* Fills t->merges from the merges or, where there are scores, from those; names are of v->token. */
enum kv_status merges_open(
    struct kv_tokenizer *t, const struct kv_vocabulary *v, const struct name_table *names, struct kv_error *err);

#endif
