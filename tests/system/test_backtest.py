#!/usr/bin/env python3
"""Backtest: every return and every statistic against a reference made here from the rows alone."""
import bisect, datetime, html.parser, math, random, statistics, zoneinfo
from lib import *

S, MIN = 10**9, 60 * 10**9
HORIZONS = ["1m", "5m", "15m", "60m", "close"]
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")


def e9(text):
    whole, _, part = text.partition(".")
    return int(whole) * S + int(part.ljust(9, "0"))


def ns(text):
    t = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return int(t.timestamp()) * S + int(text[20:29])


def trading_day(ts):
    """The New York day that ts is in or after (from 04:00 to the next one's 04:00): start, market, close, end, date."""
    date = datetime.datetime.fromtimestamp(ts // S, NEW_YORK).date() + datetime.timedelta(1)
    while True:
        at = lambda h, m: int(datetime.datetime(date.year, date.month, date.day, h, m, tzinfo=NEW_YORK).timestamp()) * S
        if date.weekday() < 5 and at(4, 0) <= ts:
            return at(4, 0), at(9, 30), at(16, 0), at(20, 0), date.isoformat()
        date -= datetime.timedelta(1)


class Reference:
    def __init__(self, rows):
        self.times, self.prices, self.last_of_day, self.days, self.trades = {}, {}, {}, {}, {}
        known = None
        for ts, symbol, price in rows:
            if not known or not known[0] <= ts < known[0] + 20 * 60 * MIN:
                known = trading_day(ts)
            self.days[known[4]] = known
            self.last_of_day[known[4]] = max(ts, self.last_of_day.get(known[4], 0))
            self.trades[known[4]] = self.trades.get(known[4], 0) + 1
            times = self.times.setdefault(symbol, [])
            if not times or ts >= times[-1]:  # a late print does not count
                times.append(ts)
                self.prices.setdefault(symbol, []).append(e9(price))

    def price(self, symbol, ts):
        return self.prices[symbol][bisect.bisect_right(self.times[symbol], ts) - 1]

    def returns(self, symbol, ts, price):
        start, _, close, end, date = trading_day(ts)
        data = self.last_of_day.get(date, 0)
        for h in HORIZONS:
            then = close if h == "close" else ts + int(h[:-1]) * MIN
            reached = then > ts and (close - MIN <= data if h == "close" else then <= min(data, end))
            yield self.price(symbol, then) / price - 1 if reached else None

    def baseline(self, symbols, start_ns=0, end_ns=1 << 62):
        out = {h: [] for h in HORIZONS}
        for symbol in symbols:
            for start, _, close, end, date in self.days.values():
                i = bisect.bisect_left(self.times[symbol], start)
                if i == len(self.times[symbol]) or trading_day(self.times[symbol][i])[4] != date:
                    continue
                first = -(-self.times[symbol][i] // MIN) * MIN
                for ts in range(first, min(self.last_of_day[date], end) + 1, MIN):
                    if start_ns <= ts < end_ns:
                        for h, r in zip(HORIZONS, self.returns(symbol, ts, self.price(symbol, ts))):
                            out[h] += [] if r is None else [r]
        return out


def near(a, b, tolerance=1e-9):
    return a is None and b is None or a is not None and b is not None and math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-12)


def same_stats(got, want, median_tolerance=1e-12):
    n = len(want)
    expected = {"n": n, "hit_rate": sum(r > 0 for r in want) / n if n else None, "mean": statistics.fmean(want) if n else None,
                "stdev": statistics.stdev(want) if n > 1 else None, "best": max(want, default=None), "worst": min(want, default=None)}
    bad = {k: (got[k], v) for k, v in expected.items() if not near(got[k], v)}
    if not near(got["median"], statistics.median(want) if n else None, median_tolerance):
        bad["median"] = got["median"], statistics.median(want) if n else None
    return bad


def check(what, rule_file, sources, rows, *args, start_ns=0, end_ns=1 << 62, least=20):
    """Runs it, and compares all it says. Returns the report."""
    p = ringtape("backtest", rule_file, *sources, "--json", "--csv", path("b.csv"), "--alerts", path("b.jsonl"), *args)
    ringtape("replay", *sources, "--rules", rule_file, "--alerts", path("r.jsonl"), *args)
    same = open(path("b.jsonl"), "rb").read() == open(path("r.jsonl"), "rb").read()
    ok(same, f"{what}: alerts are replay's, byte for byte")
    report, ref = json.loads(p.stdout), Reference(rows)
    alerts, table = [json.loads(l) for l in open(path("b.jsonl"))], list(csv.DictReader(open(path("b.csv"), newline="")))
    ok(len(alerts) == len(table) >= least and all(a["id"] == t["id"] and a["rule_id"] == t["rule_id"] and a["symbol"] == t["symbol"]
       and ns(a["timestamp"]) == int(t["ts_ns"]) for a, t in zip(alerts, table)), f"{what}: a row for each of {len(alerts)} alerts", len(table))
    bad, found = [], {}
    for t in table:
        for h, r in zip(HORIZONS, ref.returns(t["symbol"], int(t["ts_ns"]), e9(t["price"]))):
            got = float(t["return_" + h]) if t["return_" + h] else None
            found.setdefault((t["rule_id"], h), []).append(r)
            if (r is None) != (got is None) or r is not None and abs(r - got) > 1e-12:
                bad.append((t["symbol"], t["timestamp"], h, got, r))
    ok(not bad, f"{what}: each return is the reference's at 1e-12", "\n".join(map(str, bad[:5])) + f"\n{len(bad)}")
    bad = []
    for g in report["rules"] + [report["total"]]:
        mine = [a for a in alerts if a["rule_id"] == g.get("rule_id", a["rule_id"])]
        base = ref.baseline({a["symbol"] for a in mine}, start_ns, end_ns)
        if g["alerts"] != len(mine) or g["symbols"] != len({a["symbol"] for a in mine}):
            bad.append((g["alerts"], len(mine)))
        for h in g["horizons"]:
            want = [r for (rule, name), rs in found.items() if name == h["horizon"] and rule == g.get("rule_id", rule) for r in rs]
            wrong = same_stats(h, [r for r in want if r is not None]), same_stats(h["baseline"], base[h["horizon"]], 1 / 63)
            if any(wrong) or h["none"] != want.count(None):
                bad.append((g.get("rule_id"), h["horizon"], h["none"], want.count(None), *wrong))
    ok(not bad, f"{what}: statistics of alerts and baseline are the reference's", "\n".join(map(str, bad[:5])))
    return report, ref


# a market of two days before a weekend and one behind it: late prints, silence, a day that ends early
rng = random.Random(7)
price, rows = {"AAA": 5000, "BBB": 12000, "C,\"<i>": 900, "QUIET": 700}, []
for day, last in ((datetime.date(2024, 3, 7), 12.2), (datetime.date(2024, 3, 8), 6.49), (datetime.date(2024, 3, 11), 11.9957)):
    start = int(datetime.datetime(day.year, day.month, day.day, 8, 0, tzinfo=NEW_YORK).timestamp()) * S
    ts = start
    while ts < start + int((last - 4) * 3600) * S:
        ts += rng.randrange(1, 4 * S)
        symbol = rng.choices(list(price), (8, 4, 2, 0.02))[0]
        price[symbol] = max(100, price[symbol] + rng.choice((-2, -1, -1, 0, 0, 1, 1, 2)))
        late = rng.randrange(1, 90) * S if rng.random() < 0.02 else 0
        rows.append((ts - late, symbol, f"{price[symbol] / 100:.2f}"))


def quoted(symbol):
    return '"' + symbol.replace('"', '""') + '"' if '"' in symbol else symbol


market = write("market.csv", "ts_ns,symbol,price,size\n" + "".join(f"{t},{quoted(s)},{p},100\n" for t, s, p in rows))
mine = rules("mine.json",
             {"id": "up", "trigger": "cross", "cooldown": 60, "expr": "change_pct_1m > 0.1"},
             {"id": "<script>alert(1)</script>", "name": "a & \"b\"", "cooldown": 300, "expr": "rsi(14)@1m < 40"},
             {"id": "quiet", "cooldown": 900, "trigger": "cross", "expr": "volume_5m == 0 and volume_60m > 0"},
             {"id": "never", "expr": "price > 1e6"})
report, ref = check("three days", mine, [f"csv:{market}"], rows, least=200)
ok([d["date"] for d in report["days"]] == ["2024-03-07", "2024-03-08", "2024-03-11"] and
   [d["trades"] for d in report["days"]] == list(ref.trades.values()) and sum(d["alerts"] for d in report["days"]) == report["total"]["alerts"],
   "three days: trading days, trades and alerts of each", report["days"])
ok(any(h["none"] for h in report["total"]["horizons"]) and all(h["n"] for h in report["total"]["horizons"]), "… some alerts have a return, some none")
middle = rows[len(rows) // 2][0]
check("from, to", mine, [f"csv:{market}"], rows, "--from", rows[3000][0], "--to", middle, start_ns=rows[3000][0], end_ns=middle)
check("one symbol", mine, [f"csv:{market}"], rows, "--symbols", "BBB")
late = min(t for t, _, _ in rows if t > rows[0][0] + 2 * 86400 * S)
files = [write(f"day{i}.csv", "ts_ns,symbol,price,size\n" + "".join(f"{t},{quoted(s)},{p},100\n" for t, s, p in rows if (t >= late) == i)) for i in (0, 1)]
again = check("two files", mine, [f"csv:{f}" for f in files], rows)[0]
ok(again["total"] == report["total"], "a file for each part gives the same as one file")
ringtape("import", f"csv:{market}", path("capture"))
p = ringtape("backtest", mine, f"capture:{path('capture')}", "--json")
ok({k: v for k, v in json.loads(p.stdout).items() if k != "sources"} == {k: v for k, v in report.items() if k != "sources"}, "a capture of it gives the same report")
p = ringtape("backtest", mine, "sim:symbols=200,minutes=90,rate=500,seed=3", "--json", "--csv", path("sim.csv"), "--set", "limits.rules=8")
total = json.loads(p.stdout)["total"]
ok(total["alerts"] > 100 and total["horizons"][0]["n"] > 100 and total["horizons"][4] ["n"] == 0, "a simulated market without a close", total)

# the page
ringtape("backtest", mine, f"csv:{market}", "--html", path("b.html"))
page = open(path("b.html"), encoding="utf-8").read()


class Page(html.parser.HTMLParser):
    open_tags, seen, wrong = [], {}, []

    def handle_starttag(self, tag, attrs):
        self.seen[tag] = self.seen.get(tag, 0) + 1
        self.wrong += [a for a in attrs if a[0] in ("src", "href", "xlink:href", "action") or a[0].startswith("on")]
        if tag not in ("meta", "br"):
            self.open_tags.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen[tag] = self.seen.get(tag, 0) + 1

    def handle_endtag(self, tag):
        if not self.open_tags or self.open_tags.pop() != tag:
            self.wrong.append("</" + tag)


parsed = Page()
parsed.feed(page)
ok(not parsed.wrong and not parsed.open_tags and parsed.seen["svg"] == 11 and parsed.seen["table"] == 5, "the page parses: 11 charts, 5 tables",
   (parsed.wrong, parsed.open_tags, parsed.seen))
ok("script" not in parsed.seen and "i" in parsed.seen and "&lt;script&gt;" in page and "C,&quot;&lt;i&gt;" in page and "a &amp; &quot;b&quot;" in page,
   "what the user wrote is escaped")
ok(not any(w in page for w in ("http:", "https:", "url(", "@import", "nan", "inf%")), "it refers to nothing outside")
browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
if browser:
    p = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={path('profile')}", "--window-size=1300,2000",
                        f"--screenshot={path('b.png')}", "file://" + path("b.html")], capture_output=True, timeout=120)
    ok(os.path.exists(path("b.png")) and os.path.getsize(path("b.png")) > 20000, "a browser renders it", p.stderr[-500:])
else:
    print("ok - a browser renders it # SKIP no chromium")

# the table, and what is no good
out = ringtape("backtest", mine, f"csv:{market}").stdout
ok("3 trading days, 2024-03-07 to 2024-03-11; 4 symbols" in out and out.count("HORIZON") == 4 and "TOTAL: " in out, "the table", out)


both = [{"id": "a", "expr": "price > 1", "cooldown": 60}, {"id": "b", "expr": "price > 1", "cooldown": 60, "mode": "shadow"}]
live, shadow = json.loads(ringtape("backtest", rules("shadow.json", *both), f"csv:{market}", "--json").stdout)["rules"]
ok(live["alerts"] == shadow["alerts"] > 0, "a rule in mode shadow is tried as a live one", f"{live['alerts']} {shadow['alerts']}")


def refused(what, code, args, *says):
    p = ringtape("backtest", *args, code=None)
    ok(p.returncode == code and all(s in p.stderr for s in says), what, f"exit {p.returncode}, expected {code}: {p.stderr}")


refused("a rule that is none", 2, [rules("bad.json", {"id": "a", "expr": "prise > 1"}), f"csv:{market}"], "bad.json", "'price'")
refused("no file of rules", 2, ["/nowhere.json", f"csv:{market}"], "/nowhere.json")
refused("no source", 2, [mine], "RULES SOURCE")
refused("a source without a trade", 1, [mine, "csv:" + write("empty.csv", "ts_ns,symbol,price,size\n")], "empty.csv", "found no trade")
refused("symbols that are not there", 1, [mine, f"csv:{market}", "--symbols", "BBC"], "BBC", "did you mean BBB")
refused("a time that is none", 2, [mine, f"csv:{market}", "--from", "noon"], "--from", "noon")
refused("a page that cannot be written", 1, [mine, f"csv:{market}", "--html", "/nowhere/b.html"], "/nowhere/b.html")
text = ringtape("backtest", "--help").stdout
ok("price then / alert price - 1" in text and "--html FILE" in text, "--help defines the return", text)

# real data
if os.path.exists(TAPE):
    rows = [(int(t), s, p) for t, s, p in (l.split(",")[:3] for l in list(zstd_lines(TAPE))[1:])]
    check("the tape", mine, [f"csv:{TAPE}"], rows, least=100)
else:
    print(f"ok - the tape # SKIP {os.path.relpath(TAPE, ROOT)} is not there")
done()
