#!/usr/bin/env python3
"""Scans of a running instance: what they find at the stream's end is what the symbol table says, for any number of
scanners; alerts do not depend on them; what cannot be scanned is refused by name."""
from lib import *

SIM = "sim:symbols=300,seed=5,start=2026-03-02T09:25:00-05:00,minutes=20,rate=600"
RULES = os.path.join(ROOT, "scripts/demo-rules.json")


def lines(*args):
    p = subprocess.run([BIN, *args, "--json"], capture_output=True, text=True)
    return {row["symbol"]: row for row in map(json.loads, p.stdout.splitlines())}


def check(d, scanners):
    table = lines("symbols", "--dir", d)
    prices = sorted(row["price"] for row in table.values())
    middle = prices[len(prices) // 2]
    want = {s for s, row in table.items() if row["price"] > middle and row["day_volume"] >= 1000}
    found = wait_for(lambda: set(lines("scan", f"price > {middle} and volume_daily >= 1000", "--dir", d)) == want, 30, 0.2)
    ok(found and len(want) > 20, f"{len(want)} of {len(table)} symbols, {scanners} scanners", want)
    rows = {}

    def is_level():  # each bucket has been shown since the end
        rows.update(lines("scan", "price > 0 and rsi(14)@1m > 0 and session == \"market\"", "--dir", d))
        return len(rows) == len(table)

    wait_for(is_level, 30, 0.2)
    time.sleep(3)
    is_level()
    wrong = [r for s, r in rows.items() if r["price"] != table[s]["price"] or not 0 < r["rsi(14)@1m"] <= 100 or r["session"] != "market"]
    ok(len(rows) > 200 and not wrong, f"{len(rows)} rows have the values that were asked for", wrong[:5])
    below = set(lines("scan", "rsi(14)@1m <= 50", "--dir", d))
    above = set(lines("scan", "not rsi(14)@1m <= 50", "--dir", d))
    ok(below and above and not below & above, "what is unknown is on neither side")
    ok(len(lines("scan", "price > 0", "--dir", d, "--limit", "7")) == 7, "no more than the limit")


log = path("replay.jsonl")
ringtape("replay", SIM, "--rules", RULES, "--alerts", log)
want = alerts(log)
for scanners in 1, 3:
    d, out = new_dir(), path("run.jsonl")
    p = subprocess.Popen([BIN, "run", "--source", SIM, "--rules", RULES, "--dir", d, "--set", "scans.enabled=true", "--set",
                          "toplists.enabled=true", "--speed", "max", "--scanners", str(scanners), "--alerts", out],
                         stderr=open(path("run.log"), "a"))
    text = lambda: subprocess.run([BIN, "toplist", "gainers_1m", "--dir", d], capture_output=True, text=True).stdout
    ok(wait_for(lambda: "the source has ended" in text(), 60, 0.1), "the stream has ended")
    check(d, scanners)
    if scanners == 1:
        for text_, why in (("price crosses above 5", "column 7: found 'crosses'"), ("ema(9)@1m > 5", "ema(9)@1m"), ("price > 5 within 9s", "column 11: found 'within'"), ("ask - bid > 1", "arithmetic"), ("price >", "")):
            q = ringtape("scan", text_, "--dir", d, code=2)
            ok(why in q.stderr, f"refused: {text_}", q.stderr)
    p.send_signal(signal.SIGTERM)
    p.wait(60 * PATIENCE)
    ok(alerts(out) == want, f"the alerts are those of a replay, {scanners} scanners")

ok("rsi(14)@1m" in ringtape("scan").stdout.split(), "without an expression it lists the metrics")
d = new_dir()
p = subprocess.Popen([BIN, "run", "--source", SIM, "--rules", RULES, "--dir", d], stderr=open(path("run.log"), "a"))
wait_for(lambda: lines("symbols", "--dir", d), 30, 0.1)
q = ringtape("scan", "price > 0", "--dir", d, code=1)
ok("scans.enabled=true" in q.stderr, "an instance without scans names the setting", q.stderr)
p.send_signal(signal.SIGTERM)
p.wait(60 * PATIENCE)
done()
