/* What a command says, once more for machines: the rows of its table with the column names as keys, and the value that
 * it prints. Written beside the console's text; every call does nothing unless objects are wanted (--json). */
#ifndef KV_ROWS_H
#define KV_ROWS_H

#include "inspector/session.h"

#define ROWS_NUMBERS 1000000 /* so many elements may one printed value have */

/* Begins a row; the calls below fill it until the next. A number that is NaN or infinite, and a NULL text, is null. */
void rows_new(struct session *s);
void rows_number(struct session *s, const char *column, double number);
void rows_text(struct session *s, const char *column, const char *text);
void rows_flag(struct session *s, const char *column, bool yes);
/* A token's text; bytes that are no UTF-8 are replaced. */
void rows_token(struct session *s, const char *column, int32_t id);

/* A value as nested lists; null above ROWS_NUMBERS elements. */
void rows_cell(struct session *s, const char *column, const struct value *v);

/* The unit of a column, or of a field that rows_fact wrote. */
void rows_unit(struct session *s, const char *column, const char *unit);

/* Fields beside the rows, for what belongs to no row of a table. */
void rows_fact(struct session *s, const char *name, double number);
void rows_fact_text(struct session *s, const char *name, const char *text);

/* A printed value with its shape, axes and unit; number = N of $N, 0 = none. KV_BAD_ARG above ROWS_NUMBERS elements. */
enum kv_status rows_value(struct session *s, const struct value *v, size_t number);

#endif
