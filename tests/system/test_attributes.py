#!/usr/bin/env python3
"""Attributes of symbols, from a file into rules and alerts: the same in replay and run, for any number of scanners, over
kills of each role, from a capture, and from one whose first segments are gone."""
from lib import *

random.seed(int(os.environ.get("SEED", 11)))
SIM = "sim:symbols=60,seed=9,start=2026-03-02T09:20:00-05:00,minutes=20,rate=200"
SECTORS, EXCHANGES = ["Energy", "Utilities", "Oil, Gas & \u00c9nergie", ""], ["NYSE", "OTC", ""]
OF = {}
for i in range(1, 51):  # the last ten of the market have none
    OF[f"SIM{i:04}"] = {"sector": random.choice(SECTORS), "exchange": random.choice(EXCHANGES), "market_cap": random.choice(["", 5e8, 2e9]),
                        "news_at": random.choice(["", f"2026-03-02T14:{random.randrange(60):02}:00Z"]), "earnings_at": random.choice(["", "2026-03-05"])}


def attributes(name, of, columns):
    with open(path(name), "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["symbol", *columns])
        for s, a in of.items():
            w.writerow([s, *(a[c] for c in columns)])
    return path(name)


FILE = attributes("a.csv", OF, ["sector", "news_at", "market_cap", "exchange", "earnings_at"])
RULES = rules("r.json",
              {"id": "big", "name": "big", "expr": 'sector == "Energy" and market_cap > 1e9 and not exchange == "OTC" and size > 100', "cooldown": 1},
              {"id": "other", "name": "other", "conditions": [{"metric": "sector", "operator": "!=", "value": "Energy"}, {"metric": "size", "operator": ">", "value": 900}], "cooldown": 0},
              {"id": "none", "name": "none", "expr": 'sector == "Nobody" or exchange == "Energy"'},
              {"id": "news", "name": "news", "expr": 'news_age < 3 and earnings_in < 5', "trigger": "once"},
              {"id": "seen", "name": "seen", "expr": 'exchange == "OTC" within 30s and price > 0', "cooldown": 20})

log = path("want.jsonl")
ringtape("replay", SIM, "--rules", RULES, "--attributes", FILE, "--alerts", log)
WANT = alerts(log)
made = [json.loads(l) for l in WANT]
by = {r: [a for a in made if a["rule_id"] == r] for r in ("big", "other", "none", "news", "seen")}
ok(all(by[r] for r in by if r != "none") and not by["none"], "the rules fire, but for texts that no symbol has", {r: len(by[r]) for r in by})
text = lambda s, c: OF[s][c] or None
bad = [a for a in by["big"] + by["other"] if a["metadata"]["sector"] != text(a["symbol"], "sector") or a["metadata"].get("exchange") not in (None, text(a["symbol"], "exchange"))]
ok(not bad, "an alert's metadata has the texts", bad[:1])
big = {s for s, a in OF.items() if a["sector"] == "Energy" and a["market_cap"] == 2e9 and a["exchange"] == "NYSE"}
ok({a["symbol"] for a in by["big"]} == big, "the symbols of a rule are those whose attributes meet it")
ok({a["symbol"] for a in by["other"]} == {s for s, a in OF.items() if a["sector"] not in ("", "Energy")}, "what is unknown is not 'another'")
for a in by["news"]:
    at = OF[a["symbol"]]["news_at"]
    since = (int(a["timestamp"][14:16]) - int(at[14:16])) * 60 + float(a["timestamp"][17:29]) + 3600 * (int(a["timestamp"][11:13]) - 14)
    if abs(a["metadata"]["news_age"] - since / 60) > 1e-6 or not 0 <= since < 180:
        ok(False, "news_age is minutes since the news", a)

# run: scanners, the setting instead of the option, sinks
def run(d, *args):
    return ["run", "--source", SIM, "--rules", RULES, "--dir", d, "--until-end", "--alerts", d + ".jsonl", *map(str, args)]


KEPT = None
for scanners in (1, 2, 4):
    d = new_dir()
    how = ["--attributes", FILE] if scanners == 1 else ["--set", f"symbols.attributes={FILE}"]
    ringtape(*run(d, "--speed", "max", "--scanners", scanners, "--set", f"sinks.sqlite={d}.db", *how))
    ok(alerts(d + ".jsonl") == WANT, f"run with {scanners} scanners gives the same {len(WANT)} alerts")
    KEPT = d
p = ringtape("audit", "--dir", KEPT)
ok("FAIL" not in p.stdout.upper(), "the audit holds", p.stdout)

# kill -9 of each role, going on from checkpoints, while tomorrow's file takes the place of today's
d = new_dir()
today = shutil.copy(FILE, path("today.csv"))
killed = {"ingest": 0, "scanner": 0, "publisher": 0}
p = subprocess.Popen([BIN, *run(d, "--speed", 100, "--scanners", 2, "--attributes", today, "--set", "checkpoints.interval_ms=20")],
                     stderr=open(d + ".log", "a"))
wait_for(lambda: os.path.exists(f"{d}/attributes.csv"))
write("today.csv", "symbol,sector\nSIM0001,Energy\n")
kill_loop(p, killed, 5)
p.wait()
ok(p.returncode == 0 and alerts(d + ".jsonl") == WANT, f"the same alerts after kills: {killed}", open(d + ".log").read()[-1500:])
ringtape("backup", d, path("backup"))
ok(open(path("backup/attributes.csv")).read() == open(FILE).read(), "a backup has the attributes of the run")

# captures
CAPTURE = f"capture:{KEPT}/capture"
ringtape("replay", CAPTURE, "--alerts", log)
ok(alerts(log) == WANT, "a capture brings its attributes")
ringtape("replay", CAPTURE, "--alerts", log, "--set", f"symbols.attributes={path('no-such-file')}")
ok(alerts(log) == WANT, "… whatever the setting says")
swapped = {s: {"sector": "Energy" if s in ("SIM0001", "SIM0055") else "", "exchange": "NYSE", "market_cap": 2e9} for s in [*OF, "SIM0055"]}
SWAPPED = attributes("b.csv", swapped, ["exchange", "sector", "market_cap"])
ringtape("replay", CAPTURE, "--attributes", SWAPPED, "--alerts", log)
again = [json.loads(l) for l in alerts(log)]
ok({a["symbol"] for a in again} == {"SIM0001", "SIM0055"} and {a["rule_id"] for a in again} == {"big"}, "--attributes replaces them all", again[:1])
ringtape("replay", SIM, "--rules", RULES, "--attributes", SWAPPED, "--alerts", path("c.jsonl"))
strip = lambda rows: [(a["id"], a["metadata"]) for a in rows]
ok(strip(again) == strip([json.loads(l) for l in alerts(path("c.jsonl"))]), "… as if they had been the run's")
p = ringtape("run", "--source", CAPTURE, "--dir", new_dir(), "--attributes", SWAPPED, "--until-end", code=2)
ok("a capture brings its own" in p.stderr, "an instance keeps a capture's", p.stderr)
p = ringtape("backtest", RULES, CAPTURE, "--attributes", SWAPPED, "--json")
rows = {r["rule_id"]: r["alerts"] for r in json.loads(p.stdout)["rules"]}
ok(rows["big"] == len(again) and rows["other"] == 0, "backtest takes them too", rows)
shown = [json.loads(l) for l in ringtape("capture", "cat", f"{KEPT}/capture", "--types", "attr").stdout.splitlines()]
known = {s for s, a in OF.items() if any(v != "" for v in a.values())}
ok({m["symbol"] for m in shown} == known and all(m.get("sector") == text(m["symbol"], "sector") for m in shown), "capture cat shows them", shown[:1])

# the first segments are gone
d = new_dir()
ringtape(*run(d, "--speed", "max", "--attributes", FILE, "--set", "journal.segment_mb=1", "--set", "journal.compress=false", "--set", "journal.block_kb=64"))
ok(alerts(d + ".jsonl") == WANT, "small segments: the same alerts")
for segment in sorted(os.listdir(f"{d}/capture"))[:2]:
    os.remove(f"{d}/capture/{segment}")
first = json.loads(ringtape("capture", "info", f"{d}/capture", "--json").stdout)["first_seq"]
ringtape("replay", f"capture:{d}/capture", "--alerts", log)
stateless = lambda lines: [l for l in lines if json.loads(l)["rule_id"] == "other" and json.loads(l)["seq"] >= first + 10000]  # each symbol has a last sale again
ok(first > 1000 and stateless(alerts(log)) == stateless(WANT) != [], "a capture whose first segments are gone still knows them", first)

# explanations
a = next(a for a in by["other"] if a["metadata"]["sector"].startswith("Oil"))
x = json.loads(ringtape("explain", a["id"], "--dir", KEPT, "--json").stdout)
leaf = x["expression"]["of"][0]
ok(x["reproduced"] == "equal" and leaf["comparison"] == 'sector != "Energy"' and leaf["value"] == a["metadata"]["sector"] and leaf["bound"] == "Energy", "explain shows the texts", x)
p = ringtape("why-not", "big", a["symbol"], a["timestamp"], "--dir", KEPT)
ok(f'sector == "Energy"    "{a["metadata"]["sector"]}"' in p.stdout, "so does why-not", p.stdout)
p = ringtape("why-not", "big", "SIM0059", a["timestamp"], "--dir", KEPT)
ok('sector == "Energy"    not known of the symbol' in p.stdout, "… or that nothing is known", p.stdout)

# files that are no good
p = ringtape("replay", SIM, "--rules", RULES, "--attributes", write("bad.csv", "symbol,sectr\n"), code=2)
ok("unknown column 'sectr'" in p.stderr and "did you mean 'sector'?" in p.stderr, "an unknown column is refused with the nearest", p.stderr)
p = ringtape("rules", "check", RULES, "--against", SIM, "--attributes", write("rows.csv", "symbol,sector,market_cap\nSIM0001,Energy,x\nSIM0002,Energy,2e9\n"))
ok("rows.csv: line 2 refused: market_cap 'x', expected a number from 0" in p.stderr, "a row that is no good is refused with its line", p.stderr)
# The file is read again: by SIGHUP, by `rules reload`; roles and all of it killed around it. Late symbols come after that.
rows, start = [], 1772461200000000000  # 2026-03-02T14:20:00Z
for second in range(1200):
    for i in range(12):
        if i < 8 or second > 900:
            rows.append(f"{start + second * 10**9 + i * 10**7},{'LATE' if i >= 8 else 'SYM'}{i},{20 + (second * (i + 3)) % 17}.{i:02},100\n")
TICKS = write("late.csv", "ts_ns,symbol,price,size\n" + "".join(rows))
WATCH = rules("w.json", {"id": "new", "name": "new", "expr": 'sector == "New" and price > 0', "cooldown": 5},
              {"id": "old", "name": "old", "expr": 'sector == "Old" and price > 0', "cooldown": 5})
OLD = "symbol,sector,exchange\n" + "".join(f"{'LATE' if i >= 8 else 'SYM'}{i},Old,NYSE\n" for i in range(12) if i != 9)
NEW = "symbol,sector,exchange\n" + "".join(f"SYM{i},{'New' if i % 2 else 'Old'},NYSE\n" for i in range(7)) + "LATE8,New,NYSE\nLATE9,New,NYSE\nLATE10,Old,NYSE\n"


def reloaded(how, scanners, kills):
    d, file = new_dir(), write("reload.csv", OLD)
    args = [BIN, "run", "--source", f"csv:{TICKS}", "--rules", WATCH, "--attributes", file, "--dir", d, "--until-end", "--speed", "150", "--scanners",
            str(scanners), "--alerts", d + ".jsonl", "--set", "checkpoints.interval_ms=50"]
    p = subprocess.Popen(args, stderr=open(d + ".log", "a"), start_new_session=True)
    wait_for(lambda: os.path.exists(d + ".jsonl") and os.path.getsize(d + ".jsonl") > 20000)
    write("reload.csv", "symbol,sectr\nSYM0,New\n")
    bad = ringtape("rules", "reload", "--dir", d, code=None)
    ok(bad.returncode not in (0, -11) and "did you mean 'sector'" in bad.stderr and "nothing has changed" in bad.stderr, f"{how}: a bad file is refused", bad.stderr)
    write("reload.csv", NEW)
    if how == "SIGHUP":
        p.send_signal(signal.SIGHUP)
        said = wait_for(lambda: "attributes of 4 symbols changed" in open(d + ".log").read())
        ok(said, "by SIGHUP: what changed is in the log", open(d + ".log").read()[-500:])
    else:
        said = ringtape("rules", "reload", "--dir", d).stdout
        ok(said == "0 added, 0 changed, 0 removed, 2 unchanged; attributes of 4 symbols changed\n", "by rules reload: what changed is said", said)
    write("reload.csv", "no file of attributes any more\n")
    if kills == "roles":
        killed = {"ingest": 0, "scanner": 0, "publisher": 0}
        kill_loop(p, killed, 2)
        how = f"{how}, kills {killed}"
    elif kills == "all":
        time.sleep(0.5)
        pids = [p.pid, *roles(p)]
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
        p = subprocess.Popen(args, stderr=open(d + ".log", "a"), start_new_session=True)
        how += ", all killed"
    p.wait()
    made = [json.loads(l) for l in alerts(d + ".jsonl")]
    ringtape("replay", f"capture:{d}/capture", "--alerts", log)
    ok(p.returncode == 0 and alerts(log) == alerts(d + ".jsonl"), f"{how}: the {len(made)} alerts are those of a replay of the capture", open(d + ".log").read()[-800:])
    new = {a["symbol"] for a in made if a["rule_id"] == "new"}
    ok(new == {"SYM1", "SYM3", "SYM5", "LATE8", "LATE9"}, f"{how}: symbols of the new file, also those that came after it", new)
    begun = min(a["seq"] for a in made if a["rule_id"] == "new")
    later = {a["symbol"] for a in made if a["rule_id"] == "old" and a["seq"] > begun}
    ok(later >= {"SYM0", "SYM2", "LATE10"} and not later & {"SYM1", "SYM3", "SYM5", "SYM7"}, f"{how}: what the file does not name any more is unknown", later)
    attrs = [m for m in (json.loads(l) for l in ringtape("capture", "cat", f"{d}/capture", "--types", "attr").stdout.splitlines()) if m["symbol"].startswith("SYM")]
    places = [m["seq"] for m in attrs[8:]]
    ok(len(places) == 4 and places == list(range(places[0], places[0] + 4)), f"{how}: one place for all of it", places)
    audit = ringtape("audit", "--dir", d, code=None)
    ok(audit.returncode == 0, f"{how}: the audit holds", audit.stdout + audit.stderr)


reloaded("SIGHUP", 1, "none")
reloaded("rules reload", 4, "roles")
reloaded("SIGHUP", 2, "all")

done()
