#!/usr/bin/env python3
"""Servers that hang (SIGSTOP): their sinks say so within a bound and go on when the server does, with nothing lost or twice;
the other sinks do not wait."""
import concurrent.futures, urllib.request
from redis_server import *

need_redis()
os.chmod(tmp, 0o711)  # PostgreSQL runs as another user
servers = {}


def script(name, command, *args):
    return subprocess.run([os.path.join(ROOT, f"scripts/{name}.sh"), command, path(name), *args], capture_output=True, text=True)


def begin(name):
    """The port of a server of one's own; None where there is none."""
    p = script(name, "start")
    if p.returncode:
        print(f"ok - {name} # SKIP {p.stderr.strip().splitlines()[-1]}")
        return None
    servers[name] = int(p.stdout.split()[-1])
    return servers[name]


def pids(name):
    """The server's processes."""
    if name == "postgres":
        return list(map(int, script(name, "pids").stdout.split()))
    return [int(open(os.path.join(path(name), "pid")).read())]


def freeze(name):
    """Stops all processes of the server; none can be born behind that, since the first of them is stopped."""
    stopped = set()
    while set(pids(name)) - stopped:
        for pid in set(pids(name)) - stopped:
            os.kill(pid, signal.SIGSTOP)
            stopped.add(pid)
    return stopped


def thaw(stopped):
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)


def log():
    return open(run.log).read()


def in_postgres():
    # Rows have no order: by the order of the alerts.
    p = subprocess.run(["psql", "-XqAt", PG, "-c", "SELECT replace(id::text, '-', '') FROM alert_history ORDER BY seq, symbol"], capture_output=True, text=True)
    return p.stdout.split()


def in_kafka():
    p = subprocess.run([os.path.join(ROOT, "build/kafka_cat"), KAFKA, "alerts"], capture_output=True, text=True, timeout=60 * PATIENCE)
    return [json.loads(l.split("\t")[3])["payload"]["id"] for l in p.stdout.splitlines()]


def sink(name, metric):
    """A number of the sink's, from /metrics; 0 while there is none."""
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics", timeout=10).read().decode()
    except OSError:
        return 0
    found = re.search(rf'^ringtape_sink_{metric}{{[^}}]*sink="{name}"}} (\d+)$', text, re.M)
    return int(found[1]) if found else 0


def grows(names, n):
    """Whether these sinks take n more events each."""
    before = {name: sink(name, "delivered_total") for name in names}
    return wait_for(lambda: all(sink(name, "delivered_total") >= before[name] + n for name in names), 90)


run = None
try:
    redis = Redis("redis")
    servers["redis"] = redis.port
    with concurrent.futures.ThreadPoolExecutor() as both:  # Kafka takes seconds
        list(both.map(begin, ("postgres", "kafka")))
    PG, KAFKA = f"postgresql://ringtape@127.0.0.1:{servers.get('postgres')}/ringtape", f"127.0.0.1:{servers.get('kafka')}"
    s = socket.create_server(("127.0.0.1", 0))
    http = s.getsockname()[1]
    s.close()
    where = {"redis": redis.url, "postgres": PG, "kafka": KAFKA}
    run = Run("run", *[w for n in servers for w in ("--set", f"sinks.{n}={where[n]}")], "--set", "redis.alerts_maxlen=1000000",
              "--set", f"http.port={http}", "--drain-timeout", "60", rate=100)
    wait_for(lambda: all(sink(name, "connects_total") for name in servers), 180)  # a new Kafka on a busy machine takes its time
    ok(grows(servers, 50), "all sinks deliver", log())
    SAYS = {"redis": "no reply in time", "postgres": "the server or the way to it hangs", "kafka": "the broker or the way to it hangs"}
    for name in servers:
        said = lambda: [l for l in log().splitlines() if f"sink {name}: " in l]
        ok(grows([name], 20), f"{name}: its sink works", log())
        before = len(said())
        stopped = freeze(name)
        try:
            # Within 3 to 6 s, of a machine that has other things to do.
            down = wait_for(lambda: any(SAYS[name] in l for l in said()[before:]) and not sink(name, "up"), 60)
            ok(down, f"{name} hangs: its sink says so, and is down", log())
            ok(grows([n for n in servers if n != name], 100), f"{name} hangs: the others go on", log())
            errors = sink(name, "errors_total")
            ok(wait_for(lambda: sink(name, "errors_total") > errors + 1, 60), f"{name} hangs: its sink goes on trying", log())
        finally:
            thaw(stopped)
        again = wait_for(lambda: any("works again after" in l for l in said()[before:]), 60)
        ok(again and grows([name], 50), f"{name} goes on: so does its sink", log())

    want = [json.loads(l)["id"] for l in run.end()]
    ok([json.loads(e)["id"] for e in redis.events()] == want and len(want) > 500, f"Redis has each of {len(want)} alerts exactly once, in order")
    if "postgres" in servers:
        got = in_postgres()
        ok(sorted(got) == sorted(want), "PostgreSQL too", (len(got), len(set(got))))
    if "kafka" in servers:
        got = in_kafka()
        ok(sorted(got) == sorted(want), "Kafka too", (len(got), len(set(got))))
finally:
    if run:
        run.kill()
    for name in servers:
        script(name, "kill")
done()
