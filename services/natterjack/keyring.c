/* keyring.c - see keyring.h. */
#include "services/natterjack/keyring.h"
#include "lib/keys.h"
#include "lib/token.h"
#include "services/natterjack/command.h"

#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool complain(const char *path)
{
    failure("%s: %s", path, key_problem(errno));
    return false;
}

static bool path_in(const char *dir, const char *name, char path[PATH_MAX])
{
    if (snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX)
        return true;
    errno = ENAMETOOLONG;
    return complain(dir);
}

/* Load a secret of n bytes; when there is none, save the fresh one given. */
static bool secret(const char *dir, const char *name, const void *fresh, void *out, size_t n)
{
    char path[PATH_MAX];

    if (!path_in(dir, name, path))
        return false;
    if (key_load(path, out, n))
        return true;
    if (errno != ENOENT || !key_save(path, fresh, n, 0600))
        return complain(path);
    memcpy(out, fresh, n);
    return true;
}

/* What follows from a secret is written anew whenever it is not what it should be. */
static bool derived(const char *dir, const char *name, const void *value, size_t n)
{
    char path[PATH_MAX];
    uint8_t there[KEY_FILE_BYTES_MAX];

    if (!path_in(dir, name, path))
        return false;
    if (key_load_public(path, there, n) && memcmp(there, value, n) == 0)
        return true;
    return key_save(path, value, n, 0644) || complain(path);
}

static bool ed25519(const char *dir, const char *name, uint8_t secret_key[64],
                    uint8_t public_key[32])
{
    uint8_t fresh[64];

    crypto_sign_keypair(public_key, fresh);
    bool ok = secret(dir, name, fresh, secret_key, sizeof fresh);
    sodium_memzero(fresh, sizeof fresh);
    if (ok)
        crypto_sign_ed25519_sk_to_pk(public_key, secret_key);
    return ok;
}

static bool x25519(const char *dir, const char *name, uint8_t public_key[32])
{
    char path[PATH_MAX];
    uint8_t secret_key[32];

    bool ok = path_in(dir, name, path) &&
              (key_create_x25519(path, secret_key, public_key) || complain(path));
    sodium_memzero(secret_key, sizeof secret_key);
    return ok;
}

static bool token(const char *dir, uint8_t out[JOIN_TOKEN_BYTES])
{
    uint8_t fresh[JOIN_TOKEN_BYTES];

    randombytes_buf(fresh, sizeof fresh);
    return secret(dir, "token", fresh, out, sizeof fresh);
}

static bool certificate(const char *dir, const char *name, char role, const uint8_t key[32],
                        const uint8_t authority[64])
{
    uint8_t cert[64];

    cert_sign(role, key, authority, cert);
    return derived(dir, name, cert, sizeof cert);
}

/* The authority's word on both addresses of a host, or on the one twice. */
static bool places(const char *dir, const struct addr *a, const struct addr *b,
                   const uint8_t authority[64])
{
    uint8_t certs[2][64];
    struct place one = place_sign(a, authority), other = place_sign(b->len ? b : a, authority);

    memcpy(certs[0], one.cert, sizeof certs[0]);
    memcpy(certs[1], other.cert, sizeof certs[1]);
    return derived(dir, "places", certs, sizeof certs);
}

/* What certifying begins with: the authority's key, and a directory for what it signs. */
static bool begin(const char *dir, const char *to, uint8_t authority[static 64])
{
    char path[PATH_MAX];

    if (sodium_init() < 0 || !path_in(dir, "authority", path))
        return false;
    if (!key_load(path, authority, 64))
        return complain(path);
    return mkdir(to, 0700) == 0 || errno == EEXIST || complain(to);
}

bool keyring_certify_relay(const char *dir, const char *to, const struct addr *a,
                           uint8_t relay[static 32])
{
    uint8_t authority[64] = {0}, coordinator[32];
    char path[PATH_MAX];

    if (!path_in(dir, "coordinator.pub", path))
        return false;
    bool ok = begin(dir, to, authority) &&
              (key_load_public(path, coordinator, sizeof coordinator) || complain(path)) &&
              x25519(to, "relay", relay) && derived(to, "coordinator.pub", coordinator, 32) &&
              certificate(to, "relay.cert", 'r', relay, authority) &&
              places(to, a, &(struct addr){0}, authority);
    sodium_memzero(authority, sizeof authority);
    return ok;
}

bool keyring_certify_prober(const char *dir, const char *to, const struct addr *a,
                            const struct addr *b, uint8_t prober[static 32])
{
    uint8_t authority[64] = {0}, fresh[64];

    bool ok = begin(dir, to, authority) && ed25519(to, "prober", fresh, prober) &&
              derived(to, "prober.pub", prober, 32) &&
              certificate(to, "prober.cert", 'p', prober, authority) && places(to, a, b, authority);
    sodium_memzero(authority, sizeof authority);
    sodium_memzero(fresh, sizeof fresh);
    return ok;
}

bool keyring_open(const char *dir, const struct addr *a, const struct addr *b, struct keyring *out)
{
    uint8_t authority[64] = {0}, prober[64];

    if (sodium_init() < 0)
        return false;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return complain(dir);
    bool ok = ed25519(dir, "authority", authority, out->authority) &&
              ed25519(dir, "prober", prober, out->prober) &&
              x25519(dir, "coordinator", out->coordinator) && x25519(dir, "relay", out->relay) &&
              token(dir, out->token) && derived(dir, "authority.pub", out->authority, 32) &&
              derived(dir, "coordinator.pub", out->coordinator, 32) &&
              derived(dir, "prober.pub", out->prober, 32) &&
              certificate(dir, "prober.cert", 'p', out->prober, authority) &&
              certificate(dir, "relay.cert", 'r', out->relay, authority) &&
              places(dir, a, b, authority);
    sodium_memzero(authority, sizeof authority);
    sodium_memzero(prober, sizeof prober);
    return ok;
}
