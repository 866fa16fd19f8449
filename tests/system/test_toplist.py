#!/usr/bin/env python3
"""Toplists of a running instance: at each second the ranks are those of a replay, for any number of scanners, also after
the market role and scanners were killed; alerts do not depend on them."""
import random
from lib import *

SIM = "sim:symbols=300,seed=5,start=2026-03-02T09:25:00-05:00,minutes=20,rate=200"
ON = ["--set", "toplists.enabled=true"]
RULES = os.path.join(ROOT, "scripts/demo-rules.json")
LISTS = ["gainers_1m", "losers_5m", "volume_5m", "volume_1d", "relative_volume", "vwap_dist_low", "overbought"]
USERS = write("lists.json", json.dumps([
    {"id": "cheap", "user_id": "ann", "name": "Cheap and busy", "metric": "volume", "time_window": "5m",
     "filters": {"price_max": 50, "min_volume": 20000}},
    {"id": "nyse", "metric": "change_pct", "time_window": "5m", "filters": {"exchange": "NYSE", "market_cap_min": 1e9, "market_cap_max": 5e9}},
    {"id": "overbought", "user_id": "ann", "metric": "rsi", "time_window": "1m"},
    {"id": "dips", "metric": "volume", "time_window": "5m", "filters": {"price_min": 5, "expr":
     'rsi(14)@1m < 30 and vwap(5m) > price and (ask - bid < 0.001 * price or exchange == "NYSE") and not halted'}},
    {"id": "not-known", "metric": "volume", "time_window": "5m", "filters": {"expr": "not change_pct_20d > 0 or volume_5m > 100"}},
    {"id": "cheap", "user_id": "bob", "metric": "change_pct", "time_window": "1m", "sort_order": "asc", "enabled": False}]))
ON += ["--set", f"toplists.file={USERS}"]
LISTS += ["ann:cheap", "bob:cheap", "nyse", "dips", "not-known"]
OF = {f"SIM{i:04}": (["NYSE", "OTC", ""][i % 3], i * 5e7 if i % 7 else "") for i in range(1, 280)}
os.environ["RINGTAPE_SYMBOLS_ATTRIBUTES"] = write("attributes.csv", "symbol,exchange,market_cap\n" + "".join(f"{s},{e},{c}\n" for s, (e, c) in OF.items()))


def shown(d, name, *more):
    """What the instance shows of a list; None while it shows nothing."""
    p = subprocess.run([BIN, "toplist", name, "--dir", d, "--json", "--limit", "30", *more], capture_output=True, text=True)
    return json.loads(p.stdout) if p.returncode == 0 else None


def replayed(source, name, *more):
    p = ringtape("replay", source, "--rules", RULES, "--toplist", name, "--json", "--limit", "30",
                 "--set", f"toplists.file={USERS}", *more)
    return json.loads(p.stdout)


def start(d, *more):
    return subprocess.Popen([BIN, "run", "--source", SIM, "--rules", RULES, "--dir", d, *ON, *map(str, more)],
                            stderr=open(path("run.log"), "a"))


def final(d):
    """Every list once the stream has ended, or None after a while."""
    text = lambda: subprocess.run([BIN, "toplist", LISTS[0], "--dir", d], capture_output=True, text=True).stdout
    return wait_for(lambda: "the source has ended" in text(), 60, 0.1) and {n: shown(d, n) for n in LISTS}


def stop(p):
    p.send_signal(signal.SIGTERM)
    p.wait(60 * PATIENCE)


log = path("replay.jsonl")
ringtape("replay", SIM, "--rules", RULES, "--alerts", log)
want = alerts(log)
at_end = {n: replayed(SIM, n) for n in LISTS}
ok(all(len(at_end[n]["rankings"]) > 5 for n in LISTS), "there are ranks to compare", {n: len(r["rankings"]) for n, r in at_end.items()})
inside = {r["symbol"] for r in at_end["nyse"]["rankings"]}
dips = [r["metadata"]["price"] for r in at_end["dips"]["rankings"]]
ok(5 < len(dips) < 30 and min(dips) >= 5, f"an expression lets in {len(dips)} of 300 symbols", dips)
ok(inside <= {s for s, (e, c) in OF.items() if e == "NYSE" and c and 1e9 <= c <= 5e9}, "filters of attributes", inside)

seen = {}  # (list, second) -> ranks
for scanners in 1, 2, 4:
    d = new_dir()
    out = path("run.jsonl")
    p = start(d, "--speed", 200, "--scanners", scanners, "--alerts", out)
    while p.poll() is None and subprocess.run(["grep", "-q", "source has ended", path("run.log")]).returncode:
        time.sleep(random.uniform(0.1, 0.6))
        for n in random.sample(LISTS, 2):
            r = shown(d, n)
            if r and len(seen) < 20 * scanners:
                seen[n, r["timestamp"]] = r["rankings"]
    ends = final(d)
    ok(ends and ends == at_end, f"at the end {scanners} scanners give the ranks of a replay", ends)
    stop(p)
    os.truncate(path("run.log"), 0)
    ok(alerts(out) == want, f"the alerts are those of a replay without toplists, {scanners} scanners")

early = [k for k in seen if k[1] < min(r["timestamp"] for r in at_end.values())]
ok(len(early) >= 5, f"there are seconds to compare: {len(early)}")
some = random.sample(early, min(8, len(early)))
wrong = [k for k in some if replayed(SIM, k[0], "--at", k[1])["rankings"] != seen[k]]
ok(not wrong, f"{len(some)} of {len(early)} lists seen on the way are those of a replay at that second", wrong)

# rings that are too small for what is owed: less is shown, nothing is waited for, nothing shown is wrong
d, out, port = new_dir(), path("small.jsonl"), free_port()
p = start(d, "--speed", "max", "--scanners", 2, "--alerts", out, "--set", "rings.tick_slots=64", "--set", f"http.port={port}")
ends = final(d)
ok(ends == at_end, "with 64-slot rings the end is the same", ends)
page = ask(port, "/metrics")[1]
left_out = sum(float(l.split()[-1]) for l in page.splitlines() if l.startswith(("ringtape_scanner_values_dropped_total", "ringtape_ingest_market_lost")))
ok(left_out > 0, f"what was left out on the way is counted: {left_out:.0f}", [l for l in page.splitlines() if "market" in l or "values" in l])
stop(p)
ok(alerts(out) == want, "the alerts are those of a replay")

# killed: the second that is shown stays, and the next ones are exact
d, out = new_dir(), path("killed.jsonl")
p = start(d, "--speed", 60, "--scanners", 2, "--alerts", out, "--set", "checkpoints.interval_ms=200")
wait_for(lambda: shown(d, "gainers_1m"))
killed, seen = {"market": 0, "scanner": 0, "ingest": 0}, {}
while p.poll() is None and (min(killed.values()) < 2 or killed["market"] < 4):
    kind = "market" if killed["market"] < 4 else random.choice(["scanner", "ingest"])
    pids = [pid for pid, role in roles(p).items() if role.split(":")[0] == kind]
    if pids:
        before = shown(d, "volume_5m")
        os.kill(random.choice(pids), signal.SIGKILL)
        killed[kind] += 1
        after = shown(d, "volume_5m")
        if after["timestamp"] < before["timestamp"]:
            ok(False, "time shown goes back", f"{before['timestamp']} {after['timestamp']}")
        wait_for(lambda: shown(d, "volume_5m")["timestamp"] > after["timestamp"], 10)
        r = shown(d, "volume_5m")
        seen["volume_5m", r["timestamp"]] = r["rankings"]
ends = final(d)
ok(ends and ends == at_end, f"killed {killed}: the end is that of a replay", open(path("run.log")).read()[-1500:])
some = random.sample(sorted(seen), min(5, len(seen)))
wrong = [k for k in some if replayed(SIM, k[0], "--at", k[1])["rankings"] != seen[k]]
ok(len(seen) > 4 and not wrong, f"{len(some)} of {len(seen)} lists seen after a kill are those of a replay at that second", wrong)
market = role_pid(p, "market")
os.kill(market, signal.SIGKILL)
wait_for(lambda: role_pid(p, "market") not in (None, market))
ok(final(d) == at_end, "killed after the end: it is still shown")
stop(p)
ok(alerts(out) == want, "the alerts of that run are those of a replay")

again = new_dir()
p = start(again, "--speed", 100, "--scanners", 2)
wait_for(lambda: shown(again, "gainers_1m"))
pids = [p.pid, *roles(p)]
for pid in pids:  # the supervisor first: it would start the others again
    os.kill(pid, signal.SIGKILL)
p.wait()
wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
p = start(again, "--speed", "max", "--scanners", 4)
ok(final(again) == at_end, "killed whole and started again with 4 scanners: the same end", open(path("run.log")).read()[-1500:])
stop(p)
p = start(d, "--speed", "max", "--scanners", 3)
ok(final(d) == at_end, "started again after its end, with another number of scanners: the same end", open(path("run.log")).read()[-1500:])
lists = subprocess.run([BIN, "toplist", "--dir", d], capture_output=True, text=True).stdout
ok("gainers_5m" in lists and "ann" in lists and "bob" in lists, "ringtape toplist lists them all", lists)
bad = subprocess.run([BIN, "toplist", "cheap", "--dir", d], capture_output=True, text=True)
ok(bad.returncode == 2 and "several users" in bad.stderr, "a list that two users have needs its user", bad.stderr)
bad = subprocess.run([BIN, "toplist", "gainer_5m", "--dir", d], capture_output=True, text=True)
ok(bad.returncode == 2 and "'gainers_5m'" in bad.stderr, "the nearest is named", bad.stderr)

with open(USERS, "w") as f:
    f.write('[{"id":"late","metric":"rsi","time_window":"1m"}]')
p.send_signal(signal.SIGHUP)
ok(wait_for(lambda: shown(d, "late")), "SIGHUP reads users' lists again")
with open(USERS, "w") as f:
    f.write('[{"id":"later","metric":"rsi","time_window":"1m","filters":{"expr":"price > 5 and rsi(14)@1m < 70"}}]')
p.send_signal(signal.SIGHUP)
ok(wait_for(lambda: shown(d, "later")) and not shown(d, "late"), "with an expression of metrics that are kept")
with open(USERS, "w") as f:
    f.write('[{"id":"latest","metric":"rsi","time_window":"1m","filters":{"expr":"price > 5 and rsi(15)@1m < 60"}}]')
p.send_signal(signal.SIGHUP)
ok(wait_for(lambda: "found rsi(15)@1m, which the instance was not asked to keep" in open(path("run.log")).read()) and shown(d, "later"),
   "of others it is named, and changes nothing")
with open(USERS, "w") as f:
    f.write('[{"id":"late","metric":"rsi","time_windw":"1m"}]')
p.send_signal(signal.SIGHUP)
ok(wait_for(lambda: "time_windw" in open(path("run.log")).read()) and shown(d, "later"), "a file that is no good is named, and changes nothing")
stop(p)
bad = subprocess.run([BIN, "run", "--source", SIM, "--dir", new_dir(), *ON], capture_output=True, text=True)
ok(bad.returncode == 2 and "time_window" in bad.stderr, "but nothing starts with it", bad.stderr)
done()
