/* explain_shell.c - one session as JSON: as `session` shows it, and all that is known of it. */
#include "services/coordinator/admin_shell.h"

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

json_t *coordinator_explain_json(const struct coordinator *c, const struct coordinator_session *s,
                                 int64_t now_us)
{
    json_t *o = coordinator_session_json(c, s, now_us);
    char a[NAME_TEXT], b[NAME_TEXT], cause[SENTENCE_MAX];
    const char *const name[2] = {name_of(s, 0, a), name_of(s, 1, b)};
    bool over = s->state >= COORD_DIRECT;

    coordinator_cause(s, name, cause);
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
    json_object_set_new(o, "story", coordinator_story(s, name, settled(s)));
    return o;
}
