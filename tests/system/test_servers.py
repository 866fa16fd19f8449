#!/usr/bin/env python3
"""All sinks at once, with the real servers. First roles are killed again and again while the tape runs: each alert and bar
is exactly once in each sink, as in a run without interruption. Then servers are away while a market runs: the other sinks
do not slow down, all is delivered after.

   KILLS=N (10) of each role; OUTAGE_S=N (5), how long a server is away; SOAK=1: every server in every way; SEED=N
   PART=kills or PART=outages: one part"""
import re, threading
from servers import *

need_data(TAPE)
need_servers()
KILLS, OUTAGE_S = int(os.environ.get("KILLS", 10)), float(os.environ.get("OUTAGE_S", 5))
SOAK, PART = bool(os.environ.get("SOAK")), os.environ.get("PART", "")
SEED = int(os.environ.get("SEED", time.time()))
BEFORE_S = min(OUTAGE_S, 10) / 2
print(f"# SEED={SEED} KILLS={KILLS} OUTAGE_S={OUTAGE_S:g}")
random.seed(SEED)
FILE = rules("r.json", *EVERYTHING)


def start_servers():
    """All at the same time: Kafka takes seconds."""
    made, size = {}, 1024 if SOAK and os.geteuid() == 0 else None
    def start(kind, *args):
        made[kind] = kind(*args, size_mb=size if kind is not Redis else None)
    threads = [threading.Thread(target=start, args=a) for a in ((Redis,), (Postgres, "-c", "max_wal_size=64MB", "-c", "min_wal_size=32MB"), (Kafka,))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if len(made) < 3:
        for s in made.values():
            s.release()
        print("ok - servers # SKIP not all of them could be started: see above")
        sys.exit(0)
    return [made[Redis], made[Postgres], made[Kafka]]


def kills(sinks):
    """The tape again and again, in directories of their own, until each role was killed KILLS times."""
    ringtape("replay", f"csv:{TAPE}", "--rules", FILE, "--alerts", path("want.jsonl"), "--bars", path("want.csv"))
    want, bars = json_alerts(path("want.jsonl")), csv_bars(path("want.csv"))
    killed, tapes, began = {"ingest": 0, "scanner": 0, "publisher": 0}, 0, time.time()
    while min(killed.values()) < KILLS and not lib_failed():
        d = new_dir()
        for s in sinks:
            s.renew()
        p = subprocess.Popen([BIN, "run", "--source", f"csv:{TAPE}", "--rules", FILE, "--dir", d, "--speed", "6000", "--until-end", "--scanners", "2",
                              "--alerts", d + ".jsonl", "--bars", d + ".csv", "--drain-timeout", "120", *sets(sinks)],
                             stderr=open(d + ".log", "w"), start_new_session=True)
        try:
            kill_loop(p, killed, KILLS)
            code = p.wait(timeout=240 * PATIENCE)
        except subprocess.TimeoutExpired:
            code = "none within 240 s"
            os.killpg(p.pid, signal.SIGKILL)
        tapes += 1
        what = f"tape {tapes}, killed so far: {', '.join(f'{n} {role}' for role, n in killed.items())}"
        if ok(code == 0, f"{what}: the run ends as planned", f"exit {code}\n" + open(d + ".log").read()[-1500:]):
            ok(json_alerts(d + ".jsonl") == want and csv_bars(d + ".csv") == bars, f"{what}: --alerts and --bars are those of the replay")
            for s in sinks:
                same(s, want, bars, what)
        remove(d)
    print(f"# {sum(killed.values())} kills -9 ({killed}) over {tapes} tapes in {time.time() - began:.0f} s: {len(want)} alerts and {len(bars)} bars each, in {len(sinks)} sinks")


def lib_failed():
    import lib
    return lib.failed


class Market:
    """An instance whose market makes events at an even rate, and what its HTTP face says of them."""

    def __init__(self, sinks, rate=300):
        self.port, self.sinks = free_port(), sinks
        for s in sinks:
            s.renew()
        self.run = redis_server.Run(os.path.basename(new_dir()), "--set", f"http.port={self.port}", "--drain-timeout", "120",
                                    "--scanners", "2", *sets(sinks), rate=f"{rate},burst=1,halts=0")

    def log(self):
        return open(self.run.log).read()[-1500:]

    def sample(self):
        """When, the outbox' end, and by sink how many events it has taken and its cursor. None if it does not answer."""
        page = ask(self.port, "/metrics")[1]
        get = lambda name: {m[1]: float(m[2]) for m in re.finditer(rf'^ringtape_{name}{{[^}}]*?(?:sink="(\w+)")?}} (\S+)', page, re.M)}
        end = get("publisher_outbox_offset")
        return (time.monotonic(), end[None], get("sink_delivered_total"), get("sink_offset")) if end else None

    def passes(self, sinks, end, seconds=240):
        """Waits until each of these sinks has all events before `end`."""
        def now():
            s = self.sample()
            return s and all(s[3].get(sink, 0) >= end for sink in sinks)
        return wait_for(now, seconds, every=0.25)


def per_second(a, b):
    return {sink: (b[2][sink] - a[2][sink]) / (b[0] - a[0]) for sink in a[2]}


ways = {"frozen (SIGSTOP)": (lambda s: s.freeze(), lambda s: s.thaw()),
        "stopped": (lambda s: s.stop(), lambda s: s.start()),
        "killed (SIGKILL)": (lambda s: s.kill(), lambda s: s.start()),
        "full": (lambda s: s.fill(), lambda s: s.clear())}


def outage(market, server, way):
    """The server goes away for OUTAGE_S seconds and comes back."""
    what = f"{server.name} {way} for {OUTAGE_S:g} s"
    away, back = ways[way]
    everyone = [s.name for s in market.sinks]
    others = [name for name in everyone if name != server.name]
    wait_for(market.sample, 60)
    if not ok(market.passes(everyone, market.sample()[1] + 1), f"before {what}: all sinks deliver", market.log()):
        return
    a = market.sample()
    time.sleep(BEFORE_S)
    b = market.sample()
    away(server)
    c = market.sample()
    time.sleep(OUTAGE_S)
    d = market.sample()
    ok(market.passes(others, d[1]), f"{what}: meanwhile the others have all that was made", market.log())
    ok(market.sample()[3][server.name] < d[1], f"{what}: it was away", (c, d))
    back(server)
    there = time.monotonic()
    again = market.passes([server.name], d[1])
    took = time.monotonic() - there
    before, meanwhile = per_second(a, b), per_second(c, d)
    made = (d[1] - c[1]) / (d[0] - c[0])
    print(f"# {what}: made {made:.0f} events/s; delivered per second before and meanwhile: "
          + ", ".join(f"{s} {before[s]:.0f} {meanwhile[s]:.0f}" for s in (server.name, *others)) + f"; what it missed it had {took:.1f} s after it was there again")
    if SOAK:  # a shorter time says too little
        ok(all(meanwhile[s] > 0.8 * min(before[s], made) for s in others), f"{what}: the others do not slow down", (made, before, meanwhile))
    ok(again, f"{what}: what it missed it has after it", market.log())


def outages(sinks, plan):
    """One market; the servers of the plan go away, one after the other."""
    market = Market(sinks)
    try:
        for server, way in plan:
            outage(market, server, way)
        market.run.end()
        ringtape("replay", f"capture:{market.run.dir}/capture", "--alerts", path("want.jsonl"), "--bars", path("want.csv"))
        want, bars = json_alerts(path("want.jsonl")), csv_bars(path("want.csv"))
        what = "after " + ", ".join(sorted({s.name for s, _ in plan}))
        ok(json_alerts(market.run.alerts) == want and want, f"{what}: the run made the {len(want)} alerts of its replay")
        for s in sinks:
            same(s, want, bars, what)
    finally:
        market.run.kill()
        remove(market.run.dir)


servers = start_servers()
try:
    sinks = [*servers, Sqlite(), Jsonl()]
    redis, postgres, kafka = servers
    if PART != "outages":
        kills(sinks)
    if PART != "kills" and SOAK:
        for s in servers:
            can_fill = s is redis or s.mounted
            if not can_fill:
                print(f"ok - {s.name} full # SKIP cannot mount a small file system")
            outages(sinks, [(s, way) for way in ways if way != "full" or can_fill])
    elif PART != "kills":
        outages(sinks, [(redis, "stopped"), (postgres, "killed (SIGKILL)"), (kafka, "frozen (SIGSTOP)")])
finally:
    for s in servers:
        s.release()
done()
