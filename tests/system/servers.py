"""Redis, PostgreSQL and Kafka of one's own for system tests, each started by its script in scripts/, and what the sinks
have written there: alerts and bars as rows that can be compared with those of a replay."""
import calendar, glob, sqlite3
from decimal import Decimal
from lib import *
import redis_server

CAT = os.path.join(ROOT, "build", "kafka_cat")


def ns(text):
    """UTC nanoseconds of a timestamp in an event."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(text[20:29] if text[19:20] == "." else 0)


def alert_row(a):
    return (a["seq"], a["id"], a["rule_id"], a["rule_name"], a["rule_version"], a["symbol"], ns(a["timestamp"]), a["price"], a["message"],
            json.dumps(a["metadata"], sort_keys=True), a["kind"], a["revision"])


def bar_row(symbol, start_ns, *numbers):
    """numbers: open, high, low, close, volume, trades."""
    return (symbol, int(start_ns), *(Decimal(str(n)) for n in numbers))


def json_bar(b):
    return bar_row(b["symbol"], ns(b["timestamp"]), *(b[k] for k in ("open", "high", "low", "close", "volume", "trades")))


def decimals(text):
    return json.loads(text, parse_float=Decimal)


def csv_bars(file):
    """Of --bars."""
    with open(file) as f:
        return sorted(bar_row(*(r[k] for k in ("symbol", "bar_start_ns", "open", "high", "low", "close", "volume", "trades"))) for r in csv.DictReader(f))


def json_alerts(file):
    """Of --alerts, in order."""
    with open(file) as f:
        return sorted(alert_row(json.loads(l)) for l in f)


def database_alert(r):
    """Of a row of ALERT."""
    return (int(r[0]), r[1], r[2], r[3], int(r[4]), r[5], int(r[6]), float(r[7]) if r[7] not in (None, "") else None, r[8],
            json.dumps(json.loads(r[9]), sort_keys=True), r[10], int(r[11]))


ALERT = "seq, {id}, rule_id, rule_name, rule_version, symbol, event_ns, price, message, metadata, kind, revision"


class Server:
    """scripts/NAME.sh start|stop|kill. It has the processes pids(); a subclass adds what its sink writes:

    alerts(), bars()   their rows; alerts in the order in which the server keeps them, if `ordered`
    renew()            forgets what is there: the next two give what came after
    sets               the settings of a run that delivers here"""
    name, ordered = None, True

    def __init__(self, *args, size_mb=None):
        """size_mb: on a file system of its own that can be filled up; None is the disk."""
        self.dir, self.mounted = path(self.name), False
        if size_mb:
            os.makedirs(self.dir)
            self.mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", self.dir], capture_output=True).returncode == 0
        self.start(*args)

    def script(self, *args):
        return subprocess.run([os.path.join(ROOT, f"scripts/{self.name}.sh"), *args], capture_output=True, text=True)

    def start(self, *args):
        self.args = args or getattr(self, "args", ())
        p = self.script("start", self.dir, *map(str, self.args))
        if p.returncode == 77:
            print(f"ok - {self.name} # SKIP {p.stderr.strip().splitlines()[-1]}")
            sys.exit(0)
        if p.returncode:
            raise RuntimeError(p.stderr)
        self.port = int(p.stdout.split()[-1])

    def stop(self):
        self.script("stop", self.dir)

    def kill(self):
        self.script("kill", self.dir)

    def pids(self):
        try:
            with open(os.path.join(self.dir, self.pid_file)) as f:
                pid = int(f.readline())
            with open(f"/proc/{pid}/task/{pid}/children") as f:
                return [pid, *map(int, f.read().split())]
        except (OSError, ValueError):
            return []

    pid_file = "pid"

    def runs(self):
        return bool(self.pids())

    def freeze(self):
        """SIGSTOP for all its processes: the first no longer makes more once it has it."""
        for pid in self.pids()[:1] + self.pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT)

    def fill(self):
        with open(os.path.join(self.dir, "ballast"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass

    def clear(self):
        """Room again; a server that has ended for lack of it is started."""
        os.remove(os.path.join(self.dir, "ballast"))
        if not self.answers():
            self.kill()
            self.start()

    def release(self):
        self.thaw()
        self.kill()
        if self.mounted:
            subprocess.run(["umount", "-l", self.dir])


class Redis(Server):
    name = "redis"

    def start(self, *args):
        super().start(*args)
        self.sets = [f"sinks.redis=redis://127.0.0.1:{self.port}/0", "redis.alerts_maxlen=100000000", "redis.bars_maxlen=100000000"]

    connect, __call__, events = redis_server.Redis.connect, redis_server.Redis.__call__, redis_server.Redis.events

    def alerts(self):
        return [alert_row(json.loads(t)) for t in self.events("alerts")]

    def bars(self):
        return [json_bar(decimals(t)) for t in self.events("bars.finalized")]

    def renew(self):
        self("FLUSHALL")

    def fill(self):
        self("CONFIG", "SET", "maxmemory-policy", "noeviction")
        self("CONFIG", "SET", "maxmemory", "1mb")

    def clear(self):
        self("CONFIG", "SET", "maxmemory", "0")


class Postgres(Server):
    name, ordered, pid_file = "postgres", False, "data/postmaster.pid"
    database = "ringtape"

    def __init__(self, *args, size_mb=None):
        os.chmod(tmp, 0o711)  # the server runs as another user
        super().__init__(*args, size_mb=size_mb)

    def start(self, *args):
        super().start(*args)
        self.url = f"postgresql://ringtape@127.0.0.1:{self.port}/"
        self.sets = [f"sinks.postgres={self.url}{self.database}"]

    def sql(self, text, database=None):
        """The rows of a query as texts of fields; None if it fails."""
        p = subprocess.run(["psql", "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", self.url + (database or self.database), "-c", text], capture_output=True, text=True)
        return None if p.returncode else [l.split("\t") for l in p.stdout.splitlines()]

    def answers(self):
        return self.sql("SELECT 1", "ringtape") is not None

    def alerts(self):
        columns = ALERT.format(id="replace(id::text, '-', '')")
        return [database_alert(r) for r in self.sql(f"SELECT {columns} FROM alert_history") or []]

    def bars(self):
        return [bar_row(*r) for r in self.sql("SELECT symbol, (extract(epoch from start) * 1000000000)::bigint, open, high, low, close, volume, trades FROM bars_1m") or []]

    def renew(self):
        old, self.database = self.database, "r" + str(time.monotonic_ns())
        self.sql(f"CREATE DATABASE {self.database}", "postgres")
        if old != "ringtape":
            self.sql(f"DROP DATABASE {old}", "postgres")
        self.sets = [f"sinks.postgres={self.url}{self.database}"]


class Kafka(Server):
    name = "kafka"

    def start(self, *args):
        super().start(*args)
        self.address = f"127.0.0.1:{self.port}"
        self.sets = [f"sinks.kafka={self.address}"]
        self.seen = getattr(self, "seen", {})

    def read(self, topic):
        """The committed records of a topic: (partition, key, value) in the order of each partition."""
        p = subprocess.run([CAT, self.address, topic], capture_output=True, text=True, timeout=120 * PATIENCE)
        ok(p.returncode == 0, f"topic {topic} can be read", p.stderr)
        return [tuple(l.split("\t")[1:]) for l in p.stdout.splitlines()]

    def fresh(self, topic):
        """Those behind what was there at the last renew(): a topic cannot be emptied."""
        found, rows = {}, []
        for partition, _, value in self.read(topic):
            found[partition] = found.get(partition, 0) + 1
            if found[partition] > self.seen.get((topic, partition), 0):
                rows.append(decimals(value)["payload"] if topic == "bars" else json.loads(value)["payload"])
        return rows

    def answers(self):
        return subprocess.run([CAT, self.address, "alerts"], capture_output=True, timeout=60 * PATIENCE).returncode == 0

    def alerts(self):
        return [alert_row(a) for a in self.fresh("alerts")]

    def bars(self):
        return [json_bar(b) for b in self.fresh("bars")]

    def renew(self):
        self.seen = {}
        for topic in ("alerts", "bars"):
            for partition, _, _ in self.read(topic):
                self.seen[topic, partition] = self.seen.get((topic, partition), 0) + 1


class Sqlite:
    """No server, but a sink: a file."""
    name, ordered = "sqlite", True

    def __init__(self):
        self.renew()

    def renew(self):
        self.file = path(f"events{time.monotonic_ns()}.db")
        self.sets = [f"sinks.sqlite={self.file}"]

    def rows(self, text):
        db = sqlite3.connect(self.file)
        rows = db.execute(text).fetchall()
        db.close()
        return rows

    def alerts(self):
        return [database_alert(r) for r in self.rows(f"SELECT {ALERT.format(id='id')} FROM alert_history ORDER BY rowid")]

    def bars(self):
        return [bar_row(s, ns(t) if isinstance(t, str) else t, *n) for s, t, *n in self.rows("SELECT symbol, start, open, high, low, close, volume, trades FROM bars_1m")]


class Jsonl:
    name, ordered = "jsonl", True

    def __init__(self):
        self.renew()

    def renew(self):
        self.file = path(f"events{time.monotonic_ns()}.jsonl")
        self.sets = [f"sinks.jsonl={self.file}"]

    def alerts(self):
        with open(self.file) as f:
            return [alert_row(json.loads(l)) for l in f]

    bars = None  # it has none


def need_servers():
    """Ends the test as skipped where one is not installed."""
    for what, there in (("redis-server", shutil.which("redis-server")), ("PostgreSQL server", glob.glob("/usr/lib/postgresql/*/bin/initdb"))):
        if not there:
            print(f"ok - servers # SKIP no {what} is installed")
            sys.exit(0)


def sets(sinks):
    return [word for s in sinks for setting in s.sets for word in ("--set", setting)]


def same(sink, want, bars, what):
    """Each alert and bar of the replay is there exactly once, alerts in order per symbol."""
    got = sink.alerts()
    ok(sorted(got) == want, f"{what}: {sink.name} has each of {len(want)} alerts exactly once, the same",
       f"{len(got)} are there, {len(set(got))} different; {len(set(want) - set(got))} missing, {len(set(got) - set(want))} others")
    if sink.ordered:
        last, back = {}, []
        for row in got:
            if row[0] < last.get(row[5], 0):
                back.append(row)
            last[row[5]] = row[0]
        ok(not back, f"{what}: {sink.name} has them in order per symbol", back[:3])
    if sink.bars:
        got = sorted(sink.bars())
        ok(got == bars, f"{what}: {sink.name} has each of {len(bars)} bars exactly once, the same",
           f"{len(got)} are there\n" + "\n".join(str(x) for x in list(zip(got, bars)) if x[0] != x[1])[:600])
