/* Writing a core file: first the list of its tensors, which gives every size, then tensor after tensor from what the
 * engine has. */
#include "engine/core/plan.h"

#include <stdlib.h>
#include <string.h>

#include "engine/core/output.h"

static int wide_first(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int wide = st_type_bytes[y->tensor.type] - st_type_bytes[x->tensor.type];
    if (wide) return wide;
    return x->part != y->part ? (int)x->part - (int)y->part : strverscmp(x->name, y->name);
}

/* Tensors in the order of their elements' size, so that each is aligned. */
static enum kv_status make_header(struct core_plan *p, struct kv_error *err)
{
    qsort(p->item, (size_t)p->n_item, sizeof *p->item, wide_first);
    struct st_tensor *list = kv_alloc((size_t)p->n_item, sizeof *list);
    if (!list) return kv_fail(err, KV_NO_MEMORY, "No memory for the header of a core file.");
    for (int i = 0; i < p->n_item; i++) {
        p->item[i].tensor.name = p->item[i].name;
        list[i] = p->item[i].tensor;
    }
    enum kv_status status = st_header(list, p->n_item, p->note, p->n_note, &p->header, &p->header_bytes, err);
    free(list);
    return status;
}

static enum kv_status plan_make(
    struct core_plan *p, struct kv_engine *e, const struct kv_core_want *want, struct kv_error *err)
{
    *p = (struct core_plan){ .e = e };
    if (!e->started) return kv_fail(err, KV_NOT_NOW, "The request is not being run.");
    enum kv_status status = engine_need_live(e, err);
    if (!status) status = core_notes(p, want, err);
    if (!status) status = core_items(p, want, err);
    return status ? status : make_header(p, err);
}

static void plan_close(struct core_plan *p)
{
    free(p->item);
    for (int i = 0; i < p->n_text; i++) free(p->text[i]);
    free(p->piece_id);
    free(p->piece_start);
    free(p->piece_bytes);
    free(p->cost);
    free(p->n_kept);
    free(p->header);
}

enum kv_status kv_core_size(
    struct kv_engine *e, const struct kv_core_want *want, uint64_t bytes[KV_CORE_PARTS], struct kv_error *err)
{
    struct core_plan p;
    enum kv_status status = plan_make(&p, e, want, err);
    memset(bytes, 0, KV_CORE_PARTS * sizeof *bytes);
    bytes[KV_CORE_BASE] = p.header_bytes;
    for (int i = 0; i < p.n_item; i++) bytes[p.item[i].part] += p.item[i].tensor.bytes;
    plan_close(&p);
    return status;
}

/* --- writing -------------------------------------------------------------------------------------------------- */

enum kv_status kv_core_write(
    struct kv_engine *e, const char *path, const struct kv_core_want *want, struct kv_error *err)
{
    struct core_plan p;
    struct output o = { .path = path, .e = e };
    enum kv_status status = plan_make(&p, e, want, err);
    o.total = p.header_bytes;
    for (int i = 0; i < p.n_item; i++) o.total += p.item[i].tensor.bytes;
    if (!status) status = output_open(&o, err);
    if (!status) status = output_put(&o, p.header, p.header_bytes, err);
    for (int i = 0; i < p.n_item && !status; i++) status = core_put(&o, &p.item[i], err);
    status = output_close(&o, status, err);
    plan_close(&p);
    return status;
}
