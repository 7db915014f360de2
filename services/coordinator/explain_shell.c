/* explain_shell.c - one session as JSON, and as a story for somebody who has never heard of NAT types. */
#include "services/coordinator/admin_shell.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- small parts ------------------------------------------------------------------------------------ */

static json_t *text_or_null(const char *text) { return *text ? json_string(text) : json_null(); }

json_t *coordinator_addr_json(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    return a->len ? json_string(addr_format(a, text, sizeof text)) : json_null();
}

static json_t *id_json(const struct peer_id *id)
{
    char text[PEER_ID_TEXT];

    return peer_id_none(id) ? json_null() : json_string(peer_id_format(id, text));
}

json_t *coordinator_profile_json(const struct profile *p)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:s, s:s}", "mapping",
                     behaviour_name[p->mapping], "filtering", behaviour_name[p->filtering],
                     "allocation", allocation_name[p->allocation], "known_as", profile_display(p),
                     "confidence", (int)p->confidence, "age_s", (json_int_t)p->age_s, "clash",
                     clash_name[p->clash], "pool", pool_name[p->pool]);
}

/* What people call this side: its name, else what was asked for, else the beginning of its id. */
static const char *name_of(const struct coordinator_session *s, unsigned side,
                           char buf[static NAME_TEXT])
{
    char id[PEER_ID_TEXT];

    if (s->side[side].name[0] != '\0')
        return s->side[side].name;
    if (side == 1 && s->target[0] != '\0')
        return s->target;
    snprintf(buf, NAME_TEXT, "peer %.8s", peer_id_format(&s->side[side].id, id));
    return buf;
}

/* The last settled state, also of a closed session; COORD_FREE when it never settled. */
static enum coordinator_state settled(const struct coordinator_session *s)
{
    uint32_t n = s->n_changes < COORD_HISTORY ? s->n_changes : COORD_HISTORY;

    for (uint32_t i = 1; i <= n; i++) {
        uint8_t to = s->changes[(s->n_changes - i) % COORD_HISTORY].to;
        if (to >= COORD_DIRECT && to <= COORD_FAILED)
            return (enum coordinator_state)to;
    }
    return COORD_FREE;
}

/* A request that is refused has no plan, or an empty one. */
static bool ordered(const struct coordinator_session *s) { return s->plan.n > 0; }

static const char *path_of(const struct coordinator_session *s)
{
    enum coordinator_state state = settled(s);

    if (state != COORD_FREE)
        return coordinator_state_name[state];
    return s->state == COORD_CLOSED ? "failed" : "";
}

static const char *technique_of(const struct coordinator_session *s)
{
    enum coordinator_state state = settled(s);

    if (state != COORD_DIRECT && state != COORD_HALF)
        return "";
    return technique_name[s->side[!s->side[0].reported].technique];
}

static const char *verdict_of(const struct coordinator_session *s)
{
    return s->state < COORD_DIRECT ? "" : verdict_name(s->verdict);
}

/* The techniques of the plan, in order. */
static json_t *strategy_json(const struct plan *p)
{
    char text[STEPS_MAX * 20] = "";

    for (size_t i = 0; i < p->n; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s", i ? "," : "",
                 technique_name[p->v[i].technique]);
    }
    return text_or_null(text);
}

/* ---- one session -------------------------------------------------------------------------------------- */

json_t *coordinator_session_json(const struct coordinator *c, const struct coordinator_session *s,
                                 int64_t now_us)
{
    char sid[SID_TEXT], a[NAME_TEXT], b[NAME_TEXT];

    (void)c;
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:s, s:s, s:I, s:I, s:s, s:o, s:o}",
        "session", sid_format(&s->id, sid), "state", coordinator_state_name[s->state], "initiator",
        name_of(s, 0, a), "target", name_of(s, 1, b), "path", text_or_null(path_of(s)), "technique",
        text_or_null(technique_of(s)), "verdict", text_or_null(verdict_of(s)), "kind",
        text_or_null(strcmp(path_of(s), "failed") == 0 ? s->kind : ""), "strategy",
        strategy_json(&s->plan), "attempts", ordered(s) ? (int)(1 + s->renewals) : 0, "policy",
        policy_name[s->policy], "mode", mode_name[s->mode], "created_ms", (json_int_t)s->created_ms,
        "age_ms", (json_int_t)((now_us - s->began_us) / 1000), "asked_by",
        s->by_operator ? "operator" : "initiator", "initiator_id", id_json(&s->side[0].id),
        "target_id", id_json(&s->side[1].id));
}

static json_t *tried_json(const struct tried *t)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "technique",
                                              technique_name[t->v[i].technique], "sent",
                                              (json_int_t)t->v[i].sent, "received",
                                              (json_int_t)t->v[i].received));
    return list;
}

static json_t *side_json(const struct coordinator_session *s, unsigned i)
{
    const struct coordinator_side *side = &s->side[i];
    char name[NAME_TEXT];

    return json_pack(
        "{s:s, s:o, s:s, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
        name_of(s, i, name), "peer", id_json(&side->id), "role", i == 0 ? "initiator" : "target",
        "profile", side->has_profile ? coordinator_profile_json(&side->profile) : json_null(),
        "had_token", side->has_token, "reported", side->reported, "path",
        side->reported ? json_string(path_name[side->path]) : json_null(), "technique",
        side->reported ? json_string(technique_name[side->technique]) : json_null(), "local",
        coordinator_addr_json(&side->local), "remote", coordinator_addr_json(&side->remote),
        "first_packet_ms", side->acked ? json_real(side->ack_us / 1000.0) : json_null(), "after_ms",
        side->reported ? json_real(side->after_us / 1000.0) : json_null(), "kind",
        text_or_null(side->kind), "tried", tried_json(&side->tried));
}

static json_t *plan_json(const struct plan *p)
{
    static const char *const role[] = {"initiator", "target", "both"};
    json_t *list = json_array();

    for (size_t i = 0; i < p->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "technique",
                                              technique_name[p->v[i].technique], "dials",
                                              role[p->v[i].role], "start_ms",
                                              (json_int_t)p->v[i].start_us / 1000, "span_ms",
                                              (json_int_t)p->v[i].span_us / 1000));
    return list;
}

static json_t *transitions_json(const struct coordinator_session *s)
{
    json_t *list = json_array();
    uint32_t first = s->n_changes > COORD_HISTORY ? s->n_changes - COORD_HISTORY : 0;

    for (uint32_t i = first; i < s->n_changes; i++) {
        const struct coordinator_change *t = &s->changes[i % COORD_HISTORY];
        json_array_append_new(list, json_pack("{s:f, s:s, s:s}", "at_ms",
                                              (double)(t->at_us - s->began_us) / 1000.0, "state",
                                              coordinator_state_name[t->to], "why", t->why));
    }
    return list;
}

/* ---- the story ------------------------------------------------------------------------------------------ */

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
    default: tell(story, "It was not known yet what kind of router %s is behind.", name); return;
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
    switch (p->filtering) {
    case NAT_NONE:
    case NAT_EI: tell(story, "Anyone may send to %s there.", name); break;
    case NAT_AD:
        tell(story, "It lets packets in to %s only from hosts that %s has sent to.", name, name);
        break;
    case NAT_APD:
        tell(story,
             "It lets packets in to %s only from the exact address and port that %s has sent to.",
             name, name);
        break;
    default: break;
    }
}

static void tell_plan(json_t *story, const struct coordinator_session *s, const char *const name[2])
{
    char addr[ADDR_TEXT_MAX];
    const struct step *first = &s->plan.v[0];
    const char *dialler = first->role == 1 ? name[1] : name[0];
    const char *dialled = first->role == 1 ? name[0] : name[1];

    if (first->technique == TECHNIQUE_HOST)
        tell(story, "Both come from the same public address, so they were told each other's local "
                    "one, to try that first and then the way through their own router.");
    else if (first->technique == TECHNIQUE_REVERSAL)
        tell(story, "Since %s can be reached by anyone, %s was told to call it directly.", dialled,
             dialler);
    else if (first->technique == TECHNIQUE_SYNCHRONOUS)
        tell(story,
             "Both were told to send to each other at the same moment, so that each router takes "
             "what comes in for an answer.");
    else if (first->technique == TECHNIQUE_SEND_FIRST)
        tell(story,
             "Nobody can know the next port of %s, so it was told to send first, and %s to answer "
             "where it hears it.",
             dialler, dialled);
    else if (first->technique == TECHNIQUE_PREDICTION && first->role == 2)
        tell(story,
             "Both routers give out their ports one after the other, so each side looked at which "
             "was next, and both opened several at one instant.");
    else if (first->technique == TECHNIQUE_PREDICTION)
        tell(story,
             "The router of %s gives out its ports one after the other, so %s looked at which was "
             "next, and %s was told to send there.",
             dialler, dialler, dialled);
    else if (first->technique == TECHNIQUE_BIRTHDAY)
        tell(
            story,
            "Nobody can know the next port of %s, so it was told to open many, and %s to try many, "
            "until two meet.",
            dialler, dialled);
    else
        tell(story, "No direct way was tried: %s.", verdict_cause(s->reason));
    if (s->relay.len)
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
            sent += s->side[i].tried.v[k].sent;
            received += s->side[i].tried.v[k].received;
        }
        if (s->side[i].reported && sent + received > 0)
            tell(story, "%s sent %llu packets for it and received %llu.", name[i],
                 (unsigned long long)sent, (unsigned long long)received);
        else if (!s->side[i].reported && s->state >= COORD_DIRECT)
            tell(story, "%s never said what came of it.", name[i]);
    }
}

static void tell_outcome(json_t *story, const struct coordinator_session *s,
                         const char *const name[2])
{
    const struct coordinator_side *sure = &s->side[!s->side[0].reported];
    char local[ADDR_TEXT_MAX], remote[ADDR_TEXT_MAX], cause[SENTENCE_MAX];

    coordinator_cause(s, name, cause);
    switch (settled(s)) {
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

static void tell_end(json_t *story, const struct coordinator_session *s, const char *const name[2])
{
    if (s->state == COORD_REQUESTED)
        tell(story, "%s is not here yet; the request waits for it.", name[1]);
    else if (s->state == COORD_INVITING)
        tell(story, "Both are here; their routers are still being measured.");
    else if (s->state < COORD_DIRECT)
        tell(story, "They are trying right now.");
    else if (!ordered(s))
        tell(story, "No path was tried: %s.", verdict_cause(s->verdict));
    else if (s->state == COORD_CLOSED && settled(s) == COORD_FREE)
        tell(story, "It ended before a path was settled: %s.", verdict_cause(s->verdict));
    else if (s->state == COORD_CLOSED)
        tell(story, "The session is over: %s.", s->changes[(s->n_changes - 1) % COORD_HISTORY].why);
    if (s->state >= COORD_DIRECT && settled(s) != COORD_DIRECT)
        tell(story, "What would help: %s.", verdict_remedy(s->verdict));
}

static json_t *story_json(const struct coordinator_session *s)
{
    char a[NAME_TEXT], b[NAME_TEXT];
    const char *const name[2] = {name_of(s, 0, a), name_of(s, 1, b)};
    json_t *story = json_array();

    if (s->by_operator)
        tell(story, "The operator asked for a path between %s and %s.", name[0], name[1]);
    else
        tell(story, "%s asked for a path to %s.", name[0], name[1]);
    for (unsigned i = 0; i < 2 && s->plan.n > 0; i++) {
        tell_ports(story, name[i], &s->side[i].profile);
        tell_filter(story, name[i], &s->side[i].profile);
    }
    if (ordered(s)) {
        tell_plan(story, s, name);
        tell_tries(story, s, name);
        tell_outcome(story, s, name);
    }
    tell_end(story, s, name);
    return story;
}

json_t *coordinator_explain_json(const struct coordinator *c, const struct coordinator_session *s,
                                 int64_t now_us)
{
    json_t *o = coordinator_session_json(c, s, now_us);
    char a[NAME_TEXT], b[NAME_TEXT], cause[SENTENCE_MAX];
    bool over = s->state >= COORD_DIRECT;

    coordinator_cause(s, (const char *const[]){name_of(s, 0, a), name_of(s, 1, b)}, cause);
    json_object_set_new(o, "cause", over ? json_string(cause) : json_null());
    json_object_set_new(o, "remedy", over ? json_string(verdict_remedy(s->verdict)) : json_null());
    json_object_set_new(o, "warm", json_boolean(s->warm));
    json_object_set_new(o, "peers", json_pack("[o, o]", side_json(s, 0), side_json(s, 1)));
    json_object_set_new(o, "plan", plan_json(&s->plan));
    json_object_set_new(o, "reason",
                        s->plan.n ? json_string(verdict_name(s->reason)) : json_null());
    json_object_set_new(o, "relay", coordinator_addr_json(&s->relay));
    json_object_set_new(o, "relay_packets", json_integer((json_int_t)s->relay_packets));
    json_object_set_new(o, "relay_bytes", json_integer((json_int_t)s->relay_bytes));
    json_object_set_new(o, "relay_ended", json_boolean(s->relay_ended));
    json_object_set_new(o, "transitions", transitions_json(s));
    json_object_set_new(o, "story", story_json(s));
    return o;
}
