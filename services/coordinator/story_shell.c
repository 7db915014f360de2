/*
 * story_shell.c - why a session went as it did, sentence by sentence, for somebody who has never heard of NAT types.
 */
#include "services/coordinator/admin_shell.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3))) static void tell(json_t *story, const char *fmt, ...)
{
    char text[SENTENCE_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(story, json_string(text));
}

static void tell_ports(json_t *story, const char *name, const struct profile *p)
{
    switch (p->mapping) {
    case NAT_NONE: tell(story, "%s has a public address of its own.", name); return;
    case NAT_EI:
        tell(story,
             "%s is behind a router that shows one public address and port for it, the same to "
             "everybody.",
             name);
        return;
    case NAT_AD:
    case NAT_APD: break;
    default: tell(story, "It was not known what kind of router %s is behind.", name); return;
    }
    switch (p->allocation) {
    case ALLOC_PRESERVE:
        tell(story,
             "%s is behind a router that keeps %s's own port number, so others can foresee it.",
             name, name);
        break;
    case ALLOC_RANDOM:
        tell(story,
             "%s is behind a router that draws a new random port for everyone it talks to, so "
             "nobody can know beforehand where to send.",
             name);
        break;
    case ALLOC_CONTIGUOUS:
        tell(story,
             "%s is behind a router that takes another port for everyone it talks to, each a fixed "
             "step after the last.",
             name);
        break;
    default:
        tell(story, "%s is behind a router that takes another port for everyone it talks to.",
             name);
    }
}

static void tell_filter(json_t *story, const char *name, const struct profile *p)
{
    const char *door = p->mapping == NAT_NONE ? "A firewall" : "It";

    switch (p->filtering) {
    case NAT_NONE:
    case NAT_EI: tell(story, "Anyone may send to %s there.", name); break;
    case NAT_AD:
        tell(story, "%s lets packets in to %s only from hosts that %s has sent to.", door, name,
             name);
        break;
    case NAT_APD:
        tell(story,
             "%s lets packets in to %s only from the exact address and port that %s has sent to.",
             door, name, name);
        break;
    default: break;
    }
}

/* What both were told to do first, where one side dials, and who that is. */
static void tell_dialling(json_t *story, const struct coordinator_session *session,
                          const char *const name[2])
{
    const struct step *s = &session->plan.v[0];
    const struct profile *whom = &session->side[s->role != 1].profile;
    const char *dialler = name[s->role == 1], *dialled = name[s->role != 1];

    switch (s->technique) {
    case TECHNIQUE_MAPPED:
        tell(story,
             "A port mapping on the router of %s leads to it, as a prober has checked, so %s was "
             "told to send there.",
             dialled, dialler);
        break;
    case TECHNIQUE_REVERSAL:
        tell(story, "Since %s %s, %s was told to call it directly.", dialled,
             whom->filtering == NAT_UNKNOWN ? "has a public address" : "can be reached by anyone",
             dialler);
        break;
    case TECHNIQUE_SEND_FIRST:
        tell(story,
             "Nobody can know the next port of %s, so it was told to send first, and %s to answer "
             "where it hears it.",
             dialler, dialled);
        break;
    case TECHNIQUE_PREDICTION:
        tell(story,
             "The router of %s gives out its ports one after the other, so %s looked at which was "
             "next, and %s was told to send there.",
             dialler, dialler, dialled);
        break;
    case TECHNIQUE_BIRTHDAY:
        tell(
            story,
            "Nobody can know the next port of %s, so it was told to open many, and %s to try many, "
            "until two meet.",
            dialler, dialled);
        break;
    default: break;
    }
}

/* The same, where both do it. */
static const char *together(uint8_t technique)
{
    switch (technique) {
    case TECHNIQUE_HOST:
        return "Both come from the same public address, so they were told each other's local one, "
               "to try that first and then the way through their own router.";
    case TECHNIQUE_MAPPED:
        return "Port mappings on the routers of both lead to them, as a prober has checked, so "
               "each was told to send there.";
    case TECHNIQUE_REVERSAL:
        return "Both can be reached by anyone, so each was told to call the other one directly.";
    case TECHNIQUE_SYNCHRONOUS:
        return "Both were told to send to each other at the same moment, so that each router takes "
               "what comes in for an answer.";
    case TECHNIQUE_PREDICTION:
        return "Both routers give out their ports one after the other, so each side looked at "
               "which was next, and both opened several at one instant.";
    case TECHNIQUE_BLOCK_BIRTHDAY:
        return "Nobody can know the next port of either, but both routers draw them from small "
               "blocks, so each was told to try the other one's whole block until two packets "
               "meet.";
    default: return NULL;
    }
}

static void tell_plan(json_t *story, const struct coordinator_session *s, const char *const name[2])
{
    const struct step *first = &s->plan.v[0];
    const char *both = first->role == 2 ? together(first->technique) : NULL;
    char addr[ADDR_TEXT_MAX];

    if (both)
        tell(story, "%s", both);
    else if (first->technique == TECHNIQUE_NONE || first->technique == TECHNIQUE_RELAYED)
        tell(story, "No direct way was tried: %s.", verdict_cause(s->reason));
    else
        tell_dialling(story, s, name);
    if (s->relay.len && first->technique != TECHNIQUE_RELAYED)
        tell(story,
             "Meanwhile both could talk through the relay at %s, which can't read what it carries.",
             addr_format(&s->relay, addr, sizeof addr));
}

static void tell_tries(json_t *story, const struct coordinator_session *s,
                       const char *const name[2])
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t sent = 0, received = 0;
        for (size_t k = 0; k < s->side[i].tried.n; k++) {
            if (s->side[i].tried.v[k].technique == TECHNIQUE_RELAYED)
                continue;
            sent += s->side[i].tried.v[k].sent;
            received += s->side[i].tried.v[k].received;
        }
        if (s->side[i].reported && sent + received > 0)
            tell(story, "%s sent %llu packets for it and received %llu.", name[i],
                 (unsigned long long)sent, (unsigned long long)received);
        else if (!s->side[i].reported && s->state >= COORD_DIRECT)
            tell(story, "%s had not said what came of it.", name[i]);
    }
}

static void tell_outcome(json_t *story, const struct coordinator_session *s,
                         const char *const name[2], enum coordinator_state settled)
{
    const struct coordinator_side *sure = &s->side[!s->side[0].reported];
    char local[ADDR_TEXT_MAX], remote[ADDR_TEXT_MAX], cause[SENTENCE_MAX];

    coordinator_cause(s, name, cause);
    switch (settled) {
    case COORD_DIRECT:
        tell(story, "After %.0f ms they were talking directly: %s at %s, %s at %s.",
             sure->after_us / 1000.0, name[sure != &s->side[0]],
             addr_format(&sure->local, local, sizeof local), name[sure == &s->side[0]],
             addr_format(&sure->remote, remote, sizeof remote));
        break;
    case COORD_HALF: tell(story, "Only one direction goes directly: %s.", cause); break;
    case COORD_RELAYED: tell(story, "They are connected through the relay: %s.", cause); break;
    case COORD_FAILED: tell(story, "They are not connected: %s.", cause); break;
    default: break;
    }
    if (s->relay_packets > 0)
        tell(story, "The relay has carried %llu packets, %llu bytes, for them.",
             (unsigned long long)s->relay_packets, (unsigned long long)s->relay_bytes);
}

static void tell_end(json_t *story, const struct coordinator_session *s, const char *const name[2],
                     enum coordinator_state settled)
{
    char cause[SENTENCE_MAX];

    coordinator_cause(s, name, cause);
    if (s->state == COORD_REQUESTED)
        tell(story, "%s is not here yet; the request waits for it.", name[1]);
    else if (s->state == COORD_INVITING)
        tell(story, "Both are here; their routers are still being measured.");
    else if (s->state < COORD_DIRECT)
        tell(story, "They are trying right now.");
    else if (s->plan.n == 0)
        tell(story, "No path was tried: %s.", cause);
    else if (s->state == COORD_CLOSED && settled == COORD_FREE)
        tell(story, "It ended before a path was settled: %s.", cause);
    else if (s->state == COORD_CLOSED)
        tell(story, "The session is over: %s.", s->changes[(s->n_changes - 1) % COORD_HISTORY].why);
    if (s->state >= COORD_DIRECT && settled != COORD_DIRECT)
        tell(story, "What would help: %s.", verdict_remedy(s->verdict));
    if (s->state >= COORD_DIRECT && s->plan.n == 0 && s->policy == POLICY_DIRECT &&
        s->side[0].has_profile && s->side[1].has_profile)
        tell(story, "The relay would have carried it, but only a direct path was asked for.");
}

json_t *coordinator_story(const struct coordinator_session *s, const char *const name[2],
                          enum coordinator_state settled)
{
    json_t *story = json_array();

    if (s->by_operator)
        tell(story, "The operator asked for a path between %s and %s.", name[0], name[1]);
    else
        tell(story, "%s asked for a path to %s.", name[0], name[1]);
    for (unsigned i = 0; i < 2; i++) {
        if (s->plan.n == 0 && !s->side[i].has_profile) /* refused before it was looked at */
            continue;
        tell_ports(story, name[i], &s->side[i].profile);
        tell_filter(story, name[i], &s->side[i].profile);
    }
    if (s->plan.n > 0) { /* one that is refused has none */
        tell_plan(story, s, name);
        tell_tries(story, s, name);
        tell_outcome(story, s, name, settled);
    }
    tell_end(story, s, name, settled);
    return story;
}
