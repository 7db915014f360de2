# One Makefile, not recursive; V=1 shows commands.
#
#   make                 release binaries, in build/release/bin
#   make MODE=debug test the tests in debug; MODE=asan under AddressSanitizer and UBSan; MODE=cov for coverage
#   make check           format-check, lint, purity, docs-check; tests in debug and asan
#   make natlab-check    the pairs and classes of NATs in the laboratory, 20 runs each (root; minutes)
#   make pairs           of these the pairs, as a table; RUNS=n of each
#   make matrix-sim      27 x 27 classes of NATs in virtual time, RUNS=100 each way, into docs/matrix (minutes)
#   make matrix          the classes with real programs, RUNS=5, FROM= and TO= narrow it, resumable (root; an hour)
#   make compare         40 pairs of NATs and a ladder of losses with libnice and aioice beside ours, into README.md (root; 50 min)
#   make attack          55 attacks on a suite, 10^5 attempts, and each against a build without its defence (root; minutes)
#   make flood           all ports at once for three minutes, with what one core sends and with ten times of what is taken (root)
#   make garbage         100,000 pieces of garbage of each kind at each port of a suite (root; minutes)
#   make soak-raw        a program's flow over a punched socket, MINUTES=10, NATs that forget in 30 s (root)
#   make test-compose    docker-compose.yml with a Docker engine of its own (root; minutes)
#   make bench           prober and relay against coturn, into docs/bench (root; 10 minutes); bench-quick: two
#   make bench-xdp       the same of what they do at the hook, into docs/bench/xdp.md (root; five minutes)
#   make man             the manual page natterjack(1), in build/man
#   make fresh           ./run demo and ./run test in a clean minimal root file system (root; long)
#   make clean
#
# A service is a folder services/NAME with a main.c; its other files are its core, which `purity` holds
# to its word, except those named *_shell.c.  A test is a file tests/test_NAME.c; what tests share is
# tests/lib/.  Adding any of these needs no change here.

MODE  ?= release
BUILD ?= build
B     := $(BUILD)/$(MODE)

PKGS     := libczmq libzmq msgpack libsodium sqlite3 jansson libcyaml libseccomp
CPPFLAGS += -I. -MMD -MP -D_GNU_SOURCE
CFLAGS   += -std=gnu11 -g -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla -Werror -fno-common $(shell pkg-config --cflags $(PKGS))
LDLIBS   += $(shell pkg-config --libs $(PKGS)) -lm

# Assertions stay on in every mode: nothing here defines NDEBUG.
CFLAGS_debug   := -O0
CFLAGS_release := -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2
CFLAGS_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_cov     := -O0 --coverage
CFLAGS += $(CFLAGS_$(MODE))
# What these two do at a process's end, lib/cage.h would forbid.
CPPFLAGS_asan := -DUNCAGED='"AddressSanitizer"'
CPPFLAGS_cov  := -DUNCAGED='"coverage"'
CPPFLAGS += $(CPPFLAGS_$(MODE))

Q := $(if $(V),,@)

# Programs for the kernel (lib/xdp_shell.h) need clang and libbpf; without them everything else is built.
CLANG    ?= $(firstword $(foreach c,clang-14 clang,$(shell command -v $c)))
HAVE_XDP := $(and $(CLANG),$(shell pkg-config --exists libbpf && echo yes))
ifeq ($(HAVE_XDP),yes)
LDLIBS   += $(shell pkg-config --libs libbpf)
XDP_NOT  := lib/xdp_none_shell.c
else
$(info no clang or no libbpf: --xdp will be without effect)
XDP_NOT  := lib/xdp_shell.c lib/xdp_place_shell.c
endif
XDP_SRC  := $(wildcard lib/xdp/*.bpf.c services/*/xdp/*.bpf.c)
XDP_BENCH := $(wildcard tests/bench/xdp/*.bpf.c)

SERVICES := $(notdir $(patsubst %/main.c,%,$(wildcard services/*/main.c)))
BINS     := $(patsubst natterjack-natterjack,natterjack,$(SERVICES:%=natterjack-%))
LAB      := $(if $(wildcard tests/natlab/main.c),natlab)
TESTS    := $(patsubst tests/%.c,%,$(wildcard tests/test_*.c))
# The command has no core of its own: it is the executor's shell and a client of admin sockets.
CORES    := $(filter-out %/main.c %_shell.c services/natterjack/%,$(wildcard services/*/*.c)) \
            $(wildcard tests/natlab/nat*.c) $(filter-out %/netns.c,$(wildcard tests/natlab/net*.c))
PURE_LIB := addr budget chase crowd daykey deadlines effort familiar fence history id noise packet profile rekey relaywire rng strategy stun table ticket token verdict
SOURCES  := $(wildcard lib/*.c services/*/*.c tests/*.c tests/*/*.c tools/*.c docs/*.c)
HEADERS  := $(wildcard lib/*.h lib/xdp/*.h services/*/*.h tests/*.h tests/*/*.h)
LIB_SRC  := $(filter-out $(XDP_NOT),$(wildcard lib/*.c)) $(filter-out %/main.c,$(wildcard services/*/*.c))
LAB_SRC  := $(filter-out %/main.c,$(wildcard tests/natlab/*.c))
TEST_SRC := $(wildcard tests/lib/*.c tests/sim/*.c tests/attack/*.c) $(filter-out %/main.c,$(wildcard tests/matrix/*.c))

all: $(BINS:%=$(B)/bin/%) $(LAB:%=$(B)/bin/%)

$(B)/%.o: %.c
	@mkdir -p $(@D) && echo "  CC  $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# Tests find the binaries of their own mode.
$(B)/tests/%.o: CPPFLAGS += -DBIN_DIR='"$(abspath $(B)/bin)"'

$(B)/%.bpf.o: %.bpf.c
	@mkdir -p $(@D) && echo "  BPF $<"
	$(Q)$(CLANG) -target bpf -mcpu=v3 -O2 -g -ffreestanding -fno-strict-aliasing -Wall -Wextra -Werror -I. -MMD -MP \
	    -isystem /usr/include/$(shell $(CC) -print-multiarch) -c $< -o $@
$(B)/lib/xdp_objects.o: lib/xdp_objects.S $(XDP_SRC:%.c=$(B)/%.o)
	$(Q)$(CC) -Wa,-I,$(B) -c $< -o $@

$(B)/lib.a: $(LIB_SRC:%.c=$(B)/%.o) $(if $(HAVE_XDP),$(B)/lib/xdp_objects.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
# Apart from the other: the lab is built without the packages that only tests need.
$(B)/lab.a: $(LAB_SRC:%.c=$(B)/%.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/testlib.a: $(TEST_SRC:%.c=$(B)/%.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/bin/natterjack-%: $(B)/services/%/main.o $(B)/lib.a
	@mkdir -p $(@D) && echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(B)/bin/natterjack: $(B)/services/natterjack/main.o $(B)/lib.a
	@mkdir -p $(@D) && echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(B)/bin/natlab: $(B)/tests/natlab/main.o $(B)/lab.a $(B)/lib.a
	@mkdir -p $(@D) && echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

BENCH_SRC := $(wildcard tests/bench/*.c)
$(B)/bin/bench: LDLIBS += -lpng
$(B)/bin/bench: | $(XDP_BENCH:%.c=$(B)/%.o)
$(B)/bin/bench: $(BENCH_SRC:%.c=$(B)/%.o) $(B)/tests/matrix/canvas.o $(B)/tests/lib/tidy.o $(B)/lab.a $(B)/lib.a
	@echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(B)/bin/matrix-sim $(B)/tests/test_matrix $(B)/tests/test_matrix_lab: LDLIBS += -lpng
$(B)/bin/matrix-sim: $(B)/tests/matrix/main.o $(B)/testlib.a $(B)/lab.a $(B)/lib.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

# One side of a connection: by libnice, and by ours when told.
$(B)/tests/compare/nice.o: CFLAGS += $(patsubst -I%,-isystem %,$(shell pkg-config --cflags nice))
$(B)/bin/compare-nice: LDLIBS += $(shell pkg-config --libs nice)
$(B)/bin/compare-%: $(B)/tests/compare/%.o $(B)/lib.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(B)/tests/test_compare $(B)/tests/test_matrix_lab: | $(B)/bin/compare-nice $(B)/bin/compare-ours

$(B)/bin/hostile-relay: $(B)/tests/hostile/main.o $(B)/lib.a
	@mkdir -p $(@D)
	@echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(B)/tests/test_attack: | $(B)/bin/hostile-relay

# The example of docs/peers.md.
$(B)/bin/hello: docs/socket.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $< -o $@
$(B)/tests/test_peers_page: | $(B)/bin/hello

$(TESTS:%=$(B)/tests/%): $(B)/tests/%: $(B)/tests/%.o $(B)/testlib.a $(B)/lab.a $(B)/lib.a
	@echo "  LD  $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lcriterion -o $@

# ONLY=name runs one test file; Criterion's own --filter goes in ARGS.
test: all $(TESTS:%=$(B)/tests/%)
ifdef ONLY
	$(B)/tests/test_$(ONLY) --short-filename $(ARGS)
else
	@ARGS='$(ARGS)' tests/run-all.sh $(B)/tests $(TESTS)
endif

$(B)/schemadoc: $(B)/tools/schemadoc.o
	$(Q)$(CC) $(CFLAGS) $< -o $@
docs: $(B)/schemadoc all
	$(B)/schemadoc messages > docs/messages.md
	$(B)/schemadoc verdicts > docs/verdicts.md
	$(B)/schemadoc techniques > docs/techniques.md
	$(B)/bin/natterjack up --print-config > deploy/natterjack.yml
docs-check: $(B)/schemadoc all man
	$(Q)$(B)/bin/natterjack up --print-config | diff - deploy/natterjack.yml
	$(Q)$(B)/schemadoc messages | diff - docs/messages.md
	$(Q)$(B)/schemadoc verdicts | diff - docs/verdicts.md
	$(Q)$(B)/schemadoc techniques | diff - docs/techniques.md
	$(Q)tools/maps.sh

man: $(BUILD)/man/natterjack.1
$(BUILD)/man/natterjack.1: docs/natterjack.1.in tools/man.sh $(B)/bin/natterjack
	@mkdir -p $(@D)
	$(Q)tools/man.sh $(B)/bin/natterjack > $@.scd
	$(Q)scdoc < $@.scd > $@ || { rm $@; exit 1; }

format:
	clang-format -i $(SOURCES) $(XDP_SRC) $(XDP_BENCH) $(HEADERS)
format-check:
	$(Q)clang-format --dry-run -Werror $(SOURCES) $(XDP_SRC) $(XDP_BENCH) $(HEADERS)
lint:
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 -I. --enable=warning,portability \
	    --inline-suppr --suppress=missingIncludeSystem --suppress='unknownMacro:*.bpf.c' lib services tests/natlab tests/bench tools
	$(Q)tests/attack/without.sh --check

# A core may call these, the pure modules of lib/ and nothing else, and may keep no state outside its
# struct.  libsodium's functions on the list are deterministic: the same bytes in, the same bytes out.
PURE := __assert_fail|(__)?mem(cpy|set|cmp|move)(_chk)?|str(cmp|ncmp|len)|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_
PURE_SODIUM := sodium_(memzero|memcmp|is_zero)|crypto_(stream_chacha20|generichash[a-z0-9_]*|shorthash[a-z0-9_]*|scalarmult[a-z0-9_]*|auth[a-z0-9_]*|box_(open_)?easy[a-z_]*|box_beforenm|sign_(detached|verify_detached|seed_keypair)|aead_chacha20poly1305_ietf_(en|de)crypt[a-z_]*|kdf_derive_from_key)
PURE_OBJ := $(patsubst %.c,$(BUILD)/release/%.o,$(wildcard $(CORES) $(PURE_LIB:%=lib/%.c)))
purity:
	@$(MAKE) --no-print-directory MODE=release all
	@nm --defined-only $(PURE_OBJ) | awk 'NF == 3 && $$2 ~ /[TRD]/ { print $$3 }' | sort -u > $(BUILD)/pure.txt
	@bad=0; for o in $(PURE_OBJ); do \
	    size -A $$o | awk '$$1 ~ /^\.(data|bss)$$/ { n += $$2 } END { exit n > 0 }' || \
	        { echo "$$o: mutable global"; bad=1; }; \
	    nm -u $$o | awk '{ print $$2 }' | grep -Evx '$(PURE)|$(PURE_SODIUM)' | grep -Fvxf $(BUILD)/pure.txt | \
	        sed "s|^|$$o: calls |" | grep . && bad=1; \
	done; exit $$bad

# The long version of what `check` tries once: every pair and class 20 times, 100 connections at 10 % loss.
pairs: RUNS ?= 20
pairs: all $(B)/tests/test_pairs
	RUNS=$(RUNS) $(B)/tests/test_pairs --short-filename $(ARGS)
compare: RUNS ?= 20
compare: LADDER ?= 200
compare:
	@$(MAKE) --no-print-directory MODE=release all $(BUILD)/release/tests/test_compare
	RUNS=$(RUNS) COMPARE_OUT=$(BUILD)/compare.md $(BUILD)/release/tests/test_compare --short-filename --filter '*/ours_opens*'
	LADDER=$(LADDER) COMPARE_OUT=$(BUILD)/compare.md $(BUILD)/release/tests/test_compare --short-filename --filter '*/ours_connects*'
	@printf '\nSeed 1, `make compare RUNS=%s LADDER=%s`, natterjack at %s, %s.\n' $(RUNS) $(LADDER) \
	    "$$(git describe --always --dirty)" "$$(dpkg-query -W -f '$${Package} $${Version} ' libnice10 python3-aioice)" >> $(BUILD)/compare.md
	tests/compare/insert.sh $(BUILD)/compare.md README.md
attack: all $(B)/tests/test_attack
	MANY=1 $(B)/tests/test_attack --short-filename
	CC="$(CC)" BUILD=$(BUILD) tests/attack/without.sh
flood: all $(B)/tests/test_flood
	FLOOD_S=60 $(B)/tests/test_flood --short-filename -j1
garbage: all $(B)/tests/test_garbage
	GARBAGE=100000 $(B)/tests/test_garbage --short-filename $(ARGS)
natlab-check: all pairs $(B)/tests/test_attempts $(B)/tests/test_paths $(B)/tests/test_mapped $(B)/tests/test_relays $(B)/tests/test_netcheck $(B)/tests/test_failover
	PATIENT=1 $(B)/tests/test_attempts --short-filename $(ARGS)
	RUNS=20 LOSS_RUNS=100 $(B)/tests/test_paths --short-filename $(ARGS)
	MAPPED_RUNS=20 $(B)/tests/test_mapped --short-filename $(ARGS)
	RELAY_RUNS=10 $(B)/tests/test_relays --short-filename $(ARGS)
	RUNS=20 $(B)/tests/test_netcheck --short-filename $(ARGS)
	FAILOVER_RUNS=20 $(B)/tests/test_failover --short-filename $(ARGS)

# The long version of test_raw's flow: what is sent is answered, to the last packet.
MINUTES ?= 10
soak-raw: all $(B)/tests/test_raw
	SOAK_S=$$(( $(MINUTES) * 60 )) $(B)/tests/test_raw --short-filename --filter 'raw/a_program*'

# One after the other: under -j, docs-check and purity would both build the same files.
check:
	$(MAKE) -j$(shell nproc) --no-print-directory format-check lint
	$(MAKE) -j$(shell nproc) --no-print-directory purity
	$(MAKE) -j$(shell nproc) --no-print-directory docs-check
	SIM_SESSIONS=10000 $(MAKE) -j$(shell nproc) --no-print-directory MODE=release test ONLY=sim
	$(MAKE) -j$(shell nproc) --no-print-directory MODE=debug test
	$(MAKE) -j$(shell nproc) --no-print-directory MODE=asan test

# Prober and relay against coturn and bare loops, on two cores that should have nothing else to do (root).
bench-xdp:
	@$(MAKE) --no-print-directory MODE=release all $(BUILD)/release/bin/bench
	$(BUILD)/release/bin/bench $(BUILD)/release/bin docs/bench xdp
	@cat docs/bench/xdp.md
bench bench-quick:
	@$(MAKE) --no-print-directory MODE=release all $(BUILD)/release/bin/bench
	@mkdir -p $(if $(filter bench,$@),docs/bench,$(BUILD)/bench)
	$(BUILD)/release/bin/bench $(BUILD)/release/bin $(if $(filter bench,$@),docs/bench,$(BUILD)/bench quick)
	@cat $(if $(filter bench,$@),docs/bench/packets.md,$(BUILD)/bench/quick.md)

# In release mode: it is all computation.  ARGS narrows it, or asks for other lines: matrix-sim --help.
matrix-sim: RUNS ?= 100
matrix-sim:
	@$(MAKE) --no-print-directory MODE=release $(BUILD)/release/bin/matrix-sim
	@mkdir -p docs/matrix
	$(BUILD)/release/bin/matrix-sim --runs $(RUNS) --out docs/matrix $(ARGS)

# The same with real programs; build/matrix.log has what was tried, and is to be removed to begin anew.
matrix: RUNS ?= 5
matrix:
	@$(MAKE) --no-print-directory MODE=release all $(BUILD)/release/tests/test_matrix_lab
	RUNS=$(RUNS) FROM='$(or $(FROM),*)' TO='$(or $(TO),*)' MATRIX_LOG=$(BUILD)/matrix.log MATRIX_OUT=docs/matrix \
	    $(BUILD)/release/tests/test_matrix_lab --short-filename

fresh:
	deploy/fresh.sh
test-compose:
	deploy/test-compose.sh

clean:
	rm -rf $(BUILD)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PHONY: all test natlab-check soak-raw pairs compare attack flood garbage bench bench-quick bench-xdp docs docs-check man format format-check lint purity check fresh matrix matrix-sim test-compose clean
.SECONDARY:
