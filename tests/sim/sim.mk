# The simulator. What it simulates is compiled anew, with a call at each basic block.
SIM_TRACED := $(patsubst %.c,$B/sim/%.o,$(wildcard workers/ingest.c workers/scanner.c workers/publisher.c \
                  net/journal*.c net/outbox.c net/segment.c net/sink.c net/sink_source.c shm/ring.c))
SIM_OBJS   := $(patsubst %.c,$B/%.o,$(filter-out tests/sim/supervisor.c,$(wildcard tests/sim/*.c))) \
              $B/sim/tests/sim/supervisor.o
SIM_WRAP   := -Wl,--wrap=journal_open,--wrap=outbox_open

$B/sim/%.o: %.c | $(SETUP)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fsanitize-coverage=trace-pc -c $< -o $@

# Where its memory is takes part in how long a sink waits: the same place each time.
$B/sim/net/sink.o: CFLAGS += -Dcalloc=sim_calloc -Dfree=sim_free

$B/tests/sim/sim: $(SIM_OBJS) $(SIM_TRACED) $B/libringtape.a
	$(CC) $(LDFLAGS) $(SIM_WRAP) $^ $(LIBS) -o $@

-include $(patsubst %.o,%.d,$(SIM_TRACED) $(SIM_OBJS))

# A simulator with a bug: the object of MUTATED is made from MUTANT.
$B/sim/mutants/sim%: $(SIM_OBJS) $(SIM_TRACED) $B/libringtape.a $(MUTANT)
	$(CC) $(CFLAGS) -Wno-error -I$(dir $(MUTATED)) -fsanitize-coverage=trace-pc $(if $(filter net/sink.c,$(MUTATED)),-Dcalloc=sim_calloc -Dfree=sim_free) \
	    -c $(MUTANT) -o $@.o
	$(CC) $(LDFLAGS) $(SIM_WRAP) $@.o $(filter-out $B/sim/$(MUTATED:.c=.o),$(SIM_OBJS) $(SIM_TRACED)) $B/libringtape.a $(LIBS) -o $@
