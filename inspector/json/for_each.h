/* --for-each FILE.jsonl: the commands of the command line, once for each row of data. */
#ifndef KV_FOR_EACH_H
#define KV_FOR_EACH_H

#include "inspector/session.h"

/* Calls run with a session as fresh as session_open made it, in which the fields of a row are convenience variables,
 * $_row its number (from 0 on) and its `prompt` and `question` the request's. A row that fails ends the run unless
 * --keep-going says otherwise. What happened goes to stderr as one line, so that the outputs of shards concatenate to
 * that of all rows. Returns the exit status: the first failure's. */
int for_each_row(struct session *s, void (*run)(struct session *s));

#endif
