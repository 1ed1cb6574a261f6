/* tokenizer.model: SentencePiece's ModelProto (sentencepiece_model.proto), a protocol buffer: fields of a number and a
 * wire type, messages within messages. Of it the pieces, the kind of model and what its normalizer does are read. */
#include "engine/text/vocabulary_parts.h"

#include <stdlib.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { MODEL_BPE = 2 };
enum { TYPE_NORMAL = 1, TYPE_MAX = 6 };

struct field {
    uint64_t number, value; /* value: of a varint, or the bits of WIRE_32 and WIRE_64 */
    int wire;
    struct kv_string bytes; /* of WIRE_BYTES */
};

struct model {
    int64_t kind, unknown, bos, eos; /* trainer_spec */
    bool byte_fallback;
    bool charsmap, no_prefix, keep_spaces; /* normalizer_spec, by what it would be without the field */
    int n;
    struct kv_vocabulary *v;
    struct arena *arena;
};

static bool take_varint(struct kv_string *s, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; s->length && shift < 64; shift += 7) {
        unsigned char b = (unsigned char)*s->text++;
        s->length--;
        *value |= (uint64_t)(b & 0x7F) << shift;
        if (!(b & 0x80)) return true;
    }
    return false;
}

/* Takes the next field of a message; false at its end, and with s->text NULL where it is malformed. */
static bool take_field(struct kv_string *s, struct field *f)
{
    uint64_t key;
    size_t bytes;
    *f = (struct field){ 0 };
    if (!s->length || !s->text) return false;
    if (!take_varint(s, &key)) goto bad;
    f->number = key >> 3;
    f->wire = (int)(key & 7);
    if (f->wire == WIRE_VARINT) {
        if (!take_varint(s, &f->value)) goto bad;
        return true;
    }
    bytes = f->wire == WIRE_32 ? 4 : f->wire == WIRE_64 ? 8 : 0;
    if (f->wire == WIRE_BYTES) {
        if (!take_varint(s, &f->value) || f->value > s->length) goto bad;
        bytes = (size_t)f->value;
        f->bytes = (struct kv_string){ s->text, bytes };
    } else if (!bytes || bytes > s->length) {
        goto bad;
    } else {
        memcpy(&f->value, s->text, bytes);
    }
    s->text += bytes;
    s->length -= bytes;
    return true;
bad:
    *s = (struct kv_string){ NULL, 0 };
    return false;
}

/* False where memory is short or the piece is malformed. */
static bool read_piece(struct model *m, struct kv_string s)
{
    struct field f;
    int32_t type = TYPE_NORMAL;
    float score = 0;
    struct kv_string text = { "", 0 };
    while (take_field(&s, &f)) {
        if (f.number == 1 && f.wire == WIRE_BYTES) text = f.bytes;
        if (f.number == 2 && f.wire == WIRE_32) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&score, &bits, sizeof score);
        }
        if (f.number == 3 && f.wire == WIRE_VARINT) type = f.value <= TYPE_MAX ? (int32_t)f.value : TYPE_NORMAL;
    }
    text.text = s.text ? arena_copy(m->arena, text.text, text.length) : NULL;
    m->v->token[m->n] = text;
    ((int32_t *)m->v->token_type)[m->n] = type;
    ((float *)m->v->score)[m->n++] = score;
    return text.text != NULL;
}

static bool read_trainer(struct model *m, struct kv_string s)
{
    struct field f;
    while (take_field(&s, &f)) {
        if (f.wire != WIRE_VARINT) continue;
        if (f.number == 3) m->kind = (int64_t)f.value;
        if (f.number == 35) m->byte_fallback = f.value != 0;
        if (f.number == 40) m->unknown = (int64_t)f.value;
        if (f.number == 41) m->bos = (int64_t)f.value;
        if (f.number == 42) m->eos = (int64_t)f.value;
    }
    return s.text != NULL;
}

static bool read_normalizer(struct model *m, struct kv_string s)
{
    struct field f;
    while (take_field(&s, &f)) {
        if (f.number == 2 && f.wire == WIRE_BYTES) m->charsmap = f.bytes.length != 0;
        if (f.number == 3 && f.wire == WIRE_VARINT) m->no_prefix = !f.value;
        if (f.number == 4 && f.wire == WIRE_VARINT) m->keep_spaces = !f.value;
    }
    return s.text != NULL;
}

/* Counts the pieces; -1 = malformed. */
static int count_pieces(struct kv_string s)
{
    struct field f;
    int n = 0;
    while (take_field(&s, &f)) n += f.number == 1 && f.wire == WIRE_BYTES;
    return s.text ? n : -1;
}

static enum kv_status refuse(const char *what, struct kv_error *err)
{
    return kv_fail(err, KV_UNSUPPORTED,
        "tokenizer.model %s, which kvdbg does not read; give the prompt as token ids, or save tokenizer.json with "
        "transformers' save_pretrained.",
        what);
}

static enum kv_status read_parts(struct model *m, struct kv_string file, struct kv_error *err)
{
    struct field f;
    bool good = true;
    while (good && take_field(&file, &f)) {
        if (f.wire != WIRE_BYTES) continue;
        if (f.number == 1) good = read_piece(m, f.bytes);
        if (f.number == 2) good = read_trainer(m, f.bytes);
        if (f.number == 3) good = read_normalizer(m, f.bytes);
    }
    if (!good) return kv_fail(err, KV_BAD_FILE, "tokenizer.model is malformed at piece %d.", m->n);
    if (m->kind != MODEL_BPE) return refuse("holds no BPE model", err);
    if (m->charsmap) return refuse("has a normalizer with a table of its own", err);
    if (!m->keep_spaces) return refuse("removes extra white space", err);
    return KV_OK;
}

static int id_of(int64_t id, int n) { return id >= 0 && id < n ? (int)id : -1; }

enum kv_status vocabulary_read_model(
    struct kv_string file, int n_vocab, struct kv_vocabulary *v, struct arena *arena, struct kv_error *err)
{
    struct model m = { .kind = 1, .unknown = 0, .bos = 1, .eos = 2, .v = v, .arena = arena };
    int n = count_pieces(file);
    if (n <= 0)
        return kv_fail(err, KV_BAD_FILE, "tokenizer.model holds no pieces, so it is no SentencePiece model.");
    if (n_vocab > 0 && n > n_vocab)
        return kv_fail(
            err, KV_BAD_FILE, "tokenizer.model has %d pieces, the model's embedding %d rows.", n, n_vocab);
    v->n_token = n_vocab > 0 ? n_vocab : n;
    int32_t *type = kv_alloc((size_t)v->n_token, sizeof *type);
    v->token_type = type;
    v->score = kv_alloc((size_t)v->n_token, sizeof *v->score);
    v->token = kv_alloc((size_t)v->n_token, sizeof *v->token);
    if (!type || !v->score || !v->token)
        return kv_fail(err, KV_NO_MEMORY, "No memory for the %d tokens of the vocabulary.", v->n_token);
    for (int i = n; i < v->n_token; i++) {
        type[i] = 5; /* unused */
        v->token[i] = (struct kv_string){ "", 0 };
    }
    enum kv_status status = read_parts(&m, file, err);
    if (status) return status;
    v->kind = (struct kv_string){ "llama", 5 };
    v->add_space_prefix = !m.no_prefix;
    v->byte_fallback = m.byte_fallback;
    v->fuse_unknown = true;
    v->unknown = id_of(m.unknown, n);
    v->bos = id_of(m.bos, n);
    v->eos = id_of(m.eos, n);
    v->add_bos = v->bos >= 0;
    return KV_OK;
}
