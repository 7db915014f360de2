/*
 * cause_shell.c - why a session went as it did, in one sentence that says which side it is: what the verdict leaves
 * open.  Where that says all, or what is known of the sides doesn't fit it, it is the verdict's own sentence.
 */
#include "services/coordinator/admin_shell.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3))) static bool say(char *text, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, SENTENCE_MAX, fmt, ap);
    va_end(ap);
    return true;
}

static bool moves(const struct profile *p) { return p->mapping == NAT_AD || p->mapping == NAT_APD; }

static bool draws(const struct coordinator_side *side)
{
    return moves(&side->profile) && side->profile.allocation == ALLOC_RANDOM;
}

static bool steps(const struct coordinator_side *side)
{
    return moves(&side->profile) && side->profile.allocation == ALLOC_CONTIGUOUS;
}

static bool wanders(const struct coordinator_side *side)
{
    return moves(&side->profile) && side->profile.allocation == ALLOC_UNKNOWN;
}

static bool unmeasured(const struct coordinator_side *side)
{
    return !side->has_profile || side->profile.mapping == NAT_UNKNOWN;
}

static bool unseen(const struct coordinator_side *side) { return !side->has_token; }

static bool hears(const struct coordinator_side *side)
{
    for (unsigned i = 0; i < side->tried.n; i++)
        if (side->tried.v[i].technique != TECHNIQUE_RELAYED && side->tried.v[i].received > 0)
            return true;
    return false;
}

static bool blocked(const struct coordinator_side *side)
{
    return verdict_find(side->verdict) == VERDICT_udp_blocked;
}

static bool silent(const struct coordinator_side *side) { return !side->reported; }

/* The one side of which this is so, or 2 when it is so of both or of neither. */
static unsigned only(const struct coordinator_session *s,
                     bool (*is)(const struct coordinator_side *side))
{
    bool first = is(&s->side[0]), second = is(&s->side[1]);

    return first == second ? 2 : second;
}

/* False when there is no more to say than the verdict does. */
static bool name_side(const struct coordinator_session *s, const char *const name[2], char *text)
{
    unsigned i;

    switch (s->verdict) {
    case VERDICT_both_random:
        return say(text,
                   "the routers of %s and %s both draw a new random port for everyone they talk "
                   "to, so neither can know where to send",
                   name[0], name[1]);
    case VERDICT_one_random:
        i = only(s, draws);
        return i < 2 && say(text,
                            "the router of %s draws a new random port for everyone it talks to, "
                            "and that of %s lets in only what %s has sent to",
                            name[i], name[!i], name[!i]);
    case VERDICT_birthday_missed:
        i = only(s, draws);
        return i < 2 && say(text,
                            "the router of %s draws a new random port for everyone it talks to, "
                            "and of the many that %s tried in time none was one that was open",
                            name[i], name[!i]);
    case VERDICT_prediction_missed:
        i = only(s, steps);
        return i < 2 && say(text,
                            "the next port of %s's router can be foreseen, but others behind it "
                            "took those that were, each time",
                            name[i]);
    case VERDICT_not_predictable:
        i = only(s, wanders);
        return i < 2 && say(text,
                            "the port of %s's router changes with everyone it talks to, by no "
                            "rule that was found",
                            name[i]);
    case VERDICT_profile_unknown:
        i = only(s, unmeasured);
        return i < 2 && say(text, "it is not known what the router of %s does", name[i]);
    case VERDICT_udp_blocked:
    case VERDICT_peer_udp_blocked:
        i = only(s, blocked);
        return i < 2 && say(text, "%s gets no answer from any prober or relay by UDP", name[i]);
    case VERDICT_no_token:
        i = only(s, unseen);
        return i < 2 &&
               say(text, "no prober vouched for a public address of %s in the last two minutes",
                   name[i]);
    case VERDICT_one_way:
        i = only(s, hears);
        return i < 2 && say(text, "what %s sends gets to %s, but nothing that %s sends gets to %s",
                            name[!i], name[i], name[i], name[!i]);
    case VERDICT_peer_silent:
        i = only(s, silent);
        return i < 2 && say(text, "%s did not take part in the session in time", name[i]);
    default: return false;
    }
}

void coordinator_cause(const struct coordinator_session *s, const char *const name[2],
                       char text[static SENTENCE_MAX])
{
    if (!name_side(s, name, text))
        say(text, "%s", verdict_cause(s->verdict));
}
