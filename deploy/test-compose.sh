#!/bin/sh
# test-compose.sh - does docker-compose.yml do what it says, with a real engine and real peers?
#
# Makes a Debian to stand for debian:bookworm-slim, builds the image on it with an engine of its own,
# starts that engine on the public host of a laboratory (docs/natlab.md), brings the suite up with each
# docker compose that is installed, and connects two peers behind NATs.  Then every process is killed
# once, and another relay (relay.yml) takes the place of the suite's own.  Needs root and a mirror of Debian.  Engine, containers, networks and mounts live in namespaces
# that end with this script; its files are in one temporary directory.
set -eu

say() { echo "test-compose.sh: $*"; }
fail() {
    say "$*" >&2
    exit 1
}

wait_for() { # SECONDS COMMAND...: until it succeeds
    tries=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "still not so: $*"
        sleep 0.1
    done
}

composes() { # those that are installed, a line each
    ! docker compose version >/dev/null 2>&1 || echo "docker compose"
    ! command -v docker-compose >/dev/null || echo docker-compose
}

# ---- outside: files, and namespaces around all the rest ------------------------------------------

outside() {
    [ "$(id -u)" -eq 0 ] || fail "needs root"
    ./run need debootstrap
    command -v dockerd >/dev/null || ./run need docker.io
    [ "$(composes)" ] || ./run need docker-compose
    ./run build
    top=$(mktemp -d "${TMPDIR:-/var/tmp}/natterjack-compose.XXXXXX")
    child=
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    deploy/debian-root.sh "$top/root"
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$self" inside "$top" &
    child=$!
    wait "$child"
    child=
    clean_up
    trap - EXIT
    ! grep -F "$top" /proc/self/mountinfo || fail "a mount is left"
    ! pgrep -fa "${top##*/}" || fail "a process is left"
    say "all is well, and nothing is left"
}

clean_up() {
    [ ! "$child" ] || kill "$child" 2>/dev/null || true
    wait
    # The engine's control groups outlive it, as they lie outside of all namespaces.
    find /sys/fs/cgroup -depth -type d -path "*/${top##*/}*" -exec rmdir {} + 2>/dev/null || true
    rm -rf --one-file-system "$top"
}

# ---- inside: the engine --------------------------------------------------------------------------

engine() { # FLAG...: run one in this network namespace, until it is killed
    exec dockerd --data-root "$top/docker" --cgroup-parent "/${top##*/}" "$@" >"$top/dockerd.log" 2>&1
}

engine_is_up() { docker version; }

# The image is built by an engine on the host's own network, which it leaves as it is: apt must get out.
inside() {
    cp -L /etc/resolv.conf "$top/resolv.conf"
    mount -t tmpfs tmpfs /run # the engine's sockets, away from those of another one
    resolv=$(readlink -m /etc/resolv.conf)
    mkdir -p "${resolv%/*}"
    [ -e "$resolv" ] || cp "$top/resolv.conf" "$resolv"

    engine --bridge=none --iptables=false --ip-forward=false --ip-masq=false &
    dockerd=$!
    wait_for 30 engine_is_up
    tar -C "$top/root" -c . | docker import - debian:bookworm-slim >/dev/null
    say "building the image"
    echo 'services: {init: {build: {network: host}}}' >"$top/host.yml"
    $(composes | head -n 1) -f docker-compose.yml -f "$top/host.yml" build >"$top/build.log" 2>&1 ||
        { tail -40 "$top/build.log"; fail "no image"; }
    docker image ls natterjack
    kill $dockerd
    wait $dockerd || true

    PATH=$PWD/build/release/bin:$PATH
    export PATH
    natlab --delay 20ms pub=open,ip=203.0.113.10+203.0.113.11 alice=ei/random/apd bob=linux \
        eve=apd/random/apd mallory=apd/random/apd -- "$self" lab "$top"
}

# ---- in the lab: the suite -----------------------------------------------------------------------

containers() { # note their ids: asking compose takes long
    for service in $all; do
        $compose ps -q "$service" >"$top/$service.id"
    done
}
container() { cat "$top/$1.id"; } # SERVICE
status() { docker inspect -f "{{$2}}" "$(container "$1")"; }
is_healthy() { [ "$(status "$1" .State.Health.Status)" = healthy ]; }
was_restarted() { [ "$(status "$1" .RestartCount)" -gt 0 ]; }
all="coordinator classifier prober relay"

all_healthy() {
    for service in $all; do
        wait_for 60 is_healthy "$service"
    done
}

in_it() { # SERVICE COMMAND...
    id=$(container "$1")
    shift
    docker exec "$id" "$@"
}

listen() { # HOST: and wait until it is attached
    natlab exec "$1" natterjack listen --join "$join" --name "$1" --key "$top/$1.key" --echo -o json \
        >"$top/$1.log" 2>&1 &
    listeners="$listeners $!"
    wait_for 30 grep -q listening "$top/$1.log"
}

connect() { # FROM TO PATH FLAG...: with pings, and the path must be this one
    from=$1 to=$2 path=$3
    shift 3
    natlab exec "$from" natterjack connect --join "$join" --key "$top/$from.key" --ping 5 -o json "$@" "$to" \
        >"$top/connect.log" 2>"$top/connect.err" || true
    tail -n 1 "$top/connect.log" | grep "\"path\":\"$path\"" | grep -q '"received":5' ||
        { cat "$top/connect.log" "$top/connect.err"; fail "$from to $to is not $path"; }
    say "$from to $to: $path, 5 pings of 5"
}

looks_contained() { # SERVICE
    in_it "$1" sh -c 'grep -q "^Uid:.7440.7440" /proc/1/status' || fail "$1 is not user 7440"
    ! in_it "$1" grep "^Cap.*:.*[^0[:space:]]" /proc/1/status || fail "$1 has capabilities"
    ! in_it "$1" sh -c '>/x' 2>/dev/null || fail "$1 can write to its image"
    for key in authority coordinator prober relay token; do
        case $1:$key in coordinator:coordinator | coordinator:token | prober:prober | relay:relay) continue ;; esac
        ! in_it "$1" test -s /var/lib/natterjack/keys/$key || fail "$1 sees the key $key"
    done
}

join_string() { $compose run --rm init 2>/dev/null | grep -o 'nj1[A-Za-z0-9_-]*'; }

# As docs/operating.md has it: another relay, which carries what the suite's own one does not.
second_relay() {
    far="${compose% -p *} -p natterjack-far -f deploy/relay.yml"
    mkdir -p "$top/far"
    chown 7440:7440 "$top/far"
    NATTERJACK_COORDINATOR_RELAYS=$($compose run --rm -v "$top/far:/far" init certify-relay \
        --state /var/lib/natterjack --public-ip 203.0.113.10 /far 2>/dev/null | tr -d '\r' | tail -n 1)
    NATTERJACK_COORDINATOR_LINK=0.0.0.0:7444
    export NATTERJACK_COORDINATOR_RELAYS NATTERJACK_COORDINATOR_LINK
    export NATTERJACK_RELAY_PUBLIC_IP=203.0.113.10 NATTERJACK_RELAY_PORT=3481
    export NATTERJACK_RELAY_LINK=127.0.0.1:7444 NATTERJACK_RELAY_DIR="$top/far"
    $compose up -d >"$top/compose.log" 2>&1 || { cat "$top/compose.log"; fail "up with a link"; }
    containers
    all_healthy
    $far up -d >"$top/compose.log" 2>&1 || { cat "$top/compose.log"; fail "another relay"; }
    $far ps -q relay >"$top/far-relay.id"
    wait_for 60 is_healthy far-relay
    wait_for 30 knows_relay 3481
    $compose stop relay >"$top/compose.log" 2>&1
    connect eve mallory relayed
    grep -q '"remote":"203.0.113.10:3481"' "$top/connect.log" || { cat "$top/connect.log"; fail "not by the other relay"; }
    $compose start relay >"$top/compose.log" 2>&1
    containers
    all_healthy
    $far down -v >"$top/compose.log" 2>&1 || { cat "$top/compose.log"; fail "down"; }
    rm -rf "$top/far"
    say "another relay has carried a session"
}

knows_relay() { in_it coordinator natterjack relays --state /var/lib/natterjack | grep -q ":$1"; } # PORT

with_compose() {
    version=$($compose version --short)
    say "$compose ($version): config, up, $all"
    compose="$compose -p natterjack-test"
    listeners=
    $compose config >"$top/config"
    $compose up -d >"$top/compose.log" 2>&1 || { cat "$top/compose.log"; fail "up"; }
    containers
    all_healthy
    for service in $all; do
        looks_contained "$service"
    done
    join=$(join_string || true)
    [ "$join" ] || fail "no join string"
    listen bob
    listen mallory
    connect alice bob direct
    connect eve mallory relayed
    connect alice bob relayed --policy relay

    for service in $all; do
        natlab exec pub kill -9 "$(status "$service" .State.Pid)"
        wait_for 30 was_restarted "$service"
    done
    all_healthy
    say "each was killed, and is back"
    wait_for 30 in_it coordinator natterjack peer bob --state /var/lib/natterjack
    connect alice bob direct
    connect eve mallory relayed
    in_it prober natterjack state prober --state /var/lib/natterjack -o json >"$top/state"
    grep -q '"behind_gateway":null' "$top/state" || { cat "$top/state"; fail "the prober sees a gateway"; }

    second_relay

    # As docs/operating.md has it: a backup of the keys, and new containers, as after an upgrade.
    docker run --rm --entrypoint tar -v natterjack-test_keys:/keys:ro natterjack -C /keys -c . >"$top/keys.tar"
    tar -tf "$top/keys.tar" | grep -q authority.pub || fail "no backup of the keys"
    $compose up -d --force-recreate >"$top/compose.log" 2>&1 || { cat "$top/compose.log"; fail "up again"; }
    containers
    all_healthy
    [ "$(join_string)" = "$join" ] || fail "new containers have new keys"
    say "new containers, old keys"
    # shellcheck disable=SC2086 # a list
    kill $listeners
    $compose down -v >"$top/compose.log" 2>&1 || { cat "$top/compose.log"; fail "down"; }
    [ -z "$(docker ps -aq)$(docker volume ls -q)" ] || fail "down left containers or volumes"
    ! docker network ls | grep natterjack || fail "down left a network"
}

lab() {
    natlab exec pub "$self" engine "$top" &
    wait_for 30 engine_is_up
    composes | while read -r compose; do
        with_compose </dev/null
    done
}

self=$(readlink -f "$0")
cd "${self%/*}/.."
export DOCKER_HOST=unix:///run/docker.sock DOCKER_BUILDKIT=0
export NATTERJACK_SUITE_PUBLIC_IP=203.0.113.10,203.0.113.11
case ${1:-outside} in
outside) outside ;;
inside | lab | engine)
    top=$2
    $1
    ;;
esac
