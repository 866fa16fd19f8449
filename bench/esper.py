"""The engine beside Esper, on the same ticks and rules in the same run: both are told in turn to go over the tape, and
every rule must have fired as often in both. Timed is the thread's CPU time on both sides, without Esper's garbage
collection. Used by bench/run.py; alone, with some kinds and numbers of rules:

   python3 bench/esper.py TAPE.csv.zst price_cross 10 1000

   price_alert   price > threshold for one symbol, all thresholds over the day's range; that both watch them is seen on a
                 short tape of its own, which goes over them
   price_cross   the same, when it becomes true, thresholds all over the range
   market_few    three comparisons for all symbols, which seldom hold together
   market_many   the same, which often do
"""
import json, os, shutil, statistics, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORK = os.path.join(ROOT, "build", "bench")
CLASSES = os.path.join(WORK, "esper")
COUNTS = (10, 100, 1000, 10000, 100000)
KINDS = ("price_alert", "price_cross", "market_few", "market_many")
PRINTS = ["bars.corrections=true"]  # metrics of prints need them kept; Esper keeps its windows too
BESIDE_ESPER = 1000  # rules for all symbols, at most
FLIP_TICKS, FLIP_GOAL_NS = 60000, 10
WARM_S = 3  # of a side's own time, and three passes at least


class Mismatch(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def spread(i, of):
    """i + 1 points spread evenly over 0 to 1: fractions of multiples of `of`."""
    return of * (i + 1) % 1


def rules_of(kind, n, tape):
    """[(our rule, Esper's row)]; the tape says each symbol's lowest and highest price."""
    made = []
    for i in range(n):
        u = spread(i, 0.6180339887)
        if kind.startswith("price"):
            symbol = sorted(tape.low)[i % len(tape.low)]
            low, high = tape.low[symbol], tape.high[symbol]
            threshold = f"{high * (1.01 + 0.5 * u) if kind == 'price_alert' else low + (high - low) * u:.6f}"
            rule = {"symbols": [symbol], "expr": f"price > {threshold}"}
            row = f"{symbol},{threshold}"
        else:
            dev = f"{1e-4 + 9e-4 * u if kind == 'market_few' else -2e-4 + 4e-4 * u:.10f}"
            size, change = str(200 + 100 * (7 * i % 19)), f"{2e-4 + 1e-3 * spread(i, 0.7548776662):.10f}"
            rule = {"expr": f"dev(20 trades) > {dev} and size > {size} and change_over(60s) > {change}"}
            row = f"{dev},{size},{change}"
        trigger = "cross" if kind == "price_cross" else "level"
        made.append(({"id": f"r{i}", "trigger": trigger, "cooldown": 0, **rule}, row))
    return made


class Tape:
    """The tape as csv, which both read, and what the rules are made of."""

    def __init__(self, zst):
        self.csv = os.path.join(WORK, "tape.csv")
        if not os.path.exists(self.csv):
            subprocess.run(["zstd", "-dqf", zst, "-o", self.csv], check=True)
        with open(self.csv) as f:
            self.lines = f.read().splitlines()
        self.low, self.high = {}, {}
        for line in self.lines[1:]:
            _, symbol, price, _ = line.split(",", 3)
            p = float(price)
            self.low[symbol] = min(p, self.low.get(symbol, p))
            self.high[symbol] = max(p, self.high.get(symbol, p))

    def over_the_top(self):
        """Some ticks, then each symbol's price in steps through where price_alert has its thresholds."""
        lines = self.lines[:40001]
        t = int(lines[-1].split(",")[0])
        rest = "," * (self.lines[0].count(",") - 3)
        for step in range(4):
            for symbol in sorted(self.high):
                t += 10**6
                lines.append(f"{t},{symbol},{self.high[symbol] * (1.1 + 0.15 * step):.4f},100{rest}")
        path = os.path.join(WORK, "over.csv")
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
        return path


class Side:
    """One of the two programs: it sleeps until it is told to go on."""

    def __init__(self, name, argv):
        self.name, self.fires_path = name, os.path.join(WORK, f"fires.{name}")
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        word = self.answer().split()
        self.load_s = float(word[1])

    def answer(self):
        line = self.p.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self.p.wait()}")
        return line

    def tell(self, text):
        """(ticks since its start, nanoseconds that this took)"""
        self.p.stdin.write(text + "\n")
        self.p.stdin.flush()
        return [int(x) for x in self.answer().split()]

    def fires(self):
        self.tell(f"fires {self.fires_path}")
        with open(self.fires_path) as f:
            return [int(line) for line in f]

    def close(self):
        self.p.stdin.close()
        self.p.wait()


class Pair:
    """Both sides with the same rules over the same tape."""

    def __init__(self, kind, made, csv):
        rules, rows = os.path.join(WORK, "rules.json"), os.path.join(WORK, "rules.csv")
        with open(rules, "w") as f:
            json.dump([rule for rule, _ in made], f)
        with open(rows, "w") as f:
            f.write("".join(row + "\n" for _, row in made))
        classpath = f"{CLASSES}/classes:{CLASSES}/libs/*"
        java = ["java", "-Xms2g", "-Xmx4g", "-XX:+UseParallelGC", "-cp", classpath, "EsperBench", "market" if kind.startswith("market") else kind]
        self.made, self.sent = made, 0
        self.ours = Side("ringtape", [os.path.join(WORK, "rules"), csv, rules, *PRINTS * kind.startswith("market")])
        self.theirs = Side("esper", [*java, csv, rows])

    def step(self, ticks):
        """Both go on by the same ticks, `ticks` at least: nanoseconds a tick, ours and theirs."""
        before = self.sent
        self.sent, ours_ns = self.ours.tell(f"next {ticks}")
        _, theirs_ns = self.theirs.tell(f"to {self.sent}")
        return ours_ns / (self.sent - before), theirs_ns / (self.sent - before)

    def compare(self):
        """Fires of all rules since the start, the same in both, or Mismatch."""
        ours, theirs = self.ours.fires(), self.theirs.fires()
        wrong = [i for i in range(len(self.made)) if ours[i] != theirs[i]]
        if wrong:
            i = wrong[0]
            raise Mismatch(f"{len(wrong)} of {len(ours)} rules fired differently over {self.sent} ticks; the first is {self.made[i][0]}: "
                           f"{ours[i]} times here, {theirs[i]} times in Esper")
        return sum(ours)

    def close(self):
        self.ours.close()
        self.theirs.close()


def measure(kind, made, tape, runs):
    """The figures of `runs` passes over the tape after warming up, and fires per tick."""
    pair, day = Pair(kind, made, tape.csv), len(tape.lines) - 1
    try:
        passes, spent = 0, 0
        while passes < 3 or spent < WARM_S * 1e9:
            spent += pair.step(day)[1] * day
            passes += 1
        figures = [pair.step(day) for _ in range(runs)]
        return figures, pair.compare() / pair.sent, (pair.ours.load_s, pair.theirs.load_s)
    finally:
        pair.close()


def check_alerts(made, tape):
    """price_alert never fires on the tape: so both go over the thresholds once."""
    pair = Pair("price_alert", made, tape.over_the_top())
    try:
        pair.step(1)
        if not pair.compare():
            raise Mismatch("no rule fired on the tape that goes over the thresholds")
    finally:
        pair.close()


def row(bench, kind, rules, ours, theirs, ratio, unit, runs, wide, note, peer="esper_9"):
    return {"bench": bench, "peer": peer, "placement": "one core", "rules": rules, "kind": kind, "ours": ours, "theirs": theirs,
            "ratio": ratio, "unit": unit, "runs": runs, "spread": wide, "note": note}


def rows_of(kind, n, tape, runs):
    if kind.startswith("market") and n > BESIDE_ESPER:
        return flip_rows(kind, n, tape)
    made = rules_of(kind, n, tape)
    if kind == "price_alert":
        check_alerts(made, tape)
    figures, fires, load = measure(kind, made, tape, runs)
    ratios = sorted(o / t for o, t in figures)
    ours, theirs = (statistics.median(f[k] for f in figures) for k in (0, 1))
    wide = (max(o for o, _ in figures) - min(o for o, _ in figures)) / ours
    made_rows = [row("engine_ns_per_tick", kind, n, ours, theirs, statistics.median(ratios), "ns", runs, round(wide, 3),
                     f"{fires:.4f} fires per tick, the same for each rule; ratios {ratios[0]:.3f} to {ratios[-1]:.3f}")]
    if n == COUNTS[-1] and kind == "price_cross":
        made_rows += [row("rules_load_s", kind, n, load[0], 2, load[0] / 2, "s", 1, 0, "from the file's JSON to indexes", peer="goal"),
                      row("rules_load_s", kind, n, load[0], load[1], load[0] / load[1], "s", 1, 0, "Esper: compiled and added as events")]
    return made_rows


def alone(made, ticks):
    """Our side over as many ticks: nanoseconds, comparisons flipped and fires, each a tick, after as many to warm up."""
    path = os.path.join(WORK, "rules.json")
    with open(path, "w") as f:
        json.dump([rule for rule, _ in made], f)
    side = Side("ringtape", [os.path.join(WORK, "rules"), os.path.join(WORK, "tape.csv"), path, *PRINTS])
    try:
        begun, _ = side.tell(f"next {ticks}")
        flips, fires = side.tell("flips")[1], sum(side.fires())
        end, took_ns = side.tell(f"next {ticks}")
        n = end - begun
        return took_ns / n, (side.tell("flips")[1] - flips) / n, (sum(side.fires()) - fires) / n
    finally:
        side.close()


def flip_rows(kind, n, tape):
    """Esper would take hours for so many. What our time goes by is how often the rarest of the three comparisons flips: each
    of them is counted beside others that never hold, joined by an `or`, which no sieve takes."""
    made = rules_of(kind, n, tape)
    took_ns, _, fires = alone(made, FLIP_TICKS)
    flips = {}
    for k, name in enumerate(("dev", "size", "change_over")):
        only = [({**rule, "expr": rule["expr"].split(" and ")[k] + " and (price < 0.000001 or price < 0.000002)"}, row) for rule, row in made]
        flips[name] = alone(only, FLIP_TICKS)[1]
    rarest = min(flips, key=flips.get)
    ours = took_ns / (flips[rarest] + fires)
    return [row("engine_ns_per_flip", kind, n, ours, FLIP_GOAL_NS, ours / FLIP_GOAL_NS, "ns", 1, 0,
                f"{took_ns:.0f} ns per tick, {fires:.1f} fires, flips of the rarest comparison ({rarest}) {flips[rarest]:.1f}; "
                f"all flips {sum(flips.values()):.0f}", peer="goal")]


def build():
    """Esper from Maven Central, and our few lines over it. False where it cannot be had."""
    if not shutil.which("mvn") or not shutil.which("javac"):
        say("Esper: left out: it needs Maven and a JDK of version 17 or later (scripts/setup.sh bench)")
        return False
    p = subprocess.run(["mvn", "-B", "-q", "-f", os.path.join(ROOT, "bench", "esper", "pom.xml"), "compile"], capture_output=True, text=True)
    if p.returncode:
        say("Esper: left out: Maven could not build it\n" + (p.stdout + p.stderr)[-600:])
    return p.returncode == 0


def knows(expr):
    """Whether this engine has the metrics of an expression."""
    path = os.path.join(WORK, "knows.json")
    with open(path, "w") as f:
        json.dump([{"id": "knows", "expr": expr}], f)
    p = subprocess.run([os.path.join(ROOT, "build", "ringtape"), "rules", "check", path], capture_output=True, text=True)
    return p.returncode == 0


def bench(zst, quick, kinds=KINDS, counts=COUNTS):
    """The rows for bench.json. A kind whose fires differ gets no figure but a row that says so."""
    if not build():
        return []
    tape, found = Tape(zst), []
    for kind in kinds:
        expr = rules_of(kind, 1, tape)[0][0]["expr"]
        if not knows(expr):
            say(f"{kind}: left out, this engine does not know all of: {expr}")
            continue
        for n in counts:
            try:
                found += rows_of(kind, n, tape, 3 if quick else 5)
            except (Mismatch, RuntimeError) as e:
                say(f"{kind} with {n} rules: FAILED: {e}")
                found.append(row("engine_ns_per_tick", kind, n, None, None, None, "ns", 0, None, f"FAILED: {e}"))
    return found


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    chosen = [a for a in sys.argv[2:] if not a.isdigit()] or KINDS
    unknown = set(chosen) - set(KINDS)
    if unknown:
        sys.exit(f"{unknown.pop()}: no such kind, expected some of {' '.join(KINDS)}")
    for r in bench(sys.argv[1], True, chosen, [int(a) for a in sys.argv[2:] if a.isdigit()] or COUNTS):
        print(json.dumps(r))
