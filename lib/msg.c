/* msg.c - what messages and services are called, and who may send which; see msg.h. */
#include "lib/msg.h"

const char *const service_name[SERVICE_COUNT] = {
    [SERVICE_none] = "none",
    [SERVICE_prober] = "prober",
    [SERVICE_classifier] = "classifier",
    [SERVICE_coordinator] = "coordinator",
    [SERVICE_executor] = "executor",
    [SERVICE_relay] = "relay",
};

const char *const msg_err_name[] = {
    [MSG_OK] = "ok",
    [MSG_UNKNOWN_TYPE] = "unknown_type",
    [MSG_MALFORMED] = "malformed",
    [MSG_BAD_FIELD] = "bad_field",
};

/* clang-format off */
const char *const msg_name[MSG_TYPE_COUNT] = {
#define MSG(name, doc) [MSG_##name] = #name,
#include "schemas/messages.def"
};

bool msg_routed(enum msg_type type, enum role from, enum role to)
{
    switch (type) {
#define MSG(name, doc) case MSG_##name: return false
#define ROUTE(f, t) || (from == SERVICE_##f && to == SERVICE_##t)
#define END(name) ;
#include "schemas/messages.def"
    case MSG_TYPE_COUNT: break;
    }
    return false;
}
/* clang-format on */
