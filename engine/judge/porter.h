/* English word stems by M. F. Porter's algorithm (Program 14(3), 1980), with the changes that NLTK makes to it, for
 * these are what rouge-score counts by. */
#ifndef KV_JUDGE_PORTER_H
#define KV_JUDGE_PORTER_H

#include "kernels/base.h"

/* Cuts a word of [a-z0-9] to its stem, in place: word has room for one byte more than its n. Returns the stem's
 * length, at most n + 1. */
size_t porter_stem(char *word, size_t n);

#endif
