BENCHES += $B/bench/ring
BENCH_RING_O := $(addprefix $B/bench/,placement.o ring_bench.o ring_ours.o ring_ck.o ring_dpdk.o ring_cxx.o)
DPDK_INCLUDES = $(patsubst -I%,-isystem %,$(filter -I%,$(shell pkg-config --cflags libdpdk))) -include rte_config.h

$B/bench/ring_dpdk.o: bench/ring_dpdk.c bench/ring_peer.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -std=gnu11 $(DPDK_INCLUDES) -c $< -o $@

$B/bench/ring_cxx.o: bench/ring_cxx.cc bench/ring_peer.h
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -Wall -Wextra -Werror $(BASELINE) $(OPT) -I. -c $< -o $@

$B/bench/ring: $(BENCH_RING_O) $B/libringtape.a
	$(CXX) $(LDFLAGS) $^ -Wl,--as-needed -lrte_ring -lrte_eal -lpthread -lm -o $@

-include $(BENCH_RING_O:.o=.d)
