/* reach.c - see reach.h. */
#include "services/natterjack/reach.h"

#include "lib/strategy.h"

#include <stdio.h>

/* A NAT that keeps ports lets one serve several destinations, as Linux does: it looks ei. */
static struct profile far_side(unsigned i)
{
    uint8_t allocation = (uint8_t)(ALLOC_PRESERVE + i / 3 % 3);

    return (struct profile){.mapping =
                                allocation == ALLOC_PRESERVE ? NAT_EI : (uint8_t)(NAT_EI + i / 9),
                            .allocation = allocation,
                            .filtering = (uint8_t)(NAT_EI + i % 3)};
}

const char *reach_class(unsigned i, char text[static REACH_CLASS_TEXT])
{
    snprintf(text, REACH_CLASS_TEXT, "%s/%s/%s", behaviour_name[NAT_EI + i / 9],
             allocation_name[ALLOC_PRESERVE + i / 3 % 3], behaviour_name[NAT_EI + i % 3]);
    return text;
}

static unsigned count(const struct profile *own, bool has_token, uint32_t *classes)
{
    unsigned n = 0;

    *classes = 0;
    for (unsigned i = 0; i < REACH_CLASSES; i++) {
        struct profile far = far_side(i);
        enum verdict why;
        if (strategy_plan(own, &far, (bool[2]){has_token, true}, POLICY_DIRECT, 0, &why).n > 0) {
            n++;
            *classes |= UINT32_C(1) << i;
        }
    }
    return n;
}

struct reach reach_of(const struct profile *own, bool has_token)
{
    struct reach r = {0};
    uint32_t more;
    struct profile better = *own;

    r.direct = count(own, has_token, &r.classes);
    if (own->mapping == NAT_NONE) {
        better.filtering = NAT_NONE;
        r.how = "let UDP in through the firewall to the port that --port sets";
    } else {
        better.mapped = true;
        r.how = "set up a port mapping on the router, and tell natterjack with --reflex-override";
    }
    r.improved = count(&better, has_token, &more);
    if (r.improved <= r.direct)
        r.how = NULL;
    return r;
}
