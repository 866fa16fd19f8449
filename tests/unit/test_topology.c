#include "shm/topology.h"
#include "shm/counters.h"
#include "shm/ring.h"
#include "shm/workspace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct topology t;
static struct error err;

static void build(struct topology *to, struct topology_options options)
{
    if (topology_build(to, &options, &err))
        fail_msg("%s", err.text);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(topology_build(&t, NULL, &err), 0);
    assert_int_equal(t.options.scanners, 1);
    assert_int_equal(t.options.tick_ring_slots, 65536);
    const struct topology_object *ring = topology_find(&t, "tick_ring", 0);
    assert_non_null(ring);
    assert_int_equal(ring->bytes, ring_footprint(65536));
    assert_int_equal(ring->producer.kind, ROLE_INGEST);
    assert_int_equal(ring->consumer.kind, ROLE_SCANNER);
    assert_null(topology_find(&t, "tick_ring", 1));
    assert_null(topology_find(&t, "tick_rin", 0));
}

/* Whatever the options, no two objects share a byte, and each is aligned. */
static void test_places(void **state)
{
    (void)state;
    for (uint32_t scanners = 1; scanners <= TOPOLOGY_SCANNERS_MAX; scanners += 59) {
        build(&t, (struct topology_options){.scanners = scanners, .sinks = 16, .rules_bytes = 1001});
        uint64_t end = WORKSPACE_HEADER_BYTES;
        for (uint32_t i = 0; i < t.object_count; i++) {
            const struct topology_object *o = &t.objects[i];
            assert_true(o->offset >= end);
            assert_true(o->align >= 64 && o->offset % o->align == 0);
            assert_true(o->bytes > 0);
            end = o->offset + o->bytes;
        }
        assert_true(t.bytes >= end && t.bytes % 4096 == 0);
    }
}

static void test_every_scanner_and_role_has_its_objects(void **state)
{
    (void)state;
    build(&t, (struct topology_options){.scanners = 60});
    for (uint32_t k = 0; k < 60; k++) {
        const struct topology_object *event = topology_find(&t, "event_ring", k);
        assert_int_equal(event->producer.kind, ROLE_SCANNER);
        assert_int_equal(event->producer.index, k);
        assert_int_equal(event->consumer.kind, ROLE_PUBLISHER);
        assert_int_equal(topology_find(&t, "tick_ring", k)->consumer.index, k);
        assert_non_null(topology_find(&t, "rule_stats", k));
        assert_non_null(topology_find(&t, "scanner_counters", k));
        assert_non_null(topology_find(&t, "scanner_histograms", k));
    }
    assert_true(topology_role(&t, ROLE_MARKET, 0) >= 0);
    assert_true(topology_role(&t, ROLE_LEDGER, 0) >= 0);
    assert_false(t.roles[topology_role(&t, ROLE_MARKET, 0)].process);
    assert_null(topology_find(&t, "values_ring", 0));
    assert_int_equal(topology_role(&t, ROLE_SCANNER, 60), -1);
    assert_int_equal(topology_find(&t, "heartbeats", 0)->param[0], t.role_count);
}

static void test_market(void **state)
{
    (void)state;
    build(&t, (struct topology_options){.scanners = 60, .market = 1});
    assert_true(t.roles[topology_role(&t, ROLE_MARKET, 0)].process);
    assert_int_equal(topology_find(&t, "market_ring", 0)->consumer.kind, ROLE_MARKET);
    assert_non_null(topology_find(&t, "markettab", 0));
    for (uint32_t k = 0; k < 60; k++) {
        const struct topology_object *values = topology_find(&t, "values_ring", k);
        assert_int_equal(values->producer.kind, ROLE_SCANNER);
        assert_int_equal(values->producer.index, k);
        assert_int_equal(values->consumer.kind, ROLE_MARKET);
    }
}

static void test_scans(void **state)
{
    struct error err;
    (void)state;
    build(&t, (struct topology_options){.scanners = 2});
    assert_null(topology_find(&t, "valuetab", 0));
    build(&t, (struct topology_options){.scanners = 2, .scans = 1});
    assert_int_equal(topology_find(&t, "valuetab", 0)->param[0], t.options.symbols_max);
    assert_int_equal(topology_build(&t, &(struct topology_options){.scans = 2}, &err), -1);
    assert_non_null(strstr(err.text, "scans is 2"));
}

static void test_hash_is_of_the_layout(void **state)
{
    (void)state;
    static struct topology other;
    build(&t, (struct topology_options){.scanners = 2});
    build(&other, (struct topology_options){.scanners = 2, .symbols_max = 20000});
    assert_true(t.layout_hash == other.layout_hash);
    build(&other, (struct topology_options){.scanners = 2, .symbols_max = 20001});
    assert_true(t.layout_hash != other.layout_hash);
    build(&other, (struct topology_options){.scanners = 2, .event_ring_slots = 32768});
    assert_true(t.layout_hash != other.layout_hash);
}

static void expect_option_error(struct topology_options options, const char *option, const char *value)
{
    assert_int_equal(topology_build(&t, &options, &err), -1);
    if (!strstr(err.text, option) || !strstr(err.text, value) || !strstr(err.text, "expected"))
        fail_msg("expected %s, %s in: %s", option, value, err.text);
}

static void test_options_out_of_bounds(void **state)
{
    (void)state;
    expect_option_error((struct topology_options){.scanners = 61}, "scanners", "61");
    expect_option_error((struct topology_options){.sinks = 17}, "sinks", "17");
    expect_option_error((struct topology_options){.tick_ring_slots = 100}, "tick_ring_slots", "100");
    expect_option_error((struct topology_options){.tick_ring_slots = 32}, "tick_ring_slots", "32");
    expect_option_error((struct topology_options){.event_ring_slots = 65}, "event_ring_slots", "65");
    expect_option_error((struct topology_options){.symbols_max = 1u << 23}, "symbols_max", "8388608");
    expect_option_error((struct topology_options){.rules_max = 1u << 21}, "rules_max", "2097152");
    expect_option_error((struct topology_options){.rules_bytes = UINT64_C(1) << 32}, "rules_bytes",
                        "4294967296");
    expect_option_error((struct topology_options){.staging_bytes = 5000}, "staging_bytes", "5000");
    expect_option_error((struct topology_options){.buckets = 3}, "buckets", "3");
}

static struct topology_object *ring(uint32_t index)
{
    struct topology_object *o = topology_add(&t, TOPOLOGY_RING, "wire", index);
    o->param[0] = 64;
    o->producer = t.roles[0];
    o->consumer = t.roles[1];
    return o;
}

static void two_roles(void)
{
    memset(&t, 0, sizeof t);
    topology_add_role(&t, ROLE_INGEST, 0, true);
    topology_add_role(&t, ROLE_SCANNER, 0, true);
}

static void expect_finish_error(const char *what)
{
    assert_int_equal(topology_finish(&t, &err), -1);
    if (!strstr(err.text, what) || !strstr(err.text, "wire 3"))
        fail_msg("expected \"%s\" of wire 3 in: %s", what, err.text);
}

static void test_faults_name_the_object(void **state)
{
    (void)state;
    two_roles();
    ring(2);
    ring(3);
    assert_int_equal(topology_finish(&t, &err), 0);

    two_roles();
    ring(3);
    ring(3);
    expect_finish_error("declared twice");
    two_roles();
    ring(3)->consumer.kind = ROLE_NONE;
    expect_finish_error("no consumer");
    two_roles();
    ring(3)->producer.kind = ROLE_NONE;
    expect_finish_error("no producer");
    two_roles();
    ring(3)->consumer.index = 1;
    expect_finish_error("scanner 1 is not declared");
    two_roles();
    ring(3)->consumer = t.roles[0];
    expect_finish_error("both its producer and its consumer");
    two_roles();
    ring(3)->param[0] = 96;
    expect_finish_error("found 96, 0; expected slots: a power of two");
}

static void test_a_role_declared_twice(void **state)
{
    (void)state;
    two_roles();
    topology_add_role(&t, ROLE_SCANNER, 0, true);
    assert_int_equal(topology_finish(&t, &err), -1);
    assert_non_null(strstr(err.text, "scanner 0 is declared twice"));
}

static void test_buckets(void **state)
{
    (void)state;
    unsigned of[7] = {0}, reversed[7] = {0}, moved = 0;
    static struct topology reverse, one;
    build(&t, (struct topology_options){.scanners = 7});
    build(&reverse, (struct topology_options){.scanners = 7, .buckets = BUCKETS_REVERSE});
    build(&one, (struct topology_options){.scanners = 7, .buckets = BUCKETS_ONE});
    for (uint32_t b = 0; b < BUCKET_COUNT; b++) {
        of[topology_bucket_scanner(&t, b)]++;
        reversed[topology_bucket_scanner(&reverse, b)]++;
        moved += topology_bucket_scanner(&t, b) != topology_bucket_scanner(&reverse, b);
        assert_int_equal(topology_bucket_scanner(&one, b), 0);
    }
    for (int k = 0; k < 7; k++) {
        assert_in_range(of[k], 146, 147);
        assert_in_range(reversed[k], 146, 147);
    }
    assert_true(moved > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_every_scanner_and_role_has_its_objects),
        cmocka_unit_test(test_market),
        cmocka_unit_test(test_scans),
        cmocka_unit_test(test_hash_is_of_the_layout),
        cmocka_unit_test(test_options_out_of_bounds),
        cmocka_unit_test(test_faults_name_the_object),
        cmocka_unit_test(test_a_role_declared_twice),
        cmocka_unit_test(test_buckets),
    };
    return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
