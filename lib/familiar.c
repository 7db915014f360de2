/* familiar.c - see familiar.h. */
#include "lib/familiar.h"

#include "lib/bytes.h"

static uint64_t key_of(const struct addr *a)
{
    uint64_t first = get_u64(a->ip);

    return a->len == 4 ? first >> 32 << 8 | FAMILIAR_V4 : (first & ~UINT64_C(0xff)) | FAMILIAR_V6;
}

void familiar_note(struct familiar *f, const struct addr *a)
{
    uint64_t key = key_of(a);

    if (f->cells && a->len != 0) /* a whole cell, since the kernel reads it meanwhile */
        __atomic_store_n(&f->cells[FAMILIAR_CELL(key)], key, __ATOMIC_RELAXED);
}
