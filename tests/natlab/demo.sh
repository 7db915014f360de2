#!/bin/sh
# demo.sh - the main job, shown: a suite and peers behind NATs in the laboratory, all real programs.
#
#   demo.sh [NAT_A NAT_B]    kinds as natlab has them; by default two ordinary home routers
#
# Needs root and the release binaries.  Nothing leaves this machine, and nothing stays behind.
set -eu

here=$(dirname "$(readlink -f "$0")")
bin=$(readlink -f "$here/../../build/release/bin")
PATH=$bin:$PATH

if [ "${NATLAB:-}" = "" ]; then
    nat_a=${1:-ei/random/apd}
    nat_b=${2:-linux}
    export DEMO_NAT_A="$nat_a" DEMO_NAT_B="$nat_b"
    exec natlab --delay 20ms \
        pub=open,ip=203.0.113.10+203.0.113.11 "alice=$nat_a" "bob=$nat_b" \
        open=open,ip=198.51.100.1 cone=ei/preserve/apd router=linux router2=linux carrier=apd/random/apd \
        carrier2=linux-random -- "$0"
fi

dir=$(mktemp -d /tmp/natterjack-demo.XXXXXX)
trap 'rm -rf "$dir"' EXIT
say() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*" | sed "s|$dir/||g; s|--join [^ ]*|--join JOIN|"; }
on() { # HOST COMMAND...: show it and run it there
    host=$1
    shift
    printf '[%s] ' "$host"
    show "$@"
    natlab exec "$host" "$@"
}
kind() {
    case $1 in
    open) echo "a host with a public address" ;;
    linux) echo "a Linux router (the kernel's own NAT)" ;;
    linux-random) echo "a Linux router that draws a random port for each connection" ;;
    firewall) echo "a public address behind a firewall" ;;
    apd/random/*) echo "a NAT that draws a new random port for each destination" ;;
    ei/*/apd) echo "an ordinary home router" ;;
    *) echo "a NAT of class $1" ;;
    esac
}
wait_for() { # FILE TEXT: until it is there, 10 s at most
    tries=0
    until grep -q "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "demo: no \"$2\" in $1:" >&2; cat "$1" >&2; exit 1; }
        sleep 0.05
    done
}
listen() { # HOST
    natlab exec "$1" natterjack listen --join "$join" --name "$1" --key "$dir/$1.key" --echo \
        >"$dir/$1.log" 2>&1 &
    wait_for "$dir/$1.log" listening
}

say "A small internet on this machine: every packet takes 20 ms from any host to any other."
echo "alice is behind $(kind "$DEMO_NAT_A") ($DEMO_NAT_A),"
echo "bob is behind $(kind "$DEMO_NAT_B") ($DEMO_NAT_B)."
echo "On the public host 203.0.113.10 runs the suite:"
printf '[pub] '
show natterjack up --state "$dir/suite" --public-ip 203.0.113.10,203.0.113.11
natlab exec pub natterjack up --state "$dir/suite" --public-ip 203.0.113.10,203.0.113.11 \
    >"$dir/join" 2>"$dir/suite.log" &
wait_for "$dir/join" nj1
join=$(cat "$dir/join")
echo "It prints one line, the join string, that peers need: $(echo "$join" | cut -c1-24)..."

say "What do their NATs do?"
on alice natterjack netcheck --join "$join" --key "$dir/alice.key"
on bob natterjack netcheck --join "$join" --key "$dir/bob.key"

say "bob waits for calls; alice calls bob, and they exchange 20 pings."
listen bob
status=0
on alice natterjack connect --join "$join" --name alice --key "$dir/alice.key" --ping 20 bob \
    >"$dir/connect.log" || status=$?
cat "$dir/connect.log"
case $status in 0 | 3) ;; *) cat "$dir/suite.log" >&2; exit $status ;; esac
session=$(sed -n 's/^ *session: //p' "$dir/connect.log")

say "The story of that session, as the operator reads it:"
on pub natterjack explain "$session" --state "$dir/suite"

say "Five other pairs:"
pair() { # FROM TO
    [ -s "$dir/$2.log" ] || listen "$2"
    status=0
    natlab exec "$1" natterjack connect --join "$join" --key "$dir/$1.key" --ping 3 -o json "$2" \
        >"$dir/pair.json" || status=$?
    field() { sed -n "\$s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p" "$dir/pair.json"; }
    printf '%-9s %-8s -> %-9s after %4.0f ms, ping %3.0f ms   %s\n' "$(field path)" "$1" "$2" \
        "$(field total_ms)" "$(field rtt_ms)" "$(field verdict)"
    case $status in 0 | 3) ;; *) exit $status ;; esac
}
for host in open cone router router2 carrier carrier2; do
    printf '  %-9s %s\n' "$host" "$(case $host in
    open) kind open ;; cone) kind ei/preserve/apd ;; router*) kind linux ;;
    carrier) kind apd/random/apd ;; *) kind linux-random ;; esac)"
done
echo
pair carrier open
pair router router2
pair cone router2
pair carrier carrier2
pair cone carrier2
echo
echo "Where one side's port can't be known, many are opened there and many tried here until two meet; where both"
echo "can't, the relay carries the session.  It is sealed end to end, so the relay can't read it."
