/* Watched keys: whether the layer whose attend has just run reads one of them above a floor. */
#ifndef KV_READS_WATCH_H
#define KV_READS_WATCH_H

#include "inspector/session.h"

struct reads;

#define READ_FLOOR 0.05 /* of a row's attention; set kv read-floor */

/* Reads TARGET [> FLOOR]: "text", @POS, A..B, or attn[L][H][*][J] (kv[L][H][J]), where an index is a number, a range, *
 * or, for J, a text. KV_BAD_ARG. */
enum kv_status reads_open(struct session *s, const char *text, struct reads **out);
void reads_free(struct reads *r);
const char *reads_text(const struct reads *r);
/* An expression that is 0 where a layer has evicted one of the keys: what "writes" them. */
void reads_kept(const struct reads *r, char *text, size_t size);
/* The prompt may be another one: texts are looked up again. */
void reads_reset(struct session *s, struct reads *r);

bool reads_near(const struct reads *r, const struct kv_where *now);
enum kv_unit reads_unit(const struct kv_where *now);

/* Whether it does; *said (caller frees) gets "Value = ..." lines, the largest read first. said NULL: just asking. */
bool reads_happened(struct session *s, const struct reads *r, const struct kv_where *now, char **said);

/* For read-miss: the same for what would have been read, had this layer kept all; of list [n] (NULL = all). */
bool reads_missed(struct session *s, const int32_t *list, int n, const struct kv_where *now, FILE *f);

struct reaction cmd_set_read_floor(struct session *s, const char *args);
struct reaction cmd_show_read_floor(struct session *s, const char *args);

#endif
